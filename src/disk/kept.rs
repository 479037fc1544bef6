//! Small files that are replaced as a whole, beside the journal and the segments: what has to be remembered and is neither.
//!
//! 1. A name has the old bytes or the new ones, whatever happens: the new file is complete and synced before it takes the name.
//! 2. What is read is what was written: a sum covers all of it.
//!
//! `docs/format.md` has the bytes.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::{File, Media};

const MAGIC: [u8; 8] = *b"OUSTKEPT";
const MAJOR: u16 = 1;
const MINOR: u16 = 0;

/// Bytes before what is kept.
const HEADER: usize = 24;
/// Offset of the sum, which it does not cover.
const CRC_AT: usize = 12;

/// What stands behind the name of a file that is being made.
const NEW: &str = ".new";

/// The file of the sites' rules.
pub(crate) const SITES: &str = "sites";
/// What the names of embedders' files begin with.
pub(crate) const EMBEDDER: &str = "kept-";

/// Whether a file of this name is one of these, and not one that is being made.
pub(crate) fn is_name(name: &str) -> bool {
    name == SITES || name.starts_with(EMBEDDER) && !name.ends_with(NEW)
}

/// What was written last under a name; `None` if nothing ever was.
///
/// # Errors
///
/// `InvalidData` where it is damaged or of another version, and those of the media.
pub(crate) fn read(media: &dyn Media, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(mut bytes) = load(media, name)? else { return Ok(None) };
    if !is_sound(&bytes) {
        return Err(ErrorKind::InvalidData.into());
    }
    bytes.drain(..HEADER);
    Ok(Some(bytes))
}

/// Replaces what was written last under a name. Durable when it returns. Two at a time of one name are not to be.
///
/// # Errors
///
/// Those of the media. The old bytes are there then, or already the new ones.
pub(crate) fn write(media: &dyn Media, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&MAJOR.to_le_bytes());
    header.extend_from_slice(&MINOR.to_le_bytes());
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&header), &len.to_le_bytes()), bytes);
    header.extend_from_slice(&crc.to_le_bytes());
    header.extend_from_slice(&len.to_le_bytes());
    let at = u64::try_from(HEADER).unwrap_or(u64::MAX);
    replace(media, name, at.saturating_add(len), &mut |file| {
        file.write_at(0, &header)?;
        file.write_at(at, bytes)
    })?;
    Ok(())
}

/// All bytes of a file; `None` if there is none of that name.
pub(crate) fn load(media: &dyn Media, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match media.open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let size = usize::try_from(file.size()?).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| ErrorKind::OutOfMemory)?;
    bytes.resize(size, 0);
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

/// Makes a file of `len` bytes which takes the place of the one of that name once `fill` has written it and it is synced.
///
/// # Errors
///
/// Those of the media and of `fill`. The old file is there then, or already the new one.
pub(crate) fn replace(
    media: &dyn Media,
    name: &str,
    len: u64,
    fill: &mut dyn FnMut(&dyn File) -> io::Result<()>,
) -> io::Result<Arc<dyn File>> {
    let new = format!("{name}{NEW}");
    // Such as a crash left.
    remove(media, &new)?;
    let file = media.create(&new, len)?;
    let made = fill(&*file).and_then(|()| file.sync()).and_then(|()| media.rename(&new, name));
    if let Err(error) = made {
        drop(file);
        // It takes room; should this fail too, the next attempt does it.
        remove(media, &new).unwrap_or_default();
        return Err(error);
    }
    media.sync_dir()?;
    Ok(file)
}

fn remove(media: &dyn Media, name: &str) -> io::Result<()> {
    match media.remove(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether these are all bytes of a kept file.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    let sound = || {
        let (head, rest) = bytes.split_at_checked(CRC_AT)?;
        let (crc, covered) = rest.split_first_chunk()?;
        let (len, kept) = covered.split_first_chunk()?;
        let whole = u64::try_from(kept.len()).ok()? == u64::from_le_bytes(*len);
        let summed = crc32c::crc32c_append(crc32c::crc32c(head), covered) == u32::from_le_bytes(*crc);
        let known = head.starts_with(&MAGIC) && head.get(8..10)? == MAJOR.to_le_bytes();
        Some(whole && summed && known)
    };
    sound().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::media::{Crash, Failure, Memory, Operation};

    #[test]
    fn what_is_read_is_what_was_written() {
        let media = Memory::new();
        assert_eq!(read(&media, "a").unwrap(), None);
        for bytes in [&b""[..], b"one", &[7; 100_000]] {
            write(&media, "a", bytes).unwrap();
            assert_eq!(read(&media, "a").unwrap().unwrap(), bytes);
        }
        assert_eq!(media.list().unwrap(), ["a"]);
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let media = Crash::new();
        write(&media, "a", b"kept").unwrap();
        let size = media.open("a").unwrap().size().unwrap();
        // The minor version too: it is under the sum.
        for at in 0..size {
            assert!(media.flip("a", at, 1));
            assert_eq!(read(&media, "a").unwrap_err().kind(), ErrorKind::InvalidData, "{at}");
            assert!(media.flip("a", at, 1));
        }
        assert!(media.truncate("a", size - 1));
        assert!(read(&media, "a").is_err());
    }

    #[test]
    fn a_crash_leaves_the_old_bytes_or_the_new_ones() {
        for cut in 0..12 {
            for seed in 0..20 {
                let media = Crash::new();
                write(&media, "a", b"old").unwrap();
                media.power_off_at(media.count(Operation::Change) + cut);
                let written = write(&media, "a", b"newer").is_ok();
                let after = media.crash(seed);
                let found = read(&after, "a").unwrap().unwrap();
                assert!(found == b"newer" || (found == b"old" && !written), "{cut} {seed}");
                write(&after, "a", b"newest").unwrap();
                assert_eq!(
                    (read(&after, "a").unwrap().unwrap(), after.names()),
                    (b"newest".to_vec(), vec!["a".into()])
                );
            }
        }
    }

    #[test]
    fn an_error_leaves_the_old_bytes_and_no_other_file() {
        for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename] {
            let media = Crash::new();
            write(&media, "a", b"old").unwrap();
            media.fail_all(operation, Failure::Io);
            assert!(write(&media, "a", b"new").is_err());
            media.heal();
            assert_eq!((read(&media, "a").unwrap().unwrap(), media.names()), (b"old".to_vec(), vec!["a".into()]));
        }
    }
}
