//! Tests of the configuration reader.

use super::*;

fn faults(text: &str) -> Vec<(usize, usize, String)> {
    Config::parse("t", text)
        .expect_err("refused")
        .errors
        .into_iter()
        .map(|error| {
            let (line, column) = error.at.unwrap_or_default();
            (line, column, error.message)
        })
        .collect()
}

#[test]
fn every_fault_has_its_place() {
    let text = "[server]\nlisten = [\"nowhere\"]\nthreads = 0\nspeed = 9\n\n[edge]\nsize = \"1 furlong\"\n[[site]]\nhosts = [\"a.example\"]\norigins = [\"ftp://b\"]\n";
    let found = faults(text);
    let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
    assert_eq!(places, [(2, 11), (3, 11), (4, 1), (7, 8), (10, 12)], "{found:?}");
    assert!(found[2].2.contains("speed"));
    assert!(found[4].2.contains("ftp"));
}

#[test]
fn the_second_tier_and_lifetimes_are_read() {
    let text = "[l2]\ndir = \"x\"\nsize = \"1GiB\"\nsegment = \"8MiB\"\nmedia = \"pread\"\n[http]\ntargeted = [\"A-Cache-Control\"]\ngroups = false\n[[site]]\nhosts = [\"a\"]\norigins = [\"http://b\"]\nttl = { default = \"1s\" }\n";
    let config = Config::parse("t", text).unwrap();
    let l2 = config.l2.unwrap();
    assert_eq!((l2.size, l2.segment, l2.media, l2.distrust), (1 << 30, Some(8 << 20), Media::Pread, false));
    assert_eq!(config.http.targeted, ["a-cache-control"]);
    assert!(!config.http.groups);
    assert_eq!(
        (config.sites[0].ttl.default, config.sites[0].ttl.negative),
        (Duration::from_secs(1), Duration::from_secs(10))
    );
    for (text, name) in [
        ("[l2]\ndir = \"x\"", "size"),
        ("[l2]\ndir = \"x\"\nsize = \"1MiB\"", "2097152"),
        ("[l2]\ndir = \"x\"\nsize = \"8MiB\"\nsegment = \"5MiB\"", "half"),
        ("[l2]\ndir = \"x\"\nsize = \"8MiB\"\nmedia = \"tape\"", "pread"),
    ] {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].2.contains(name), "{found:?}");
    }
}

#[test]
fn the_front_is_read_with_a_place_for_each_fault() {
    let text = "[server]\ntls_listen = [\"[::1]:0\"]\npurge_method_from = [\"127.0.0.1\", \"10.0.0.0/8\"]\nkeep_alive_timeout = \"7s\"\naccess_log = \"x.log\"\n";
    let found = faults(text);
    assert_eq!((found.len(), found[0].0, found[0].2.contains("[[certificate]]")), (1, 2, true), "{found:?}");
    let config = Config::parse("t", &text.replace("tls_listen", "listen")).unwrap();
    assert_eq!(config.server.purge_method_from.len(), 2);
    assert_eq!(config.server.keep_alive_timeout, Duration::from_secs(7));
    assert_eq!(config.server.access_log, AccessLog::File("x.log".into()));
    for (text, line, column, told) in [
        ("[server]\naccess_log = \"\"", 2, 14, "stdout"),
        ("[server]\npurge_method_from = [\"anybody\"]", 2, 22, "network"),
        ("[[certificate]]\ncert = \"x\"", 1, 1, "`key`"),
        ("\n[[certificate]]\ncert = \"/nowhere.pem\"\nkey = \"/nowhere.pem\"", 2, 1, "/nowhere.pem"),
        (
            "[[site]]\nhosts = [\"a\"]\norigins = [\"http://b\"]\nttl = { minimum = \"2s\", maximum = \"1s\" }",
            4,
            7,
            "minimum",
        ),
    ] {
        let found = faults(text);
        assert!(found.iter().any(|fault| (fault.0, fault.1) == (line, column) && fault.2.contains(told)), "{found:?}");
    }
    let defaults = "[[site]]\nhosts = [\"a\"]\norigins = [\"http://b\"]\nttl = { default = \"0s\", negative = \"10s\", minimum = \"0s\", maximum = \"365d\", stale_if_error = \"1m\" }";
    assert!(Config::parse("t", defaults).is_ok(), "what holds anyway may be said");
}

#[test]
fn an_open_admin_api_is_refused() {
    let found = faults("[server]\nadmin = \"0.0.0.0:8081\"\n");
    assert_eq!((found[0].0, found[0].1), (2, 9), "{found:?}");
    assert!(Config::parse("t", "[server]\nadmin = \"0.0.0.0:8081\"\nadmin_tokens = [\"x\"]\n").is_ok());
    // Tokens that are there but empty are caught when flags are known too.
    let config = Config::parse("t", "[server]\nadmin = \"0.0.0.0:8081\"\nadmin_tokens = []\n").unwrap();
    assert!(config.check_whole().is_err());
}

#[test]
fn syntax_errors_have_a_place() {
    let found = faults("[server]\nlisten = [\n");
    assert!(found[0].0 >= 2, "{found:?}");
}

#[test]
fn sizes() {
    assert_eq!(parse_size("17"), Ok(17));
    assert_eq!(parse_size("256MiB"), Ok(256 << 20));
    assert_eq!(parse_size("1 TiB"), Ok(1 << 40));
    for bad in ["", "MiB", "1MB", "-1", "99999999999TiB", "1.5GiB"] {
        assert!(parse_size(bad).is_err(), "{bad}");
    }
}

#[test]
fn origins_are_http_or_https_without_a_path() {
    for (text, https, host, port) in [
        ("http://10.0.0.5:8000", false, "10.0.0.5", 8000),
        ("http://o.example", false, "o.example", 80),
        ("https://o.example/", true, "o.example", 443),
        ("https://[::1]:8443", true, "::1", 8443),
    ] {
        let origin: Origin = text.parse().unwrap();
        assert_eq!((origin.https, origin.host.as_str(), origin.port), (https, host, port), "{text}");
        assert_eq!(origin.to_string(), text.trim_end_matches('/'));
    }
    for bad in [
        "10.0.0.5:8000",
        "ftp://a",
        "http://a/b",
        "http://u@a",
        "",
        "http://a:0",
        "http://a:",
        "http://:80",
        "https://a_b..c",
        "http://a?b",
    ] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
}

#[test]
fn how_origins_are_asked() {
    let site = "[[site]]\nhosts = [\"a\"]\norigins = [\"http://b\"]\n";
    let config = Config::parse("t", site).unwrap();
    let default = &config.sites[0].fetching;
    assert!(default.health.is_none() && default.first_byte_timeout.is_none());
    assert_eq!((default.retries, default.max_fetches, default.http2), (2, 0, OriginHttp2::Auto));
    assert_eq!(default.connect_timeout, Duration::from_secs(3));

    let rules = "health = { path = \"/up?deep\", unhealthy = 4, status = 204 }\nconnect_timeout = \"1s\"\n\
        first_byte_timeout = \"2s\"\nretries = 0\nmax_fetches = 7\norigin_http2 = \"never\"\n";
    let config = Config::parse("t", &format!("{site}{rules}")).unwrap();
    let fetching = &config.sites[0].fetching;
    let check = fetching.health.as_ref().unwrap();
    assert_eq!((check.path.as_str(), check.unhealthy, check.healthy, check.status), ("/up?deep", 4, 2, 204));
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(5), Duration::from_secs(2)));
    assert_eq!((fetching.retries, fetching.max_fetches, fetching.http2), (0, 7, OriginHttp2::Never));
    assert_eq!(
        (fetching.connect_timeout, fetching.first_byte_timeout),
        (Duration::from_secs(1), Some(Duration::from_secs(2)))
    );

    for (rule, column, word) in [
        ("health = { interval = \"5s\" }", 10, "needs `path`"),
        ("health = { path = \"up\" }", 19, "no path"),
        ("health = { path = \"/\", every = 1 }", 24, "every"),
        ("health = { path = \"/\", unhealthy = 0 }", 36, "from 1"),
        ("health = { path = \"/\", status = 100 }", 33, "from 200"),
        ("connect_timeout = \"0s\"", 19, "longer than 0s"),
        ("first_byte_timeout = 5", 22, "a duration"),
        ("retries = 11", 11, "to 10"),
        ("max_fetches = -1", 15, "whole number"),
        ("origin_http2 = true", 16, "\"auto\""),
        ("origin_ca = \"/no/such.pem\"", 13, "/no/such.pem"),
        ("origin_sni = \"a b\"", 14, "no name"),
        ("origin_sni = \"b.example\"", 14, "no origin of this site is https"),
    ] {
        let found = faults(&format!("{site}{rule}\n"));
        assert!(
            found.iter().any(|(line, at, text)| (*line, *at) == (4, column) && text.contains(word)),
            "{rule}: {found:?}"
        );
    }
    let twice = faults("[[site]]\nhosts = [\"a\"]\norigins = [\"http://b\", \"http://b\"]\n");
    assert_eq!((twice[0].0, twice[0].1), (3, 24), "{twice:?}");
}

#[test]
fn tokens_do_not_show_in_debug() {
    let token = Token { name: "ci".to_owned(), token: "hush-hush".to_owned(), role: Role::Purge };
    assert!(!format!("{token:?}").contains("hush"));
}

const ACCOUNT: &str = r#"
[server]
api = "127.0.0.1:0"
[[account]]
name = "acme"
hosts = ["www.example.com", "*.img.example.com"]
azion = { tokens = ["hush-1"], url = "20/60s", wildcard = "7/24h" }
naver = { access_key = "ak", secret_key = "hush-2", edge_id = 1234 }
medianova = { organization = "o-1", resources = { "r-1" = "www.example.com" }, tokens = ["hush-3"], api_key = "k", api_secret = "hush-4" }
cdnetworks = { user = "u", api_key = "hush-5", access_key = "a", secret_key = "hush-6", rate = "300/5m" }
imagekit = { private_key = "hush-7", monthly = 5, wildcard = true }
webhook_private = true
"#;

#[test]
fn accounts_are_read_and_their_secrets_not_shown() {
    let config = Config::parse("t", ACCOUNT).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    let account = &config.accounts[0].account;
    assert_eq!((account.name.as_str(), account.webhook_private), ("acme", true));
    assert_eq!(account.hosts, ["www.example.com", "*.img.example.com"]);
    let azion = account.azion.as_ref().unwrap();
    assert_eq!((azion.tokens[0].as_str(), azion.url), ("hush-1", oust_api::Rate::new(20, 60)));
    assert_eq!(azion.wildcard, oust_api::Rate::new(7, 86_400));
    let naver = account.naver.as_ref().unwrap();
    assert_eq!((naver.access_key.as_str(), naver.secret_key.as_str(), naver.edge_id), ("ak", "hush-2", 1234));
    let medianova = account.medianova.as_ref().unwrap();
    assert_eq!((medianova.organization.as_str(), medianova.resources["r-1"].as_str()), ("o-1", "www.example.com"));
    assert_eq!((medianova.api_key.as_str(), medianova.api_secret.as_str()), ("k", "hush-4"));
    assert_eq!(medianova.tokens, ["hush-3"]);
    let cdnetworks = account.cdnetworks.as_ref().unwrap();
    assert_eq!((cdnetworks.user.as_str(), cdnetworks.api_key.as_str()), ("u", "hush-5"));
    assert_eq!((cdnetworks.access_key.as_str(), cdnetworks.secret_key.as_str()), ("a", "hush-6"));
    assert_eq!(cdnetworks.rate, oust_api::Rate::new(300, 300));
    let imagekit = account.imagekit.as_ref().unwrap();
    assert_eq!((imagekit.private_key.as_str(), imagekit.monthly, imagekit.wildcard), ("hush-7", 5, true));
    // What is not given is the vendor's.
    let config = Config::parse("t", "[[account]]\nname = \"a\"\nhosts = [\"h\"]\nazion = { tokens = [\"t\"] }\ncdnetworks = { user = \"u\", api_key = \"k\" }\nimagekit = { private_key = \"p\" }\n").unwrap();
    let account = &config.accounts[0].account;
    assert_eq!(account.azion.as_ref().unwrap().url, oust_api::Azion::default().url);
    assert_eq!(account.cdnetworks.as_ref().unwrap().rate, oust_api::Cdnetworks::default().rate);
    let imagekit = account.imagekit.as_ref().unwrap();
    assert_eq!((imagekit.monthly, imagekit.wildcard, account.webhook_private), (1000, false, false));
}

#[test]
fn every_fault_of_accounts_has_its_place_and_no_secret() {
    let head = "[[account]]\nname = \"a\"\nhosts = [\"h\"]\n";
    let azion = "azion = { tokens = [\"t\"] }\n";
    for (text, place, word) in [
        ("account = 1".to_owned(), (1, 11), "[[account]]"),
        (format!("[[account]]\nhosts = [\"h\"]\n{azion}"), (1, 1), "`name`"),
        (format!("[[account]]\nname = \"a\"\n{azion}"), (1, 1), "`hosts`"),
        (head.to_owned(), (1, 1), "`azion`"),
        (format!("{head}{azion}speed = 1\n"), (5, 1), "speed"),
        (format!("{head}azion = {{ tokens = [\"t\"], speed = 1 }}\n"), (4, 27), "speed"),
        (format!("{head}azion = {{ tokens = [\"t\"], url = \"200\" }}\n"), (4, 33), "200/60s"),
        (format!("{head}azion = {{ tokens = [] }}\n"), (4, 20), "at least one"),
        (format!("{head}azion = {{ tokens = [\"\"] }}\n"), (4, 21), "empty"),
        (format!("{head}azion = {{ tokens = \"hush\" }}\n"), (4, 20), "array"),
        (format!("{head}azion = {{ }}\n"), (4, 9), "`tokens`"),
        (format!("{head}naver = {{ access_key = \"a\", secret_key = \"hush\" }}\n"), (4, 9), "`edge_id`"),
        (
            format!("{head}naver = {{ access_key = \"a\", secret_key = \"hush\", edge_id = -1 }}\n"),
            (4, 60),
            "whole number",
        ),
        (format!("{head}medianova = {{ organization = \"o\", tokens = [\"hush\"] }}\n"), (4, 13), "`resources`"),
        (format!("{head}medianova = {{ organization = \"o\", resources = {{}} }}\n"), (4, 13), "`tokens`"),
        (
            format!("{head}medianova = {{ organization = \"o\", resources = {{ \"r\" = 1 }}, tokens = [\"t\"] }}\n"),
            (4, 55),
            "string",
        ),
        (format!("{head}cdnetworks = {{ rate = \"1/1s\" }}\n"), (4, 14), "`user`"),
        (
            format!("{head}cdnetworks = {{ user = \"u\", access_key = \"a\", secret_key = \"hush\" }}\n"),
            (4, 14),
            "`api_key`",
        ),
        (format!("{head}imagekit = {{ private_key = \"\" }}\n"), (4, 28), "empty"),
        (format!("{head}imagekit = {{ private_key = \"hush\", wildcard = 1 }}\n"), (4, 47), "true or false"),
        (format!("{head}{azion}webhook_private = 1\n"), (5, 19), "true or false"),
        (format!("{head}{azion}{head}{azion}"), (5, 1), "two accounts"),
        // What the APIs themselves check.
        (
            format!(
                "{head}{azion}[[account]]\nname = \"b\"\nhosts = [\"no host/\"]\nimagekit = {{ private_key = \"hush\" }}\n"
            ),
            (5, 1),
            "'b'",
        ),
        ("[server]\napi = \"127.0.0.1:0\"\n".to_owned(), (2, 7), "[[account]]"),
        (format!("[server]\napi = \"nowhere\"\n{head}{azion}"), (2, 7), "address"),
    ] {
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!((found[0].0, found[0].1), place, "{text}: {found:?}");
        assert!(found[0].2.contains(word) && !found[0].2.contains("hush"), "{text}: {found:?}");
    }
    let both = format!("{head}hosts_ = 1\n{azion}[edge]\nsize = \"1 furlong\"\n");
    assert_eq!(faults(&both).len(), 2);
}

#[test]
fn an_api_listener_by_flag_needs_accounts_too() {
    let mut config = Config::parse("t", "[[site]]\nhosts = [\"*\"]\norigins = [\"http://127.0.0.1:1\"]\n").unwrap();
    config.server.api = Some("127.0.0.1:0".parse().unwrap());
    assert!(config.check_whole().unwrap_err().contains("[[account]]"));
}
