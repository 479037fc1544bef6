//! A directory as plain bytes, and back.
//!
//! A journal's header names its own file's inode. As bytes that is [`HOME`], wherever the file is at home, and the real one once it is installed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use oust::disk::media::Media;
use oust::disk::media::Memory;
use oust_reference::format::crc32c;

pub type Files = BTreeMap<String, Vec<u8>>;

pub const HOME: (u64, u64) = (0x484f_4d45, 0x484f_4d45);

/// Makes the directory.
pub fn install(files: &Files) -> Arc<Memory> {
    let media = Memory::new();
    for (name, bytes) in files {
        let file = media.create(name, bytes.len() as u64).unwrap_or_else(|error| panic!("{name}: {error}"));
        let own = file.identity().ok().flatten().map_or((0, 0), |own| (own.inode, own.born_ns));
        let bytes = moved(name, bytes, HOME, own);
        file.write_at(0, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    Arc::new(media)
}

/// Reads the directory.
pub fn snapshot(media: &dyn Media) -> Files {
    let mut files = Files::new();
    for name in media.list().unwrap_or_default() {
        let Ok(file) = media.open(&name) else { continue };
        let mut bytes = vec![0; usize::try_from(file.size().unwrap_or(0)).unwrap_or(0)];
        file.read_at(0, &mut bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let own = file.identity().ok().flatten().map_or((0, 0), |own| (own.inode, own.born_ns));
        let bytes = moved(&name, &bytes, own, HOME);
        files.insert(name, bytes);
    }
    files
}

fn moved(name: &str, bytes: &[u8], from: (u64, u64), to: (u64, u64)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let both = |(inode, born): (u64, u64)| [inode.to_le_bytes(), born.to_le_bytes()].concat();
    let sound = bytes.len() >= 128 && crc32c(&[&bytes[..124]]).to_le_bytes() == bytes[124..128];
    if name.starts_with("journal-") && sound && bytes[40..56] == both(from) {
        bytes[40..56].copy_from_slice(&both(to));
        reseal_header(&mut bytes);
    }
    bytes
}

/// Makes the sum of a journal's header right.
pub fn reseal_header(bytes: &mut [u8]) {
    if bytes.len() >= 128 {
        let crc = crc32c(&[&bytes[..124]]).to_le_bytes();
        bytes[124..128].copy_from_slice(&crc);
    }
}

pub fn journal_name(id: u64) -> String {
    format!("journal-{id:016x}.log")
}

pub fn segment_name(id: u32, sealed: bool) -> String {
    format!("seg-{id:08x}.{}", if sealed { "seg" } else { "open" })
}

/// The file `sites` of a cache without any, so that a directory is not purged for having none.
pub fn sites() -> Vec<u8> {
    static SITES: OnceLock<Vec<u8>> = OnceLock::new();
    let made = || {
        let media = Arc::new(Memory::new());
        drop(super::opened::build(&media));
        snapshot(&*media).remove("sites").unwrap_or_else(|| panic!("a cache leaves no sites"))
    };
    SITES.get_or_init(made).clone()
}
