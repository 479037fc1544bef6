//! Where the records are that selectors can take: what sweeps and questions look through.

use std::collections::BTreeSet;

use crate::disk::store::Scope;
use crate::purge::Shape;

/// Scopes that together hold every record that one of `shapes` may take. No directory is in another one.
pub(super) fn scopes<'a>(shapes: impl Iterator<Item = &'a Shape>) -> Vec<Scope<'a>> {
    let mut scopes = Vec::new();
    let mut directories: BTreeSet<&[u8]> = BTreeSet::new();
    for shape in shapes {
        match shape {
            Shape::Url(url) => scopes.push(Scope::Exact(url)),
            Shape::Key(key) | Shape::Variant { key, .. } => scopes.push(Scope::Exact(crate::key::url_of(key))),
            Shape::Tag(tag) => scopes.push(Scope::Tag(tag)),
            shape => match shape.walks() {
                Some((directory, _)) => drop(directories.insert(directory)),
                None => return vec![Scope::Everything],
            },
        }
    }
    // A directory's own come right after it in this order.
    let mut above: Option<&[u8]> = None;
    for directory in directories {
        if above.is_none_or(|above| !directory.starts_with(above)) {
            scopes.push(Scope::Under(directory));
            above = Some(directory);
        }
    }
    scopes
}
