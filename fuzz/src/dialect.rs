//! The vendors' pattern languages against the reference's reading of them.

use oust::purge::Matcher;
use oust::site::Sites;
use oust_api::Dialect;
use oust_reference::{self as reference, Entropy, Refused, dialect_keys, dialect_pattern};

use crate::engine;

const HOSTS: [&str; 4] = ["h", "h", "a.h", "*.h"];
const MAX_CASES: usize = 24;

/// Some patterns of some languages, each with keys on both sides of its edge.
pub fn dialect_patterns(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    for _ in 0..MAX_CASES {
        let dialect = entropy.pick(&reference::Dialect::ALL);
        // A text of the fuzzer's own finds its way into the parsers without a header of choices.
        let own = entropy.one_in(8).then(|| std::str::from_utf8(entropy.clone().rest()).ok()).flatten();
        let pattern = own.map_or_else(|| dialect_pattern(dialect, &mut entropy), str::to_owned);
        let host = entropy.pick(&HOSTS);
        // A resource of Medianova has one host.
        let host = if dialect == reference::Dialect::Medianova { host.trim_start_matches("*.") } else { host };
        check(dialect, &pattern, host, own.is_none(), &mut entropy);
        if entropy.is_empty() {
            break;
        }
    }
}

/// `generated`: a regex that is not may use syntax that the reference does not know.
fn check(language: reference::Dialect, pattern: &str, host: &str, generated: bool, entropy: &mut Entropy<'_>) {
    let name = language.name();
    let dialect: Dialect = name.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(dialect.is_hostless(), language.is_hostless(), "{name}");
    let got = compiled(dialect, pattern, host);
    let foreign = language == reference::Dialect::CdnetworksRegex && !generated;
    let want = if foreign { Err(Refused::Unknown) } else { language.read(pattern, host) };
    let keys = dialect_keys(language, pattern, entropy);
    let want = match (&want, &got) {
        (Err(Refused::Unknown), Ok(matchers)) => {
            for key in &keys {
                takes(matchers, key);
            }
            return;
        }
        (Err(_), Err(_)) => return,
        (Err(refused), Ok(_)) => panic!("{name} of {host}: accepted {pattern:?}, which is {refused:?}"),
        (Ok(want), Err(error)) => {
            assert!(want.may_be_refused, "{name} of {host}: refused {pattern:?}: {error}");
            return;
        }
        (Ok(want), Ok(_)) => want,
    };
    let Ok(matchers) = &got else { return };
    for key in &keys {
        let Ok(want) = want.matches(key) else { continue };
        assert_eq!(takes(matchers, key), want, "{name} of {host}: {pattern:?} and {}", key.text().escape_ascii());
    }
}

fn takes(matchers: &[Matcher], key: &reference::Subject) -> bool {
    let key = engine::key_of(key);
    matchers.iter().any(|matcher| matcher.matches(key.as_ref()))
}

/// What the vendor's language refuses, and what it leaves to the engine to refuse.
fn compiled(dialect: Dialect, pattern: &str, host: &str) -> Result<Vec<Matcher>, String> {
    let selectors = dialect.selectors(pattern, host)?;
    assert!(!selectors.is_empty(), "{dialect} makes nothing of {pattern:?}");
    let compile = |selector| Matcher::new(selector, &Sites::default()).map_err(|error| error.to_string());
    selectors.iter().map(compile).collect()
}
