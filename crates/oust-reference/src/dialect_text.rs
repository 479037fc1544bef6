//! Patterns of the vendors' languages, and keys at their edges.

use crate::canonical::{Subject, find, out_of_scope, parse_key, plain_variation};
use crate::dialect::Dialect;
use crate::entropy::Entropy;
use crate::generate::{edited, filled, key_text, regex};

// Few and alike, so that two choices often meet.
const HOSTS: [&str; 12] =
    ["h", "h", "h", "a.h", "H", "h.", "h:80", "h:443", "h:8080", "www.example.com", "[::1]", "sh"];
const ODD_HOSTS: [&str; 8] = ["*.h", "*", "", "u@h", "h*", "h:x", "h h", "%48"];
const WORDS: [&str; 32] = [
    "a",
    "b",
    "ab",
    "A",
    "d",
    "a.jpg",
    "b.png",
    ".jpg",
    "a.b",
    "images",
    "upload",
    "",
    "~",
    "%7E",
    "%2F",
    "%2f",
    "%2A",
    "%C3%A9",
    "%20",
    "\u{e9}",
    "@",
    "a@b",
    "%40%40",
    "..",
    ".",
    "%2e%2E",
    "+",
    "'",
    "media/catalog",
    "averylongfilename",
    "a.0",
    "a/b",
];
/// What patterns break on.
const ODD: [&str; 30] = [
    "@@", "@@@", "@@v", "@@v=1", "@@*", "@@v*", "%", "%2", "%4*", "%ab", "%FF", "%00", "#", "#*", " ", "\"", "<", "\\",
    "[", "]", "{", "}", "|", "^", "`", "//", "?", "*", "**", "***",
];
const QUERIES: [&str; 10] = ["", "v=1", "b", "q=/b", "a&b", "b&a", "*", "tr=*", "x=.jpg", "?"];
const EXTENSIONS: [&str; 10] = [".jpg", ".png", ".tar.gz", ".b", ".", "", ".JPG", ".%6Apg", ".j/g", "..jpg"];
const VARIATIONS: [&str; 10] = ["v", "vv", "V", "v=1", "a=1;b=2", "*", "v*", "*v", "", "v@@w"];
const SCHEMES: [&str; 10] =
    ["http://", "http://", "https://", "", "any://", "HTTP://", "ftp://", "//", "http:/", "http"];
const MANY: usize = 1500;

/// A pattern of a language, or something near one.
pub fn dialect_pattern(dialect: Dialect, entropy: &mut Entropy<'_>) -> String {
    let mut out = String::new();
    match dialect {
        Dialect::NaverDirectory | Dialect::NaverPattern | Dialect::NaverUrl | Dialect::Medianova => {
            hostless(dialect, entropy, &mut out);
        }
        Dialect::CdnetworksRegex if !entropy.one_in(4) => out = regex(entropy),
        _ => {
            let schemes = match dialect {
                Dialect::AzionUrl | Dialect::AzionCachekey | Dialect::AzionWildcard => ["http://", "", "https://", ""],
                _ => ["http://", "https://", "http://", "http://"],
            };
            let odd = entropy.one_in(10);
            out.push_str(if odd { entropy.pick::<&str>(&SCHEMES) } else { entropy.pick::<&str>(&schemes) });
            if dialect == Dialect::AzionCachekey && entropy.one_in(4) {
                out = entropy.pick(&["http", "https"]).to_owned();
            }
            let odd = entropy.one_in(16);
            out.push_str(if odd { entropy.pick::<&str>(&ODD_HOSTS) } else { entropy.pick::<&str>(&HOSTS) });
            hosted(dialect, entropy, &mut out);
        }
    }
    if entropy.one_in(8) {
        oddly(entropy, &mut out);
    }
    out
}

fn words(entropy: &mut Entropy<'_>, most: usize, out: &mut String) {
    for _ in 0..=entropy.below(most) {
        out.push('/');
        out.push_str(entropy.pick::<&str>(&WORDS));
    }
}

fn hostless(dialect: Dialect, entropy: &mut Entropy<'_>, out: &mut String) {
    if !entropy.one_in(5) {
        words(entropy, 3, out);
    }
    match dialect {
        Dialect::NaverDirectory => {
            out.push_str(entropy.pick::<&str>(&["/*", "/*", "/*", "/*", "/**", "*", "/", "/*a"]))
        }
        Dialect::NaverPattern => {
            out.push_str(entropy.pick::<&str>(&["/*", "/*", "/*", "/*", "*", "/", "/b*", "/**"]));
            let ext = if entropy.one_in(3) { entropy.pick::<&str>(&EXTENSIONS) } else { ".jpg" };
            out.push_str(ext);
        }
        Dialect::NaverUrl => query(entropy, 2, out),
        _ => {
            stars(entropy, out);
            query(entropy, 4, out);
        }
    }
}

/// Pieces with `*` between them.
fn stars(entropy: &mut Entropy<'_>, out: &mut String) {
    for _ in 0..entropy.below(4) {
        out.push_str(entropy.pick::<&str>(&["/", "", "a", "/a", ".jpg", "/b"]));
        out.push_str(entropy.pick::<&str>(&["*", "*", "**", "***", "b"]));
        out.push_str(entropy.pick::<&str>(&["", "", ".jpg", "a", "/", "b/c"]));
    }
}

fn query(entropy: &mut Entropy<'_>, one_in: usize, out: &mut String) {
    if entropy.one_in(one_in) {
        out.push('?');
        out.push_str(entropy.pick::<&str>(&QUERIES));
    }
}

fn hosted(dialect: Dialect, entropy: &mut Entropy<'_>, out: &mut String) {
    if entropy.one_in(12) {
        return;
    }
    words(entropy, 3, out);
    match dialect {
        Dialect::AzionWildcard | Dialect::CdnetworksDir => {
            stars(entropy, out);
            query(entropy, 4, out);
        }
        Dialect::ImageKit => {
            query(entropy, 4, out);
            out.push_str(entropy.pick::<&str>(&["", "*", "*", "/*", "**", "*a"]));
        }
        _ => {
            query(entropy, 3, out);
            if entropy.one_in(8) {
                out.push('*');
            }
        }
    }
    let variations = matches!(dialect, Dialect::AzionCachekey | Dialect::AzionWildcard);
    if entropy.one_in(if variations { 2 } else { 24 }) {
        out.push_str("@@");
        out.push_str(entropy.pick::<&str>(&VARIATIONS));
    }
}

/// Something odd, somewhere.
fn oddly(entropy: &mut Entropy<'_>, out: &mut String) {
    let places: Vec<usize> = (0..=out.len()).filter(|&at| out.is_char_boundary(at)).collect();
    let at = places[(usize::from(entropy.byte()) * 256 + usize::from(entropy.byte())) % places.len()];
    match entropy.below(6) {
        0 => out.truncate(at),
        1 if at < out.len() => drop(out.remove(at)),
        2 if entropy.one_in(4) => out.insert_str(at, &"a".repeat(entropy.below(256) * entropy.below(24))),
        _ => out.insert_str(at, entropy.pick::<&str>(&ODD)),
    }
}

/// Keys that the pattern takes if it takes any, and others beside them.
pub fn dialect_keys(dialect: Dialect, pattern: &str, entropy: &mut Entropy<'_>) -> Vec<Subject> {
    let mut out: Vec<Subject> = Vec::new();
    for _ in 0..=entropy.below(3) {
        let whole = witness(dialect, pattern, entropy);
        let mut texts: Vec<Vec<u8>> = (0..=entropy.below(5)).map(|_| edited(&whole, entropy)).collect();
        texts.push(whole);
        if entropy.one_in(4) {
            texts.push(key_text(entropy));
        }
        for text in texts {
            if out_of_scope(&text) || !plain_variation(&text) {
                continue;
            }
            let Some(key) = parse_key(&text) else { continue };
            if !out.contains(&key) {
                out.push(key);
            }
        }
    }
    out
}

fn witness(dialect: Dialect, pattern: &str, entropy: &mut Entropy<'_>) -> Vec<u8> {
    let scheme = entropy.pick(&["http", "https"]);
    let mut text = match pattern.split_once("://") {
        _ if dialect.is_hostless() => format!("{scheme}://{}{pattern}", entropy.pick(&["h", "h", "h", "a.h", "i"])),
        Some((name, rest)) if name.eq_ignore_ascii_case("any") => format!("{scheme}://{rest}"),
        Some(_) => pattern.to_owned(),
        None if dialect == Dialect::AzionCachekey && pattern.starts_with("http") && !entropy.one_in(4) => {
            let name = if pattern.starts_with("https") { "https" } else { "http" };
            format!("{name}://{}", &pattern[name.len()..])
        }
        None => format!("{scheme}://{pattern}"),
    }
    .into_bytes();
    text.truncate(MANY);
    // A wildcard, or literal; of a run of literal ones, the last may be one.
    let last = text.iter().rposition(|&b| b == b'*').unwrap_or(0);
    let run = text[..last].iter().rev().take_while(|&&b| b == b'*').count();
    let from = match (dialect, entropy.below(6)) {
        (_, 0) => text.len(),
        (Dialect::CdnetworksDir, 1..=4) => last - run,
        _ => 0,
    };
    let mut text = match dialect {
        Dialect::CdnetworksRegex => regex_witness(text, entropy),
        _ => filled(&text, from, entropy),
    };
    // With `@@` in a URL: as the text of a key that is none of a variation.
    if let Some(at) = find(&text, b"@@").filter(|_| entropy.one_in(6)) {
        text.splice(at..at + 2, b"%40%40".iter().copied());
    }
    text
}

/// What the regex of the pattern takes, now and then; else its text.
fn regex_witness(text: Vec<u8>, entropy: &mut Entropy<'_>) -> Vec<u8> {
    match crate::regex::Regex::parse(&text) {
        Ok(regex) => regex.sample(entropy),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Refused;

    /// The generators are worth something only if both verdicts, refusals and acceptance come up for each language.
    #[test]
    fn patterns_and_keys_lie_on_both_sides() {
        for dialect in Dialect::ALL {
            let (mut taken, mut left, mut open, mut refused, mut undecided) = (0, 0, 0, 0, 0);
            for round in 0..600_u32 {
                let mut seed = round.wrapping_mul(0x9E37_79B9);
                let bytes = crate::entropy::bytes(&mut seed, 256);
                let mut entropy = Entropy::new(&bytes);
                let pattern = dialect_pattern(dialect, &mut entropy);
                let keys = dialect_keys(dialect, &pattern, &mut entropy);
                match dialect.read(&pattern, "h") {
                    Ok(read) => {
                        for key in keys {
                            match read.matches(&key) {
                                Ok(true) => taken += 1,
                                Ok(false) => left += 1,
                                Err(_) => open += 1,
                            }
                        }
                    }
                    Err(Refused::Unknown) => undecided += 1,
                    Err(_) => refused += 1,
                }
            }
            let told = format!(
                "{}: {taken} taken, {left} left, {open} open, {refused} refused, {undecided} undecided",
                dialect.name()
            );
            eprintln!("{told}");
            assert!(taken > 100 && left > 100 && refused > 20, "{told}");
            assert!(open * 5 < taken + left && undecided < 200, "{told}");
        }
    }
}
