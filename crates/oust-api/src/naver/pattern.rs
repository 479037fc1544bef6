//! The pattern language: text to selectors.

use oust::Selector;

pub(crate) fn directory(text: &str, host: &str) -> Result<Vec<Selector>, String> {
    let _ = (text, host);
    Err("not built yet".to_owned())
}

pub(crate) fn extension(text: &str, host: &str) -> Result<Vec<Selector>, String> {
    let _ = (text, host);
    Err("not built yet".to_owned())
}

pub(crate) fn url(text: &str, host: &str) -> Result<Vec<Selector>, String> {
    let _ = (text, host);
    Err("not built yet".to_owned())
}
