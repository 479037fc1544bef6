//! Those who wait for a fill.

use std::ffi::c_void;
use std::task::Poll;

use bytes::Bytes;
use oust::{Answer, FillReader};

use super::head::HeadBox;
use super::lookup::HitBox;
use super::raw::{Out, Sized, entry, free};
use super::table::{Kind, kind};
use super::types::*;
use super::wake::{self, Pending};
use crate::error::Fault;

/// What a reader's handle stands for.
pub(crate) struct ReaderBox {
    reader: FillReader,
    /// What was handed out last.
    chunk: Bytes,
    /// Called after the reader has left the fill.
    pending: Pending,
}

kind!(ReaderBox, oust_reader, 9);

impl ReaderBox {
    pub(crate) fn new(reader: FillReader) -> Self {
        Self { reader, chunk: Bytes::new(), pending: Pending::default() }
    }
}

/// How the fill answers, once it is known. `OUST_PENDING`: not yet, and `call` is called as of `oust_deferred_notify`; NULL for those who ask again by
/// themselves. A registration of this reader that was not called yet is called when there is another, or when the answer is here.
///
/// Ownership: the handle set in `*out` is the caller's. Threads: any, one at a time.
///
/// # Safety
///
/// Duties 3 and 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reader_poll_answer(
    reader: *mut oust_reader,
    call: oust_callback,
    data: *mut c_void,
    out: *mut oust_answer,
) -> oust_code {
    let mut before = Pending::default();
    let code = entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        let mut of = ReaderBox::table().hold(reader)?;
        let ReaderBox { reader, pending, .. } = &mut *of;
        let polled;
        (polled, before) = wake::poll(pending, (call, data), |cx| reader.poll_answer(cx));
        let Poll::Ready(answer) = polled else { return Ok(oust_code::OUST_PENDING) };
        let mut told =
            oust_answer { size: 0, kind: 0, reason: 0, head: std::ptr::null_mut(), hit: std::ptr::null_mut() };
        let kind = match answer {
            Answer::Head(head) => {
                told.head = HeadBox::table().insert(HeadBox(head))?;
                oust_answer_kind::OUST_ANSWER_HEAD
            }
            Answer::Validated(hit) => {
                told.hit = HitBox::table().insert(HitBox(hit))?;
                oust_answer_kind::OUST_ANSWER_VALIDATED
            }
            Answer::Refetch(why) => {
                told.reason = reason(why);
                oust_answer_kind::OUST_ANSWER_REFETCH
            }
            _ => return Err(Fault::argument("the engine answered in a way this version does not know")),
        };
        told.kind = kind as u32;
        out.set(told);
        Ok(oust_code::OUST_OK)
    });
    drop(before);
    code
}

/// The next piece of the body, without a copy: valid until the next call of this function with this reader that does not return `OUST_PENDING`, or until the
/// reader is freed. `OUST_END` at its end; `OUST_PENDING` as of `oust_reader_poll_answer`.
///
/// Errors: `OUST_E_BROKEN`. Threads: any, one at a time.
///
/// # Safety
///
/// Duties 2 and 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reader_poll_chunk(
    reader: *mut oust_reader,
    call: oust_callback,
    data: *mut c_void,
    out: *mut oust_slice,
) -> oust_code {
    let mut before = Pending::default();
    let code = entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::new(out, "out") }?;
        let mut of = ReaderBox::table().hold(reader)?;
        let ReaderBox { reader, chunk, pending } = &mut *of;
        let polled;
        (polled, before) = wake::poll(pending, (call, data), |cx| reader.poll_chunk(cx));
        let Poll::Ready(next) = polled else { return Ok(oust_code::OUST_PENDING) };
        out.set(oust_slice::EMPTY);
        match next {
            Some(Ok(next)) => {
                *chunk = next;
                out.set(oust_slice::of(chunk));
                Ok(oust_code::OUST_OK)
            }
            Some(Err(broken)) => Err(Fault::new(oust_code::OUST_E_BROKEN, broken.to_string())),
            None => {
                *chunk = Bytes::new();
                Ok(oust_code::OUST_END)
            }
        }
    });
    drop(before);
    code
}

/// Frees a reader: it leaves the fill, which goes on for the others. A callback that was to be called is called before this returns, unless another
/// thread is calling it right now. NULL is nothing to free.
///
/// # Safety
///
/// Duty 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reader_free(reader: *mut oust_reader) -> oust_code {
    free::<ReaderBox>(reader)
}
