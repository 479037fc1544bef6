//! Where the files go, and what the raw file system does there.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statfs};
use tempfile::TempDir;

/// A directory on a disk, removed at the end.
pub(crate) struct Place {
    root: TempDir,
}

impl Place {
    /// In `OUST_BENCH_DIR`, or beside this program, which is on a disk where `/tmp` may not be.
    pub(crate) fn new() -> Self {
        let parent = std::env::var_os("OUST_BENCH_DIR").map(PathBuf::from).or_else(|| {
            let program = std::env::current_exe().ok()?;
            program.parent().map(Path::to_owned)
        });
        let parent = parent.unwrap_or_else(std::env::temp_dir);
        let root = tempfile::Builder::new().prefix("oust-bench-").tempdir_in(&parent);
        Self { root: root.unwrap_or_else(|error| panic!("no directory in {}: {error}", parent.display())) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A path of that name; what was there is removed.
    pub(crate) fn sub(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        drop(fs::remove_dir_all(&path));
        path
    }

    /// The name of the file system, with a warning where it is none on a disk.
    pub(crate) fn file_system(&self) -> String {
        let magic = statfs(self.path()).map_or(0, |found| found.f_type as u64 & 0xffff_ffff);
        match magic {
            0xef53 => "ext4".into(),
            0x5846_5342 => "xfs".into(),
            0x9123_683e => "btrfs".into(),
            0x2fc1_2fc1 => "zfs".into(),
            0x794c_7630 => "overlayfs".into(),
            0x0102_1994 | 0x8584_58f6 => "tmpfs: IN MEMORY, set OUST_BENCH_DIR to a directory on a disk".into(),
            other => format!("file system {other:#x}"),
        }
    }
}

/// Writes what is dirty of the files of a directory, and drops them from the page cache. Pages that are mapped stay.
pub(crate) fn drop_cached(directory: &Path) {
    for file in files(directory) {
        let file = File::open(&file).expect("a file of the bench");
        file.sync_all().expect("it can be synced");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the page cache takes advice");
    }
}

/// Bytes of the files of a directory, each read once from its beginning to its end.
pub(crate) fn read_all(directory: &Path) -> u64 {
    let mut piece = vec![0; 1 << 20];
    let mut total = 0;
    for file in files(directory) {
        let file = File::open(&file).expect("a file of the bench");
        let mut at = 0;
        while let Ok(read @ 1..) = file.read_at(&mut piece, at) {
            at += read as u64;
        }
        total += at;
    }
    total
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory is there");
    entries.map(|entry| entry.expect("a name").path()).filter(|path| path.is_file()).collect()
}

/// A file written by plain calls.
pub(crate) struct Raw {
    file: File,
    path: PathBuf,
}

impl Raw {
    /// Of `len` bytes, written in sequence, and synced after every 64 MiB and at the end. Seconds that took.
    pub(crate) fn write(path: PathBuf, len: u64) -> (Self, f64) {
        let raw = Self::reserved(path, len);
        let piece = vec![0x5a; 1 << 20];
        let begun = Instant::now();
        let mut at = 0;
        while at < len {
            let now = (len - at).min(piece.len() as u64);
            raw.file.write_all_at(&piece[..now as usize], at).expect("the disk has room");
            at += now;
            if at.is_multiple_of(64 << 20) || at == len {
                raw.file.sync_data().expect("it can be synced");
            }
        }
        let took = begun.elapsed().as_secs_f64();
        (raw, took)
    }

    /// Of `len` zero bytes whose space is reserved.
    pub(crate) fn reserved(path: PathBuf, len: u64) -> Self {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.expect("a file can be made");
        fallocate(&file, FallocateFlags::empty(), 0, len).expect("space can be reserved");
        file.sync_all().expect("it can be synced");
        Self { file, path }
    }

    pub(crate) fn drop_cached(&self) {
        self.file.sync_all().expect("it can be synced");
        fadvise(&self.file, 0, None, Advice::DontNeed).expect("the page cache takes advice");
        // No more than is asked for.
        fadvise(&self.file, 0, None, Advice::Random).expect("the page cache takes advice");
    }

    #[inline]
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) {
        self.file.read_exact_at(into, at).expect("the file can be read");
    }

    /// Writes `bytes` at `at` and waits until they are on disk.
    pub(crate) fn write_synced(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).expect("the file can be written");
        self.file.sync_data().expect("it can be synced");
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}
