//! Which sites' rules the stored keys were made by.
//!
//! A key policy decides which request a stored object answers, so what was stored under another one must not answer any more. The rules of all
//! names are kept in a file beside the segments; at start those of the configuration are compared with them, and hosts that differ are purged
//! before the first lookup.
//!
//! The file `sites`: `OUSTSITE`, CRC32C of the rest, then for each name `name \0 rules \n`. One that cannot be read is as good as none: everything is
//! purged.

use std::collections::BTreeMap;
use std::io;

use crate::disk::Media;

const NAME: &str = "sites";
const NEW: &str = "sites.new";
const MAGIC: &[u8; 8] = b"OUSTSITE";

/// Rules of names.
pub(crate) type Rules = BTreeMap<String, String>;

/// The rules that were written last; `None` if there are none that can be read.
pub(crate) fn read(media: &dyn Media) -> Option<Rules> {
    let file = media.open(NAME).ok()?;
    let mut bytes = vec![0; usize::try_from(file.size().ok()?).ok()?];
    file.read_at(0, &mut bytes).ok()?;
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, text) = rest.split_first_chunk::<4>()?;
    if magic != MAGIC || u32::from_le_bytes(*sum) != crc32c::crc32c(text) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    text.lines().map(|line| line.split_once('\0').map(|(name, rule)| (name.to_owned(), rule.to_owned()))).collect()
}

/// Replaces what was written last. Durable when it returns.
///
/// # Errors
///
/// Those of the media; the old rules are still there then.
pub(crate) fn write(media: &dyn Media, rules: &Rules) -> io::Result<()> {
    let text: String = rules.iter().map(|(name, rule)| format!("{name}\0{rule}\n")).collect();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(text.as_bytes()).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    match media.remove(NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = media.create(NEW, bytes.len() as u64)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    media.rename(NEW, NAME)?;
    media.sync_dir()
}
