/* Every part of the ABI from C: what it does, and what it answers to misuse. The argument is a directory for the second tier. */
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

static void keys_and_errors(void) {
    oust_key *k = NULL, *variation = NULL;
    oust_slice t;
    oust_error_info info = {.size = sizeof info};
    CHECK(oust_abi_version() == OUST_ABI_VERSION);
    CHECK(strlen(oust_version()) > 0);
    k = key("HTTP://EXAMPLE.com:80/a/../b%7e?Q");
    OK(oust_key_text(k, &t));
    CHECK(is(t, "http://example.com/b~?Q"));
    OK(oust_key_free(k));
    OK(oust_key_parse((const uint8_t *)"http://h/p@@v", 13, &variation));
    OK(oust_key_text(variation, &t));
    CHECK(is(t, "http://h/p@@v"));
    OK(oust_key_free(variation));
    CHECK(oust_key_from_url((const uint8_t *)"ftp://h/", 8, &k) == OUST_E_KEY && k == NULL);
    OK(oust_last_error_info(&info));
    CHECK(info.code == OUST_E_KEY && info.position == 0 && strstr(info.message, "http://") != NULL);
    CHECK(strcmp(info.message, oust_last_error()) == 0);
    CHECK(oust_key_from_url(NULL, 3, &k) == OUST_E_NULL);
    CHECK(oust_key_from_url(NULL, 0, &k) == OUST_E_KEY);
    CHECK(oust_key_from_url((const uint8_t *)"x", SIZE_MAX, &k) == OUST_E_ARGUMENT);
    CHECK(oust_key_from_url((const uint8_t *)"http://h/", 9, NULL) == OUST_E_NULL);
}

static void configurations(void) {
    oust_cache *cache = (oust_cache *)&cache;
    const char *wrong = "[edge]\nsize = \"64MiB\"\nsizes = 3\n";
    const char *type = "[edge]\nsize = true\n";
    const char *site = "[[site]]\nhosts = [\"a\"]\n[[site]]\nhosts = [\"a\"]\n";
    const char *secret = "[[account]]\nname = \"n\"\nhosts = [\"h\"]\nazion = \"hunter2\"\n";
    CHECK(oust_open(wrong, strlen(wrong), &cache) == OUST_E_CONFIG && cache == NULL);
    CHECK(strstr(oust_last_error(), "line 3") && strstr(oust_last_error(), "sizes"));
    CHECK(oust_open(type, strlen(type), &cache) == OUST_E_CONFIG);
    CHECK(strstr(oust_last_error(), "line 2") && strstr(oust_last_error(), "edge.size"));
    CHECK(oust_open(site, strlen(site), &cache) == OUST_E_CONFIG);
    CHECK(strstr(oust_last_error(), "line 3"));
    CHECK(oust_open(secret, strlen(secret), &cache) == OUST_E_CONFIG);
    CHECK(strstr(oust_last_error(), "line 4") && !strstr(oust_last_error(), "hunter2"));
    CHECK(oust_open("[edge", 5, &cache) == OUST_E_CONFIG);
    CHECK(oust_open("\xff", 1, &cache) == OUST_E_ARGUMENT);
    CHECK(oust_open(NULL, 1, &cache) == OUST_E_NULL);
    OK(oust_open(NULL, 0, &cache));
    OK(oust_close(cache));
}

static void hits(void) {
    oust_cache *cache = open_cache("[edge]\nsize = \"64MiB\"\n");
    oust_key *k = key("http://h/a");
    oust_found found = {.size = sizeof found};
    oust_hit_info info = {.size = sizeof info};
    oust_figures figures = {.size = sizeof figures};
    oust_slice slices[8], value;
    oust_field fields[8];
    oust_head *head;
    oust_request *request;
    oust_field conditional = field("If-None-Match", "\"1\""), reload = field("Cache-Control", "no-cache");
    size_t count = 99, total = 0, len = 3 << 20, at;
    uint32_t yes = 9;
    uint8_t *large = malloc(len);
    OK(oust_lookup(cache, k, NULL, 0, &found));
    CHECK(found.outcome == OUST_MISS && found.reason == OUST_REASON_URI_MISS && found.hit == NULL);
    CHECK(store(cache, "http://h/a", "hello", 5, "t") == OUST_REASON_NONE);
    OK(oust_lookup(cache, k, NULL, 0, &found));
    CHECK(found.outcome == OUST_HIT && found.reason == OUST_REASON_NONE && found.status == 200 && found.body_len == 5);
    CHECK(is(found.body, "hello"));
    OK(oust_hit_describe(found.hit, &info));
    CHECK(info.status == 200 && info.slices == 1 && info.body_len == 5 && info.ttl > 0 && is(info.key, "http://h/a"));
    OK(oust_hit_body(found.hit, 0, slices, 8, &count));
    CHECK(count == 1 && slices[0].data == found.body.data);
    OK(oust_hit_body(found.hit, 1, slices, 8, &count));
    CHECK(count == 0);
    OK(oust_hit_body(found.hit, 0, NULL, 0, &count));
    OK(oust_hit_is_intact(found.hit, &yes));
    CHECK(yes == 1);
    OK(oust_hit_not_modified(found.hit, &conditional, 1, 0, &yes));
    CHECK(yes == 1);
    OK(oust_hit_not_modified(found.hit, NULL, 0, 0, &yes));
    CHECK(yes == 0);
    OK(oust_hit_demands_validation(found.hit, &reload, 1, &yes));
    CHECK(yes == 1);
    OK(oust_hit_head(found.hit, &head));
    OK(oust_head_status(head, &yes));
    CHECK(yes == 200);
    OK(oust_head_fields(head, 0, fields, 8, &count));
    CHECK(count == 2 && is(fields[0].name, "content-type") && is(fields[0].value, "text/plain"));
    OK(oust_head_get(head, text("ETAG"), &value));
    CHECK(is(value, "\"1\""));
    CHECK(oust_head_get(head, text("nope"), &value) == OUST_END && value.len == 0);
    /* Closed: the hit and its slices stay. */
    OK(oust_head_free(head));
    OK(oust_request_new(NULL, 0, &request));
    OK(oust_hit_free(found.hit));
    OK(oust_lookup_request(cache, k, request, &found));
    CHECK(found.outcome == OUST_HIT);
    for (at = 0; at < len; at++) large[at] = (uint8_t)(at * 7);
    CHECK(store(cache, "http://h/large", large, len, "") == OUST_REASON_NONE);
    OK(oust_close(cache));
    CHECK(is(found.body, "hello"));
    OK(oust_hit_free(found.hit));
    OK(oust_key_free(k));
    /* A large body comes in slices. */
    cache = open_cache("[edge]\nsize = \"64MiB\"\n");
    CHECK(store(cache, "http://h/large", large, len, "") == OUST_REASON_NONE);
    k = key("http://h/large");
    OK(oust_lookup_request(cache, k, request, &found));
    CHECK(found.outcome == OUST_HIT && found.body.data == NULL && found.body_len == len);
    OK(oust_hit_describe(found.hit, &info));
    for (at = 0; at < info.slices; at += count) {
        size_t n;
        OK(oust_hit_body(found.hit, at, slices, 2, &count));
        for (n = 0; n < count; n++) {
            CHECK(slices[n].len > 0 && memcmp(large + total, slices[n].data, slices[n].len) == 0);
            total += slices[n].len;
        }
    }
    CHECK(total == len);
    OK(oust_hit_free(found.hit));
    OK(oust_stats(cache, &figures));
    CHECK(figures.hits == 1 && figures.objects == 1 && figures.stored == 1 && figures.handles == 3);
    OK(oust_key_free(k));
    OK(oust_request_free(request));
    OK(oust_close(cache));
    free(large);
}

static void variants(void) {
    oust_cache *cache = open_cache("");
    oust_key *k = key("http://h/v");
    oust_field gzip = field("Accept-Encoding", "gzip"), vary = field("Vary", "Accept-Encoding");
    oust_field bad = field("Accept Encoding", "x"), worse = field("a", "x\ny");
    oust_fetched fetched = {.size = sizeof fetched};
    oust_found found = {.size = sizeof found};
    oust_freshness f = fresh(1000000);
    oust_selector selector = {.kind = OUST_BY_VARIANT, .text = text("http://h/v"), .fields = &gzip, .field_count = 1};
    oust_head *head;
    uint32_t stored;
    OK(oust_head_new(200, &vary, 1, &head));
    OK(oust_fetch(cache, k, &gzip, 1, NULL, 0, &fetched));
    OK(oust_ticket_store(fetched.ticket, head, (const uint8_t *)"z", 1, &f, NULL, 0, &stored));
    CHECK(stored == OUST_REASON_NONE);
    OK(oust_lookup(cache, k, NULL, 0, &found));
    CHECK(found.outcome == OUST_MISS && found.reason == OUST_REASON_VARY_MISS);
    OK(oust_lookup(cache, k, &gzip, 1, &found));
    CHECK(found.outcome == OUST_HIT);
    OK(oust_hit_free(found.hit));
    CHECK(oust_lookup(cache, k, &bad, 1, &found) == OUST_E_FIELD);
    CHECK(oust_lookup(cache, k, &worse, 1, &found) == OUST_E_FIELD);
    CHECK(oust_lookup(cache, k, NULL, 1, &found) == OUST_E_NULL);
    OK(oust_purge(cache, NULL, &selector, 1, NULL));
    OK(oust_lookup(cache, k, &gzip, 1, &found));
    CHECK(found.outcome == OUST_MISS);
    OK(oust_head_free(head));
    OK(oust_key_free(k));
    OK(oust_close(cache));
}

static void count_call(void *data) { atomic_fetch_add((atomic_int *)data, 1); }

static void fills(void) {
    oust_cache *cache = open_cache("[edge]\nsize = \"16MiB\"\nmax_object = \"1MiB\"\n");
    oust_key *k = key("http://h/f");
    oust_fetched lead = {.size = sizeof lead}, join = {.size = sizeof join};
    oust_answer answer = {.size = sizeof answer};
    oust_freshness f = fresh(60000);
    oust_writer *writer;
    oust_reader *own;
    oust_head *head;
    oust_slice chunk;
    atomic_int calls = 0, more = 0;
    uint32_t stored = 99, yes = 9;
    uint8_t *block = calloc(1, 1 << 20);
    OK(oust_head_new(200, NULL, 0, &head));
    OK(oust_fetch(cache, k, NULL, 0, NULL, 0, &lead));
    CHECK(lead.kind == OUST_LEAD);
    OK(oust_fetch(cache, k, NULL, 0, NULL, 0, &join));
    CHECK(join.kind == OUST_JOIN && join.ticket == NULL);
    OK(oust_ticket_reader(lead.ticket, &own));
    CHECK(oust_reader_poll_answer(join.reader, NULL, NULL, &answer) == OUST_PENDING);
    CHECK(oust_reader_poll_answer(join.reader, count_call, &calls, &answer) == OUST_PENDING);
    /* A second registration takes the place of the first, which is called. */
    CHECK(oust_reader_poll_answer(join.reader, count_call, &more, &answer) == OUST_PENDING);
    CHECK(atomic_load(&calls) == 1 && atomic_load(&more) == 0);
    OK(oust_ticket_respond(lead.ticket, head, OUST_UNKNOWN_LENGTH, &f, NULL, 0, &writer));
    CHECK(oust_ticket_free(lead.ticket) == OUST_E_HANDLE);
    CHECK(atomic_load(&more) == 1);
    OK(oust_reader_poll_answer(join.reader, count_call, &more, &answer));
    CHECK(answer.kind == OUST_ANSWER_HEAD && answer.head != NULL && atomic_load(&more) == 1);
    OK(oust_head_free(answer.head));
    CHECK(oust_reader_poll_chunk(join.reader, count_call, &calls, &chunk) == OUST_PENDING);
    OK(oust_writer_poll_ready(writer, NULL, NULL));
    OK(oust_writer_append(writer, (const uint8_t *)"abc", 3));
    CHECK(atomic_load(&calls) == 2);
    OK(oust_reader_poll_chunk(join.reader, NULL, NULL, &chunk));
    CHECK(is(chunk, "abc"));
    CHECK(oust_reader_poll_chunk(join.reader, count_call, &calls, &chunk) == OUST_PENDING);
    OK(oust_writer_append(writer, NULL, 0));
    OK(oust_writer_refused(writer, &yes));
    CHECK(yes == OUST_REASON_NONE);
    OK(oust_writer_finish(writer, &stored));
    CHECK(stored == OUST_REASON_NONE && atomic_load(&calls) == 3);
    CHECK(oust_writer_finish(writer, &stored) == OUST_E_HANDLE);
    CHECK(oust_reader_poll_chunk(join.reader, NULL, NULL, &chunk) == OUST_END);
    OK(oust_reader_free(join.reader));
    OK(oust_reader_poll_answer(own, NULL, NULL, &answer));
    OK(oust_head_free(answer.head));
    OK(oust_reader_poll_chunk(own, NULL, NULL, &chunk));
    CHECK(is(chunk, "abc"));
    OK(oust_reader_free(own));
    CHECK(outcome(cache, "http://h/f") == OUST_HIT);
    OK(oust_fetch(cache, k, NULL, 0, NULL, 0, &lead));
    CHECK(lead.kind == OUST_FOUND);
    OK(oust_hit_free(lead.hit));
    CHECK(oust_fetch(cache, k, NULL, 0, NULL, 7, &lead) == OUST_E_ARGUMENT);

    /* Broken off: readers are told, and a freed one has its callback called. */
    OK(oust_fetch(cache, k, NULL, 0, NULL, OUST_FETCH_ALONE, &lead));
    OK(oust_ticket_reader(lead.ticket, &own));
    OK(oust_ticket_respond(lead.ticket, head, 10, NULL, NULL, 0, &writer));
    OK(oust_writer_refused(writer, &yes));
    CHECK(yes == OUST_REASON_NOT_STORABLE);
    OK(oust_writer_is_abandoned(writer, &yes));
    CHECK(yes == 0);
    OK(oust_writer_append(writer, block, 1 << 20));
    OK(oust_writer_append(writer, block, 1 << 20));
    atomic_store(&calls, 0);
    CHECK(oust_writer_poll_ready(writer, count_call, &calls) == OUST_PENDING);
    OK(oust_reader_poll_chunk(own, NULL, NULL, &chunk));
    OK(oust_reader_poll_chunk(own, NULL, NULL, &chunk));
    CHECK(atomic_load(&calls) == 1);
    OK(oust_writer_cut_laggards(writer));
    CHECK(oust_reader_poll_chunk(own, count_call, &calls, &chunk) == OUST_PENDING);
    OK(oust_writer_abort(writer));
    CHECK(atomic_load(&calls) == 2);
    CHECK(oust_reader_poll_chunk(own, NULL, NULL, &chunk) == OUST_E_BROKEN);
    OK(oust_reader_free(own));
    OK(oust_fetch(cache, k, NULL, 0, NULL, OUST_FETCH_ALONE, &lead));
    OK(oust_ticket_reader(lead.ticket, &own));
    CHECK(oust_reader_poll_answer(own, count_call, &calls, &answer) == OUST_PENDING);
    OK(oust_reader_free(own));
    CHECK(atomic_load(&calls) == 3);
    OK(oust_ticket_reader(lead.ticket, &own));
    OK(oust_ticket_free(lead.ticket));
    OK(oust_reader_poll_answer(own, NULL, NULL, &answer));
    CHECK(answer.kind == OUST_ANSWER_REFETCH && answer.reason == OUST_REASON_FAILED);
    OK(oust_reader_free(own));

    /* A purge overtakes a fill. */
    OK(oust_fetch(cache, k, NULL, 0, NULL, OUST_FETCH_ALONE, &lead));
    CHECK(purge(cache, OUST_BY_URL, "http://h/f", OUST_DELETE) == OUST_OK);
    OK(oust_ticket_store(lead.ticket, head, (const uint8_t *)"x", 1, &f, NULL, 0, &stored));
    CHECK(stored == OUST_REASON_PURGE_FENCED);
    /* Too large. */
    OK(oust_fetch(cache, k, NULL, 0, NULL, OUST_FETCH_ALONE, &lead));
    OK(oust_ticket_respond(lead.ticket, head, (uint64_t)2 << 20, &f, NULL, 0, &writer));
    OK(oust_writer_finish(writer, &stored));
    CHECK(stored == OUST_REASON_TOO_LARGE);
    OK(oust_head_free(head));
    OK(oust_key_free(k));
    OK(oust_close(cache));
    free(block);
}

static void revalidation(void) {
    oust_cache *cache = open_cache("[ttl]\nmaximum = \"1h\"\n");
    oust_key *k = key("http://h/r");
    oust_found found = {.size = sizeof found};
    oust_fetched fetched = {.size = sizeof fetched};
    oust_exchange exchange = {.size = sizeof exchange, .method = text("GET")};
    oust_freshness f = {.size = sizeof f};
    oust_field update[] = {field("Cache-Control", "max-age=7200"), field("ETag", "\"1\"")};
    oust_field other = field("ETag", "\"2\""), no_store = field("Cache-Control", "no-store");
    oust_hit *base, *validated;
    oust_head *head, *request;
    oust_slice value;
    uint32_t skip = 99, stored = 99, yes = 9;
    CHECK(store(cache, "http://h/r", "body", 4, "t") == OUST_REASON_NONE);
    CHECK(purge(cache, OUST_BY_TAG, "t", OUST_SOFT) == OUST_OK);
    OK(oust_lookup(cache, k, NULL, 0, &found));
    CHECK(found.outcome == OUST_MUST_VALIDATE && found.reason == OUST_REASON_PURGED_SOFT && found.hit);
    OK(oust_fetch(cache, k, NULL, 0, found.hit, 0, &fetched));
    CHECK(fetched.kind == OUST_LEAD);
    OK(oust_hit_free(found.hit));
    OK(oust_ticket_base(fetched.ticket, &base));
    OK(oust_hit_conditional(base, NULL, 0, &request));
    OK(oust_head_get(request, text("if-none-match"), &value));
    CHECK(is(value, "\"1\""));
    OK(oust_head_free(request));
    OK(oust_hit_validates(base, &other, 1, &yes));
    CHECK(yes == 0);
    OK(oust_hit_validates(base, update, 2, &yes));
    CHECK(yes == 1);
    OK(oust_hit_merge(base, update, 2, &head));
    OK(oust_assess(cache, &exchange, head, &f, &skip));
    CHECK(skip == OUST_SKIP_NONE && f.lifetime_ms == 3600000);
    OK(oust_ticket_not_modified(fetched.ticket, head, &f, NULL, 0, &validated, &stored));
    CHECK(stored == OUST_REASON_NONE && validated);
    OK(oust_hit_free(validated));
    OK(oust_hit_free(base));
    OK(oust_head_free(head));
    CHECK(outcome(cache, "http://h/r") == OUST_HIT);
    /* No base: nothing to validate. */
    OK(oust_fetch(cache, k, NULL, 0, NULL, OUST_FETCH_ALONE, &fetched));
    CHECK(oust_ticket_base(fetched.ticket, &base) == OUST_END && base == NULL);
    OK(oust_head_new(200, &no_store, 1, &head));
    OK(oust_assess(cache, &exchange, head, &f, &skip));
    CHECK(skip == OUST_SKIP_NO_STORE);
    CHECK(oust_ticket_not_modified(fetched.ticket, head, &f, NULL, 0, &validated, NULL) == OUST_END);
    CHECK(oust_ticket_free(fetched.ticket) == OUST_E_HANDLE);
    CHECK(oust_head_new(99999, NULL, 0, &request) == OUST_E_FIELD);
    exchange.method = text("G ET");
    CHECK(oust_assess(cache, &exchange, head, &f, &skip) == OUST_E_FIELD);
    OK(oust_head_free(head));
    OK(oust_key_free(k));
    OK(oust_close(cache));
}

static void purges(void) {
    static const struct { uint32_t kind; const char *text; } all[] = {
        {OUST_BY_URL, "http://h/d/a.jpg"}, {OUST_BY_KEY, "http://h/d/a.jpg"}, {OUST_BY_PATTERN, "http://h/d/*.jpg"},
        {OUST_BY_GLOB, "http://h/*.jpg"}, {OUST_BY_LAST_WILDCARD, "http://h/d/*"}, {OUST_BY_REGEX, "http://h/d/[a-c]\\.jpg"},
        {OUST_BY_HOST, "h"}, {OUST_BY_TAG, "t"}, {OUST_BY_ALL, ""}, {OUST_BY_VARIANT, "http://h/d/a.jpg"},
    };
    oust_cache *cache = open_cache("[edge]\nsize = \"8MiB\"\n[purge]\nbackground_sweep = false\n");
    oust_selector two[2] = {{.kind = OUST_BY_URL, .text = text("http://h/x")}, {.kind = OUST_BY_REGEX, .text = text("http://h/(")}};
    oust_purge_options options = {.size = sizeof options};
    oust_purged purged = {.size = sizeof purged};
    oust_explained explained = {.size = sizeof explained};
    oust_error_info info = {.size = sizeof info};
    oust_reply *reply;
    oust_field fields[4];
    oust_slice body;
    uint64_t ended = 99;
    uint32_t status;
    size_t at, count;
    oust_key *k = key("http://h/d/a.jpg");
    const char *json = "{\"selectors\":[{\"pattern\":\"http://h/**\"}],\"action\":\"delete\"}";
    const char *unknown = "{\"selectors\":[{\"urls\":\"http://h/\"}]}";
    for (at = 0; at < sizeof all / sizeof *all; at++) {
        CHECK(store(cache, "http://h/d/a.jpg", "x", 1, "t") == OUST_REASON_NONE);
        CHECK(outcome(cache, "http://h/d/a.jpg") == OUST_HIT);
        CHECK(purge(cache, all[at].kind, all[at].text, at % 2 ? OUST_DELETE : OUST_INVALIDATE) == OUST_OK);
        CHECK(outcome(cache, "http://h/d/a.jpg") == (at % 2 ? OUST_MISS : OUST_MUST_VALIDATE));
    }
    CHECK(store(cache, "http://h/x", "x", 1, "") == OUST_REASON_NONE);
    CHECK(oust_purge(cache, NULL, two, 2, NULL) == OUST_E_SELECTOR);
    OK(oust_last_error_info(&info));
    CHECK(info.selector == 1 && info.position >= 0);
    CHECK(outcome(cache, "http://h/x") == OUST_HIT);
    CHECK(oust_purge(cache, NULL, NULL, 0, NULL) == OUST_E_SELECTOR);
    CHECK(oust_purge(cache, NULL, NULL, 1, NULL) == OUST_E_NULL);
    two[0].kind = 77;
    CHECK(oust_purge(cache, NULL, two, 1, NULL) == OUST_E_ARGUMENT);
    two[0].kind = OUST_BY_URL;
    options.action = 3;
    CHECK(oust_purge(cache, &options, two, 1, NULL) == OUST_E_ARGUMENT);
    options.action = 0, options.durability = 2;
    CHECK(oust_purge(cache, &options, two, 1, NULL) == OUST_E_ARGUMENT);
    options.durability = 0, options.layers = 4;
    CHECK(oust_purge(cache, &options, two, 1, NULL) == OUST_E_ARGUMENT);
    options.layers = OUST_LAYER_L2;
    CHECK(oust_purge(cache, &options, two, 1, NULL) == OUST_E_NO_LAYER);
    options.layers = 0, options.size = 3;
    CHECK(oust_purge(cache, &options, two, 1, NULL) == OUST_E_ARGUMENT);
    OK(oust_explain(cache, NULL, two, 1, 1000, &explained));
    CHECK(explained.edge_objects == 1 && explained.partial == 0 && outcome(cache, "http://h/x") == OUST_HIT);
    OK(oust_explain_json(cache, (const uint8_t *)json, strlen(json), 1000, &reply));
    OK(oust_reply_body(reply, &body));
    CHECK(holds(body, "\"sample\":[\"http://h/"));
    OK(oust_reply_free(reply));
    OK(oust_purge_json(cache, (const uint8_t *)json, strlen(json), text("me"), &reply));
    OK(oust_reply_status(reply, &status));
    OK(oust_reply_body(reply, &body));
    OK(oust_reply_fields(reply, 0, fields, 4, &count));
    CHECK(status == 200 && holds(body, "\"state\":\"effective\"") && count == 1 && is(fields[0].value, "application/json"));
    OK(oust_reply_free(reply));
    CHECK(outcome(cache, "http://h/x") == OUST_MISS);
    OK(oust_purge_json(cache, (const uint8_t *)unknown, strlen(unknown), text(""), &reply));
    OK(oust_reply_status(reply, &status));
    OK(oust_reply_body(reply, &body));
    CHECK(status == 400 && holds(body, "unknown selector") && holds(body, "\"selector\":0"));
    OK(oust_reply_free(reply));
    OK(oust_history_json(cache, 1, &reply));
    OK(oust_reply_body(reply, &body));
    CHECK(holds(body, "\"by\":\"me\"") && !holds(body, "\"by\":\"c\""));
    OK(oust_reply_free(reply));
    OK(oust_stats_json(cache, &reply));
    OK(oust_reply_body(reply, &body));
    CHECK(holds(body, "\"lookups\"") && holds(body, "\"l2\":{\"state\":\"off\"}"));
    OK(oust_reply_free(reply));
    OK(oust_purge(cache, NULL, two, 1, &purged));
    OK(oust_sweep(cache));
    OK(oust_purge_state(cache, purged.epoch, purged.seq, &purged));
    CHECK(purged.swept == 1);
    CHECK(oust_purge_state(cache, 1, 1, &purged) == OUST_E_UNKNOWN);
    CHECK(store(cache, "http://h/d/a.jpg", "x", 1, "t") == OUST_REASON_NONE);
    OK(oust_end_url(cache, k, &ended));
    CHECK(ended == 1 && outcome(cache, "http://h/d/a.jpg") == OUST_MISS);
    OK(oust_end_url(cache, k, NULL));
    OK(oust_key_free(k));
    OK(oust_close(cache));
}

static void sites_and_accounts(void) {
    oust_cache *cache = open_cache("[[site]]\nhosts = [\"www.example.com\"]\naliases = [\"example.com\"]\nkey = { query = \"drop\" }\n"
                                   "[[account]]\nname = \"acme\"\nhosts = [\"www.example.com\"]\nazion = { tokens = [\"T1\"] }\n"
                                   "cdnetworks = { user = \"u\", api_key = \"k\" }\n");
    oust_key *k = NULL;
    oust_slice t;
    oust_reply *reply = NULL;
    oust_field fields[] = {field("Authorization", "Token T1"), field("Host", "api.azion.com")};
    const char *json = "{\"urls\":[\"www.example.com/a\"],\"method\":\"delete\"}";
    oust_api_request request = {.size = sizeof request, .method = text("POST"), .target = text("/purge/url"),
                                .fields = fields, .field_count = 2, .body = text(json), .peer = text("192.0.2.1:99")};
    oust_webhook webhook = {.size = sizeof webhook};
    uint32_t status = 0;
    OK(oust_key_of_request(cache, text("http"), text("Example.com"), text("/a?q"), NULL, 0, &k));
    OK(oust_key_text(k, &t));
    CHECK(is(t, "http://www.example.com/a"));
    OK(oust_key_free(k));
    CHECK(oust_key_of_request(cache, text("http"), text("other"), text("/"), NULL, 0, &k) == OUST_E_HOST);
    CHECK(oust_key_of_request(cache, text("http"), text("a b"), text("/"), NULL, 0, &k) == OUST_E_KEY);
    CHECK(store(cache, "http://www.example.com/a", "x", 1, "") == OUST_REASON_NONE);
    CHECK(outcome(cache, "http://www.example.com/a") == OUST_HIT);
    OK(oust_api_handle(cache, &request, &reply));
    OK(oust_reply_status(reply, &status));
    OK(oust_reply_url(reply, &t));
    CHECK(status == 207 && t.len == 0);
    OK(oust_reply_free(reply));
    CHECK(outcome(cache, "http://www.example.com/a") == OUST_MISS);
    fields[0] = field("Authorization", "Token T2");
    OK(oust_api_handle(cache, &request, &reply));
    OK(oust_reply_status(reply, &status));
    CHECK(status == 401);
    OK(oust_reply_free(reply));
    request.target = text("/nothing");
    OK(oust_api_handle(cache, &request, &reply));
    OK(oust_reply_status(reply, &status));
    CHECK(status == 404);
    OK(oust_reply_free(reply));
    request.target = text("no path");
    CHECK(oust_api_handle(cache, &request, &reply) == OUST_E_FIELD && reply == NULL);
    request.target = text("/x"), request.peer = text("nobody");
    CHECK(oust_api_handle(cache, &request, &reply) == OUST_E_FIELD);
    CHECK(oust_webhook_next(cache, &webhook) == OUST_END);
    OK(oust_webhook_done(cache, 1, 1));
    OK(oust_close(cache));
    cache = open_cache("");
    CHECK(oust_api_handle(cache, &request, &reply) == OUST_E_CONFIG);
    CHECK(oust_webhook_next(cache, &webhook) == OUST_E_CONFIG);
    OK(oust_close(cache));
}

static void misuse(void) {
    oust_cache *cache = open_cache(""), *other = open_cache("");
    oust_key *k = key("http://h/m");
    oust_found found = {.size = sizeof found};
    oust_hit *hit;
    struct { oust_found found; char more[64]; } later;
    oust_purge_options options[2];
    oust_selector selector = {.kind = OUST_BY_ALL};
    CHECK(store(cache, "http://h/m", "x", 1, "") == OUST_REASON_NONE);
    CHECK(oust_lookup(NULL, k, NULL, 0, &found) == OUST_E_NULL);
    CHECK(oust_lookup(cache, NULL, NULL, 0, &found) == OUST_E_NULL);
    CHECK(oust_lookup(cache, k, NULL, 0, NULL) == OUST_E_NULL);
    CHECK(oust_lookup((oust_cache *)k, k, NULL, 0, &found) == OUST_E_HANDLE);
    CHECK(strstr(oust_last_error(), "a key was given where a cache belongs"));
    CHECK(oust_lookup(cache, (oust_key *)cache, NULL, 0, &found) == OUST_E_HANDLE);
    CHECK(oust_lookup((oust_cache *)&found, k, NULL, 0, &found) == OUST_E_HANDLE);
    CHECK(oust_lookup((oust_cache *)(uintptr_t)UINTPTR_MAX, k, NULL, 0, &found) == OUST_E_HANDLE);
    CHECK(oust_lookup((oust_cache *)(uintptr_t)1, k, NULL, 0, &found) == OUST_E_HANDLE);
    found.size = 0;
    CHECK(oust_lookup(cache, k, NULL, 0, &found) == OUST_E_ARGUMENT);
    found.size = sizeof found - 1;
    CHECK(oust_lookup(cache, k, NULL, 0, &found) == OUST_E_ARGUMENT);
    found.size = (size_t)-1;
    CHECK(oust_lookup(cache, k, NULL, 0, &found) == OUST_E_ARGUMENT);
    found.size = sizeof found;
    CHECK(oust_lookup(cache, k, NULL, 0, (oust_found *)((char *)&found + 1)) == OUST_E_ARGUMENT);
    /* A structure of a later version. */
    memset(&later, 7, sizeof later);
    later.found.size = sizeof later;
    OK(oust_lookup(cache, k, NULL, 0, &later.found));
    CHECK(later.found.outcome == OUST_HIT && later.found.size == sizeof later && later.more[0] == 7);
    OK(oust_hit_free(later.found.hit));
    memset(options, 0, sizeof options);
    options[0].size = sizeof options;
    OK(oust_purge(other, options, &selector, 1, NULL));
    options[1].action = 1;
    CHECK(oust_purge(other, options, &selector, 1, NULL) == OUST_E_ARGUMENT);
    /* Freed twice, used after. */
    OK(oust_lookup(cache, k, NULL, 0, &found));
    hit = found.hit;
    OK(oust_hit_free(hit));
    CHECK(oust_hit_free(hit) == OUST_E_HANDLE);
    OK(oust_lookup(cache, k, NULL, 0, &found));
    CHECK(found.hit != hit && oust_hit_free(hit) == OUST_E_HANDLE);
    CHECK(oust_key_free((oust_key *)found.hit) == OUST_E_HANDLE);
    OK(oust_hit_free(found.hit));
    OK(oust_close(other));
    CHECK(oust_close(other) == OUST_E_HANDLE);
    CHECK(oust_flush(other) == OUST_E_HANDLE);
    OK(oust_close(NULL));
    OK(oust_hit_free(NULL));
    OK(oust_key_free(NULL));
    OK(oust_reader_free(NULL));
    OK(oust_writer_abort(NULL));
    CHECK(oust_writer_append(NULL, NULL, 0) == OUST_E_NULL);
    CHECK(oust_deferred_take(NULL, &found) == OUST_E_NULL);
    OK(oust_key_free(k));
    OK(oust_close(cache));
}

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t called;
    int calls;
};

static void wake_up(void *data) {
    struct wait *wait = data;
    pthread_mutex_lock(&wait->lock);
    wait->calls++;
    pthread_cond_signal(&wait->called);
    pthread_mutex_unlock(&wait->lock);
}

/* With pread every read of the second tier that is not in its own memory is deferred. */
static void second_tier(const char *dir) {
    char config[4096];
    oust_cache *cache;
    oust_found found = {.size = sizeof found};
    oust_hit_info info = {.size = sizeof info};
    oust_figures figures = {.size = sizeof figures};
    oust_purged purged = {.size = sizeof purged};
    oust_selector selector = {.kind = OUST_BY_URL, .text = text("http://h/0")};
    oust_slice notice, slice;
    oust_key *k;
    size_t len = 20000, count, at, deferred = 0;
    uint8_t *body = malloc(len);
    struct wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    int round;
    memset(body, 'b', len);
    snprintf(config, sizeof config, "[edge]\nsize = \"8MiB\"\n[l2]\ndir = '%s'\nsize = \"64MiB\"\nmedia = \"pread\"\n", dir);
    cache = open_cache(config);
    for (at = 0; at < 40; at++) {
        char url[64];
        snprintf(url, sizeof url, "http://h/%d", (int)at);
        CHECK(store(cache, url, body, len, "") == OUST_REASON_NONE);
        CHECK(outcome(cache, url) == OUST_HIT);
        CHECK(outcome(cache, url) == OUST_HIT);
    }
    OK(oust_flush(cache));
    OK(oust_purge(cache, NULL, &selector, 1, &purged));
    CHECK(purged.durable == 1);
    OK(oust_stats(cache, &figures));
    CHECK(figures.l2_objects > 0);
    OK(oust_close(cache));

    cache = open_cache(config);
    OK(oust_notice(cache, &notice));
    CHECK(notice.len == 0);
    CHECK(oust_open(config, strlen(config), (oust_cache **)&k) == OUST_E_STORAGE);
    do { /* Until what is on disk is read in. */
        oust_reply *reply;
        oust_slice text;
        OK(oust_stats_json(cache, &reply));
        OK(oust_reply_body(reply, &text));
        round = holds(text, "\"state\":\"loading\"");
        OK(oust_reply_free(reply));
    } while (round);
    CHECK(outcome(cache, "http://h/0") == OUST_MISS);
    for (at = 1; at < 40; at++) {
        char url[64];
        oust_code code;
        snprintf(url, sizeof url, "http://h/%d", (int)at);
        k = key(url);
        OK(oust_lookup(cache, k, NULL, 0, &found));
        if (found.outcome == OUST_DEFERRED) {
            oust_deferred *waits = found.deferred;
            CHECK(found.hit == NULL && waits);
            deferred++;
            pthread_mutex_lock(&wait.lock);
            wait.calls = 0;
            pthread_mutex_unlock(&wait.lock);
            code = oust_deferred_notify(waits, wake_up, &wait);
            CHECK(code == OUST_OK || code == OUST_PENDING);
            if (at % 3 == 0) {
                /* Given up: called all the same, once. */
                OK(oust_deferred_free(waits));
                CHECK(oust_deferred_free(waits) == OUST_E_HANDLE);
            }
            if (code == OUST_PENDING) {
                pthread_mutex_lock(&wait.lock);
                while (wait.calls == 0) pthread_cond_wait(&wait.called, &wait.lock);
                CHECK(wait.calls == 1);
                pthread_mutex_unlock(&wait.lock);
            }
            if (at % 3 == 0) {
                OK(oust_key_free(k));
                continue;
            }
            OK(oust_deferred_take(waits, &found));
            CHECK(oust_deferred_take(waits, &found) == OUST_E_HANDLE);
        }
        if (found.outcome == OUST_HIT) {
            OK(oust_hit_describe(found.hit, &info));
            CHECK(info.body_len == len && info.slices >= 1);
            OK(oust_hit_body(found.hit, 0, &slice, 1, &count));
            CHECK(count == 1 && slice.data[0] == 'b' && slice.data[slice.len - 1] == 'b');
            OK(oust_hit_free(found.hit));
        } else {
            CHECK(found.outcome == OUST_MISS);
        }
        OK(oust_key_free(k));
    }
    CHECK(deferred > 0);
    /* One that waits when the cache is closed ends all the same. */
    k = key("http://h/39");
    OK(oust_lookup(cache, k, NULL, 0, &found));
    OK(oust_close(cache));
    if (found.outcome == OUST_DEFERRED) OK(oust_deferred_wait(found.deferred, &found));
    OK(oust_hit_free(found.hit));
    OK(oust_key_free(k));
    free(body);
}

struct load {
    oust_cache *cache;
    oust_key *keys[16];
    oust_request *request;
    atomic_int hits;
};

#define ROUNDS 400

static void *look_up(void *data) {
    struct load *load = data;
    int round;
    for (round = 0; round < ROUNDS; round++) {
        oust_found found = {.size = sizeof found};
        oust_fetched fetched = {.size = sizeof fetched};
        oust_key *k = load->keys[round % 16];
        OK(oust_lookup_request(load->cache, k, load->request, &found));
        if (found.hit) {
            CHECK(found.body.len == 4 && memcmp(found.body.data, "body", 4) == 0);
            atomic_fetch_add(&load->hits, 1);
            OK(oust_hit_free(found.hit));
            continue;
        }
        OK(oust_fetch(load->cache, k, NULL, 0, NULL, 0, &fetched));
        if (fetched.kind == OUST_LEAD) {
            oust_freshness f = fresh(60000);
            oust_writer *writer;
            oust_head *head;
            oust_slice tag = text("t");
            OK(oust_head_new(200, NULL, 0, &head));
            OK(oust_ticket_respond(fetched.ticket, head, 4, &f, &tag, 1, &writer));
            OK(oust_writer_append(writer, (const uint8_t *)"bo", 2));
            OK(oust_writer_append(writer, (const uint8_t *)"dy", 2));
            OK(oust_writer_finish(writer, NULL));
            OK(oust_head_free(head));
        } else if (fetched.kind == OUST_JOIN) {
            struct wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
            oust_answer answer = {.size = sizeof answer};
            oust_slice chunk;
            size_t len = 0;
            oust_code code;
            while ((code = oust_reader_poll_answer(fetched.reader, wake_up, &wait, &answer)) == OUST_PENDING) {
                pthread_mutex_lock(&wait.lock);
                while (wait.calls == 0) pthread_cond_wait(&wait.called, &wait.lock);
                wait.calls = 0;
                pthread_mutex_unlock(&wait.lock);
            }
            CHECK(code == OUST_OK);
            OK(oust_head_free(answer.head));
            OK(oust_hit_free(answer.hit));
            while (answer.kind == OUST_ANSWER_HEAD) {
                code = oust_reader_poll_chunk(fetched.reader, wake_up, &wait, &chunk);
                if (code == OUST_END) break;
                if (code == OUST_OK) {
                    len += chunk.len;
                    continue;
                }
                CHECK(code == OUST_PENDING);
                pthread_mutex_lock(&wait.lock);
                while (wait.calls == 0) pthread_cond_wait(&wait.called, &wait.lock);
                wait.calls = 0;
                pthread_mutex_unlock(&wait.lock);
            }
            CHECK(answer.kind != OUST_ANSWER_HEAD || len == 4);
            OK(oust_reader_free(fetched.reader));
        } else {
            OK(oust_hit_free(fetched.hit));
        }
    }
    return NULL;
}

static void *purge_on(void *data) {
    struct load *load = data;
    int round;
    for (round = 0; round < ROUNDS / 8; round++) {
        CHECK(purge(load->cache, round % 2 ? OUST_BY_TAG : OUST_BY_PATTERN, round % 2 ? "t" : "http://h/c*", OUST_DELETE) == OUST_OK);
    }
    return NULL;
}

static void *fail_here(void *data) {
    oust_key *k;
    CHECK(strcmp(oust_last_error(), "") == 0);
    CHECK(oust_key_from_url((const uint8_t *)"https://h:x/", 12, &k) == OUST_E_KEY);
    CHECK(strstr(oust_last_error(), "port"));
    return data;
}

static void threads(void) {
    struct load load;
    pthread_t all[6], one;
    oust_key *k;
    size_t at;
    memset(&load, 0, sizeof load);
    load.cache = open_cache("[edge]\nsize = \"32MiB\"\n");
    OK(oust_request_new(NULL, 0, &load.request));
    for (at = 0; at < 16; at++) {
        char url[32];
        snprintf(url, sizeof url, "http://h/c%d", (int)at);
        load.keys[at] = key(url);
    }
    for (at = 0; at < 6; at++) CHECK(pthread_create(&all[at], NULL, at < 4 ? look_up : purge_on, &load) == 0);
    for (at = 0; at < 6; at++) CHECK(pthread_join(all[at], NULL) == 0);
    CHECK(atomic_load(&load.hits) > 0);
    /* After a purge has returned nothing of before is served. */
    CHECK(purge(load.cache, OUST_BY_ALL, "", OUST_DELETE) == OUST_OK);
    for (at = 0; at < 16; at++) {
        oust_found found = {.size = sizeof found};
        OK(oust_lookup_request(load.cache, load.keys[at], load.request, &found));
        CHECK(found.outcome == OUST_MISS);
        OK(oust_key_free(load.keys[at]));
    }
    OK(oust_request_free(load.request));
    OK(oust_close(load.cache));
    /* Errors are each thread's own. */
    CHECK(oust_key_from_url((const uint8_t *)"ftp://h/", 8, &k) == OUST_E_KEY);
    CHECK(pthread_create(&one, NULL, fail_here, NULL) == 0 && pthread_join(one, NULL) == 0);
    CHECK(strstr(oust_last_error(), "http://"));
}

static void *everything(void *dir) {
    OK(oust_install_sigbus_handler());
    CHECK(oust_open_handles() == 0);
    keys_and_errors();
    configurations();
    hits();
    variants();
    fills();
    revalidation();
    purges();
    sites_and_accounts();
    misuse();
    second_tier(dir);
    threads();
    CHECK(oust_open_handles() == 0);
    puts("all of the ABI: ok");
    return NULL;
}

/* In a thread that ends, so that what the library keeps by thread is seen to be freed. */
int main(int argc, char **argv) {
    pthread_t thread;
    CHECK(argc == 2);
    CHECK(pthread_create(&thread, NULL, everything, argv[1]) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
