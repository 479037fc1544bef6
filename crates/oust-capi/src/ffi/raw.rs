//! What comes from C and goes to C: pointers with lengths, structures that say their size, results.
//!
//! Every pointer of a caller is looked at here and nowhere else. The caller's duties have numbers in the crate's documentation; each `SAFETY` refers to
//! them.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::table::Kind;
use super::types::{oust_code, oust_field, oust_slice};
use crate::error::Fault;

/// Runs the body of a function of the ABI: a fault is left with the thread, a panic ends here.
#[inline(always)]
pub(crate) fn entry(body: impl FnOnce() -> Result<oust_code, Fault>) -> oust_code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code)) => code,
        Ok(Err(fault)) => fault.leave(),
        Err(panic) => panicked(panic),
    }
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> oust_code {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    // Its drop might panic in turn.
    std::mem::forget(panic);
    let message = text.map_or_else(|| "the library failed".to_owned(), |text| format!("the library failed: {text}"));
    Fault::new(oust_code::OUST_E_PANIC, message).leave()
}

/// A slice of the caller's.
///
/// # Safety
///
/// Duty 1: `data` points to `len` bytes that nobody writes to during the call, or `len` is 0.
#[inline]
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize, what: &'static str) -> Result<&'a [u8], Fault> {
    if len == 0 {
        return Ok(&[]);
    }
    check(data, len, what)?;
    // SAFETY: not null and of a possible length, as was just checked; the rest is the caller's duty 1.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// An array of the caller's.
///
/// # Safety
///
/// Duty 1: `data` points to `len` values that nobody writes to during the call, or `len` is 0.
#[inline]
pub(crate) unsafe fn array<'a, T>(data: *const T, len: usize, what: &'static str) -> Result<&'a [T], Fault> {
    if len == 0 {
        return Ok(&[]);
    }
    check(data, len, what)?;
    // SAFETY: not null, aligned and of a possible length, as was just checked; the rest is the caller's duty 1.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// A text of the caller's.
///
/// # Safety
///
/// Duty 1, of the slice.
pub(crate) unsafe fn text<'a>(slice: oust_slice, what: &'static str) -> Result<&'a str, Fault> {
    // SAFETY: duty 1, passed on.
    let bytes = unsafe { bytes(slice.data, slice.len, what) }?;
    std::str::from_utf8(bytes).map_err(|_| Fault::argument(format!("`{what}` is not UTF-8")))
}

/// Header fields of the caller's.
///
/// # Safety
///
/// Duty 1, of the array and of all slices in it.
#[inline]
pub(crate) unsafe fn fields(data: *const oust_field, len: usize) -> Result<HeaderMap, Fault> {
    if len == 0 {
        return Ok(HeaderMap::new());
    }
    // SAFETY: duty 1, passed on.
    unsafe { read_fields(data, len) }
}

/// # Safety
///
/// As [`fields`].
#[inline(never)]
unsafe fn read_fields(data: *const oust_field, len: usize) -> Result<HeaderMap, Fault> {
    // SAFETY: duty 1, passed on.
    let list = unsafe { array(data, len, "fields") }?;
    let many = |_| Fault::new(oust_code::OUST_E_TOO_LARGE, "too many header fields");
    let mut headers = HeaderMap::try_with_capacity(len).map_err(many)?;
    for field in list {
        // SAFETY: duty 1, passed on.
        let name = unsafe { bytes(field.name.data, field.name.len, "name") }?;
        // SAFETY: duty 1, passed on.
        let value = unsafe { bytes(field.value.data, field.value.len, "value") }?;
        headers.try_append(HeaderName::from_bytes(name)?, HeaderValue::from_bytes(value)?).map_err(many)?;
    }
    Ok(headers)
}

/// The pairs of name and value of the caller's, as texts.
///
/// # Safety
///
/// As [`fields`].
pub(crate) unsafe fn pairs(data: *const oust_field, len: usize) -> Result<Vec<(String, String)>, Fault> {
    // SAFETY: duty 1, passed on.
    let list = unsafe { array(data, len, "fields") }?;
    let mut pairs = Vec::with_capacity(list.len());
    for field in list {
        // SAFETY: duty 1, passed on.
        let name = unsafe { text(field.name, "name") }?;
        // SAFETY: duty 1, passed on.
        let value = unsafe { text(field.value, "value") }?;
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Where a result goes.
pub(crate) struct Out<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T> Out<'_, T> {
    /// # Safety
    ///
    /// Duty 2: `out` is NULL or points to room for a `T` that nobody else uses during the call.
    #[inline]
    pub(crate) unsafe fn new(out: *mut T, what: &'static str) -> Result<Self, Fault> {
        if out.is_null() {
            return Err(Fault::null(what));
        }
        if !out.is_aligned() {
            return Err(Fault::argument(format!("`{what}` is not aligned")));
        }
        Ok(Self(out, PhantomData))
    }

    #[inline]
    pub(crate) fn set(&mut self, value: T) {
        // SAFETY: not null and aligned, as was checked when it was made; the rest is the caller's duty 2.
        unsafe { self.0.write(value) };
    }
}

impl<C> Out<'_, *mut C> {
    /// As [`Out::new`], and it is NULL until it is set.
    ///
    /// # Safety
    ///
    /// As [`Out::new`].
    #[inline]
    pub(crate) unsafe fn handle(out: *mut *mut C, what: &'static str) -> Result<Self, Fault> {
        // SAFETY: duty 2, passed on.
        let mut out = unsafe { Self::new(out, what) }?;
        out.set(std::ptr::null_mut());
        Ok(out)
    }
}

/// Where a structure goes that says its size in its first member, a `size_t`.
pub(crate) struct Sized<'a, T> {
    out: *mut T,
    size: usize,
    of: PhantomData<&'a mut T>,
}

/// A structure with its size in front.
///
/// # Safety
///
/// `repr(C)`, with a `size: usize` as its first member, for which every number is valid; all zeros is a valid value.
pub(crate) unsafe trait Extensible: Copy {
    fn set_size(&mut self, size: usize);
}

macro_rules! extensible {
    ($($name:ident),*) => {$(
        // SAFETY: `repr(C)` with `size: usize` first, as its declaration shows; its members are numbers, pointers, slices of these, or an enumeration
        // that has a 0.
        unsafe impl Extensible for super::types::$name {
            #[inline]
            fn set_size(&mut self, size: usize) {
                self.size = size;
            }
        }
    )*};
}
extensible!(
    oust_error_info,
    oust_found,
    oust_hit_info,
    oust_fetched,
    oust_answer,
    oust_freshness,
    oust_exchange,
    oust_purge_options,
    oust_purged,
    oust_explained,
    oust_api_request,
    oust_webhook,
    oust_figures
);

impl<T: Extensible> Sized<'_, T> {
    /// Refuses a structure that is smaller than that of version 1; what a larger one has beyond ours is left as it is.
    ///
    /// # Safety
    ///
    /// Duty 3: `out` is NULL or points to a structure of the size its first member says, which nobody else uses during the call.
    #[inline]
    pub(crate) unsafe fn new(out: *mut T, what: &'static str) -> Result<Self, Fault> {
        // SAFETY: duty 3, passed on.
        let size = unsafe { size_at(out, what) }?;
        Ok(Self { out, size, of: PhantomData })
    }

    #[inline]
    pub(crate) fn set(&mut self, mut value: T) {
        value.set_size(self.size);
        // SAFETY: not null, aligned and as large as a `T` at least, as was checked when it was made; the rest is the caller's duty 3.
        unsafe { self.out.write(value) };
    }
}

/// A structure of the caller's that says its size.
///
/// # Safety
///
/// Duty 3, of a structure that is only read.
pub(crate) unsafe fn sized<T: Extensible>(data: *const T, what: &'static str) -> Result<T, Fault> {
    // SAFETY: duty 3, passed on.
    let size = unsafe { size_at(data, what) }?;
    // SAFETY: duty 3: that many bytes are there. `size_at` saw that they are no fewer than a `T` has.
    let all = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) };
    // What a later version added says nothing only as long as it is 0.
    if all.get(size_of::<T>()..).unwrap_or_default().iter().any(|&byte| byte != 0) {
        return Err(Fault::argument(format!("`{what}` says something that this version of the library does not know")));
    }
    // SAFETY: not null, aligned and large enough, as was just checked; the rest is the caller's duty 3.
    Ok(unsafe { data.read() })
}

/// The size that a structure says it has.
///
/// # Safety
///
/// Duty 3.
#[inline]
unsafe fn size_at<T: Extensible>(data: *const T, what: &'static str) -> Result<usize, Fault> {
    check(data, 1, what)?;
    // SAFETY: not null and aligned, as was just checked; every `Extensible` has a `usize` there.
    let size = unsafe { data.cast::<usize>().read() };
    if size < size_of::<T>() || size > MOST {
        return Err(Fault::argument(format!("the size of `{what}` is {size}, not {} or some more", size_of::<T>())));
    }
    Ok(size)
}

/// No structure will be larger; a `size` above it is one that was not set.
const MOST: usize = 4096;

#[inline]
fn check<T>(data: *const T, len: usize, what: &'static str) -> Result<(), Fault> {
    if data.is_null() {
        return Err(Fault::null(what));
    }
    if !data.is_aligned() {
        return Err(Fault::argument(format!("`{what}` is not aligned")));
    }
    // No object is larger (Rust reference, layout of arrays).
    if len.checked_mul(size_of::<T>().max(1)).is_none_or(|bytes| bytes > isize::MAX.unsigned_abs()) {
        return Err(Fault::argument(format!("the length of `{what}` is impossible")));
    }
    Ok(())
}

/// Frees a handle; NULL is nothing to free.
pub(crate) fn free<T: Kind>(handle: *mut T::C) -> oust_code {
    entry(|| {
        if !handle.is_null() {
            drop(T::table().remove(handle)?);
        }
        Ok(oust_code::OUST_OK)
    })
}

/// Writes part of a list into an array of the caller's: from `first` on, `room` at most.
///
/// # Safety
///
/// Duty 2: `out` points to room for `room` values, or `room` is 0.
pub(crate) unsafe fn list<T>(
    out: *mut T,
    room: usize,
    first: usize,
    items: impl Iterator<Item = T>,
) -> Result<usize, Fault> {
    if room > 0 {
        check(out, room, "out")?;
    }
    let mut written = 0;
    for item in items.skip(first).take(room) {
        // SAFETY: `written` is below `room`, and the array of so many is not null and aligned, as was just checked.
        let at = unsafe { out.add(written) };
        // SAFETY: `at` is inside the array, see above; duty 2.
        unsafe { at.write(item) };
        written += 1;
    }
    Ok(written)
}
