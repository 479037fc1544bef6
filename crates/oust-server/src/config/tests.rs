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
    let text = "[server]\nlisten = [\"nowhere\"]\nthreads = 0\nspeed = 9\n\n[edge]\nsize = \"1 furlong\"\n[[site]]\nhosts = [\"a.example\"]\norigins = [\"https://b\"]\n";
    let found = faults(text);
    let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
    assert_eq!(places, [(2, 11), (3, 11), (4, 1), (7, 8), (10, 12)], "{found:?}");
    assert!(found[2].2.contains("speed"));
    assert!(found[4].2.contains("not built yet"));
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for (text, name) in [
        ("[l2]\ndir = \"x\"", "[l2]"),
        ("[[account]]\nname = \"x\"", "[[account]]"),
        ("[[certificate]]\ncert = \"x\"", "[[certificate]]"),
        ("[server]\ntls_listen = []", "tls_listen"),
        ("[server]\napi = \"127.0.0.1:1\"", "api"),
        ("[server]\npurge_method_from = []", "purge_method_from"),
        ("[http]\ntargeted = []", "targeted"),
        ("[http]\ngroups = true", "groups"),
        ("[[site]]\nhosts = [\"a\"]\norigins = [\"http://b\"]\nttl = { default = \"1s\" }", "ttl"),
    ] {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].2.contains(name) && found[0].2.contains("not built yet"), "{found:?}");
    }
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
fn origins_are_plain_http_without_a_path() {
    assert_eq!("http://10.0.0.5:8000".parse::<Origin>().map(|origin| origin.authority), Ok("10.0.0.5:8000".to_owned()));
    for bad in ["10.0.0.5:8000", "https://a", "ftp://a", "http://a/b", "http://u@a", ""] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
}

#[test]
fn tokens_do_not_show_in_debug() {
    let token = Token { name: "ci".to_owned(), token: "hush-hush".to_owned(), role: Role::Purge };
    assert!(!format!("{token:?}").contains("hush"));
}
