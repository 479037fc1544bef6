/* The life of one object through the C ABI: a miss that is filled, a hit, a revalidation by 304, purges, and an explanation.
 *
 *     make && ./embed DIRECTORY
 *
 * The directory keeps the second tier; without one the cache is in memory alone. */
#include <oust.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char URL[] = "http://www.example.com/app.css";

static void must(oust_code code, const char *what) {
    if (code == OUST_OK) return;
    fprintf(stderr, "%s: %s\n", what, oust_last_error());
    exit(1);
}

static oust_slice text(const char *s) {
    oust_slice slice = {(const uint8_t *)s, strlen(s)};
    return slice;
}

/* What an origin would answer. */
static oust_head *origin(void) {
    oust_field fields[] = {
        {text("Content-Type"), text("text/css")},
        {text("Cache-Control"), text("max-age=60")},
        {text("ETag"), text("\"v1\"")},
    };
    oust_head *head;
    must(oust_head_new(200, fields, 3, &head), "head");
    return head;
}

/* Looks up; whoever must wait for the disk waits here. The hit, if there is one, is the caller's. */
static oust_found look_up(oust_cache *cache, const oust_key *key, const char *when) {
    static const char *names[] = {"hit", "stale", "must validate", "miss"};
    oust_found found = {.size = sizeof found};
    must(oust_lookup(cache, key, NULL, 0, &found), "lookup");
    if (found.outcome == OUST_DEFERRED) must(oust_deferred_wait(found.deferred, &found), "wait");
    printf("%-28s %s\n", when, names[found.outcome]);
    return found;
}

static void fill(oust_cache *cache, const oust_key *key) {
    static const char body[] = "body { color: black }";
    oust_fetched fetched = {.size = sizeof fetched};
    oust_exchange exchange = {.size = sizeof exchange};
    oust_freshness fresh = {.size = sizeof fresh};
    oust_slice tags[] = {text("styles"), text("release-7")};
    oust_head *head = origin();
    oust_writer *writer;
    uint32_t skip, stored;
    must(oust_fetch(cache, key, NULL, 0, NULL, 0, &fetched), "fetch");
    if (fetched.kind != OUST_LEAD) exit(1); /* Nobody else asks here. */
    must(oust_assess(cache, &exchange, head, &fresh, &skip), "assess");
    must(oust_ticket_respond(fetched.ticket, head, sizeof body - 1, skip == OUST_SKIP_NONE ? &fresh : NULL, tags, 2, &writer), "respond");
    must(oust_writer_append(writer, (const uint8_t *)body, 4), "append");
    must(oust_writer_append(writer, (const uint8_t *)body + 4, sizeof body - 5), "append");
    must(oust_writer_finish(writer, &stored), "finish");
    must(oust_head_free(head), "free");
    printf("%-28s %s\n", "filled from the origin", stored == OUST_REASON_NONE ? "stored" : "not stored");
}

/* The origin says 304. */
static void revalidate(oust_cache *cache, const oust_key *key, oust_hit *stale) {
    oust_field update = {text("Cache-Control"), text("max-age=60")};
    oust_fetched fetched = {.size = sizeof fetched};
    oust_exchange exchange = {.size = sizeof exchange};
    oust_freshness fresh = {.size = sizeof fresh};
    oust_slice tags[] = {text("styles"), text("release-7")};
    oust_head *merged;
    oust_hit *base, *validated;
    uint32_t skip, stored;
    must(oust_fetch(cache, key, NULL, 0, stale, 0, &fetched), "fetch");
    must(oust_hit_free(stale), "free");
    must(oust_ticket_base(fetched.ticket, &base), "base");
    must(oust_hit_merge(base, &update, 1, &merged), "merge");
    must(oust_assess(cache, &exchange, merged, &fresh, &skip), "assess");
    must(oust_ticket_not_modified(fetched.ticket, merged, skip == OUST_SKIP_NONE ? &fresh : NULL, tags, 2, &validated, &stored), "304");
    printf("%-28s %s\n", "validated by the origin", stored == OUST_REASON_NONE ? "stored" : "not stored");
    must(oust_hit_free(validated), "free");
    must(oust_hit_free(base), "free");
    must(oust_head_free(merged), "free");
}

static void purge(oust_cache *cache, uint32_t kind, const char *what, uint32_t action) {
    oust_selector selector = {.kind = kind, .text = text(what)};
    oust_purge_options options = {.size = sizeof options, .action = action, .by = text("embed")};
    oust_purged purged = {.size = sizeof purged};
    must(oust_purge(cache, &options, &selector, 1, &purged), "purge");
    printf("%-28s %s\n", what, purged.durable ? "in force, on disk" : "in force");
}

int main(int argc, char **argv) {
    char config[4096] = "[edge]\nsize = \"64MiB\"\n";
    oust_cache *cache;
    oust_key *key;
    oust_found found;
    if (oust_abi_version() < OUST_ABI_VERSION) return 1;
    if (argc > 1) snprintf(config, sizeof config, "[edge]\nsize = \"64MiB\"\n[l2]\ndir = '%s'\nsize = \"1GiB\"\n", argv[1]);
    must(oust_open(config, strlen(config), &cache), "open");
    must(oust_key_from_url((const uint8_t *)URL, sizeof URL - 1, &key), "key");

    found = look_up(cache, key, "at first");
    must(oust_hit_free(found.hit), "free"); /* A hit where an earlier run left it on disk; NULL is nothing to free. */
    purge(cache, OUST_BY_URL, URL, OUST_DELETE);
    fill(cache, key);
    found = look_up(cache, key, "after the fill");
    if (found.outcome != OUST_HIT) return 1;
    printf("%-28s %.*s\n", "its body", (int)found.body.len, (const char *)found.body.data);
    must(oust_hit_free(found.hit), "free");

    purge(cache, OUST_BY_PATTERN, "http://www.example.com/*.css", OUST_INVALIDATE);
    found = look_up(cache, key, "after that purge");
    if (found.outcome != OUST_MUST_VALIDATE) return 1;
    revalidate(cache, key, found.hit);
    found = look_up(cache, key, "after the 304");
    if (found.outcome != OUST_HIT) return 1;
    must(oust_hit_free(found.hit), "free");

    purge(cache, OUST_BY_TAG, "styles", OUST_DELETE);
    found = look_up(cache, key, "after a purge by tag");
    if (found.outcome != OUST_MISS) return 1;

    must(oust_key_free(key), "free");
    must(oust_close(cache), "close");
    if (oust_open_handles() != 0) return 1;
    puts("ok");
    return 0;
}
