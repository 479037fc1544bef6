//! Callbacks of C as wakers.
//!
//! 1. A callback that a call was given is called exactly once if that call returned `OUST_PENDING`, and never otherwise: when there is something to ask
//!    for, or when the handle is freed or asked again first.
//! 2. It is called without any lock or handle of this library in hand.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::types::oust_callback;

/// One registration.
#[derive(Debug)]
struct Call {
    function: unsafe extern "C" fn(*mut c_void),
    data: AtomicPtr<c_void>,
    called: AtomicBool,
}

impl Call {
    fn call(&self) {
        if self.called.swap(true, Ordering::AcqRel) {
            return;
        }
        let data = self.data.load(Ordering::Relaxed);
        // SAFETY: duty 5: the function may be called once with this `data`, from any thread. `called` was false until now.
        unsafe { (self.function)(data) };
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.call();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call();
    }
}

/// A registration that is still to be called. Dropped, it is.
#[derive(Debug, Default)]
pub(crate) struct Pending(Option<Arc<Call>>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.call();
        }
    }
}

/// Polls for a caller in C. The second is what is to be dropped once the handle is out of hand: the registration before, if there was one.
pub(crate) fn poll<R>(
    pending: &mut Pending,
    (function, data): (oust_callback, *mut c_void),
    mut ask: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> (Poll<R>, Pending) {
    let Some(function) = function else {
        // Who waits already goes on waiting, unless what it waits for is here.
        let waker = pending.0.as_ref().map_or_else(|| Waker::noop().clone(), |call| Waker::from(Arc::clone(call)));
        let outcome = ask(&mut Context::from_waker(&waker));
        let before = if outcome.is_ready() { std::mem::take(pending) } else { Pending::default() };
        return (outcome, before);
    };
    let call = Arc::new(Call { function, data: AtomicPtr::new(data), called: AtomicBool::new(false) });
    let outcome = ask(&mut Context::from_waker(&Waker::from(Arc::clone(&call))));
    let before = std::mem::take(pending);
    if outcome.is_ready() {
        // Told by the return value.
        call.called.store(true, Ordering::Release);
    } else {
        *pending = Pending(Some(call));
    }
    (outcome, before)
}
