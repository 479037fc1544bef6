//! What the configuration string says, and how it is refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

/// What a configuration is refused with.
fn refused(text: &str) -> String {
    let fault = match Configuration::read(text) {
        Ok(read) => match read.open() {
            Ok(_) => panic!("{text} is taken"),
            Err(fault) => fault,
        },
        Err(fault) => fault,
    };
    assert_eq!(fault.code(), oust_code::OUST_E_CONFIG, "{text}");
    fault.text().to_owned()
}

#[test]
fn every_field_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        r#"
        [edge]
        size = "32MiB"
        max_object = 1000000
        shards = 2
        [l2]
        dir = '{}'
        size = "32 MiB"
        segment = "2MiB"
        media = "mmap"
        write_rate = "1GiB"
        readers = 2
        distrust = false
        adopt = false
        [purge]
        max_rules = 10
        max_batch = 3
        history = 5
        background_sweep = false
        [ttl]
        default = "1s"
        negative = "0s"
        minimum = "0s"
        maximum = "365d"
        stale_if_error = "1m"
        heuristics = false
        targeted = ["CDN-Cache-Control"]
        [[site]]
        hosts = ["a.example"]
        aliases = ["b.example"]
        environment = "staging"
        merge_schemes = true
        key = {{ query = {{ allow = ["q"] }}, cookies = ["c"], headers = ["x-a"], device = true }}
        [[site]]
        hosts = ["*"]
        key = {{ query = "sort" }}
        [[account]]
        name = "acme"
        hosts = ["a.example"]
        azion = {{ tokens = ["t"], url = "1/1s", wildcard = "2/2s" }}
        naver = {{ access_key = "a", secret_key = "s", edge_id = 1 }}
        medianova = {{ organization = "6a5a7d27-3c7f-4f0e-9f0e-0a0b0c0d0e0f", resources = {{ "6a5a7d27-3c7f-4f0e-9f0e-0a0b0c0d0e10" = "a.example" }}, tokens = ["m"] }}
        cdnetworks = {{ user = "u", api_key = "k", access_key = "a", secret_key = "b", rate = "3/5m" }}
        imagekit = {{ private_key = "p", monthly = 5, wildcard = true }}
        webhook_private = true
        "#,
        dir.path().display()
    );
    let opened = Configuration::read(&text).unwrap().open().unwrap();
    assert_eq!(opened.cache.stats().capacity, 32 << 20);
    assert!(opened.cache.has_l2() && opened.api.is_some());
    assert_eq!(opened.max_batch, 3);
    let request = http::HeaderMap::from_iter([(HeaderName::from_static("x-a"), "1".parse().unwrap())]);
    let key = opened.cache.sites().key(b"https", b"b.example", b"/?q=1&r=2", &request).unwrap();
    assert_eq!(key.to_string(), "http://a.example/?q=1@@x-a=1");
}

#[test]
fn a_refusal_names_line_and_field() {
    for (text, line, words) in [
        ("\n[edge]\nsize = \"x\"", "line 3", "edge.size"),
        ("[edge]\nsize = -1", "line 2", "negative"),
        ("[edge]\nsize = \"99999999TiB\"", "line 2", "too large"),
        ("[edge]\ncolour = 1", "line 2", "colour"),
        ("[l2]\nsize = 1", "line 1", "dir"),
        ("[l2]\ndir = \"/nowhere\"\nsize = 1\nmedia = \"tape\"", "line 4", "l2.media"),
        ("[ttl]\ndefault = \"soon\"", "line 2", "ttl.default"),
        ("[ttl]\ntargeted = [\"a b\"]", "line 2", "ttl.targeted"),
        ("[[site]]\nhosts = [\"a\"]\n\n[[site]]\nhosts = [\"b\", \"a\"]", "line 4", "'a'"),
        ("[[account]]\nname = \"n\"\nhosts = [\"h\"]\nazion = { tokens = [\"t\"], url = \"fast\" }", "line 4", "url"),
        ("[[account]]\nname = \"n\"\nhosts = [\"h\"]\ncdnetworks = { user = \"u\" }", "line 1", "api_key"),
        ("[edge]\nsize = 1", "", "edge size"),
        ("edge", "line 1", ""),
    ] {
        let said = refused(text);
        assert!(said.contains(line) && said.contains(words), "{text}: {said}");
    }
}

#[test]
fn a_refusal_holds_no_secret() {
    for text in [
        "[[account]]\nname = \"n\"\nhosts = [\"h\"]\nazion = \"hunter2\"",
        "[[account]]\nname = \"n\"\nhosts = [\"h\"]\nazion = { tokens = \"hunter2\" }",
        "[[account]]\nname = \"n\"\nhosts = [\"h\"]\nimagekit = { private_key = 4711 }",
        "[[account]]\nname = \"n\"\nhosts = [\"h\"]\nnaver = { access_key = \"hunter2\", secret_key = \"\", edge_id = 1 }",
        "[[account]]\nname = \"n\"\nhosts = [\"h\"]\nazion = { tokens = [\"hunter2\"] }\n[[account]]\nname = \"m\"\nhosts = [\"h\"]\nazion = { tokens = [\"hunter2\"] }",
    ] {
        let said = refused(text);
        assert!(!said.contains("hunter2") && !said.contains("4711"), "{said}");
    }
}
