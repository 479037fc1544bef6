//! What a file in memory is made of, and what a file may be called.

use std::io::{self, ErrorKind};
use std::ops::Range;

/// The name of the lock file, which is no file of the media.
pub(super) const LOCK: &str = "lock";

/// The longest name a file may have, in bytes.
const MAX_NAME: usize = 255;

/// Checks that `name` names a file of the directory itself, whatever the media.
///
/// # Errors
///
/// `InvalidInput`.
pub(super) fn check_name(name: &str) -> io::Result<()> {
    let bad = matches!(name, "" | "." | ".." | LOCK)
        || name.len() > MAX_NAME
        || name.bytes().any(|byte| byte == b'/' || byte == 0);
    if bad { Err(io::Error::new(ErrorKind::InvalidInput, format!("not the name of a file: {name:?}"))) } else { Ok(()) }
}

/// The error of a write to a file that was frozen.
pub(super) fn frozen() -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, "the file is frozen")
}

/// The error of a read past the end.
pub(super) fn past_end() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the range is past the end of the file")
}

/// The length of a range.
///
/// # Errors
///
/// `InvalidInput` where it ends before it begins or is larger than memory.
pub(super) fn length(range: &Range<u64>) -> io::Result<usize> {
    range
        .end
        .checked_sub(range.start)
        .and_then(|len| usize::try_from(len).ok())
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not a range of a file"))
}

/// Where a write of `len` bytes at `offset` ends.
///
/// # Errors
///
/// `FileTooLarge` where no file is as long as that.
pub(super) fn end_of(offset: u64, len: usize) -> io::Result<u64> {
    u64::try_from(len)
        .ok()
        .and_then(|len| offset.checked_add(len))
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or_else(|| ErrorKind::FileTooLarge.into())
}

/// The bytes of a range of `image`.
///
/// # Errors
///
/// `UnexpectedEof`, `InvalidInput`.
pub(super) fn slice<'a>(image: &'a [u8], range: &Range<u64>) -> io::Result<&'a [u8]> {
    length(range)?;
    usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok())
        .and_then(|(start, end)| image.get(start..end))
        .ok_or_else(past_end)
}

/// Fills `into` from `offset` of `image`.
///
/// # Errors
///
/// `UnexpectedEof`.
pub(super) fn read(image: &[u8], offset: u64, into: &mut [u8]) -> io::Result<()> {
    let end = end_of(offset, into.len()).map_err(|_| past_end())?;
    into.copy_from_slice(slice(image, &(offset..end))?);
    Ok(())
}

/// Makes `image` at least `len` bytes long, with zeros.
///
/// # Errors
///
/// `StorageFull` where memory is; `image` is as it was then.
pub(super) fn extend(image: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(|_| ErrorKind::StorageFull)?;
    let more = len.saturating_sub(image.len());
    if more > 0 {
        image.try_reserve_exact(more).map_err(|_| ErrorKind::StorageFull)?;
        // By the page: without optimisation `resize` goes byte by byte, and most of a file is this.
        while image.len() < len {
            image.extend_from_slice(ZEROS.get(..len.saturating_sub(image.len())).unwrap_or(&ZEROS));
        }
    }
    Ok(())
}

const ZEROS: [u8; 4096] = [0; 4096];

/// Writes `bytes` at `offset` of `image`, with zeros between its end and there.
///
/// # Errors
///
/// `StorageFull` where memory is, `FileTooLarge`; `image` is as it was then.
pub(super) fn write(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let end = end_of(offset, bytes.len())?;
    extend(image, end)?;
    let start = usize::try_from(offset).map_err(|_| ErrorKind::StorageFull)?;
    if let Some(place) = image.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
    Ok(())
}
