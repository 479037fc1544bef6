//! The pattern language: text to selectors.
//!
//! A URL is exact. Where wildcards are admitted, one `*` as the last character takes every URL that begins with what is before it; how much
//! that has to be is counted on the canonical path, on the vendor's own host without the first segment, which is the account's id there.

use oust::{Key, Selector};

use crate::dialect::without_variation;

/// The vendor's host, whose URLs begin with an account's id.
const VENDOR_HOST: &str = "ik.imagekit.io";
/// Characters that are enough before a wildcard.
const ENOUGH: usize = 15;
/// Directories that hold everything of the shops that have them.
const TOO_WIDE: [&str; 2] = ["media/catalog", "s/files"];

/// A URL; `wildcard`: whether a trailing `*` is admitted.
pub(crate) fn url(text: &str, wildcard: bool) -> Result<Vec<Selector>, String> {
    let absolute = text.split_once("://").map(|(scheme, _)| scheme);
    if !absolute.is_some_and(|scheme| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))) {
        return Err("The URL is not absolute: it begins with neither http:// nor https://.".to_owned());
    }
    let Some((before, after)) = text.split_once('*') else { return Ok(vec![Selector::Url(text.to_owned())]) };
    if !wildcard {
        return Err("The URL must not contain a wildcard (*); an asterisk of its own is written %2A.".to_owned());
    }
    if !after.is_empty() {
        return Err("The only wildcard (*) a URL may contain is its last character.".to_owned());
    }
    let key = Key::from_url(before.as_bytes()).map_err(|error| error.to_string())?;
    let path = String::from_utf8_lossy(key.as_ref().path());
    let mut path = path.strip_prefix('/').unwrap_or(&path);
    if key.as_ref().host() == VENDOR_HOST.as_bytes() {
        path = path.split_once('/').map_or("", |(_, path)| path);
    }
    if !is_narrow(path) {
        return Err(format!(
            "Before a wildcard the path needs two levels, {ENOUGH} characters or a file name with its extension."
        ));
    }
    Ok(vec![Selector::Glob(format!("{}*", without_variation(before)))])
}

/// Whether a path, without its first slash, says enough before a wildcard.
fn is_narrow(path: &str) -> bool {
    if TOO_WIDE.contains(&path.trim_end_matches('/')) {
        return false;
    }
    let levels = path.split('/').filter(|level| !level.is_empty()).count();
    let file = path.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
    levels >= 2 || path.chars().count() >= ENOUGH || file.is_some_and(|(name, ext)| !name.is_empty() && !ext.is_empty())
}
