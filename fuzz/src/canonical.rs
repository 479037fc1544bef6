//! One canonical form, whatever the spelling and whoever asks (H14-H17).

use oust_reference::{
    Entropy, Selector, Subject, canonical, equivalents, has_stray_percent, key_text, matches, neighbours, out_of_scope,
    parse_key, plain_variation, url,
};

use crate::engine;
use crate::pattern::alone;

/// Any bytes as a URL and as a key text, then generated ones.
pub fn canonical_equivalence(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let (address, text) = match entropy.below(4) {
        // A dictionary and a corpus of texts find their way into the parser best without a header of choices.
        0 => (entropy.clone().rest().to_vec(), entropy.clone().rest().to_vec()),
        1 => {
            let tail = entropy.clone().rest();
            ([b"http://h/", tail].concat(), [b"http://h/a", tail].concat())
        }
        _ => (url(&mut entropy), key_text(&mut entropy)),
    };
    check_url(&address, &mut entropy);
    check_key(&text);
}

fn check_url(address: &[u8], entropy: &mut Entropy<'_>) {
    if out_of_scope(address) {
        return;
    }
    let want = canonical(address);
    let key = engine::key_from_url(address);
    let got = key.as_ref().map(engine::key_text);
    assert_eq!(show(got.as_deref()), show(want.as_deref()), "canonical form of {}", address.escape_ascii());
    let Some(want) = want else { return };
    let subject = Subject { url: want.clone(), ..Subject::default() };

    // Again through both doors.
    for again in [engine::key_from_url(&want), engine::parse_key(&want)] {
        assert_eq!(show(again.as_ref().map(engine::key_text).as_deref()), show(Some(&want)), "not idempotent");
    }
    for strict in [true, false, true] {
        let Some(other) = equivalents(address, strict, entropy) else { continue };
        let same = engine::key_from_url(&other).map(|key| engine::key_text(&key));
        assert_eq!(
            show(same.as_deref()),
            show(Some(&want)),
            "{} spelled {}",
            want.escape_ascii(),
            other.escape_ascii()
        );
        // A purge of one spelling takes the other, and nothing beside it.
        let selector = Selector::Url(other.clone());
        if !strict || has_stray_percent(&other) {
            continue;
        }
        assert_eq!(matches(&selector, &subject), Ok(true), "the reference contradicts itself");
        let mut keys = vec![subject.clone()];
        keys.extend(
            neighbours(&selector, entropy).into_iter().filter(|key| key.url != want || key.variation.is_some()),
        );
        alone(&selector, &keys);
    }
}

fn check_key(text: &[u8]) {
    if out_of_scope(text) || has_stray_percent(text) || !plain_variation(text) {
        return;
    }
    let want = parse_key(text);
    let got = engine::parse_key(text).map(|key| engine::key_text(&key));
    let want = want.map(|key| key.text());
    assert_eq!(show(got.as_deref()), show(want.as_deref()), "key text {}", text.escape_ascii());
}

fn show(text: Option<&[u8]>) -> Option<String> {
    text.map(|text| text.escape_ascii().to_string())
}
