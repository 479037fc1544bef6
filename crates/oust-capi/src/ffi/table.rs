//! Handles: numbers that name a place in a table, checked at each use.
//!
//! A handle is (type, generation, index) in a pointer's bits and is never dereferenced. So a handle of another type, a freed one, or any other number is
//! told apart with certainty, as long as its place has not been given out 2^30 times since.
//!
//! Invariants:
//!
//! 1. A place's value is `Some` iff its state is live. Places are never freed or moved.
//! 2. *Exclusive* kinds (tickets, writers, readers, deferred lookups) are used under the state's busy bit: a call with a handle that another call has
//!    in hand is refused, so every use, from any thread, is sound.
//! 3. *Shared* kinds (the others) are read without writing anything, so that threads share no cache line they write. In return nobody may free such a
//!    handle while another call uses it.
//! 4. A place is given out by whoever took its index from a list of spare ones, which holds each index at most once.
//!
//! Lock order: the list of spare places is taken last, and nothing is called under it.

use std::cell::{RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::types::oust_code;
use crate::error::Fault;

const INDEX_BITS: u32 = 29;
const GENERATION_BITS: u32 = 30;
const GENERATIONS: u64 = (1 << GENERATION_BITS) - 1;
/// Places of the first chunk; each next one has twice as many.
const FIRST: usize = 64;
const CHUNKS: usize = (INDEX_BITS - FIRST.ilog2()) as usize;
/// Spare places a thread keeps for itself.
const OWN: usize = 64;

const LIVE: u64 = 1 << 32;
const BUSY: u64 = 1 << 33;
const POISONED: u64 = 1 << 34;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("handles need pointers of 64 bits");

/// What a handle stands for.
pub(crate) trait Kind: Send + Sync + Sized + 'static {
    /// Its name in C.
    type C;
    /// Its number, from 1.
    const TAG: usize;
    fn table() -> &'static Table<Self>;
    /// The thread's spare places; `None` in a thread that is ending.
    fn own<R>(with: impl FnOnce(&Own<Self>) -> R) -> Option<R>;
}

/// Names by number, for messages.
const NAMES: [&str; 11] =
    ["handle", "cache", "key", "request", "hit", "head", "deferred", "ticket", "writer", "reader", "reply"];

macro_rules! kind {
    ($of:ty, $c:ident, $tag:literal) => {
        impl $crate::ffi::table::Kind for $of {
            type C = $crate::ffi::types::$c;
            const TAG: usize = $tag;
            fn table() -> &'static $crate::ffi::table::Table<Self> {
                static TABLE: $crate::ffi::table::Table<$of> = $crate::ffi::table::Table::new();
                &TABLE
            }
            fn own<R>(with: impl FnOnce(&$crate::ffi::table::Own<Self>) -> R) -> Option<R> {
                thread_local! {
                    static OWN: $crate::ffi::table::Own<$of> = const { $crate::ffi::table::Own::new() };
                }
                OWN.try_with(with).ok()
            }
        }
    };
}
pub(crate) use kind;

struct Place<T> {
    /// Generation, and the flags above it.
    state: AtomicU64,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is reached by shared reference only from `Table::get`, which needs `T: Sync`, and otherwise by whoever holds the place alone:
// by the busy bit (invariant 2), or because its index was taken from the spare ones (invariant 4). It may move between threads, which needs `T: Send`.
unsafe impl<T: Send + Sync> Sync for Place<T> {}

/// All handles of one kind.
pub(crate) struct Table<T: 'static> {
    chunks: [OnceLock<Box<[Place<T>]>>; CHUNKS],
    spare: Mutex<Spare>,
}

struct Spare {
    free: Vec<u32>,
    /// Places from here on were never given out.
    next: u32,
}

/// Spare places of one thread.
pub(crate) struct Own<T: Kind> {
    free: RefCell<Vec<u32>>,
    of: PhantomData<fn(T)>,
}

impl<T: Kind> Own<T> {
    pub(crate) const fn new() -> Self {
        Self { free: RefCell::new(Vec::new()), of: PhantomData }
    }
}

impl<T: Kind> Drop for Own<T> {
    fn drop(&mut self) {
        T::table().spare.lock().free.append(self.free.get_mut());
    }
}

/// An exclusive handle in use. A panic under it poisons the place.
pub(crate) struct Held<T: Kind> {
    place: &'static Place<T>,
    index: u32,
    generation: u64,
}

impl<T: Kind> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], spare: Mutex::new(Spare { free: Vec::new(), next: 0 }) }
    }

    /// How many handles there are, but for those of threads that are at it.
    pub(crate) fn open(&self) -> u64 {
        let spare = self.spare.lock();
        let given = u64::from(spare.next);
        drop(spare);
        (0..given)
            .filter(|&index| {
                let place = self.place(index as usize);
                place.is_some_and(|place| place.state.load(Ordering::Acquire) & LIVE != 0)
            })
            .count() as u64
    }

    /// A handle of `value`.
    pub(crate) fn insert(&'static self, value: T) -> Result<*mut T::C, Fault> {
        let own = T::own(|own| own.free.try_borrow_mut().ok().and_then(|mut free| free.pop())).flatten();
        let index = match own {
            Some(index) => index,
            None => self.refill()?,
        };
        let Some(place) = self.place(index as usize) else {
            return Err(Fault::new(oust_code::OUST_E_PANIC, "a place of the table of handles is missing"));
        };
        let generation = place.state.load(Ordering::Relaxed) & GENERATIONS;
        // SAFETY: the index came from the spare ones, so nobody else has this place (invariant 4), and its state says so to everybody.
        unsafe { *place.value.get() = Some(value) };
        place.state.store(generation | LIVE, Ordering::Release);
        let word = T::TAG << (INDEX_BITS + GENERATION_BITS) | (generation as usize) << INDEX_BITS | index as usize;
        Ok(std::ptr::without_provenance_mut(word))
    }

    /// What a handle of a shared kind stands for.
    ///
    /// # Safety
    ///
    /// Nobody may free the handle while the reference is used.
    #[inline]
    pub(crate) unsafe fn get<'a>(&'static self, handle: *const T::C) -> Result<&'a T, Fault> {
        let (place, _, generation) = self.find(handle)?;
        if place.state.load(Ordering::Acquire) != generation | LIVE {
            return Err(gone::<T>());
        }
        // SAFETY: the place is live and of a shared kind: it is written to by `remove` alone, which the caller rules out.
        let value = unsafe { &*place.value.get() };
        value.as_ref().ok_or_else(gone::<T>)
    }

    /// Takes an exclusive handle in hand.
    pub(crate) fn hold(&'static self, handle: *const T::C) -> Result<Held<T>, Fault> {
        let (place, index, generation) = self.find(handle)?;
        let free = generation | LIVE;
        match place.state.compare_exchange(free, free | BUSY, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => Ok(Held { place, index, generation }),
            Err(state) => Err(refused::<T>(state, generation)),
        }
    }

    /// Ends a handle; what it stood for. A poisoned one too.
    pub(crate) fn remove(&'static self, handle: *const T::C) -> Result<T, Fault> {
        let (place, index, generation) = self.find(handle)?;
        let mut state = place.state.load(Ordering::Acquire);
        loop {
            if state & GENERATIONS != generation || state & LIVE == 0 || state & BUSY != 0 {
                return Err(refused::<T>(state, generation));
            }
            match place.state.compare_exchange(state, generation | LIVE | BUSY, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        Held { place, index, generation }.take()
    }

    #[inline]
    fn find(&'static self, handle: *const T::C) -> Result<(&'static Place<T>, u32, u64), Fault> {
        let word = handle.addr();
        let index = word & ((1 << INDEX_BITS) - 1);
        let generation = (word >> INDEX_BITS) as u64 & GENERATIONS;
        if word >> (INDEX_BITS + GENERATION_BITS) != T::TAG {
            return Err(other::<T>(word));
        }
        self.place(index).map(|place| (place, index as u32, generation)).ok_or_else(gone::<T>)
    }

    #[inline]
    fn place(&self, index: usize) -> Option<&Place<T>> {
        let at = index / FIRST + 1;
        let chunk = at.ilog2();
        let begin = FIRST * ((1_usize << chunk) - 1);
        self.chunks.get(chunk as usize)?.get()?.get(index - begin)
    }

    /// Spare places for the thread; one of them.
    #[cold]
    fn refill(&self) -> Result<u32, Fault> {
        let mut spare = self.spare.lock();
        if let Some(index) = spare.free.pop() {
            let more = spare.free.len().min(OWN / 2);
            let from = spare.free.len() - more;
            let taken = spare.free.split_off(from);
            let kept = T::own(|own| own.free.try_borrow_mut().map(|mut free| free.extend_from_slice(&taken)).is_ok());
            if kept != Some(true) {
                spare.free.extend(taken);
            }
            return Ok(index);
        }
        let index = spare.next;
        let at = index as usize / FIRST + 1;
        let chunk = at.ilog2() as usize;
        let Some(chunk_of) = self.chunks.get(chunk).filter(|_| index < 1 << INDEX_BITS) else {
            return Err(Fault::new(oust_code::OUST_E_TOO_LARGE, "too many handles are open"));
        };
        chunk_of.get_or_init(|| {
            let place = || Place { state: AtomicU64::new(1), value: UnsafeCell::new(None) };
            (0..FIRST << chunk).map(|_| place()).collect()
        });
        spare.next += 1;
        Ok(index)
    }

    fn give_back(&self, index: u32) {
        let kept = T::own(|own| {
            let Ok(mut free) = own.free.try_borrow_mut() else { return false };
            if free.len() >= OWN {
                let most = free.len() - OWN / 2;
                self.spare.lock().free.extend(free.drain(..most));
            }
            free.push(index);
            true
        });
        if kept != Some(true) {
            self.spare.lock().free.push(index);
        }
    }
}

impl<T: Kind> Held<T> {
    /// Ends the handle; what it stood for.
    pub(crate) fn take(self) -> Result<T, Fault> {
        let (place, index, generation) = (self.place, self.index, self.generation);
        std::mem::forget(self);
        // SAFETY: this call holds the place alone by the busy bit (invariant 2).
        let value = unsafe { &mut *place.value.get() };
        let value = value.take();
        // Never 0, so that no handle is NULL or a small number.
        let next = if generation == GENERATIONS { 1 } else { generation + 1 };
        place.state.store(next, Ordering::Release);
        T::table().give_back(index);
        value.ok_or_else(gone::<T>)
    }
}

impl<T: Kind> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this call holds the place alone by the busy bit (invariant 2).
        let value = unsafe { &*self.place.value.get() };
        value.as_ref().unwrap_or_else(|| unreachable!("a live place has a value"))
    }
}

impl<T: Kind> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this call holds the place alone by the busy bit (invariant 2).
        let value = unsafe { &mut *self.place.value.get() };
        value.as_mut().unwrap_or_else(|| unreachable!("a live place has a value"))
    }
}

impl<T: Kind> Drop for Held<T> {
    fn drop(&mut self) {
        let poison = if std::thread::panicking() { POISONED } else { 0 };
        self.place.state.store(self.generation | LIVE | poison, Ordering::Release);
    }
}

#[cold]
fn gone<T: Kind>() -> Fault {
    let name = NAMES.get(T::TAG).copied().unwrap_or_default();
    Fault::new(oust_code::OUST_E_HANDLE, format!("this {name} was freed, or never was one"))
}

#[cold]
fn other<T: Kind>(word: usize) -> Fault {
    let name = |tag: usize| NAMES.get(tag).copied().unwrap_or("handle");
    if word == 0 {
        return Fault::new(oust_code::OUST_E_NULL, format!("the {} is NULL", name(T::TAG)));
    }
    let tag = word >> (INDEX_BITS + GENERATION_BITS);
    let message = match tag {
        1.. if tag < NAMES.len() => format!("a {} was given where a {} belongs", name(tag), name(T::TAG)),
        _ => format!("this is no {}", name(T::TAG)),
    };
    Fault::new(oust_code::OUST_E_HANDLE, message)
}

#[cold]
fn refused<T: Kind>(state: u64, generation: u64) -> Fault {
    let name = NAMES.get(T::TAG).copied().unwrap_or_default();
    if state & GENERATIONS != generation || state & LIVE == 0 {
        gone::<T>()
    } else if state & BUSY != 0 {
        Fault::new(oust_code::OUST_E_BUSY, format!("another call has this {name} in hand"))
    } else {
        let message = format!("an earlier call with this {name} failed inside the library; it can only be freed");
        Fault::new(oust_code::OUST_E_PANIC, message)
    }
}
