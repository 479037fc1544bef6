//! A directory in memory that knows what a disk would have lost, for the simulation of crashes.
//!
//! Every change since the last sync is kept apart. A crash makes a new directory of what is durable and of any of the rest; the same seed makes
//! the same one. The model is what POSIX lets a journaling file system do, no kinder: writes land in any order, in part, at sectors of 512 bytes;
//! a file's length may come through without its bytes; directory entries are independent of the data, and of each other unless they share a name.
//!
//! Lock order: there is one lock.

mod contents;
mod faults;
mod names;
mod random;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use self::contents::Contents;
pub use self::faults::{Failure, Operation};
use self::faults::{Faults, Outcome};
use self::names::{Change, Names};
use self::random::Random;
use super::image::{check_name, end_of, frozen, length, read, slice};
use super::{File, Identity, Media};

/// A directory that can lose power. Clones are the same directory.
///
/// For tests: nothing is written anywhere, everything written is kept twice, and all calls share one lock.
#[derive(Clone)]
pub struct Crash {
    state: Arc<Mutex<State>>,
}

impl Crash {
    /// An empty directory.
    pub fn new() -> Self {
        Self::with(State::default())
    }

    /// What a disk may hold after power was lost now. The same seed makes the same of the same history; files keep their
    /// [identity](File::identity). This directory stays as it was, and may still be crashed with other seeds.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let random = &mut Random::new(seed);
        let names = state.names.survive(random);
        // All files take part, so that what becomes of one does not hang on the names that others lost.
        let survived: Vec<_> =
            state.inodes.iter().map(|(number, inode)| (*number, inode.contents.survive(random))).collect();
        let inodes = survived
            .into_iter()
            .filter(|(number, _)| names.values().any(|named| named == number))
            .filter_map(|(number, image)| {
                let born_ns = state.inodes.get(&number)?.born_ns;
                Some((number, Inode { contents: Contents::settled(image), born_ns, handles: 0, poisoned: false }))
            })
            .collect();
        Self::with(State {
            names: Names::settled(names),
            inodes,
            next_inode: state.next_inode,
            copies: Arc::clone(&state.copies),
            born_ns: state.born_ns,
            limit: state.limit,
            ..State::default()
        })
    }

    /// A copy of the directory as the running system sees it, as if by `cp -a`: every file has a new [identity](File::identity).
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state.lock();
        let born_ns = state.copies.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let copied = |number: &u64| {
            let contents = Contents::settled(state.inodes.get(number)?.contents.now.clone());
            Some((*number, Inode { contents, born_ns, handles: 0, poisoned: false }))
        };
        Self::with(State {
            names: Names::settled(state.names.now.clone()),
            inodes: state.names.now.values().filter_map(copied).collect(),
            next_inode: state.next_inode,
            copies: Arc::clone(&state.copies),
            born_ns,
            limit: state.limit,
            ..State::default()
        })
    }

    /// Loses power: from now on everything fails here. See [`crash`](Self::crash) for what is left.
    pub fn power_off(&self) {
        self.state.lock().faults.off = true;
    }

    /// Loses power while the change of this number is under way: it fails and may have happened or not.
    pub fn power_off_at(&self, change: u64) {
        self.state.lock().faults.cut_at(change);
    }

    /// Whether power is off.
    pub fn is_off(&self) -> bool {
        self.state.lock().faults.off
    }

    /// How many operations of a kind there were, which is the number of the next one.
    pub fn count(&self, operation: Operation) -> u64 {
        self.state.lock().faults.count(operation)
    }

    /// Makes the operation of this kind and number fail.
    ///
    /// A write that fails may have written its first bytes. A sync that fails leaves in doubt what was written before it: a later one succeeds
    /// and does not write it, as Linux does.
    pub fn fail(&self, operation: Operation, number: u64, failure: Failure) {
        self.state.lock().faults.fail(operation, number, failure);
    }

    /// Makes all operations of this kind fail from now on, until [`heal`](Self::heal).
    pub fn fail_all(&self, operation: Operation, failure: Failure) {
        self.state.lock().faults.fail_all(operation, failure);
    }

    /// Takes back all failures that are still to come.
    pub fn heal(&self) {
        self.state.lock().faults.heal();
    }

    /// The most that all files may hold together, in bytes. What would pass that fails with `StorageFull`.
    pub fn set_limit(&self, bytes: u64) {
        self.state.lock().limit = bytes;
    }

    /// What [`File::is_warm`] says of every file.
    pub fn set_warm(&self, warm: bool) {
        self.state.lock().cold = !warm;
    }

    /// Makes [`File::is_intact`] false for a file; false if there is none of that name.
    pub fn poison(&self, name: &str) -> bool {
        self.state.lock().named(name).map(|inode| inode.poisoned = true).is_some()
    }

    /// Flips the bits of `mask` in one byte, on the disk and in memory; false if there is no such byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> bool {
        self.state.lock().named(name).is_some_and(|inode| inode.contents.flip(offset, mask))
    }

    /// Cuts a file to `len` bytes, on the disk and in memory; false if there is none of that name.
    pub fn truncate(&self, name: &str, len: u64) -> bool {
        self.state.lock().named(name).map(|inode| inode.contents.truncate(len)).is_some()
    }

    /// The names of all files, sorted. Does not count as an operation, and works without power.
    pub fn names(&self) -> Vec<String> {
        self.state.lock().names.now.keys().cloned().collect()
    }

    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn handle(&self, state: &mut State, number: u64) -> Arc<dyn File> {
        if let Some(inode) = state.inodes.get_mut(&number) {
            inode.handles = inode.handles.saturating_add(1);
        }
        Arc::new(CrashFile { media: self.clone(), number, frozen: AtomicBool::new(false) })
    }
}

impl Default for Crash {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crash").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl Media for Crash {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.ask(Operation::List)?;
        Ok(state.names.now.keys().cloned().collect())
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let mut state = self.state.lock();
        let outcome = state.faults.meet(Operation::Create);
        if let Outcome::Failed(error) = outcome {
            return Err(error);
        }
        if state.names.now.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.has_room(len)?;
        let mut contents = Contents::default();
        contents.extend(len)?;
        let number = state.next_inode;
        state.next_inode = number.saturating_add(1);
        let born_ns = state.born_ns;
        state.inodes.insert(number, Inode { contents, born_ns, handles: 0, poisoned: false });
        state.names.record(Change::Create { name: name.to_owned(), inode: number });
        if let Outcome::Cut(error) = outcome {
            return Err(error);
        }
        Ok(self.handle(&mut state, number))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let mut state = self.state.lock();
        state.ask(Operation::Open)?;
        let number = state.names.now.get(name).copied().ok_or(ErrorKind::NotFound)?;
        Ok(self.handle(&mut state, number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let change = Change::Rename { from: from.to_owned(), to: to.to_owned() };
        self.state.lock().change_names(Operation::Rename, from, change)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.state.lock().change_names(Operation::Remove, name, Change::Remove { name: name.to_owned() })
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        match state.faults.meet(Operation::SyncDir) {
            Outcome::Done => {
                state.names.sync();
                state.inodes.retain(|number, inode| inode.handles > 0 || state.names.holds(*number));
                Ok(())
            }
            Outcome::Failed(error) => {
                state.names.sync_failed();
                Err(error)
            }
            Outcome::Cut(error) => Err(error),
        }
    }
}

struct State {
    names: Names,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// How many copies were made of this directory and of what it stems from.
    copies: Arc<AtomicU64>,
    /// The time of birth of all files made here: which of the copies this is.
    born_ns: u64,
    faults: Faults,
    limit: u64,
    cold: bool,
}

struct Inode {
    contents: Contents,
    born_ns: u64,
    handles: u64,
    poisoned: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            names: Names::default(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            copies: Arc::new(AtomicU64::new(1)),
            born_ns: 1,
            faults: Faults::default(),
            limit: u64::MAX,
            cold: false,
        }
    }
}

impl State {
    /// Numbers an operation that changes nothing.
    fn ask(&mut self, operation: Operation) -> io::Result<()> {
        match self.faults.meet(operation) {
            Outcome::Done => Ok(()),
            Outcome::Failed(error) | Outcome::Cut(error) => Err(error),
        }
    }

    fn change_names(&mut self, operation: Operation, name: &str, change: Change) -> io::Result<()> {
        let outcome = self.faults.meet(operation);
        if let Outcome::Failed(error) = outcome {
            return Err(error);
        }
        if !self.names.now.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        self.names.record(change);
        if let Outcome::Cut(error) = outcome { Err(error) } else { Ok(()) }
    }

    /// Whether files may grow by `len` bytes.
    fn has_room(&self, len: u64) -> io::Result<()> {
        let held = self.inodes.values().fold(len, |held, inode| held.saturating_add(len_of(&inode.contents.now)));
        if held > self.limit { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn named(&mut self, name: &str) -> Option<&mut Inode> {
        let number = self.names.now.get(name)?;
        self.inodes.get_mut(number)
    }
}

struct CrashFile {
    media: Crash,
    number: u64,
    frozen: AtomicBool,
}

impl CrashFile {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.media.state.lock()
    }
}

impl fmt::Debug for CrashFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashFile").field("inode", &self.number).finish_non_exhaustive()
    }
}

impl Drop for CrashFile {
    fn drop(&mut self) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(inode) = state.inodes.get_mut(&self.number) {
            inode.handles = inode.handles.saturating_sub(1);
            if inode.handles == 0 && !state.names.holds(self.number) {
                state.inodes.remove(&self.number);
            }
        }
    }
}

impl File for CrashFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.lock();
        state.faults.powered()?;
        Ok(state.inodes.get(&self.number).map_or(0, |inode| len_of(&inode.contents.now)))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.frozen.load(Ordering::Relaxed) {
            return Err(frozen());
        }
        let end = end_of(offset, bytes.len())?;
        let mut state = self.lock();
        let (written, outcome) = match state.faults.meet(Operation::Write) {
            Outcome::Done => (bytes, Ok(())),
            Outcome::Cut(error) => (bytes, Err(error)),
            Outcome::Failed(error) if state.faults.off => return Err(error),
            Outcome::Failed(error) => {
                let mut random = Random::new(state.faults.count(Operation::Write));
                let part = random.index(bytes.len().saturating_add(1));
                (bytes.get(..part).unwrap_or(bytes), Err(error))
            }
        };
        if let Some(inode) = state.inodes.get(&self.number) {
            state.has_room(end.saturating_sub(len_of(&inode.contents.now)))?;
        }
        if let Some(inode) = state.inodes.get_mut(&self.number) {
            inode.contents.write(offset, written)?;
        }
        outcome
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.ask(Operation::Read)?;
        read(state.inodes.get(&self.number).map_or(&[], |inode| &inode.contents.now), offset, into)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.faults.meet(Operation::Sync);
        let off = state.faults.off;
        let contents = state.inodes.get_mut(&self.number).map(|inode| &mut inode.contents);
        match outcome {
            Outcome::Done => {
                contents.map(Contents::sync);
                Ok(())
            }
            Outcome::Failed(error) => {
                contents.filter(|_| !off).map(Contents::sync_failed);
                Err(error)
            }
            Outcome::Cut(error) => Err(error),
        }
    }

    fn freeze(&self) -> io::Result<()> {
        self.frozen.store(true, Ordering::Relaxed);
        self.lock().faults.powered()
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Bytes> {
        length(&range)?;
        let mut state = self.lock();
        state.ask(Operation::Read)?;
        let image = state.inodes.get(&self.number).map_or(&[][..], |inode| &inode.contents.now);
        Ok(Bytes::copy_from_slice(slice(image, &range)?))
    }

    fn is_warm(&self, _range: Range<u64>) -> bool {
        !self.lock().cold
    }

    fn is_intact(&self) -> bool {
        self.lock().inodes.get(&self.number).is_none_or(|inode| !inode.poisoned)
    }

    /// The same after a crash, another in a copy. Files of directories that do not stem from each other may have the same.
    fn identity(&self) -> io::Result<Option<Identity>> {
        let state = self.lock();
        state.faults.powered()?;
        Ok(state.inodes.get(&self.number).map(|inode| Identity { inode: self.number, born_ns: inode.born_ns }))
    }
}

fn len_of(image: &[u8]) -> u64 {
    u64::try_from(image.len()).unwrap_or(u64::MAX)
}
