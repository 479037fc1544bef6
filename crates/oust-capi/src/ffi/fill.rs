//! The one who fetches: tickets and writers.

use std::ffi::c_void;
use std::task::Poll;

use bytes::Bytes;
use oust::{Admit, Fetch, FillTicket, FillWriter};

use super::cache::{cache, slices};
use super::head::{HeadBox, read_freshness};
use super::lookup::{HitBox, KeyBox};
use super::raw::{Out, Sized, bytes, entry, fields, free};
use super::reader::ReaderBox;
use super::table::{Kind, kind};
use super::types::*;
use super::wake::{self, Pending};
use crate::error::Fault;

/// What a ticket's handle stands for.
pub(crate) struct TicketBox(FillTicket);
/// What a writer's handle stands for.
pub(crate) struct WriterBox {
    writer: FillWriter,
    pending: Pending,
}

kind!(TicketBox, oust_ticket, 7);
kind!(WriterBox, oust_writer, 8);

/// Goes on from a miss, or from something to validate.
///
/// The first request for a key leads: it gets the ticket to fetch it, stamped before this returns, so that whatever is purged from now on is not stored by
/// it. Others join it, unless a purge has overtaken the fill, another variant is being fetched, or the key is marked uncacheable; then they lead fills of
/// their own.
///
/// `base`: the hit to validate, or NULL; it stays the caller's. One that a delete has taken meanwhile is dropped: such a ticket has no `oust_ticket_base`,
/// and no validators are to be sent. `flags`: 0, or `OUST_FETCH_ALONE` for a request that was told `OUST_ANSWER_REFETCH`.
///
/// Ownership: what is set in `*out` is the caller's. Threads: any.
///
/// # Safety
///
/// Duties 1, 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_fetch(
    cache: *const oust_cache,
    key: *const oust_key,
    request: *const oust_field,
    field_count: usize,
    base: *const oust_hit,
    flags: u32,
    out: *mut oust_fetched,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 4.
        let key = unsafe { KeyBox::table().get(key) }?;
        // SAFETY: duty 1.
        let request = unsafe { fields(request, field_count) }?;
        let base = if base.is_null() {
            None
        } else {
            // SAFETY: duty 4.
            Some(unsafe { HitBox::table().get(base) }?.0.clone())
        };
        let fetch = match flags {
            0 => of.cache.fetch(&key.0, &request, base),
            OUST_FETCH_ALONE => Fetch::Lead(of.cache.fetch_alone(&key.0, &request, base)),
            other => return Err(Fault::argument(format!("{other} are no flags of a fetch"))),
        };
        let mut told = oust_fetched {
            size: 0,
            kind: 0,
            reserved: 0,
            ticket: std::ptr::null_mut(),
            reader: std::ptr::null_mut(),
            hit: std::ptr::null_mut(),
        };
        let kind = match fetch {
            Fetch::Lead(ticket) => {
                told.ticket = TicketBox::table().insert(TicketBox(ticket))?;
                oust_fetch_kind::OUST_LEAD
            }
            Fetch::Join(reader) => {
                told.reader = ReaderBox::table().insert(ReaderBox::new(reader))?;
                oust_fetch_kind::OUST_JOIN
            }
            Fetch::Found(hit) => {
                told.hit = HitBox::table().insert(HitBox(hit))?;
                oust_fetch_kind::OUST_FOUND
            }
            _ => return Err(Fault::argument("the engine answered in a way this version does not know")),
        };
        told.kind = kind as u32;
        out.set(told);
        Ok(oust_code::OUST_OK)
    })
}

/// The stored response to validate, as a hit of the caller's own: send its validators (`oust_hit_conditional`). `OUST_END` and NULL: a plain fetch.
///
/// # Safety
///
/// Duty 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_ticket_base(ticket: *mut oust_ticket, out: *mut *mut oust_hit) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        let ticket = TicketBox::table().hold(ticket)?;
        let Some(base) = ticket.0.base() else { return Ok(oust_code::OUST_END) };
        out.set(HitBox::table().insert(HitBox(base.clone()))?);
        Ok(oust_code::OUST_OK)
    })
}

/// A reader from the first byte on, for the leader's own client. `*out` is the caller's, to be freed by `oust_reader_free`.
///
/// # Safety
///
/// Duty 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_ticket_reader(ticket: *mut oust_ticket, out: *mut *mut oust_reader) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        let ticket = TicketBox::table().hold(ticket)?;
        out.set(ReaderBox::table().insert(ReaderBox::new(ticket.0.reader()))?);
        Ok(oust_code::OUST_OK)
    })
}

/// The head of the origin's answer; the body follows through the writer. `length` is its length, or `OUST_UNKNOWN_LENGTH`.
///
/// With `freshness` it is stored when complete, if it fits, its `Vary` is not `*`, and no purge has taken it; those who joined read it if its `Vary` selects
/// them. With NULL it is not stored: those who joined fetch for themselves, and so do later ones at once, for two minutes or until a purge takes the key.
/// The leader's own readers get it in any case. `tags`: what it can be purged by, up to 4,096 bytes each.
///
/// Ownership: the ticket is used up, its handle freed, if and only if this returns `OUST_OK`; `*out` is the caller's. The head stays the caller's.
///
/// # Safety
///
/// Duties 1 to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_ticket_respond(
    ticket: *mut oust_ticket,
    head: *const oust_head,
    length: u64,
    freshness: *const oust_freshness,
    tags: *const oust_slice,
    tag_count: usize,
    out: *mut *mut oust_writer,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        // SAFETY: duty 3.
        let freshness = unsafe { read_freshness(freshness) }?;
        // SAFETY: duty 1.
        let tags = unsafe { slices(tags, tag_count, "tags") }?;
        let TicketBox(ticket) = TicketBox::table().hold(ticket)?.take()?;
        let length = (length != OUST_UNKNOWN_LENGTH).then_some(length);
        let writer = ticket.respond((**head).clone(), length, freshness, &tags);
        out.set(WriterBox::table().insert(WriterBox { writer, pending: Pending::default() })?);
        Ok(oust_code::OUST_OK)
    })
}

/// The origin's whole answer at once: `oust_ticket_respond`, one append and `oust_writer_finish` in one step. `*stored`, which may be NULL, is an
/// `oust_reason`: `OUST_REASON_NONE` where it was stored; then lookups find it. `freshness` must not be NULL. Ownership as `oust_ticket_respond`.
///
/// # Safety
///
/// Duties 1 to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_ticket_store(
    ticket: *mut oust_ticket,
    head: *const oust_head,
    body: *const u8,
    len: usize,
    freshness: *const oust_freshness,
    tags: *const oust_slice,
    tag_count: usize,
    stored: *mut u32,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let out = unsafe { optional(stored) }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        // SAFETY: duty 1.
        let body = unsafe { bytes(body, len, "body") }?;
        // SAFETY: duty 3.
        let freshness = unsafe { read_freshness(freshness) }?.ok_or_else(|| Fault::null("freshness"))?;
        // SAFETY: duty 1.
        let tags = unsafe { slices(tags, tag_count, "tags") }?;
        let TicketBox(ticket) = TicketBox::table().hold(ticket)?.take()?;
        tell(out, ticket.store((**head).clone(), Bytes::copy_from_slice(body), freshness, &tags));
        Ok(oust_code::OUST_OK)
    })
}

/// The origin answered 304: everybody gets the stored body under `head`, the one `oust_hit_merge` made. It is stored again as fresh, unless a purge newer
/// than the request has taken it or it is not stored any more; with `freshness` NULL it leaves the cache. `*out` is the response for the leader's client;
/// `*stored`, which may be NULL, as of `oust_ticket_store`.
///
/// `OUST_END` and NULL: the ticket has no base, so there is nothing to validate; readers are told to fetch for themselves. Ownership: the ticket is used up
/// if this returns `OUST_OK` or `OUST_END`; `*out` is the caller's.
///
/// # Safety
///
/// Duties 1 to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_ticket_not_modified(
    ticket: *mut oust_ticket,
    head: *const oust_head,
    freshness: *const oust_freshness,
    tags: *const oust_slice,
    tag_count: usize,
    out: *mut *mut oust_hit,
    stored: *mut u32,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 2.
        let stored = unsafe { optional(stored) }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        // SAFETY: duty 3.
        let freshness = unsafe { read_freshness(freshness) }?;
        // SAFETY: duty 1.
        let tags = unsafe { slices(tags, tag_count, "tags") }?;
        let TicketBox(ticket) = TicketBox::table().hold(ticket)?.take()?;
        let Some((hit, admit)) = ticket.not_modified((**head).clone(), freshness, &tags) else {
            return Ok(oust_code::OUST_END);
        };
        out.set(HitBox::table().insert(HitBox(hit))?);
        tell(stored, admit);
        Ok(oust_code::OUST_OK)
    })
}

/// Gives a ticket back without an answer: its readers are told to fetch for themselves. NULL is nothing to free.
///
/// # Safety
///
/// Nothing beyond what every call asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_ticket_free(ticket: *mut oust_ticket) -> oust_code {
    free::<TicketBox>(ticket)
}

/// Appends body bytes, which are copied. What was appended can be read by all who joined. Never blocks.
///
/// A body that outgrows the largest object or the budget is no longer kept: `oust_writer_refused` says so, and readers go on getting it.
///
/// # Safety
///
/// Duty 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_append(writer: *mut oust_writer, data: *const u8, len: usize) -> oust_code {
    entry(|| {
        // SAFETY: duty 1.
        let data = unsafe { bytes(data, len, "data") }?;
        WriterBox::table().hold(writer)?.writer.write(Bytes::copy_from_slice(data));
        Ok(oust_code::OUST_OK)
    })
}

/// Whether the fill may take more: `OUST_OK`, or `OUST_PENDING`, and `call` is called as of `oust_deferred_notify`. One that is stored always may; one that
/// is not waits for its slowest reader, a window of 1 MiB behind.
///
/// # Safety
///
/// Duty 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_poll_ready(
    writer: *mut oust_writer,
    call: oust_callback,
    data: *mut c_void,
) -> oust_code {
    let mut before = Pending::default();
    let code = entry(|| {
        let mut of = WriterBox::table().hold(writer)?;
        let WriterBox { writer, pending } = &mut *of;
        let polled;
        (polled, before) = wake::poll(pending, (call, data), |cx| writer.poll_ready(cx));
        Ok(match polled {
            Poll::Ready(()) => oust_code::OUST_OK,
            Poll::Pending => oust_code::OUST_PENDING,
        })
    });
    drop(before);
    code
}

/// Breaks readers that are a window behind the fastest, so that the writer need not wait for them.
///
/// # Safety
///
/// Nothing beyond what every call asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_cut_laggards(writer: *mut oust_writer) -> oust_code {
    entry(|| {
        WriterBox::table().hold(writer)?.writer.cut_laggards();
        Ok(oust_code::OUST_OK)
    })
}

/// Whether nobody reads any more and nothing will be stored, so that the fetch may as well be given up: 1 or 0.
///
/// # Safety
///
/// Duty 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_is_abandoned(writer: *mut oust_writer, yes: *mut u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut yes = unsafe { Out::new(yes, "yes") }?;
        yes.set(u32::from(WriterBox::table().hold(writer)?.writer.is_abandoned()));
        Ok(oust_code::OUST_OK)
    })
}

/// Why the response will not be stored, an `oust_reason`; `OUST_REASON_NONE` if it will be, as far as is known.
///
/// # Safety
///
/// Duty 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_refused(writer: *mut oust_writer, why: *mut u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut why = unsafe { Out::new(why, "why") }?;
        why.set(WriterBox::table().hold(writer)?.writer.refused().map_or(0, reason));
        Ok(oust_code::OUST_OK)
    })
}

/// The body is complete: stores the response, unless a purge has overtaken it. `*stored`, which may be NULL, as of `oust_ticket_store`: after
/// `OUST_REASON_NONE` lookups find it. The writer is used up, its handle freed, if this returns `OUST_OK`.
///
/// # Safety
///
/// Duty 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_finish(writer: *mut oust_writer, stored: *mut u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let stored = unsafe { optional(stored) }?;
        let WriterBox { writer, pending } = WriterBox::table().hold(writer)?.take()?;
        tell(stored, writer.finish());
        drop(pending);
        Ok(oust_code::OUST_OK)
    })
}

/// Breaks the fill off: nothing is stored, its readers get `OUST_E_BROKEN`. NULL is nothing to abort.
///
/// # Safety
///
/// Nothing beyond what every call asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_writer_abort(writer: *mut oust_writer) -> oust_code {
    free::<WriterBox>(writer)
}

/// Where a number goes that the caller may not want.
///
/// # Safety
///
/// Duty 2.
unsafe fn optional<'a>(out: *mut u32) -> Result<Option<Out<'a, u32>>, Fault> {
    if out.is_null() {
        return Ok(None);
    }
    // SAFETY: duty 2, passed on.
    unsafe { Out::new(out, "stored") }.map(Some)
}

fn tell(out: Option<Out<'_, u32>>, admit: Admit) {
    if let Some(mut out) = out {
        out.set(match admit {
            Admit::Stored => 0,
            Admit::Skipped(why) => reason(why),
            _ => oust_reason::OUST_REASON_OTHER as u32,
        });
    }
}
