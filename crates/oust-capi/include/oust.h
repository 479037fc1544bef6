/* The C ABI of oust, an HTTP edge cache engine built for purging. SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Made by cbindgen from crates/oust-capi: see its cbindgen.toml. The rules for all functions are in the documentation of
 * that crate; "Safety: duty n" under a function refers to the duties of the caller:
 *
 * 1. What is passed with a length has that length, and nobody writes to it during the call. Slices may be NULL where
 *    their length is 0.
 * 2. An out parameter points to room for what is written, which nobody else uses during the call and which overlaps no
 *    other.
 * 3. A structure that says its size in its first member has that size; else as 1 and 2. Set `size` before each call.
 * 4. A cache, key, request, hit, head or reply is not freed while another call uses it, nor are slices of it used
 *    afterwards.
 * 5. A callback may be called from any thread with its `data`, and returns: no exception, no longjmp.
 *
 * Every function returns an oust_code unless it says otherwise. A handle is the caller's once it was handed out. Freeing
 * NULL does nothing. What is not said to differ may be called from any thread.
 */

#ifndef OUST_H
#define OUST_H

#include <stddef.h>
#include <stdint.h>

/**
 * `oust_purge_options.layers`: the memory tier.
 */
#define OUST_LAYER_EDGE 1

/**
 * `oust_purge_options.layers`: the second tier.
 */
#define OUST_LAYER_L2 2

/**
 * `oust_hit_info.flags`: may be served if the origin fails (RFC 5861).
 */
#define OUST_HIT_ON_ERROR 1

/**
 * `oust_hit_info.flags`: may be served stale to a request that accepts that (`max-stale`).
 */
#define OUST_HIT_MAY_BE_STALE 2

/**
 * `oust_hit_info.flags`: its body is a view of a mapped file: see `oust_hit_is_intact`.
 */
#define OUST_HIT_MAPPED 4

/**
 * `oust_fetch`: never joins and is never joined.
 */
#define OUST_FETCH_ALONE 1

/**
 * A length that is not known.
 */
#define OUST_UNKNOWN_LENGTH UINT64_MAX

/**
 * The version of this ABI: a program built for version n runs with every library of a version n or above, until a library says 0.
 */
#define OUST_ABI_VERSION 1

/**
 * What a function returns: 0 and above went well, below 0 did not.
 */
typedef enum {
  /**
   * Done.
   */
  OUST_OK = 0,
  /**
   * Not yet: ask again, or wait for the callback. Nothing was taken or changed.
   */
  OUST_PENDING = 1,
  /**
   * There is no more: the end of a body, an empty queue.
   */
  OUST_END = 2,
  /**
   * A pointer that must not be NULL is.
   */
  OUST_E_NULL = -1,
  /**
   * A number is none of its enumeration, a length is impossible, or the `size` of a structure is none this library knows.
   */
  OUST_E_ARGUMENT = -2,
  /**
   * A handle is of another type, was freed, or never was one.
   */
  OUST_E_HANDLE = -3,
  /**
   * Another thread is inside a call with this handle. Nothing was done, and a free freed nothing.
   */
  OUST_E_BUSY = -4,
  /**
   * The library failed inside this call. The handle of a ticket, writer, reader or deferred lookup is good for nothing but its free; all others, the
   * cache among them, can be used as before.
   */
  OUST_E_PANIC = -5,
  /**
   * The configuration is wrong: the message names line and field.
   */
  OUST_E_CONFIG = -6,
  /**
   * The directory of the second tier cannot be used, or the disk failed.
   */
  OUST_E_STORAGE = -7,
  /**
   * Not an http or https URL with a host, or not a key.
   */
  OUST_E_KEY = -8,
  /**
   * No site has the host of a request (421).
   */
  OUST_E_HOST = -9,
  /**
   * A header field, method, target or status is malformed.
   */
  OUST_E_FIELD = -10,
  /**
   * A selector or the request for a purge is malformed.
   */
  OUST_E_SELECTOR = -11,
  /**
   * A text, list or number of handles is over a limit.
   */
  OUST_E_TOO_LARGE = -12,
  /**
   * A selector would cost more than it may.
   */
  OUST_E_OVER_BUDGET = -13,
  /**
   * There are too many live rules: try again when older purges are swept.
   */
  OUST_E_TOO_MANY_RULES = -14,
  /**
   * A tier was named that this cache does not have.
   */
  OUST_E_NO_LAYER = -15,
  /**
   * The purge is in force, but the journal cannot be written: a restart would undo it.
   */
  OUST_E_NOT_DURABLE = -16,
  /**
   * The response broke off before its end, or this reader was cut off for being too slow.
   */
  OUST_E_BROKEN = -17,
  /**
   * No such purge, or it has left the history.
   */
  OUST_E_UNKNOWN = -18,
} oust_code;

/**
 * What a lookup found.
 */
typedef enum {
  /**
   * Fresh: `hit` is set.
   */
  OUST_HIT = 0,
  /**
   * May be served while it is revalidated in the background: `hit` and `reason` are set.
   */
  OUST_STALE = 1,
  /**
   * Must be validated before it is used: `hit` and `reason` are set.
   */
  OUST_MUST_VALIDATE = 2,
  /**
   * Nothing usable: `reason` is set.
   */
  OUST_MISS = 3,
  /**
   * The second tier has it, and the disk must be waited for: `deferred` is set.
   */
  OUST_DEFERRED = 4,
} oust_outcome;

/**
 * Why a lookup missed, a response was not stored, or a reader must fetch for itself.
 */
typedef enum {
  /**
   * No reason: a fresh hit, or a response that was stored.
   */
  OUST_REASON_NONE = 0,
  /**
   * Nothing is stored under the key.
   */
  OUST_REASON_URI_MISS = 1,
  /**
   * Variants are stored, none is selected.
   */
  OUST_REASON_VARY_MISS = 2,
  /**
   * The stored response has expired.
   */
  OUST_REASON_EXPIRED = 3,
  /**
   * The response asks for validation before each use.
   */
  OUST_REASON_NO_CACHE = 4,
  /**
   * A delete took it.
   */
  OUST_REASON_PURGED_DELETE = 5,
  /**
   * An invalidate took it.
   */
  OUST_REASON_PURGED_INVALIDATE = 6,
  /**
   * A soft purge took it.
   */
  OUST_REASON_PURGED_SOFT = 7,
  /**
   * The key is marked uncacheable.
   */
  OUST_REASON_UNCACHEABLE = 8,
  /**
   * A purge overtook the fill.
   */
  OUST_REASON_PURGE_FENCED = 9,
  /**
   * The stored response it validated is not there any more.
   */
  OUST_REASON_SUPERSEDED = 10,
  /**
   * The response may not be stored.
   */
  OUST_REASON_NOT_STORABLE = 11,
  /**
   * Larger than the largest object.
   */
  OUST_REASON_TOO_LARGE = 12,
  /**
   * No room.
   */
  OUST_REASON_NO_ROOM = 13,
  /**
   * The fill broke, or the cache was closed meanwhile.
   */
  OUST_REASON_FAILED = 14,
  /**
   * A reason of a later library.
   */
  OUST_REASON_OTHER = 15,
} oust_reason;

/**
 * How a miss goes on.
 */
typedef enum {
  /**
   * Fetch from the origin and feed `ticket`.
   */
  OUST_LEAD = 0,
  /**
   * Read what another request is fetching from `reader`.
   */
  OUST_JOIN = 1,
  /**
   * It was stored meanwhile: `hit`.
   */
  OUST_FOUND = 2,
} oust_fetch_kind;

/**
 * How a fill answered a reader.
 */
typedef enum {
  /**
   * The origin's response: `head` is set, the body follows by `oust_reader_poll_chunk`.
   */
  OUST_ANSWER_HEAD = 0,
  /**
   * The stored response was validated: `hit` is set.
   */
  OUST_ANSWER_VALIDATED = 1,
  /**
   * Not for this request: fetch alone. `reason` is set.
   */
  OUST_ANSWER_REFETCH = 2,
} oust_answer_kind;

/**
 * What a purge takes: see `docs/purge.md`.
 */
typedef enum {
  /**
   * Every variation and variant of a URL.
   */
  OUST_BY_URL = 0,
  /**
   * One cache key with its variants.
   */
  OUST_BY_KEY = 1,
  /**
   * The one object that a request with `fields` selects under the key in `text`.
   */
  OUST_BY_VARIANT = 2,
  /**
   * `*` runs hold no `/`, `**` runs anything.
   */
  OUST_BY_PATTERN = 3,
  /**
   * Every `*` crosses everything.
   */
  OUST_BY_GLOB = 4,
  /**
   * Only the last run of `*` is a wildcard.
   */
  OUST_BY_LAST_WILDCARD = 5,
  /**
   * A regular expression behind `scheme://host/`.
   */
  OUST_BY_REGEX = 6,
  /**
   * A host, `host:port` or `*.host`.
   */
  OUST_BY_HOST = 7,
  /**
   * A tag.
   */
  OUST_BY_TAG = 8,
  /**
   * Everything; `text` is not read.
   */
  OUST_BY_ALL = 9,
} oust_selector_kind;

/**
 * What becomes of what a purge takes.
 */
typedef enum {
  /**
   * Gone.
   */
  OUST_DELETE = 0,
  /**
   * Kept, but validated before the next use.
   */
  OUST_INVALIDATE = 1,
  /**
   * Expired as of now.
   */
  OUST_SOFT = 2,
} oust_action;

/**
 * When a purge is acknowledged. It is in force before, in either case.
 */
typedef enum {
  /**
   * Once it is on disk, where there is a second tier.
   */
  OUST_DURABLE = 0,
  /**
   * At once: a crash may undo it.
   */
  OUST_IN_MEMORY = 1,
} oust_durability;

/**
 * Why a response may not be stored (RFC 9111 3).
 */
typedef enum {
  /**
   * It may.
   */
  OUST_SKIP_NONE = 0,
  /**
   * Only answers to GET are stored.
   */
  OUST_SKIP_METHOD = 1,
  /**
   * Its status says nothing about the resource, or forbids storing.
   */
  OUST_SKIP_STATUS = 2,
  /**
   * The request said `no-store`.
   */
  OUST_SKIP_REQUEST_NO_STORE = 3,
  /**
   * The response said `no-store`, or its `Cache-Control` cannot be read.
   */
  OUST_SKIP_NO_STORE = 4,
  /**
   * The response said `private`.
   */
  OUST_SKIP_PRIVATE = 5,
  /**
   * The request carried credentials and the response does not allow sharing it.
   */
  OUST_SKIP_AUTHORIZATION = 6,
  /**
   * `Vary: *`.
   */
  OUST_SKIP_VARY_ANY = 7,
  /**
   * It sets cookies and does not say that it is meant for everyone.
   */
  OUST_SKIP_SET_COOKIE = 8,
  /**
   * It has no freshness.
   */
  OUST_SKIP_NO_FRESHNESS = 9,
  /**
   * A reason of a later library.
   */
  OUST_SKIP_OTHER = 10,
} oust_skip;

/**
 * A cache. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_cache oust_cache;

/**
 * A lookup that waits for the disk. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_deferred oust_deferred;

/**
 * Status and header fields of a response. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_head oust_head;

/**
 * A stored response: keeps its bytes alive. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_hit oust_hit;

/**
 * A cache key. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_key oust_key;

/**
 * The reading end of a fill. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_reader oust_reader;

/**
 * A status, header fields and a body: the answer of a purge API, JSON, or a webhook to send. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_reply oust_reply;

/**
 * Header fields of a request, read once for several calls. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_request oust_request;

/**
 * The right and duty to fetch a key. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_ticket oust_ticket;

/**
 * The writing end of a fill. A handle: a checked number in the form of a pointer, which points nowhere.
 */
typedef struct oust_writer oust_writer;

/**
 * What `oust_last_error_info` tells.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_error_info)`.
   */
  size_t size;
  /**
   * What the call returned.
   */
  oust_code code;
  /**
   * Index of the selector at fault, or -1.
   */
  int64_t selector;
  /**
   * Byte in its text, or in the text of a key, or -1.
   */
  int64_t position;
  /**
   * The limit that was passed, if `limit_name` is not empty.
   */
  uint64_t limit;
  /**
   * Its name.
   */
  const char *limit_name;
  /**
   * The message, as of `oust_last_error`.
   */
  const char *message;
} oust_error_info;

/**
 * Bytes. `data` may be NULL where `len` is 0. Not ended by a NUL.
 */
typedef struct {
  /**
   * Where they begin.
   */
  const uint8_t *data;
  /**
   * How many there are.
   */
  size_t len;
} oust_slice;

/**
 * Figures of a cache; counters run from its start. `oust_stats_json` has more.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_figures)`.
   */
  size_t size;
  /**
   * Stored objects of the memory tier.
   */
  uint64_t objects;
  /**
   * Bytes in use: objects, indexes, fills in flight, and what hits still hold.
   */
  uint64_t bytes;
  /**
   * Capacity in bytes.
   */
  uint64_t capacity;
  /**
   * Fresh hits.
   */
  uint64_t hits;
  /**
   * Stale answers.
   */
  uint64_t stale;
  /**
   * Lookups that found something to validate.
   */
  uint64_t must_validate;
  /**
   * Misses.
   */
  uint64_t misses;
  /**
   * Stored responses.
   */
  uint64_t stored;
  /**
   * Evicted objects.
   */
  uint64_t evicted;
  /**
   * Fills in flight.
   */
  uint64_t fills;
  /**
   * Bytes of objects no longer stored that hits still hold.
   */
  uint64_t pinned_bytes;
  /**
   * Live rules.
   */
  uint64_t live_rules;
  /**
   * Objects of the second tier.
   */
  uint64_t l2_objects;
  /**
   * Its bytes.
   */
  uint64_t l2_bytes;
  /**
   * Lookups that waited for the disk.
   */
  uint64_t l2_deferred;
  /**
   * Open handles of all caches of this process: what the program has not freed yet.
   */
  uint64_t handles;
} oust_figures;

/**
 * A header field. Names that come from the library are in lower case.
 */
typedef struct {
  /**
   * Its name.
   */
  oust_slice name;
  /**
   * Its value.
   */
  oust_slice value;
} oust_field;

/**
 * How a miss goes on. Exactly one handle is set; it is the caller's.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_fetched)`.
   */
  size_t size;
  /**
   * An `oust_fetch_kind`.
   */
  uint32_t kind;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * For `OUST_LEAD`.
   */
  oust_ticket *ticket;
  /**
   * For `OUST_JOIN`.
   */
  oust_reader *reader;
  /**
   * For `OUST_FOUND`.
   */
  oust_hit *hit;
} oust_fetched;

/**
 * How fresh a response is: from `oust_assess`, or plain deadlines of the caller's own.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_freshness)`.
   */
  size_t size;
  /**
   * How long it is fresh, counted from when it had age 0.
   */
  uint64_t lifetime_ms;
  /**
   * The age it had when received.
   */
  uint64_t age_ms;
  /**
   * Window after expiry in which it may be served while it is revalidated.
   */
  uint64_t stale_while_revalidate_ms;
  /**
   * Window after expiry in which it may be served when the origin fails.
   */
  uint64_t stale_if_error_ms;
  /**
   * Not 0: never served stale.
   */
  uint8_t must_revalidate;
  /**
   * Not 0: validated before every use.
   */
  uint8_t no_cache;
  /**
   * 0.
   */
  uint8_t reserved[6];
} oust_freshness;

/**
 * Called once when what was waited for may be there, from any thread: with the `data` it was registered with.
 *
 * It may call every function of this library but those that block, and must not throw or unwind. NULL: nobody is called, the caller asks again.
 */
typedef void (*oust_callback)(void *data);

/**
 * The request that got a response, for `oust_assess`.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_exchange)`.
   */
  size_t size;
  /**
   * Method of the request that was sent to the origin; empty is GET.
   */
  oust_slice method;
  /**
   * Its header fields.
   */
  const oust_field *fields;
  /**
   * How many.
   */
  size_t field_count;
  /**
   * When the head of the response was received, in milliseconds since the Unix epoch; 0 is now.
   */
  uint64_t received_ms;
  /**
   * How long the origin took to answer; counts as age.
   */
  uint64_t delay_ms;
} oust_exchange;

/**
 * What a lookup came to.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_found)`.
   */
  size_t size;
  /**
   * An `oust_outcome`.
   */
  uint32_t outcome;
  /**
   * An `oust_reason`.
   */
  uint32_t reason;
  /**
   * The caller's, to be freed by `oust_hit_free`; NULL where the outcome has none.
   */
  oust_hit *hit;
  /**
   * The caller's, to be taken or freed; NULL unless the outcome is `OUST_DEFERRED`.
   */
  oust_deferred *deferred;
  /**
   * Status code of the hit, else 0.
   */
  uint32_t status;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Length of the hit's body.
   */
  uint64_t body_len;
  /**
   * The whole body of the hit where it is stored in one piece (up to 16 KiB), else NULL and 0: then see `oust_hit_body`. Valid as long as the hit.
   */
  oust_slice body;
} oust_found;

/**
 * What is known of a hit, as of its lookup.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_hit_info)`.
   */
  size_t size;
  /**
   * Status code.
   */
  uint32_t status;
  /**
   * `OUST_HIT_...`.
   */
  uint32_t flags;
  /**
   * Length of the body.
   */
  uint64_t body_len;
  /**
   * In how many slices the body is.
   */
  size_t slices;
  /**
   * Age (RFC 9111 4.2.3) in milliseconds.
   */
  uint64_t age_ms;
  /**
   * Whole seconds of freshness left, negative once stale.
   */
  int64_t ttl;
  /**
   * The canonical key it is stored under; valid as long as the hit.
   */
  oust_slice key;
} oust_hit_info;

/**
 * How a purge is made. All 0 is the default: delete, from every tier, durable.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_purge_options)`.
   */
  size_t size;
  /**
   * An `oust_action`.
   */
  uint32_t action;
  /**
   * `OUST_LAYER_...`; 0 is every tier there is.
   */
  uint32_t layers;
  /**
   * An `oust_durability`.
   */
  uint32_t durability;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Who asked, for the history; UTF-8.
   */
  oust_slice by;
} oust_purge_options;

/**
 * One selector of a purge. Not extensible: an array of these has a fixed step.
 */
typedef struct {
  /**
   * An `oust_selector_kind`.
   */
  uint32_t kind;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * URL, key, pattern, host or tag; UTF-8.
   */
  oust_slice text;
  /**
   * For `OUST_BY_VARIANT`: the header fields of the request. Otherwise not read.
   */
  const oust_field *fields;
  /**
   * How many.
   */
  size_t field_count;
} oust_selector;

/**
 * A purge in force.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_purged)`.
   */
  size_t size;
  /**
   * With `seq` its identity.
   */
  uint64_t epoch;
  /**
   * Number of its last rule.
   */
  uint64_t seq;
  /**
   * How many rules it published.
   */
  uint64_t rules;
  /**
   * Whether it is on disk.
   */
  uint8_t durable;
  /**
   * Whether its objects are reclaimed.
   */
  uint8_t swept;
  /**
   * 0.
   */
  uint8_t reserved[6];
  /**
   * Objects it ended in the memory tier so far.
   */
  uint64_t edge_objects;
  /**
   * Objects it ended in the second tier so far.
   */
  uint64_t l2_objects;
} oust_purged;

/**
 * What a purge would take.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_explained)`.
   */
  size_t size;
  /**
   * Objects of the memory tier.
   */
  uint64_t edge_objects;
  /**
   * Their bytes.
   */
  uint64_t edge_bytes;
  /**
   * Objects of the second tier.
   */
  uint64_t l2_objects;
  /**
   * Their bytes.
   */
  uint64_t l2_bytes;
  /**
   * Not 0: there may be more, the time ran out.
   */
  uint32_t partial;
  /**
   * 0.
   */
  uint32_t reserved;
} oust_explained;

/**
 * How a fill answered a reader. The handle that is set is the caller's.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_answer)`.
   */
  size_t size;
  /**
   * An `oust_answer_kind`.
   */
  uint32_t kind;
  /**
   * An `oust_reason`.
   */
  uint32_t reason;
  /**
   * For `OUST_ANSWER_HEAD`.
   */
  oust_head *head;
  /**
   * For `OUST_ANSWER_VALIDATED`.
   */
  oust_hit *hit;
} oust_answer;

/**
 * A request to a vendor's purge API.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_api_request)`.
   */
  size_t size;
  /**
   * `GET`, `POST` ...
   */
  oust_slice method;
  /**
   * Path and query as the client sent them: signatures cover them.
   */
  oust_slice target;
  /**
   * Header fields, `host` among them.
   */
  const oust_field *fields;
  /**
   * How many.
   */
  size_t field_count;
  /**
   * The body.
   */
  oust_slice body;
  /**
   * The client's address and port (`192.0.2.1:4711`, `[2001:db8::1]:4711`), or empty.
   */
  oust_slice peer;
} oust_api_request;

/**
 * A webhook that is to be called: a POST to `url`.
 */
typedef struct {
  /**
   * Set by the caller: `sizeof(oust_webhook)`.
   */
  size_t size;
  /**
   * For `oust_webhook_done`.
   */
  uint64_t id;
  /**
   * The fields and the body to send; the caller's, to be freed by `oust_reply_free`. Its `oust_reply_url` is where to.
   */
  oust_reply *message;
  /**
   * Not 0: it may be sent to a private, loopback or link-local address. If 0, every address the name resolves to is to be checked, and redirects are
   * not followed.
   */
  uint32_t may_be_private;
  /**
   * 0.
   */
  uint32_t reserved;
} oust_webhook;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library that is running: compare it with `OUST_ABI_VERSION`, that of the header a program was built with. The library's must
 * not be less.
 */
uint32_t oust_abi_version(void);

/**
 * The version of the library as text.
 */
const char *oust_version(void);

/**
 * The message of the calling thread's last failed call; empty if none failed. Valid until the next failed call of the thread. A call that succeeds leaves
 * it as it is.
 */
const char *oust_last_error(void);

/**
 * The same with the code, and where it applies the selector at fault, the position in its text and the limit. Its texts are valid as the message is.
 *
 * # Safety
 *
 * Duty 3.
 */
oust_code oust_last_error_info(oust_error_info *out);

/**
 * Opens a cache by a configuration in TOML, `len` bytes of UTF-8; see the crate's documentation for its fields. Empty: 256 MiB of memory, no second tier.
 *
 * Starts the sweeper thread, and with a second tier a few more. Blocks while the journal is read. After this returns, purges of an earlier run are in
 * force; what is stored is read in meanwhile.
 *
 * Errors: `OUST_E_CONFIG` with line and field in the message, never a secret; `OUST_E_STORAGE`.
 *
 * Ownership: `*out` is the caller's, to be closed by `oust_close`. Threads: any.
 *
 * # Safety
 *
 * Duties 1 and 2.
 */
oust_code oust_open(const char *config,
                    size_t len,
                    oust_cache **out);

/**
 * Closes a cache. NULL is nothing to close; a second close is `OUST_E_HANDLE`.
 *
 * Hits, tickets, writers and readers of it stay usable and keep its memory until they are freed; its threads end now. Lookups that wait for the disk end
 * with a miss, and their callbacks are called. What is written to the second tier is durable afterwards; what only the memory tier has is lost. Blocks for
 * that long. Must not be called from a callback.
 *
 * # Safety
 *
 * Duty 4: no other call uses the handle.
 */
oust_code oust_close(oust_cache *cache);

/**
 * Writes what waits for the second tier, and makes all it holds durable. Blocks. Without a second tier it does nothing.
 *
 * Errors: `OUST_E_STORAGE`, those of the disk since the last call. Threads: any.
 *
 * # Safety
 *
 * Duty 4.
 */
oust_code oust_flush(const oust_cache *cache);

/**
 * Reclaims what all published purges take, then retires their rules. The cache's own thread does this within milliseconds of a purge, unless the
 * configuration says `purge.background_sweep = false`. Blocks. Threads: any.
 *
 * # Safety
 *
 * Duty 4.
 */
oust_code oust_sweep(const oust_cache *cache);

/**
 * Why what was on disk was discarded when the cache was opened, in UTF-8; `*out` is empty if nothing was. Valid until the cache is closed.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_notice(const oust_cache *cache,
                      oust_slice *out);

/**
 * Ends everything stored under the URL of `key`, all variations and variants, and keeps fills of it in flight from being stored or joined: what an unsafe
 * method does to its target (RFC 9111 4.4). `ended`, which may be NULL, is how many objects that were.
 *
 * After this returns, no later lookup finds what was fetched before it. It publishes no rule and is not durable by itself. Threads: any.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_end_url(const oust_cache *cache,
                       const oust_key *key,
                       uint64_t *ended);

/**
 * Figures. Costs a pass over shards and threads. Threads: any.
 *
 * # Safety
 *
 * Duties 3 and 4.
 */
oust_code oust_stats(const oust_cache *cache, oust_figures *out);

/**
 * All figures as JSON: the parts `lookups`, `fills`, `edge`, `l2` and `purges` of what `GET /v1/stats` of the server answers.
 *
 * Ownership: `*out` is the caller's, to be freed by `oust_reply_free`. Threads: any.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_stats_json(const oust_cache *cache,
                          oust_reply **out);

/**
 * How many handles of this process are open, of all types: 0 when everything was freed. Costs a pass over all that were ever open at once. Threads: any.
 */
uint64_t oust_open_handles(void);

/**
 * Answers SIGBUS for files of a second tier that are mapped: a page that the disk cannot bring back reads as zeros, and `oust_hit_is_intact` says so.
 * Without it such a page ends the process. For programs, once, early; a second call does nothing.
 *
 * Errors: `OUST_E_STORAGE` where the system refuses. Threads: any.
 */
oust_code oust_install_sigbus_handler(void);

/**
 * Goes on from a miss, or from something to validate.
 *
 * The first request for a key leads: it gets the ticket to fetch it, stamped before this returns, so that whatever is purged from now on is not stored by
 * it. Others join it, unless a purge has overtaken the fill, another variant is being fetched, or the key is marked uncacheable; then they lead fills of
 * their own.
 *
 * `base`: the hit to validate, or NULL; it stays the caller's. One that a delete has taken meanwhile is dropped: such a ticket has no `oust_ticket_base`,
 * and no validators are to be sent. `flags`: 0, or `OUST_FETCH_ALONE` for a request that was told `OUST_ANSWER_REFETCH`.
 *
 * Ownership: what is set in `*out` is the caller's. Threads: any.
 *
 * # Safety
 *
 * Duties 1, 3 and 4.
 */
oust_code oust_fetch(const oust_cache *cache,
                     const oust_key *key,
                     const oust_field *request,
                     size_t field_count,
                     const oust_hit *base,
                     uint32_t flags,
                     oust_fetched *out);

/**
 * The stored response to validate, as a hit of the caller's own: send its validators (`oust_hit_conditional`). `OUST_END` and NULL: a plain fetch.
 *
 * # Safety
 *
 * Duty 2.
 */
oust_code oust_ticket_base(oust_ticket *ticket,
                           oust_hit **out);

/**
 * A reader from the first byte on, for the leader's own client. `*out` is the caller's, to be freed by `oust_reader_free`.
 *
 * # Safety
 *
 * Duty 2.
 */
oust_code oust_ticket_reader(oust_ticket *ticket,
                             oust_reader **out);

/**
 * The head of the origin's answer; the body follows through the writer. `length` is its length, or `OUST_UNKNOWN_LENGTH`.
 *
 * With `freshness` it is stored when complete, if it fits, its `Vary` is not `*`, and no purge has taken it; those who joined read it if its `Vary` selects
 * them. With NULL it is not stored: those who joined fetch for themselves, and so do later ones at once, for two minutes or until a purge takes the key.
 * The leader's own readers get it in any case. `tags`: what it can be purged by, up to 4,096 bytes each.
 *
 * Ownership: the ticket is used up, its handle freed, if and only if this returns `OUST_OK`; `*out` is the caller's. The head stays the caller's.
 *
 * # Safety
 *
 * Duties 1 to 4.
 */
oust_code oust_ticket_respond(oust_ticket *ticket,
                              const oust_head *head,
                              uint64_t length,
                              const oust_freshness *freshness,
                              const oust_slice *tags,
                              size_t tag_count,
                              oust_writer **out);

/**
 * The origin's whole answer at once: `oust_ticket_respond`, one append and `oust_writer_finish` in one step. `*stored`, which may be NULL, is an
 * `oust_reason`: `OUST_REASON_NONE` where it was stored; then lookups find it. `freshness` must not be NULL. Ownership as `oust_ticket_respond`.
 *
 * # Safety
 *
 * Duties 1 to 4.
 */
oust_code oust_ticket_store(oust_ticket *ticket,
                            const oust_head *head,
                            const uint8_t *body,
                            size_t len,
                            const oust_freshness *freshness,
                            const oust_slice *tags,
                            size_t tag_count,
                            uint32_t *stored);

/**
 * The origin answered 304: everybody gets the stored body under `head`, the one `oust_hit_merge` made. It is stored again as fresh, unless a purge newer
 * than the request has taken it or it is not stored any more; with `freshness` NULL it leaves the cache. `*out` is the response for the leader's client;
 * `*stored`, which may be NULL, as of `oust_ticket_store`.
 *
 * `OUST_END` and NULL: the ticket has no base, so there is nothing to validate; readers are told to fetch for themselves. Ownership: the ticket is used up
 * if this returns `OUST_OK` or `OUST_END`; `*out` is the caller's.
 *
 * # Safety
 *
 * Duties 1 to 4.
 */
oust_code oust_ticket_not_modified(oust_ticket *ticket,
                                   const oust_head *head,
                                   const oust_freshness *freshness,
                                   const oust_slice *tags,
                                   size_t tag_count,
                                   oust_hit **out,
                                   uint32_t *stored);

/**
 * Gives a ticket back without an answer: its readers are told to fetch for themselves. NULL is nothing to free.
 *
 * # Safety
 *
 * Nothing beyond what every call asks for.
 */
oust_code oust_ticket_free(oust_ticket *ticket);

/**
 * Appends body bytes, which are copied. What was appended can be read by all who joined. Never blocks.
 *
 * A body that outgrows the largest object or the budget is no longer kept: `oust_writer_refused` says so, and readers go on getting it.
 *
 * # Safety
 *
 * Duty 1.
 */
oust_code oust_writer_append(oust_writer *writer,
                             const uint8_t *data,
                             size_t len);

/**
 * Whether the fill may take more: `OUST_OK`, or `OUST_PENDING`, and `call` is called as of `oust_deferred_notify`. One that is stored always may; one that
 * is not waits for its slowest reader, a window of 1 MiB behind.
 *
 * # Safety
 *
 * Duty 5.
 */
oust_code oust_writer_poll_ready(oust_writer *writer,
                                 oust_callback call,
                                 void *data);

/**
 * Breaks readers that are a window behind the fastest, so that the writer need not wait for them.
 *
 * # Safety
 *
 * Nothing beyond what every call asks for.
 */
oust_code oust_writer_cut_laggards(oust_writer *writer);

/**
 * Whether nobody reads any more and nothing will be stored, so that the fetch may as well be given up: 1 or 0.
 *
 * # Safety
 *
 * Duty 2.
 */
oust_code oust_writer_is_abandoned(oust_writer *writer, uint32_t *yes);

/**
 * Why the response will not be stored, an `oust_reason`; `OUST_REASON_NONE` if it will be, as far as is known.
 *
 * # Safety
 *
 * Duty 2.
 */
oust_code oust_writer_refused(oust_writer *writer, uint32_t *why);

/**
 * The body is complete: stores the response, unless a purge has overtaken it. `*stored`, which may be NULL, as of `oust_ticket_store`: after
 * `OUST_REASON_NONE` lookups find it. The writer is used up, its handle freed, if this returns `OUST_OK`.
 *
 * # Safety
 *
 * Duty 2.
 */
oust_code oust_writer_finish(oust_writer *writer,
                             uint32_t *stored);

/**
 * Breaks the fill off: nothing is stored, its readers get `OUST_E_BROKEN`. NULL is nothing to abort.
 *
 * # Safety
 *
 * Nothing beyond what every call asks for.
 */
oust_code oust_writer_abort(oust_writer *writer);

/**
 * Status and header fields of a response of the origin, copied. Fields that must not be stored (RFC 9111 3.1: those of the connection, and those that
 * `no-cache="..."` and `private="..."` name) are left out; so do not send this head to a client whose response is not stored.
 *
 * Errors: `OUST_E_FIELD`. Ownership: `*out` is the caller's, to be freed by `oust_head_free`. Threads: any; a head may be used by many at once.
 *
 * # Safety
 *
 * Duties 1 and 2.
 */
oust_code oust_head_new(uint32_t status,
                        const oust_field *response,
                        size_t field_count,
                        oust_head **out);

/**
 * The head of a hit. Values share the stored memory, which the head keeps as the hit does. Ownership and threads as `oust_head_new`.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_hit_head(const oust_hit *hit,
                        oust_head **out);

/**
 * The head of a stored response as a 304 with these fields updates it (RFC 9111 3.2): for `oust_ticket_not_modified`. Ownership and threads as
 * `oust_head_new`.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_hit_merge(const oust_hit *hit,
                         const oust_field *not_modified,
                         size_t field_count,
                         oust_head **out);

/**
 * Whether a 304 with these fields is about this stored response (RFC 9111 4.3.4): 1 or 0. If not, fetch without validators.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_hit_validates(const oust_hit *hit,
                             const oust_field *not_modified,
                             size_t field_count,
                             uint32_t *yes);

/**
 * These fields of a request with the validators of a stored response in place of any of their own (RFC 9111 4.3.1): what to send to the origin. Its
 * status is 0 in meaning and 200 in number. Without a validator they are as given, less the conditions. Ownership and threads as `oust_head_new`.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_hit_conditional(const oust_hit *hit,
                               const oust_field *request,
                               size_t field_count,
                               oust_head **out);

/**
 * The status code of a head.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_head_status(const oust_head *head, uint32_t *status);

/**
 * The header fields of a head, repeated ones next to each other: `room` of them from number `first` on are written to `out`, and `*count` is how many were;
 * 0 behind the last. Valid as long as the head.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_head_fields(const oust_head *head,
                           size_t first,
                           oust_field *out,
                           size_t room,
                           size_t *count);

/**
 * The value of the first field of a name, in any case. `OUST_END`: there is none, and `*value` is empty. Valid as long as the head.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_head_get(const oust_head *head,
                        oust_slice name,
                        oust_slice *value);

/**
 * Frees a head. NULL is nothing to free.
 *
 * # Safety
 *
 * Duty 4: no other call uses the handle.
 */
oust_code oust_head_free(oust_head *head);

/**
 * Whether a response may be stored by a shared cache, and how fresh it then is (RFC 9111 3 and 4.2, by the `[ttl]` of the cache's configuration).
 *
 * `*skip` is an `oust_skip`: `OUST_SKIP_NONE` where it may, and only then `*freshness` is set. Give that to `oust_ticket_respond`; where it may not, give
 * NULL there. For a 304: the head of `oust_hit_merge`. Callers with a policy of their own fill in an `oust_freshness` themselves. Threads: any.
 *
 * # Safety
 *
 * Duties 1 to 4.
 */
oust_code oust_assess(const oust_cache *cache,
                      const oust_exchange *exchange,
                      const oust_head *head,
                      oust_freshness *freshness,
                      uint32_t *skip);

/**
 * The key of a client's URL, `http://` or `https://` with a host, in canonical form (RFC 3986 6.2.2, 6.2.3). An `@@` in it is part of the URL.
 *
 * Errors: `OUST_E_KEY` and `OUST_E_TOO_LARGE`, with the position. Ownership: `*out` is the caller's, to be freed by `oust_key_free`. Threads: any; a key may
 * be used by many at once.
 *
 * # Safety
 *
 * Duties 1 and 2.
 */
oust_code oust_key_from_url(const uint8_t *url,
                            size_t len,
                            oust_key **out);

/**
 * The key that a text `url[@@variation]` stands for. Otherwise as `oust_key_from_url`.
 *
 * # Safety
 *
 * Duties 1 and 2.
 */
oust_code oust_key_parse(const uint8_t *text, size_t len, oust_key **out);

/**
 * The key of a request by the cache's sites: aliases, merged schemes and key policies applied. `scheme` is the one it came by, `authority` its
 * `:authority` or `Host`, `target` its path and query; `request` fields matter where a policy names them.
 *
 * Errors: `OUST_E_HOST` where no site has the host (421), `OUST_E_KEY`, `OUST_E_TOO_LARGE`. Ownership and threads as `oust_key_from_url`.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_key_of_request(const oust_cache *cache,
                              oust_slice scheme,
                              oust_slice authority,
                              oust_slice target,
                              const oust_field *request,
                              size_t field_count,
                              oust_key **out);

/**
 * The canonical text of a key; valid as long as the key.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_key_text(const oust_key *key, oust_slice *out);

/**
 * Frees a key. NULL is nothing to free.
 *
 * # Safety
 *
 * Duty 4: no other call uses the handle.
 */
oust_code oust_key_free(oust_key *key);

/**
 * Reads the header fields of a request once, for several lookups. Errors: `OUST_E_FIELD`. Ownership: `*out` is the caller's, to be freed by
 * `oust_request_free`. Threads: any; a request may be used by many at once.
 *
 * # Safety
 *
 * Duties 1 and 2.
 */
oust_code oust_request_new(const oust_field *request,
                           size_t field_count,
                           oust_request **out);

/**
 * Frees a request. NULL is nothing to free.
 *
 * # Safety
 *
 * Duty 4: no other call uses the handle.
 */
oust_code oust_request_free(oust_request *request);

/**
 * What a request for `key` with these header fields gets. Only the fields that responses may vary on matter: each is read and copied, so pass no
 * others, or use `oust_lookup_request`.
 *
 * A lookup that begins after a purge has returned does not return what the purge took. Never waits for a purge, a fill or the disk. Nothing is copied:
 * the hit keeps the stored memory.
 *
 * Ownership: what is set in `*out` is the caller's; a fault sets nothing. Threads: any.
 *
 * # Safety
 *
 * Duties 1, 3 and 4.
 */
oust_code oust_lookup(const oust_cache *cache,
                      const oust_key *key,
                      const oust_field *request,
                      size_t field_count,
                      oust_found *out);

/**
 * As `oust_lookup`, with header fields that were read before: the cheapest lookup there is.
 *
 * # Safety
 *
 * Duties 3 and 4.
 */
oust_code oust_lookup_request(const oust_cache *cache,
                              const oust_key *key,
                              const oust_request *request,
                              oust_found *out);

/**
 * Asks to be told when a deferred lookup may be taken.
 *
 * `OUST_OK`: it may now, and `call` is not called. `OUST_PENDING`: `call` is called with `data` exactly once, from any thread: when it may be taken, or when
 * the lookup is freed or this is called again before. It may call `oust_deferred_take`.
 *
 * Errors: `OUST_E_BUSY`, `OUST_E_HANDLE`; then `call` is not called. Threads: any, one at a time.
 *
 * # Safety
 *
 * Duty 5.
 */
oust_code oust_deferred_notify(oust_deferred *deferred,
                               oust_callback call,
                               void *data);

/**
 * Takes the outcome of a deferred lookup, which frees its handle; never `OUST_DEFERRED` again. `OUST_PENDING`: not yet, and the handle stays.
 *
 * What it says is as of now: a purge that returned before this call is obeyed if it also returned before the object was read; otherwise as of any lookup
 * that had begun before the purge. Ownership as `oust_lookup`. Threads: any, one at a time.
 *
 * # Safety
 *
 * Duty 3.
 */
oust_code oust_deferred_take(oust_deferred *deferred,
                             oust_found *out);

/**
 * Blocks until the outcome of a deferred lookup is there and takes it, which frees its handle. Otherwise as `oust_deferred_take`. Not for callbacks.
 *
 * # Safety
 *
 * Duty 3.
 */
oust_code oust_deferred_wait(oust_deferred *deferred,
                             oust_found *out);

/**
 * Gives a deferred lookup up. A callback that was to be called is called before this returns, unless another thread is calling it right now. NULL is
 * nothing to free.
 *
 * # Safety
 *
 * Duty 5.
 */
oust_code oust_deferred_free(oust_deferred *deferred);

/**
 * What is known of a hit, as of its lookup. Threads: any; a hit may be used by many at once.
 *
 * # Safety
 *
 * Duties 3 and 4.
 */
oust_code oust_hit_describe(const oust_hit *hit, oust_hit_info *out);

/**
 * The body of a hit, in slices as for `writev`: `room` of them from number `first` on are written to `out`, and `*count` is how many were. None is empty.
 * `oust_hit_info.slices` is how many there are in all. They are valid as long as the hit; nothing is copied.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_hit_body(const oust_hit *hit,
                        size_t first,
                        oust_slice *out,
                        size_t room,
                        size_t *count);

/**
 * Whether what was read of its body so far is what was stored: 1 or 0. To be asked after copying from a body that is `OUST_HIT_MAPPED`, before the copy is
 * used; see `oust_install_sigbus_handler`.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_hit_is_intact(const oust_hit *hit,
                             uint32_t *yes);

/**
 * Whether the client has this response already, by its own validators, so that 304 answers it (RFC 9110 13.2.2): 1 or 0. `now_ms`: milliseconds since the
 * Unix epoch, 0 is now.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_hit_not_modified(const oust_hit *hit,
                                const oust_field *request,
                                size_t field_count,
                                uint64_t now_ms,
                                uint32_t *yes);

/**
 * Whether the request's own directives (`no-cache`, `max-age`, `min-fresh`, `max-stale`) want this stored response validated before it is used, though the
 * cache would not: 1 or 0.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_hit_demands_validation(const oust_hit *hit,
                                      const oust_field *request,
                                      size_t field_count,
                                      uint32_t *yes);

/**
 * Frees a hit; its slices are no longer valid. NULL is nothing to free. Threads: any.
 *
 * # Safety
 *
 * Duty 4: no other call uses the handle.
 */
oust_code oust_hit_free(oust_hit *hit);

/**
 * Purges what these selectors take, all together or, after an error, none of it. `options` may be NULL: delete, from every tier, durable. `out` may be
 * NULL.
 *
 * After this returns, no lookup that begins later returns what the purge takes, no fill or revalidation that began before is stored, and no request joins
 * one. With a second tier it returns only when the purge is on disk: it blocks for that long, and lookups never wait for it. It costs the same however much
 * is stored.
 *
 * Errors: `OUST_E_SELECTOR`, `OUST_E_OVER_BUDGET`, `OUST_E_TOO_LARGE`, `OUST_E_TOO_MANY_RULES`, `OUST_E_NO_LAYER`, with selector, position and limit in
 * `oust_last_error_info`. After `OUST_E_NOT_DURABLE` the purge is in force, but a restart would undo it: repeat it. Threads: any.
 *
 * # Safety
 *
 * Duties 1, 3 and 4.
 */
oust_code oust_purge(const oust_cache *cache,
                     const oust_purge_options *options,
                     const oust_selector *selectors,
                     size_t selector_count,
                     oust_purged *out);

/**
 * The same by the JSON of the server's `POST /v1/purges`: `{"selectors":[{"url":"http://h/p"}],"action":"soft","layers":["edge"]}`. `by`: who asked, for the
 * history; UTF-8, may be empty.
 *
 * A purge that is refused is answered too: `OUST_OK`, and `*out` has the status that the server would answer (400, 413, 422, 429, 503) with a problem of RFC
 * 9457; else 200, and the purge is in force. Ownership: `*out` is the caller's, to be freed by `oust_reply_free`. Threads: any.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_purge_json(const oust_cache *cache,
                          const uint8_t *body,
                          size_t len,
                          oust_slice by,
                          oust_reply **out);

/**
 * What a purge would take now; changes nothing. Stops after `budget_ms` and says so. May wait for the disk. Errors as `oust_purge`. Threads: any.
 *
 * # Safety
 *
 * Duties 1, 3 and 4.
 */
oust_code oust_explain(const oust_cache *cache,
                       const oust_purge_options *options,
                       const oust_selector *selectors,
                       size_t selector_count,
                       uint64_t budget_ms,
                       oust_explained *out);

/**
 * The same by the JSON of the server's `POST /v1/explain`, with samples and costs; answered as `oust_purge_json` is.
 *
 * # Safety
 *
 * Duties 1, 2 and 4.
 */
oust_code oust_explain_json(const oust_cache *cache,
                            const uint8_t *body,
                            size_t len,
                            uint64_t budget_ms,
                            oust_reply **out);

/**
 * How a purge stands. Errors: `OUST_E_UNKNOWN`. Threads: any.
 *
 * # Safety
 *
 * Duties 3 and 4.
 */
oust_code oust_purge_state(const oust_cache *cache, uint64_t epoch, uint64_t seq, oust_purged *out);

/**
 * The newest purges of the history, newest first, at most `limit`, as JSON: `{"purges":[...]}` with the members of the server's `GET /v1/purges`.
 * `*out` is the caller's. Threads: any.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_history_json(const oust_cache *cache,
                            size_t limit,
                            oust_reply **out);

/**
 * How the fill answers, once it is known. `OUST_PENDING`: not yet, and `call` is called as of `oust_deferred_notify`; NULL for those who ask again by
 * themselves. A registration of this reader that was not called yet is called when there is another, or when the answer is here.
 *
 * Ownership: the handle set in `*out` is the caller's. Threads: any, one at a time.
 *
 * # Safety
 *
 * Duties 3 and 5.
 */
oust_code oust_reader_poll_answer(oust_reader *reader,
                                  oust_callback call,
                                  void *data,
                                  oust_answer *out);

/**
 * The next piece of the body, without a copy: valid until the next call of this function with this reader that does not return `OUST_PENDING`, or until the
 * reader is freed. `OUST_END` at its end; `OUST_PENDING` as of `oust_reader_poll_answer`.
 *
 * Errors: `OUST_E_BROKEN`. Threads: any, one at a time.
 *
 * # Safety
 *
 * Duties 2 and 5.
 */
oust_code oust_reader_poll_chunk(oust_reader *reader,
                                 oust_callback call,
                                 void *data,
                                 oust_slice *out);

/**
 * Frees a reader: it leaves the fill, which goes on for the others. A callback that was to be called is called before this returns, unless another
 * thread is calling it right now. NULL is nothing to free.
 *
 * # Safety
 *
 * Duty 5.
 */
oust_code oust_reader_free(oust_reader *reader);

/**
 * Answers a request to the purge API of Azion, Naver Cloud, Medianova, CDNetworks or ImageKit: the path tells whose. Accounts and their credentials are
 * the `[[account]]` tables of the configuration; paths, limits, answers and errors are the vendor's own (`docs/apis.md`). What a request asked for is
 * gone when this returns: as of `oust_purge`, and it blocks as that does.
 *
 * A request that is refused is answered too: `OUST_OK`, and the status says so. Errors: `OUST_E_CONFIG` without accounts, `OUST_E_FIELD` where it is no HTTP
 * request, `OUST_E_TOO_LARGE` for a body over 8 MiB (413). Ownership: `*out` is the caller's, to be freed by `oust_reply_free`. Threads: any.
 *
 * # Safety
 *
 * Duties 1 to 4.
 */
oust_code oust_api_handle(const oust_cache *cache,
                          const oust_api_request *request,
                          oust_reply **out);

/**
 * The next webhook that is to be called (CDNetworks' callbacks), or `OUST_END`. To be asked for several times a second where accounts use them; nothing is
 * sent by the library itself. Each is handed out once until `oust_webhook_done` is called for it.
 *
 * Ownership: `out->message` is the caller's. Threads: any.
 *
 * # Safety
 *
 * Duties 3 and 4.
 */
oust_code oust_webhook_next(const oust_cache *cache,
                            oust_webhook *out);

/**
 * Tells whether a webhook was taken: `delivered` is not 0 after any 2xx. One that was not is due again after 1, 5 and 25 seconds, then given up.
 *
 * # Safety
 *
 * Duty 4.
 */
oust_code oust_webhook_done(const oust_cache *cache,
                            uint64_t id,
                            uint32_t delivered);

/**
 * The status of a reply; 0 for a webhook.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_reply_status(const oust_reply *reply, uint32_t *status);

/**
 * The header fields of a reply, as `oust_head_fields`; valid as long as the reply.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_reply_fields(const oust_reply *reply, size_t first, oust_field *out, size_t room, size_t *count);

/**
 * The body of a reply; valid as long as the reply.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_reply_body(const oust_reply *reply, oust_slice *out);

/**
 * Where a webhook is to be sent; empty for other replies. Valid as long as the reply.
 *
 * # Safety
 *
 * Duties 2 and 4.
 */
oust_code oust_reply_url(const oust_reply *reply, oust_slice *out);

/**
 * Frees a reply. NULL is nothing to free.
 *
 * # Safety
 *
 * Duty 4: no other call uses the handle.
 */
oust_code oust_reply_free(oust_reply *reply);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OUST_H */
