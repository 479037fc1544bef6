/* What the C tests share: a check that names its line, and slices of literals. */
#ifndef CHECK_H
#define CHECK_H

#include "oust.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #what, oust_last_error());             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)
#define OK(call) CHECK((call) == OUST_OK)

static inline oust_slice text(const char *s) {
    oust_slice slice;
    slice.data = (const uint8_t *)s;
    slice.len = strlen(s);
    return slice;
}

static inline int is(oust_slice slice, const char *s) {
    return slice.len == strlen(s) && (slice.len == 0 || memcmp(slice.data, s, slice.len) == 0);
}

static inline int holds(oust_slice slice, const char *s) {
    size_t at, len = strlen(s);
    for (at = 0; at + len <= slice.len; at++)
        if (memcmp(slice.data + at, s, len) == 0) return 1;
    return 0;
}

static inline oust_field field(const char *name, const char *value) {
    oust_field f;
    f.name = text(name);
    f.value = text(value);
    return f;
}

static inline oust_key *key(const char *url) {
    oust_key *k = NULL;
    OK(oust_key_from_url((const uint8_t *)url, strlen(url), &k));
    return k;
}

static inline oust_freshness fresh(uint64_t lifetime_ms) {
    oust_freshness f;
    memset(&f, 0, sizeof f);
    f.size = sizeof f;
    f.lifetime_ms = lifetime_ms;
    return f;
}

static inline oust_cache *open_cache(const char *config) {
    oust_cache *cache = NULL;
    OK(oust_open(config, strlen(config), &cache));
    return cache;
}

/* Leads a fill of `url` and stores `body`; the reason why not. */
static inline uint32_t store(oust_cache *cache, const char *url, const void *body, size_t len, const char *tag) {
    oust_key *k = key(url);
    oust_fetched fetched = {.size = sizeof fetched};
    oust_freshness f = fresh(60000);
    oust_slice tags = text(tag);
    oust_head *head;
    oust_field fields[] = {field("Content-Type", "text/plain"), field("ETag", "\"1\"")};
    uint32_t stored = 99;
    OK(oust_head_new(200, fields, 2, &head));
    OK(oust_fetch(cache, k, NULL, 0, NULL, OUST_FETCH_ALONE, &fetched));
    CHECK(fetched.kind == OUST_LEAD && fetched.reader == NULL && fetched.hit == NULL);
    OK(oust_ticket_store(fetched.ticket, head, body, len, &f, &tags, tags.len > 0, &stored));
    OK(oust_head_free(head));
    OK(oust_key_free(k));
    return stored;
}

/* The outcome of a lookup, waited for; its hit is freed. */
static inline uint32_t outcome(oust_cache *cache, const char *url) {
    oust_key *k = key(url);
    oust_found found = {.size = sizeof found};
    OK(oust_lookup(cache, k, NULL, 0, &found));
    if (found.outcome == OUST_DEFERRED) OK(oust_deferred_wait(found.deferred, &found));
    OK(oust_hit_free(found.hit));
    OK(oust_key_free(k));
    return found.outcome;
}

static inline uint32_t purge(oust_cache *cache, uint32_t kind, const char *what, uint32_t action) {
    oust_selector selector = {.kind = kind, .text = text(what)};
    oust_purge_options options = {.size = sizeof options, .action = action, .by = text("c")};
    oust_purged purged = {.size = sizeof purged};
    oust_code code = oust_purge(cache, &options, &selector, 1, &purged);
    CHECK(code != OUST_OK || (purged.rules > 0 && purged.epoch > 0 && purged.seq > 0));
    return (uint32_t)code;
}

#endif
