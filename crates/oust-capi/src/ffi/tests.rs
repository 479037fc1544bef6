//! The table of handles, panics, and structures of other versions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::table::{Kind, kind};
use super::*;

/// What a shared handle stands for in these tests.
#[derive(Debug)]
struct Shared(u32);
/// The same for an exclusive one.
#[derive(Debug)]
struct Exclusive(u32);

kind!(Shared, oust_reply, 9);
kind!(Exclusive, oust_writer, 10);

fn message() -> String {
    // SAFETY: it is a text of the library's that ends with NUL, valid until this thread's next failed call.
    unsafe { CStr::from_ptr(oust_last_error()) }.to_str().unwrap().to_owned()
}

fn value(handle: *const oust_reply) -> Result<u32, oust_code> {
    // SAFETY: no other thread has these handles.
    unsafe { Shared::table().get(handle) }.map(|shared| shared.0).map_err(|fault| fault.code())
}

#[test]
fn handles_are_told_apart_from_all_else() {
    let table = Shared::table();
    let handle = table.insert(Shared(7)).unwrap();
    assert_eq!(value(handle), Ok(7));
    for (bit, expected) in (0..64).map(|bit| (bit, oust_code::OUST_E_HANDLE)) {
        let other = std::ptr::without_provenance_mut(handle.addr() ^ (1 << bit));
        assert_eq!(value(other), Err(expected), "bit {bit}");
        assert_eq!(table.remove(other).map_err(|fault| fault.code()).unwrap_err(), expected, "bit {bit}");
    }
    assert_eq!(value(std::ptr::null()), Err(oust_code::OUST_E_NULL));
    assert_eq!(table.remove(handle).unwrap().0, 7);
    assert_eq!(value(handle), Err(oust_code::OUST_E_HANDLE));
    assert_eq!(table.remove(handle).map_err(|fault| fault.code()).unwrap_err(), oust_code::OUST_E_HANDLE);
    // Its place is given out again, under another number.
    let handles: Vec<_> = (0..1000).map(|n| table.insert(Shared(n)).unwrap()).collect();
    assert!(!handles.contains(&handle));
    assert_eq!(value(handle), Err(oust_code::OUST_E_HANDLE));
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(table.remove(handle).unwrap().0, n);
    }
}

#[test]
fn an_exclusive_handle_is_one_calls_at_a_time() {
    let table = Exclusive::table();
    let handle = table.insert(Exclusive(1)).unwrap();
    let held = table.hold(handle).unwrap();
    assert_eq!(table.hold(handle).err().unwrap().code(), oust_code::OUST_E_BUSY);
    assert_eq!(table.remove(handle).err().unwrap().code(), oust_code::OUST_E_BUSY);
    drop(held);
    assert_eq!(table.hold(handle).unwrap().take().unwrap().0, 1);
    assert_eq!(table.hold(handle).err().unwrap().code(), oust_code::OUST_E_HANDLE);
}

#[test]
fn a_panic_ends_at_the_function_and_poisons_what_was_in_hand() {
    let table = Exclusive::table();
    let handle = table.insert(Exclusive(1)).unwrap();
    let code = raw::entry(|| {
        let mut held = table.hold(handle)?;
        held.0 = 2;
        panic!("on purpose: {}", held.0)
    });
    assert_eq!(code, oust_code::OUST_E_PANIC);
    assert_eq!(message(), "the library failed: on purpose: 2");
    assert_eq!(table.hold(handle).err().unwrap().code(), oust_code::OUST_E_PANIC);
    assert_eq!(raw::free::<Exclusive>(handle), oust_code::OUST_OK);
    assert_eq!(raw::free::<Exclusive>(handle), oust_code::OUST_E_HANDLE);
}

#[test]
fn handles_go_between_threads() {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..500 {
                    let table = Exclusive::table();
                    let handles: Vec<_> = (0..100)
                        .map(|n| table.insert(Exclusive(thread << 16 | round << 8 | n)).unwrap().addr())
                        .collect();
                    let there = std::thread::spawn(move || {
                        for (n, handle) in (0..).zip(handles) {
                            let handle = std::ptr::without_provenance_mut(handle);
                            assert_eq!(Exclusive::table().remove(handle).unwrap().0, thread << 16 | round << 8 | n);
                        }
                    });
                    if round % 8 == 0 {
                        there.join().unwrap();
                    }
                }
            });
        }
    });
}

unsafe extern "C" fn count(data: *mut c_void) {
    // SAFETY: the tests give the address of an `AtomicUsize` that outlives the handle.
    let counter = unsafe { &*data.cast::<AtomicUsize>() };
    counter.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_callback_is_called_exactly_once_whatever_happens() {
    use std::task::Poll;
    let calls = AtomicUsize::new(0);
    let data = std::ptr::from_ref(&calls).cast_mut().cast();
    let mut pending = wake::Pending::default();
    let mut kept = None;
    let mut ask = |ready: bool, pending: &mut wake::Pending| {
        let (polled, before) = wake::poll(pending, (Some(count), data), |cx| {
            kept = Some(cx.waker().clone());
            if ready { Poll::Ready(()) } else { Poll::Pending }
        });
        drop(before);
        polled.is_ready()
    };
    // Replaced.
    assert!(!ask(false, &mut pending));
    assert!(!ask(false, &mut pending));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // Woken, more than once, then dropped.
    let waker = kept.clone().unwrap();
    waker.wake_by_ref();
    waker.wake();
    drop(std::mem::take(&mut pending));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn what_is_ready_at_once_calls_nobody() {
    use std::task::Poll;
    let calls = AtomicUsize::new(0);
    let data = std::ptr::from_ref(&calls).cast_mut().cast();
    let mut pending = wake::Pending::default();
    let mut kept = None;
    let (polled, before) = wake::poll(&mut pending, (Some(count), data), |cx| {
        kept = Some(cx.waker().clone());
        Poll::Ready(())
    });
    assert!(polled.is_ready());
    drop((before, pending));
    kept.unwrap().wake();
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}
