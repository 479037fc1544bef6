//! The C ABI of [`oust`], an HTTP edge cache engine built for purging: a header (`include/oust.h`), a static and a shared library.
//!
//! ```c
//! oust_cache *cache; oust_key *key; oust_found found = { .size = sizeof found };
//! if (oust_open(toml, strlen(toml), &cache) != OUST_OK) die(oust_last_error());
//! oust_key_from_url((const uint8_t *) url, strlen(url), &key);
//! if (oust_lookup(cache, key, NULL, 0, &found) == OUST_OK && found.outcome == OUST_HIT) {
//!     send(found.status, found.body.data, found.body.len);
//!     oust_hit_free(found.hit);
//! }
//! ```
//!
//! **Results.** Every function returns an `oust_code`; below 0 nothing was done unless its text says so, and `oust_last_error` tells the calling thread why,
//! until its next failed call. A message per thread costs nothing on the way of calls that succeed, and no function needs a parameter for it. A panic ends
//! at the function as `OUST_E_PANIC`. The cache and all it holds stay usable; a ticket, writer, reader or deferred lookup that was in hand can only be freed.
//!
//! **Handles** are checked numbers, not addresses: another type's, a freed one, or anything else is `OUST_E_HANDLE`, for at least 2^30 uses of its place.
//! What a function hands out is the caller's; each type has a free, and functions that use a handle up say so. Closing a cache leaves its hits alive.
//!
//! **Threads.** Any function from any thread. Caches, keys, requests, hits, heads and replies may be used by many calls at once, with one duty: nobody frees one
//! that another call uses (4 below). Tickets, writers, readers and deferred lookups belong to one call at a time: a second gets `OUST_E_BUSY`.
//!
//! **Waiting.** `OUST_PENDING` says that a callback will be called, exactly once, from any thread, when it is worth asking again or when the handle is freed or asked
//! again first: so what `data` points to can always be released there. Giving up a wait loses nothing. Freeing is cancelling: a ticket or writer
//! that is freed tells its readers, a reader that is freed leaves the fill to the others. Purges, flushes and closes may wait for the disk; lookups never.
//!
//! **Costs.** A hit by `oust_lookup_request` allocates and copies nothing and shares no written cache line with other threads; `benches/call.rs` prints what it takes
//! beside the same hit in Rust. Its body is slices of what is stored, valid as long as the hit. Appended bodies are copied once more than in Rust.
//!
//! **Structures** begin with their size, to be set by the caller: later versions add members at the end. Programs compare `oust_abi_version()`.
//!
//! **Duties of the caller**, which no check can take over:
//!
//! 1. What is passed with a length has that length, and nobody writes to it during the call. Slices may be NULL where their length is 0.
//! 2. An out parameter points to room for what is written, which nobody else uses during the call and which overlaps no other.
//! 3. A structure that says its size has that size; else as 1 and 2.
//! 4. A cache, key, request, hit, head or reply is not freed while another call uses it, nor are slices of it used afterwards.
//! 5. A callback may be called from any thread with its `data`, and returns: no exception, no `longjmp`.
//!
//! **Configuration**: TOML, a subset of the server's (sizes are bytes or `"64MiB"`, durations `"10s"`; unknown fields are errors): `[edge]` size, max_object, shards;
//! `[l2]` dir, size, segment, media ("mmap", "pread"), write_rate, readers, distrust, adopt; `[purge]` max_rules, max_batch, history, background_sweep; `[ttl]` default,
//! negative, minimum, maximum, stale_if_error, heuristics, targeted; `[[site]]` hosts, aliases, environment, merge_schemes, key; `[[account]]` as in
//! `docs/apis.md`.

mod config;
mod error;
pub mod ffi;
mod wire;

pub use ffi::*;
