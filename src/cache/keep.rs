//! Small things that whoever embeds the cache has to remember over a restart: tasks, webhooks, quotas.

use std::io::{self, ErrorKind};

use super::Cache;
use crate::disk::kept;

/// Most bytes of one.
const MOST: usize = 16 << 20;
/// Longest name.
const LONGEST: usize = 64;

impl Cache {
    /// Remembers `bytes` under `name`, in a file of its own beside the second tier's; what was kept under that name is replaced, as a whole or not
    /// at all. On disk when it returns. Blocks; one call at a time writes.
    ///
    /// A name is 1 to 64 of `a` to `z`, `0` to `9`, `-` and `_`; up to 16 MiB are kept under each. They come on top of the tier's capacity, and stay
    /// when its objects are discarded.
    ///
    /// # Errors
    ///
    /// `Unsupported` without a second tier, `InvalidInput` for a name or a length out of bounds, and those of the disk: the old bytes are there
    /// then, or already the new ones.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = file_name(name)?;
        if bytes.len() > MOST {
            let message = format!("{} bytes cannot be kept under one name, the most is {MOST}", bytes.len());
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        let Some(l2) = &self.engine.l2 else {
            return Err(io::Error::new(ErrorKind::Unsupported, "nothing can be kept without a second tier"));
        };
        let _one = l2.keeping.lock();
        kept::write(&*l2.media, &file, bytes)
    }

    /// What [`keep`](Self::keep) was given last under a name; `None` if that is nothing, or is damaged or cannot be read. Blocks.
    pub fn kept(&self, name: &str) -> Option<Vec<u8>> {
        let l2 = self.engine.l2.as_ref()?;
        kept::read(&*l2.media, &file_name(name).ok()?).ok()?
    }
}

fn file_name(name: &str) -> io::Result<String> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(good) {
        let message = format!("{name:?} is no name: 1 to {LONGEST} of a-z, 0-9, - and _");
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(format!("{}{name}", kept::EMBEDDER))
}
