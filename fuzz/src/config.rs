//! The server's configuration reader, as `oust check` uses it.
//!
//! Any text is answered; each error has a line and a column of the text and says something; what is accepted is read alike twice, keeps its meaning
//! when a comment is added, and builds: the sites, the cache (without the directory of a second tier) and the purge APIs of its accounts.

use oust_reference::Entropy;
use oust_server_parts::check;

/// Names of files that never end, or that a reading could change: `origin_ca` and `[[certificate]]` read what they name.
const NOT_READ: [&str; 6] = ["dev", "proc", "sys", "\\", "fd", "std"];

const LINES: [&str; 64] = [
    "[server]",
    "[edge]",
    "[purge]",
    "[http]",
    "[l2]",
    "[[site]]",
    "[[account]]",
    "[[certificate]]",
    "[x]",
    "[[server]]",
    "[site.key]",
    "[site.ttl]",
    "listen = V",
    "tls_listen = V",
    "admin = V",
    "api = V",
    "threads = V",
    "max_connections = V",
    "header_timeout = V",
    "body_timeout = V",
    "drain_timeout = V",
    "keep_alive_timeout = V",
    "trusted_proxies = V",
    "purge_method_from = V",
    "access_log = V",
    "admin_tokens = V",
    "size = V",
    "max_object = V",
    "max_rules = V",
    "max_batch = V",
    "history = V",
    "tag_headers = V",
    "targeted = V",
    "groups = V",
    "cache_status_key = V",
    "dir = V",
    "segment = V",
    "media = V",
    "hosts = V",
    "aliases = V",
    "origins = V",
    "environment = V",
    "merge_schemes = V",
    "key = { query = V, cookies = V }",
    "key = { headers = V, device = V }",
    "ttl = { default = V, maximum = V }",
    "ttl = { minimum = V, negative = V, stale_if_error = V }",
    "health = { path = V, interval = V, status = V }",
    "connect_timeout = V",
    "first_byte_timeout = V",
    "retries = V",
    "max_fetches = V",
    "origin_ca = V",
    "origin_sni = V",
    "origin_http2 = V",
    "name = V",
    "azion = { tokens = V, url = V }",
    "naver = { access_key = V, secret_key = V, edge_id = V }",
    "medianova = { organization = V, resources = V, tokens = V }",
    "cdnetworks = { user = V, api_key = V, rate = V }",
    "imagekit = { private_key = V, monthly = V }",
    "webhook_private = V",
    "cert = V",
    "key = V",
];
const VALUES: [&str; 56] = [
    "1",
    "0",
    "-1",
    "2",
    "1024",
    "9223372036854775807",
    "18446744073709551616",
    "0x10",
    "1e3",
    "1.5",
    "nan",
    "true",
    "false",
    "\"\"",
    "\"x\"",
    "\"a.example\"",
    "\"*\"",
    "\"*.example\"",
    "\"A.EXAMPLE.\"",
    "\"xn--a\"",
    "\"\u{e9}.example\"",
    "\"h:8080\"",
    "\"127.0.0.1:0\"",
    "\"[::1]:80\"",
    "\"0.0.0.0:81\"",
    "[\"127.0.0.1:0\"]",
    "[]",
    "[\"\"]",
    "[\"a.example\"]",
    "[\"a.example\", \"b.example\"]",
    "[\"*\"]",
    "[\"http://b\"]",
    "[\"https://b:8443\", \"http://c\"]",
    "[\"http://b\", \"http://b\"]",
    "[\"10.0.0.0/8\", \"::1\"]",
    "\"10s\"",
    "\"0s\"",
    "\"365d\"",
    "\"99999999999999999999s\"",
    "\"1h 1ns\"",
    "\"1MiB\"",
    "\"64MiB\"",
    "\"17 TiB\"",
    "\"16777216TiB\"",
    "\"production\"",
    "\"staging\"",
    "\"sort\"",
    "\"drop\"",
    "{ allow = [\"a\"] }",
    "{ deny = [] }",
    "\"mmap\"",
    "\"off\"",
    "\"200/60s\"",
    "\"0/0s\"",
    "[\"x\", { name = \"n\", token = \"t\", role = \"read\" }]",
    "\"/a?b\"",
];
/// Beginnings that are good, so that what is wrong stands alone.
const GOOD: [&str; 4] = [
    "[[site]]\nhosts = [\"a.example\"]\norigins = [\"http://b\"]\n",
    "[server]\napi = \"127.0.0.1:0\"\n[[account]]\nname = \"n\"\nhosts = [\"a.example\"]\nazion = { tokens = [\"t\"] }\n",
    "[edge]\nsize = \"1MiB\"\n",
    "[[site]]\nhosts = [\"*\"]\norigins = [\"https://b\"]\nkey = { query = \"sort\", headers = [\"accept\"] }\nttl = { default = \"1s\" }\n",
];

/// Any text, or one made of lines.
pub fn config(data: &[u8]) {
    let text = match data.split_first() {
        Some((128.., choices)) => made(&mut Entropy::new(choices)),
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    if NOT_READ.iter().any(|name| text.contains(name)) {
        return;
    }
    let lines = text.matches('\n').count() + 1;
    let (checked, whole) = match check(&text) {
        Err(faults) => {
            assert!(!faults.is_empty(), "refused for nothing: {text}");
            for fault in faults {
                let Some((line, column)) = fault.at else { panic!("no place: {fault:?}: {text}") };
                assert!((1..=lines).contains(&line) && column > 0, "{fault:?}: {text}");
                let longest = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
                assert!(column <= longest + 1, "{fault:?}: {text}");
                assert!(!fault.message.trim().is_empty(), "{fault:?}: {text}");
            }
            return;
        }
        Ok(checked) => checked,
    };
    assert!(whole.is_none_or(|message| !message.is_empty()));
    let Ok((again, _)) = check(&format!("{text}\n# a comment")) else { panic!("a comment is an error: {text}") };
    assert_eq!(checked.text(), again.text(), "{text}");
    // Each takes a thread or two; the largest caches take memory by what they hold, not by what they may.
    if let Err(error) = checked.build() {
        panic!("accepted, and does not build: {error}: {text}");
    }
}

fn made(entropy: &mut Entropy<'_>) -> String {
    let mut text = String::new();
    if entropy.one_in(2) {
        text.push_str(entropy.pick(&GOOD));
    }
    for _ in 0..entropy.below(12) {
        if entropy.one_in(8) {
            text.push_str(entropy.pick(&GOOD));
            continue;
        }
        let mut line = entropy.pick(&LINES).to_owned();
        while line.contains('V') {
            line = line.replacen('V', entropy.pick(&VALUES), 1);
        }
        text.push_str(&line);
        text.push_str(entropy.pick(&["\n", "\n", "\n", "\r\n", " # c\n", " "]));
    }
    if entropy.one_in(4) {
        text.truncate(text.floor_char_boundary(entropy.below(256) * 4 % (text.len() + 1)));
    }
    text
}
