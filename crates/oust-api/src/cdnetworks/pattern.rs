//! The pattern language: text to selectors.

use oust::Selector;

pub(crate) fn file_url(text: &str) -> Result<Vec<Selector>, String> {
    let _ = (text);
    Err("not built yet".to_owned())
}

pub(crate) fn dir_url(text: &str) -> Result<Vec<Selector>, String> {
    let _ = (text);
    Err("not built yet".to_owned())
}

pub(crate) fn regex(text: &str) -> Result<Vec<Selector>, String> {
    let _ = (text);
    Err("not built yet".to_owned())
}
