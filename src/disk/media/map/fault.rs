//! What happens when a mapped page cannot be brought back: the kernel sends SIGBUS to the thread that touches it.
//!
//! Mappings are in a register of fixed size that a signal handler may read. The handler puts a page of zeros where the lost one was, marks the
//! mapping as poisoned, and lets the thread go on; whoever copied from a view asks [`File::is_intact`](crate::disk::File::is_intact) before using
//! the copy.
//!
//! 1. A slot's version is odd while its fields change, and another afterwards: a reader that sees the same even version before and after reading
//!    has read fields of one mapping.
//! 2. The thread that faults is reading a mapping, so its slot does not change meanwhile; slots that change are others'.
//! 3. A slot is marked before the page of zeros is there, so whoever has read a zero sees the mark.
//! 4. The handler calls nothing but system calls, and leaves `errno` as it was.
//!
//! Lock order: `FREE` alone, never in the handler.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering, fence};

use libc::{c_int, c_void, siginfo_t};
use parking_lot::Mutex;

/// The most mappings there may be: a few more than Linux allows by default.
const SLOTS: usize = 65_536;

static REGISTER: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

/// How many slots were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Used slots that are free again.
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The handler that was there before, as a number, and its flags.
static PREVIOUS: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static PREVIOUS_FLAGS: AtomicI32 = AtomicI32::new(0);

/// Answers SIGBUS for the files that a [`Directory`](super::super::Directory) maps: the page that could not be read becomes zeros, and the
/// file's [`is_intact`](crate::disk::File::is_intact) false. A signal from anywhere else goes to the handler that was there before, or does what it
/// would have done.
///
/// For programs, once, early; a second call does nothing. A library must not, and without it such a page ends the process.
///
/// # Errors
///
/// When the system refuses the handler.
pub fn install_sigbus_handler() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    page_size();
    let mut action = default_action();
    // SAFETY: `action` is valid for a write, and a null pointer changes nothing.
    let failed = unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut action) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    PREVIOUS.store(action.sa_sigaction, Ordering::SeqCst);
    PREVIOUS_FLAGS.store(action.sa_flags, Ordering::SeqCst);
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_sigbus;
    let mut action = default_action();
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: `action` is a whole action whose handler has the signature that `SA_SIGINFO` asks for and does only what a handler may
    // (invariant 4).
    let failed = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    *installed = true;
    Ok(())
}

/// Bytes of a page of memory.
pub(super) fn page_size() -> usize {
    PAGE.get().copied().unwrap_or_else(|| {
        // SAFETY: has no preconditions.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        *PAGE.get_or_init(|| usize::try_from(size).unwrap_or(4096))
    })
}

static PAGE: OnceLock<usize> = OnceLock::new();

/// A mapping's place in the register. Dropped before the memory is unmapped.
pub(super) struct Registered(&'static Slot, usize);

impl Registered {
    /// `None` if the register is full.
    pub(super) fn new(start: usize, len: usize) -> Option<Self> {
        let mut free = FREE.lock();
        let at = free.pop().or_else(|| {
            let at = USED.load(Ordering::Relaxed);
            let next = at.saturating_add(1);
            (at < SLOTS).then(|| USED.store(next, Ordering::Release)).map(|()| at)
        })?;
        let slot = REGISTER.get(at)?;
        slot.set(start, len);
        Some(Self(slot, at))
    }

    pub(super) fn poison(&self) {
        self.0.poisoned.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_poisoned(&self) -> bool {
        // What the caller has read before is read before the mark (invariant 3).
        fence(Ordering::SeqCst);
        self.0.poisoned.load(Ordering::SeqCst)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut free = FREE.lock();
        self.0.set(0, 0);
        free.push(self.1);
    }
}

/// A mapping, for the handler.
struct Slot {
    version: AtomicUsize,
    start: AtomicUsize,
    len: AtomicUsize,
    poisoned: AtomicBool,
}

impl Slot {
    const fn new() -> Self {
        Self {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Holds another mapping from now on; `FREE` is locked.
    fn set(&self, start: usize, len: usize) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.start.store(start, Ordering::SeqCst);
        self.len.store(len, Ordering::SeqCst);
        self.poisoned.store(false, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the mapping has this address (invariant 1).
    fn holds(&self, address: usize) -> bool {
        let version = self.version.load(Ordering::SeqCst);
        let from = address.checked_sub(self.start.load(Ordering::SeqCst));
        let within = from.is_some_and(|from| from < self.len.load(Ordering::SeqCst));
        within && version & 1 == 0 && self.version.load(Ordering::SeqCst) == version
    }
}

extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a handler with `SA_SIGINFO` a valid pointer, and leaves what it points to alone until the handler returns.
    let told = unsafe { &*info };
    let code = told.si_code;
    if matches!(code, libc::BUS_ADRERR | libc::BUS_MCEERR_AR) {
        // SAFETY: both codes come with an address.
        let address = unsafe { told.si_addr() }.addr();
        if cover(address) {
            return;
        }
    }
    pass_on(signal, code, info, context);
}

/// Puts a page of zeros over the page of `address`; false if that is not in the register.
fn cover(address: usize) -> bool {
    let used = USED.load(Ordering::Acquire);
    let Some(slot) = REGISTER.iter().take(used).find(|slot| slot.holds(address)) else {
        return false;
    };
    slot.poisoned.store(true, Ordering::SeqCst);
    let Some(page) = PAGE.get().copied().filter(|page| page.is_power_of_two()) else {
        return false;
    };
    let start = address & !page.wrapping_sub(1);
    // SAFETY: has no preconditions.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the pointer is this thread's own.
    let before = unsafe { errno.read() };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page belongs to a mapping that stays until this thread goes on (invariant 2); it could not be read, so no one relies on
    // what it held but through copies, which are checked (invariant 3).
    let mapped = unsafe { libc::mmap(std::ptr::without_provenance_mut(start), page, libc::PROT_READ, flags, -1, 0) };
    // SAFETY: as above.
    unsafe { errno.write(before) };
    mapped != libc::MAP_FAILED
}

/// Does what would have been done without this module.
fn pass_on(signal: c_int, code: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let sent = code <= 0;
    match PREVIOUS.load(Ordering::SeqCst) {
        libc::SIG_IGN if sent => {}
        libc::SIG_IGN | libc::SIG_DFL => {
            let action = default_action();
            // SAFETY: a whole action without handler.
            unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
            // SAFETY: has no preconditions. The signal is held back until this handler returns.
            unsafe { libc::raise(signal) };
        }
        handler if PREVIOUS_FLAGS.load(Ordering::SeqCst) & libc::SA_SIGINFO != 0 => {
            // SAFETY: the system gave this address as that of a handler with three arguments.
            let handler =
                unsafe { std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the system gave this address as that of a handler with one argument.
            let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}

/// The action of a signal that no one handles.
fn default_action() -> libc::sigaction {
    // SAFETY: all zeros is a valid value of this structure: no flags, an empty mask, and `SIG_DFL`, which is 0.
    unsafe { std::mem::zeroed() }
}
