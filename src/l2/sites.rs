//! Which sites' rules the stored keys were made by.
//!
//! A key policy decides which request a stored object answers, so what was stored under another one must not answer any more. The rules of all
//! names are kept in a file beside the segments; at start those of the configuration are compared with them, and hosts that differ are purged
//! before the first lookup.
//!
//! The [kept](crate::disk::kept) file `sites`: for each name `name \0 rules \n`. One that cannot be read is as good as none: everything is purged.

use std::collections::BTreeMap;
use std::io;

use crate::disk::{Media, kept};

/// Rules of names.
pub(crate) type Rules = BTreeMap<String, String>;

/// The rules that were written last; `None` if there are none that can be read.
pub(super) fn read(media: &dyn Media) -> Option<Rules> {
    let bytes = kept::read(media, kept::SITES).ok()??;
    let text = std::str::from_utf8(&bytes).ok()?;
    text.lines().map(|line| line.split_once('\0').map(|(name, rule)| (name.to_owned(), rule.to_owned()))).collect()
}

/// Replaces what was written last. Durable when it returns.
///
/// # Errors
///
/// Those of the media.
pub(super) fn write(media: &dyn Media, rules: &Rules) -> io::Result<()> {
    let text: String = rules.iter().map(|(name, rule)| format!("{name}\0{rule}\n")).collect();
    kept::write(media, kept::SITES, text.as_bytes())
}
