//! The pattern language: an absolute path with any number of `*`, which cross everything, to what it takes of one host.
//!
//! Without `?` any query is taken where there is a wildcard. Without a wildcard it is one URL, a directory's too. `@@` is no variation here.

use oust::Selector;

use crate::dialect::without_variation;

pub(crate) fn file_path(text: &str, host: &str) -> Result<Vec<Selector>, String> {
    if !text.starts_with('/') {
        return Err("a path starts with /".to_owned());
    }
    if !text.contains('*') {
        return Ok(vec![Selector::Url(format!("any://{host}{text}"))]);
    }
    let mut pattern = format!("any://{host}");
    let mut in_run = false;
    for c in without_variation(text).chars() {
        // A run of one or many is the engine's `**`, the wildcard that crosses slashes.
        match (c, in_run) {
            ('*', true) => {}
            ('*', false) => pattern.push_str("**"),
            _ => pattern.push(c),
        }
        in_run = c == '*';
    }
    Ok(vec![Selector::Pattern(pattern)])
}
