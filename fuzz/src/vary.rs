//! Which variant a request selects: the engine against a naive reading of `Vary` (RFC 9111 4.1).
//!
//! Compared with the naive reading only where the values can be read by their grammars: members of `Accept-Encoding` and `Accept-Language` with
//! anything else behind a `;` than a weight of at most three decimals have no meaning that two readers would share. That selection is an
//! equivalence, and that fields which are not named do not matter, must hold for all.

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use oust_reference::Entropy;

use self::source::{Vary, VaryRef};

/// The engine's own source, which it keeps to itself.
#[allow(dead_code, unreachable_pub, reason = "a module of another crate")]
#[path = "../../src/vary.rs"]
mod source;

const NAMES: [&str; 10] =
    ["accept-encoding", "Accept-Language", "x-a", "cookie", "user-agent", "ACCEPT", "host", "*", "a b", ""];
const VALUES: [&str; 40] = [
    "gzip", "br", "GZIP", "identity", "en", "de", "en-US", "*", ",", ", ", ",,", " ", "\t", ";q=0.5", ";q=0", ";q=1",
    "; q=0.57", ";q=0.569", ";Q=0.570", ";q=1.0", ";q=1.001", ";q=0.001", ";q=.5", ";q=1e-3", ";q=nan", ";q=", ";q",
    ";level=1", ";", "\"", "\\", "\"a,b\"", "a", "A", "b", "1", "=", "\u{e9}", "x", "0.5",
];

/// A response with `Vary`, and two requests.
pub fn vary(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    damaged(data);
    let mut response = HeaderMap::new();
    for _ in 0..entropy.below(4) {
        let raw: Vec<u8> = match entropy.below(8) {
            0 => (0..entropy.below(12)).map(|_| entropy.byte()).collect(),
            _ => (0..=entropy.below(4))
                .flat_map(|_| {
                    [
                        entropy.pick(&[",", ", ", " ,\t"]),
                        entropy.pick(&NAMES[..if data.len() % 2 == 0 { 7 } else { 10 }]),
                    ]
                })
                .flat_map(str::bytes)
                .collect(),
        };
        if let Ok(value) = HeaderValue::from_bytes(&raw) {
            response.append(VARY, value);
        }
    }
    let one = request(&mut entropy);
    // Mostly nearly the same.
    let mut other = if entropy.one_in(3) { request(&mut entropy) } else { one.clone() };
    for _ in 0..entropy.below(3) {
        change(&mut entropy, &mut other);
    }

    let named = named(&response);
    let (first, second) = (Vary::new(&response, &one), Vary::new(&response, &other));
    assert_eq!(first.is_some(), named.is_some(), "{response:?}");
    let (Some(first), Some(second), Some(named)) = (first, second, named) else { return };

    let listed: Vec<&[u8]> = first.as_ref().iter().map(|(name, _)| name).collect();
    assert_eq!(listed, named.iter().map(|name| name.as_str().as_bytes()).collect::<Vec<_>>(), "{response:?}");
    assert!(first.as_ref().same_fields(second.as_ref()));
    assert!(first.as_ref().selects(&one) && second.as_ref().selects(&other), "{first:?} is its own request's");
    let selects = first.as_ref().selects(&other);
    assert_eq!(selects, second.as_ref().selects(&one), "{one:?} {other:?}");
    assert_eq!(selects, first == second, "{one:?} {other:?}");
    let stored = VaryRef::from_stored(first.as_ref().as_bytes());
    assert_eq!(selects, stored.selects(&other), "as it is stored");

    let wanted: Option<Vec<bool>> =
        named.iter().map(|name| Some(meaning(&one, name)? == meaning(&other, name)?)).collect();
    if let Some(wanted) = wanted {
        assert_eq!(selects, wanted.iter().all(|same| *same), "{response:?}: {one:?} {other:?}");
    }

    // What is not named does not matter.
    let mut elsewhere = one.clone();
    for name in NAMES.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
        if !named.contains(&name) {
            elsewhere.insert(name, HeaderValue::from_static("something else"));
        }
    }
    assert!(first.as_ref().selects(&elsewhere), "{response:?} {elsewhere:?}");
}

/// Stored bytes that are damaged are read without a panic, and never for longer than they are.
fn damaged(data: &[u8]) {
    let stored = VaryRef::from_stored(data);
    assert!(stored.iter().count() <= data.len());
    let _ = stored.selects(&HeaderMap::new());
}

fn request(entropy: &mut Entropy<'_>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for _ in 0..entropy.below(6) {
        change(entropy, &mut fields);
    }
    fields
}

fn change(entropy: &mut Entropy<'_>, fields: &mut HeaderMap) {
    let Ok(name) = HeaderName::from_bytes(entropy.pick(&NAMES).as_bytes()) else { return };
    let text: String = match entropy.below(8) {
        // Apart by nothing.
        0 => {
            let old = fields.get(&name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            old.replace(',', entropy.pick(&[", ", " ,", ",\t"]))
        }
        // Weights of every size.
        1 | 2 => {
            let members = (0..=entropy.below(3)).map(|_| {
                let weight = usize::from(entropy.byte()) * 4 + entropy.below(4);
                format!("{};q=0.{:03}", entropy.pick(&VALUES[..7]), weight.min(999))
            });
            members.collect::<Vec<_>>().join(", ")
        }
        _ => (0..entropy.below(6)).map(|_| entropy.pick(&VALUES)).collect(),
    };
    let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else { return };
    match entropy.below(4) {
        0 => drop(fields.remove(&name)),
        1 => drop(fields.append(name, value)),
        _ => drop(fields.insert(name, value)),
    }
}

/// The fields a response nominates; none if it is for no later request.
fn named(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in response.get_all(VARY) {
        let text: String = line.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|m| !m.is_empty()) {
            if member == "*" || !member.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
                return None;
            }
            names.push(HeaderName::from_bytes(member.as_bytes()).ok()?);
        }
    }
    names.sort_by_key(|name| name.as_str().to_owned());
    names.dedup();
    Some(names)
}

/// What the lines of a field say, as something to compare; none if two readers may differ about it.
fn meaning(request: &HeaderMap, name: &HeaderName) -> Option<Option<Vec<(String, u32)>>> {
    let lines: Vec<String> = request
        .get_all(name)
        .iter()
        .map(|line| line.as_bytes().iter().map(|&byte| char::from(byte)).collect())
        .collect();
    if lines.is_empty() {
        return Some(None);
    }
    let weighs = *name == ACCEPT_ENCODING || *name == ACCEPT_LANGUAGE;
    let mut members = Vec::new();
    for line in &lines {
        let mut quoted = false;
        let mut member = String::new();
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            match c {
                '"' => quoted = !quoted,
                '\\' if quoted => {
                    member.push(c);
                    member.extend(rest.next());
                    continue;
                }
                ',' if !quoted => {
                    members.push(std::mem::take(&mut member));
                    continue;
                }
                _ => {}
            }
            member.push(c);
        }
        members.push(member);
    }
    let members = members.iter().map(|member| member.trim_matches([' ', '\t']));
    if !weighs {
        // A list is its members in their order, however they are spread over lines.
        return Some(Some(members.map(|member| (member.to_owned(), 0)).collect()));
    }
    let mut read = members.filter(|member| !member.is_empty()).map(weighed).collect::<Option<Vec<_>>>()?;
    read.sort();
    Some(Some(read))
}

/// `token [OWS ; OWS q=weight]`, the weight in thousandths.
fn weighed(member: &str) -> Option<(String, u32)> {
    let (value, weight) = match member.split_once(';') {
        None => (member, 1000),
        Some((value, parameter)) => {
            let (name, number) = parameter.trim_matches([' ', '\t']).split_once('=')?;
            if !name.eq_ignore_ascii_case("q") {
                return None;
            }
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            let part: u32 = format!("{part:0<3}").parse().ok()?;
            let weight = match whole {
                "0" => part,
                "1" if part == 0 => 1000,
                _ => return None,
            };
            (value.trim_end_matches([' ', '\t']), weight)
        }
    };
    let is_token = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-*".contains(c));
    is_token.then(|| (value.to_ascii_lowercase(), weight))
}
