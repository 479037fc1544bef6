//! The pattern language: text to selectors.

use oust::Selector;

pub(crate) fn url(text: &str, configured: &dyn Fn(&str) -> bool) -> Result<Vec<Selector>, String> {
    let _ = (text, configured);
    Err("not built yet".to_owned())
}

pub(crate) fn cachekey(text: &str, configured: &dyn Fn(&str) -> bool) -> Result<Vec<Selector>, String> {
    let _ = (text, configured);
    Err("not built yet".to_owned())
}

pub(crate) fn wildcard(text: &str, configured: &dyn Fn(&str) -> bool) -> Result<Vec<Selector>, String> {
    let _ = (text, configured);
    Err("not built yet".to_owned())
}
