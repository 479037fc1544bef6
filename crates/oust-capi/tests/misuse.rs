//! Each misuse of the ABI that can be seen is answered by its code, and changes nothing.
#![allow(unsafe_code, reason = "the ABI is called as C calls it")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "calls of one test share what makes them sound")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::ffi::CStr;
use std::mem::zeroed;
use std::ptr::{null, null_mut, without_provenance_mut};

use oust_capi::oust_code::*;
use oust_capi::*;

fn said() -> String {
    // SAFETY: a text of the library's that ends with NUL, valid until this thread's next failed call.
    unsafe { CStr::from_ptr(oust_last_error()) }.to_str().unwrap().to_owned()
}

fn open(config: &str) -> Result<*mut oust_cache, oust_code> {
    let mut cache = without_provenance_mut(7);
    // SAFETY: pointers to locals, with their lengths.
    match unsafe { oust_open(config.as_ptr().cast(), config.len(), &mut cache) } {
        OUST_OK => Ok(cache),
        code => {
            assert!(cache.is_null(), "what was not made is NULL");
            Err(code)
        }
    }
}

fn key(url: &str) -> *mut oust_key {
    let mut key = null_mut();
    // SAFETY: pointers to locals, with their lengths.
    assert_eq!(unsafe { oust_key_from_url(url.as_ptr(), url.len(), &mut key) }, OUST_OK);
    key
}

fn slice(bytes: &[u8]) -> oust_slice {
    oust_slice { data: bytes.as_ptr(), len: bytes.len() }
}

fn found(size: usize) -> oust_found {
    // SAFETY: a structure of numbers and pointers.
    let mut found: oust_found = unsafe { zeroed() };
    found.size = size;
    found
}

fn look_up(cache: *const oust_cache, key: *const oust_key, size: usize) -> oust_code {
    let mut out = found(size);
    // SAFETY: `out` is a local; the size is never larger than what is there unless it is one that is refused.
    unsafe { oust_lookup(cache, key, null(), 0, &mut out) }
}

fn close(cache: *mut oust_cache) {
    // SAFETY: nothing else uses it.
    assert_eq!(unsafe { oust_close(cache) }, OUST_OK);
}

#[test]
fn pointers_that_are_null() {
    let cache = open("").unwrap();
    let own = key("http://h/");
    // SAFETY: all that is passed is NULL or open.
    unsafe {
        assert_eq!(oust_open(null(), 1, null_mut()), OUST_E_NULL);
        assert_eq!(oust_key_from_url(null(), 9, &mut null_mut()), OUST_E_NULL);
        assert_eq!(said(), "`url` is NULL");
        assert_eq!(oust_lookup(cache, own, null(), 0, null_mut()), OUST_E_NULL);
        assert_eq!(oust_lookup(cache, own, null(), 1, &mut found(size_of::<oust_found>())), OUST_E_NULL);
        assert_eq!(oust_purge(cache, null(), null(), 1, null_mut()), OUST_E_NULL);
        assert_eq!(oust_api_handle(cache, null(), &mut null_mut()), OUST_E_CONFIG);
        assert_eq!(oust_stats(cache, null_mut()), OUST_E_NULL);
        assert_eq!(oust_key_text(own, null_mut()), OUST_E_NULL);
        assert_eq!(oust_ticket_base(null_mut(), &mut null_mut()), OUST_E_NULL);
        assert_eq!(oust_writer_finish(null_mut(), null_mut()), OUST_E_NULL);
        assert_eq!(oust_reader_poll_chunk(null_mut(), None, null_mut(), &mut slice(b"")), OUST_E_NULL);
        assert_eq!(oust_deferred_notify(null_mut(), None, null_mut()), OUST_E_NULL);
        assert_eq!(oust_key_free(own), OUST_OK);
    }
    close(cache);
}

#[test]
fn freeing_nothing_is_nothing() {
    // SAFETY: NULL is no handle.
    unsafe {
        assert_eq!(oust_close(null_mut()), OUST_OK);
        assert_eq!(oust_key_free(null_mut()), OUST_OK);
        assert_eq!(oust_request_free(null_mut()), OUST_OK);
        assert_eq!(oust_hit_free(null_mut()), OUST_OK);
        assert_eq!(oust_head_free(null_mut()), OUST_OK);
        assert_eq!(oust_deferred_free(null_mut()), OUST_OK);
        assert_eq!(oust_ticket_free(null_mut()), OUST_OK);
        assert_eq!(oust_writer_abort(null_mut()), OUST_OK);
        assert_eq!(oust_reader_free(null_mut()), OUST_OK);
        assert_eq!(oust_reply_free(null_mut()), OUST_OK);
    }
}

#[test]
fn handles_of_another_type_or_none() {
    let (cache, own) = (open("").unwrap(), key("http://h/"));
    let size = size_of::<oust_found>();
    assert_eq!(look_up(own.cast(), own, size), OUST_E_HANDLE);
    assert_eq!(said(), "a key was given where a cache belongs");
    assert_eq!(look_up(cache, cache.cast(), size), OUST_E_HANDLE);
    for word in [1, 4096, usize::MAX, usize::MAX / 2, (&raw const cache).addr()] {
        assert_eq!(look_up(without_provenance_mut(word), own, size), OUST_E_HANDLE, "{word}");
        // SAFETY: no open handle is freed.
        assert_eq!(unsafe { oust_writer_abort(without_provenance_mut(word)) }, OUST_E_HANDLE, "{word}");
    }
    // SAFETY: freed once; the second is what is tried.
    unsafe {
        assert_eq!(oust_key_free(cache.cast()), OUST_E_HANDLE);
        assert_eq!(oust_key_free(own), OUST_OK);
        assert_eq!(oust_key_free(own), OUST_E_HANDLE);
    }
    assert_eq!(said(), "this key was freed, or never was one");
    assert_eq!(look_up(cache, own, size), OUST_E_HANDLE);
    close(cache);
    // SAFETY: closed before; that is what is tried.
    assert_eq!(unsafe { oust_close(cache) }, OUST_E_HANDLE);
    assert_eq!(look_up(cache, own, size), OUST_E_HANDLE);
}

#[test]
fn sizes_of_no_version() {
    let (cache, own) = (open("").unwrap(), key("http://h/"));
    let size = size_of::<oust_found>();
    for wrong in [0, 1, size - 1, 1 << 20, usize::MAX] {
        assert_eq!(look_up(cache, own, wrong), OUST_E_ARGUMENT, "{wrong}");
    }
    assert_eq!(look_up(cache, own, size), OUST_OK);
    // SAFETY: freed once.
    assert_eq!(unsafe { oust_key_free(own) }, OUST_OK);
    close(cache);
}

#[test]
fn numbers_of_no_enumeration() {
    let cache = open("").unwrap();
    // SAFETY: structures of numbers and pointers.
    let (mut selector, mut options): (oust_selector, oust_purge_options) = unsafe { (zeroed(), zeroed()) };
    options.size = size_of::<oust_purge_options>();
    let purge = |selector: &oust_selector, options: &oust_purge_options| {
        // SAFETY: both are locals.
        unsafe { oust_purge(cache, options, selector, 1, null_mut()) }
    };
    selector.kind = 10;
    selector.text = slice(b"http://h/");
    assert_eq!(purge(&selector, &options), OUST_E_ARGUMENT);
    selector.kind = 0;
    assert_eq!(purge(&selector, &options), OUST_OK);
    for wrong in [3, u32::MAX] {
        assert_eq!(purge(&selector, &oust_purge_options { action: wrong, ..options }), OUST_E_ARGUMENT);
        assert_eq!(purge(&selector, &oust_purge_options { durability: wrong, ..options }), OUST_E_ARGUMENT);
        let layers = oust_purge_options { layers: wrong | 4, ..options };
        assert_eq!(purge(&selector, &layers), OUST_E_ARGUMENT);
    }
    selector.text = slice(b"http://h/\xff");
    assert_eq!(purge(&selector, &options), OUST_E_ARGUMENT);
    close(cache);
}

#[test]
fn lengths_that_are_impossible_and_pointers_that_are_not_aligned() {
    let mut out = null_mut();
    // SAFETY: what is passed is refused before it is read.
    unsafe {
        assert_eq!(oust_key_from_url(b"x".as_ptr(), usize::MAX, &mut out), OUST_E_ARGUMENT);
        let fields: *const oust_field = without_provenance_mut(1);
        assert_eq!(oust_request_new(fields, 1, &mut null_mut()), OUST_E_ARGUMENT);
        assert_eq!(said(), "`fields` is not aligned");
        let fields: *const oust_field = without_provenance_mut(8);
        assert_eq!(oust_request_new(fields, usize::MAX / 16, &mut null_mut()), OUST_E_ARGUMENT);
    }
    assert!(out.is_null());
}

#[test]
fn what_is_used_up_is_gone() {
    let (cache, own) = (open("").unwrap(), key("http://h/"));
    // SAFETY: a structure of numbers and pointers.
    let mut fetched: oust_fetched = unsafe { zeroed() };
    fetched.size = size_of::<oust_fetched>();
    let (mut head, mut writer) = (null_mut(), null_mut());
    // SAFETY: pointers to locals; handles that are used up are used again on purpose.
    unsafe {
        assert_eq!(oust_head_new(200, null(), 0, &mut head), OUST_OK);
        assert_eq!(oust_fetch(cache, own, null(), 0, null(), 2, &mut fetched), OUST_E_ARGUMENT);
        assert_eq!(oust_fetch(cache, own, null(), 0, null(), 0, &mut fetched), OUST_OK);
        // A fault does not use the ticket up.
        assert_eq!(oust_ticket_store(fetched.ticket, head, null(), 0, null(), null(), 0, null_mut()), OUST_E_NULL);
        assert_eq!(oust_ticket_respond(fetched.ticket, null(), 0, null(), null(), 0, &mut writer), OUST_E_NULL);
        assert_eq!(oust_ticket_respond(fetched.ticket, head, 0, null(), null(), 0, &mut writer), OUST_OK);
        let mut again = null_mut();
        assert_eq!(oust_ticket_respond(fetched.ticket, head, 0, null(), null(), 0, &mut again), OUST_E_HANDLE);
        assert!(again.is_null());
        assert_eq!(oust_writer_finish(writer, null_mut()), OUST_OK);
        assert_eq!(oust_writer_append(writer, null(), 0), OUST_E_HANDLE);
        assert_eq!(oust_writer_abort(writer), OUST_E_HANDLE);
        assert_eq!(oust_head_free(head), OUST_OK);
        assert_eq!(oust_key_free(own), OUST_OK);
    }
    close(cache);
}
