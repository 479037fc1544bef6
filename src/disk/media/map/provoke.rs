//! What makes the handler act, for tests.

use std::fs::File;

use memmap2::Mmap;

/// A mapping that the handler knows nothing of.
pub(crate) fn unregistered(file: &File) -> Mmap {
    // SAFETY: the file is not written; that it is cut is what the test is about.
    unsafe { Mmap::map(file) }.unwrap()
}

/// Sends SIGBUS to this thread.
pub(crate) fn raise() {
    // SAFETY: has no preconditions.
    let failed = unsafe { libc::raise(libc::SIGBUS) };
    assert_eq!(failed, 0);
}

/// Makes SIGBUS end the process, or nothing, as if no one had ever handled it.
pub(crate) fn unhandled(ignored: bool) {
    // SAFETY: neither is a function.
    let before = unsafe { libc::signal(libc::SIGBUS, if ignored { libc::SIG_IGN } else { libc::SIG_DFL }) };
    assert_ne!(before, libc::SIG_ERR);
}
