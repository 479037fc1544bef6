//! The `Storage` trait, called as Pingora calls it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, SystemTime};

use oust::{Action, Key, Purge, Selector};
use oust_pingora::{OustStorage, engine_key, selector_of};
use pingora_cache::key::CacheHashKey;
use pingora_cache::storage::{HandleHit, MissFinishType};
use pingora_cache::trace::{Span, SpanHandle};
use pingora_cache::{
    CacheEntryKey, CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_http::ResponseHeader;

const HOUR: Duration = Duration::from_secs(3600);

fn storage() -> &'static OustStorage {
    // Nothing is swept but by the test.
    OustStorage::leak(oust::Config::new().edge_size(64 << 20).background_sweep(false).build().unwrap())
}

fn span() -> SpanHandle {
    Span::inactive().handle()
}

fn meta(fields: &[(&'static str, &'static str)]) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    for (name, value) in fields {
        header.append_header(*name, *value).unwrap();
    }
    let now = SystemTime::now();
    CacheMeta::new(now + HOUR, now, 60, 60, header)
}

fn key(storage: &OustStorage, url: &str) -> CacheKey {
    storage.key_of(&Key::parse(url.as_bytes()).unwrap())
}

async fn look(storage: &'static OustStorage, key: &CacheKey) -> Option<(CacheMeta, HitHandler)> {
    storage.lookup(key, &span()).await.unwrap()
}

async fn begin(storage: &'static OustStorage, key: &CacheKey, meta: &CacheMeta) -> MissHandler {
    assert!(look(storage, key).await.is_none());
    storage.get_miss_handler(key, meta, &span()).await.unwrap()
}

async fn put(storage: &'static OustStorage, key: &CacheKey, meta: &CacheMeta, body: &'static str) -> usize {
    let mut miss = begin(storage, key, meta).await;
    miss.write_body(body.into(), true).await.unwrap();
    match miss.finish().await.unwrap() {
        MissFinishType::Created(weight) => weight,
        MissFinishType::Appended(..) => panic!("nothing is appended"),
    }
}

async fn read(hit: &mut HitHandler) -> String {
    let mut body = Vec::new();
    while let Some(chunk) = hit.read_body().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).unwrap()
}

async fn body(storage: &'static OustStorage, key: &CacheKey) -> Option<String> {
    let (_, mut hit) = look(storage, key).await?;
    Some(read(&mut hit).await)
}

#[tokio::test]
async fn meta_comes_back_as_it_was_given() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    let fields = [("X-Case", "is not kept"), ("vary", "a"), ("set-thing", "1"), ("vary", "b"), ("set-thing", "2")];
    let mut given = meta(&fields);
    given.set_variance_key([7; 16]);
    put(storage, &key, &given, "abc").await;
    let (found, hit) = look(storage, &key).await.unwrap();
    assert_eq!(found.serialize().unwrap().0, given.serialize().unwrap().0);
    assert_eq!(found.headers(), given.headers());
    let (found, given) = (found.response_header(), given.response_header());
    assert_eq!((found.status, found.version), (given.status, given.version));
    assert!(hit.can_seek() && hit.can_seek_multipart());
}

#[tokio::test]
async fn numbers_and_weights_agree_from_the_miss_on() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    let mut miss = begin(storage, &key, &meta(&[])).await;
    let id = miss.entry_id();
    assert!(id.is_some());
    miss.write_body("abc".into(), true).await.unwrap();
    let MissFinishType::Created(weight) = miss.finish().await.unwrap() else { panic!() };
    let (_, hit) = look(storage, &key).await.unwrap();
    assert_eq!((hit.entry_id(), hit.get_eviction_weight()), (id, weight));
    // A 304 changes neither body nor number.
    assert!(storage.update_meta(&key, &meta(&[("x", "new")]), &span()).await.unwrap());
    let (found, mut hit) = look(storage, &key).await.unwrap();
    assert_eq!(hit.entry_id(), id);
    assert_eq!(found.headers()["x"], "new");
    assert_eq!(read(&mut hit).await, "abc");
}

#[tokio::test]
async fn a_range_is_read_again_and_again() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    put(storage, &key, &meta(&[]), "0123456789").await;
    let (_, mut hit) = look(storage, &key).await.unwrap();
    for (start, end, part) in [(2, Some(5), "234"), (0, Some(1), "0"), (7, None, "789"), (8, Some(99), "89")] {
        hit.seek(start, end).unwrap();
        assert_eq!(read(&mut hit).await, part);
    }
    assert!(hit.seek(10, None).is_err());
    assert!(hit.seek(5, Some(4)).is_err());
}

#[tokio::test]
async fn a_range_is_cut_of_a_stream() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    let mut miss = begin(storage, &key, &meta(&[])).await;
    let tag = miss.streaming_write_tag().unwrap().to_vec();
    let (_, mut own) = storage.lookup_streaming_write(&key, Some(&tag), &span()).await.unwrap().unwrap();
    assert!(storage.lookup_streaming_write(&key, Some(&tag), &span()).await.unwrap().is_none(), "given once");
    let (_, mut joined) = look(storage, &key).await.unwrap();
    own.seek_multipart(2, Some(4)).unwrap();
    joined.seek(5, None).unwrap();
    for piece in ["012", "345", "6789"] {
        miss.write_body(piece.into(), false).await.unwrap();
    }
    assert_eq!(read(&mut own).await, "23");
    own.seek_multipart(6, Some(8)).unwrap();
    assert_eq!(read(&mut own).await, "67");
    assert!(own.seek(0, None).is_err(), "what has passed is gone");
    miss.finish().await.unwrap();
    assert_eq!(read(&mut joined).await, "56789");
}

#[tokio::test]
async fn a_dropped_writer_breaks_its_readers_and_stores_nothing() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    for short in [false, true] {
        let length: &[_] = if short { &[("content-length", "9")] } else { &[] };
        let mut miss = begin(storage, &key, &meta(length)).await;
        miss.write_body("abc".into(), false).await.unwrap();
        let (_, mut joined) = look(storage, &key).await.unwrap();
        assert_eq!(joined.read_body().await.unwrap().unwrap(), "abc");
        if short {
            // Ended as if it were whole.
            assert!(matches!(miss.finish().await.unwrap(), MissFinishType::Created(0)));
        } else {
            drop(miss);
        }
        assert!(joined.read_body().await.is_err());
        assert!(look(storage, &key).await.is_none());
    }
}

#[tokio::test]
async fn h8_hashes_name_a_url_with_its_variants_or_one_of_them() {
    let storage = storage();
    let primary = key(storage, "http://h/v");
    let neighbour = key(storage, "http://h/w");
    let mut second = key(storage, "http://h/v");
    second.set_variance_key([2; 16]);
    let mut first_meta = meta(&[]);
    first_meta.set_variance_key([1; 16]);
    let mut second_meta = meta(&[]);
    second_meta.set_variance_key([2; 16]);
    for (target, expire) in [(&primary, false), (&second, false), (&primary, true), (&second, true)] {
        put(storage, &primary, &first_meta, "one").await;
        put(storage, &second, &second_meta, "two").await;
        put(storage, &neighbour, &meta(&[]), "three").await;
        let compact = target.to_compact();
        let found = look(storage, target).await.unwrap().1.entry_id();
        if expire {
            let outcome = storage.expire(PurgeTarget::Active(&compact), &span()).await.unwrap();
            assert_eq!(outcome, PurgeOutcome::Expired);
        } else {
            let outcome = storage.purge(PurgeTarget::Active(&compact), PurgeType::Invalidation, &span()).await.unwrap();
            assert_eq!(outcome, PurgeOutcome::Purged(found));
        }
        let of_url = std::ptr::eq(target, &raw const primary);
        for (key, taken) in [(&primary, of_url), (&second, true), (&neighbour, false)] {
            let found = look(storage, key).await;
            let now = SystemTime::now();
            match found {
                None => assert!(taken && !expire),
                Some((meta, _)) => {
                    assert_eq!(!meta.is_fresh(now), taken && expire);
                    assert!(meta.serve_stale_while_revalidate(now), "windows stay");
                }
            }
        }
        storage.publish(Purge::new(Selector::All)).await.unwrap();
    }
    // By the variance of what is in the slot without one, too.
    put(storage, &primary, &first_meta, "one").await;
    let mut first = key(storage, "http://h/v");
    first.set_variance_key([1; 16]);
    storage.purge(PurgeTarget::Active(&first.to_compact()), PurgeType::Invalidation, &span()).await.unwrap();
    assert!(look(storage, &primary).await.is_none());
}

#[tokio::test]
async fn an_exact_target_is_one_generation() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    put(storage, &key, &meta(&[]), "old").await;
    let old = look(storage, &key).await.unwrap().1.entry_id();
    let target = CacheEntryKey::from_entry_id(key.to_compact(), old);
    storage.publish(Purge::new(Selector::All)).await.unwrap();
    put(storage, &key, &meta(&[]), "new").await;
    let purge =
        |target| async move { storage.purge(PurgeTarget::Exact(target), PurgeType::Eviction, &span()).await.unwrap() };
    assert_eq!(purge(&target).await, PurgeOutcome::NotFound);
    assert_eq!(body(storage, &key).await.as_deref(), Some("new"));
    let new = look(storage, &key).await.unwrap().1.entry_id();
    let target = CacheEntryKey::from_entry_id(key.to_compact(), new);
    assert_eq!(purge(&target).await, PurgeOutcome::Purged(new));
    assert_eq!(body(storage, &key).await, None);
}

#[tokio::test]
async fn invalidated_is_stale_with_no_window_and_soft_keeps_them() {
    let storage = storage();
    let key = key(storage, "http://h/a");
    let now = SystemTime::now();
    put(storage, &key, &meta(&[]), "a").await;
    storage.publish(Purge::new(Selector::All).action(Action::Soft)).await.unwrap();
    let (found, _) = look(storage, &key).await.unwrap();
    assert!(
        !found.is_fresh(SystemTime::now())
            && found.serve_stale_if_error(now)
            && found.serve_stale_while_revalidate(now)
    );
    storage.publish(Purge::new(Selector::All).action(Action::Invalidate)).await.unwrap();
    let (found, _) = look(storage, &key).await.unwrap();
    assert!(!found.is_fresh(now) && !found.serve_stale_if_error(now) && !found.serve_stale_while_revalidate(now));
}

/// H4, at each step between the lookup and the update.
#[tokio::test]
async fn h4_update_meta_is_fenced() {
    let storage = storage();
    for force in [false, true] {
        let key = key(storage, "http://h/a");
        put(storage, &key, &meta(&[]), "a").await;
        if !force {
            storage.publish(Purge::new(Selector::All).action(Action::Invalidate)).await.unwrap();
        }
        // With `force` it is fresh, and Pingora was told to validate it all the same.
        assert!(look(storage, &key).await.is_some());
        storage.publish(Purge::new(Selector::Host("h".into())).action(Action::Invalidate)).await.unwrap();
        storage.cache().sweep();
        assert!(!storage.update_meta(&key, &meta(&[]), &span()).await.unwrap());
        let (found, _) = look(storage, &key).await.unwrap();
        assert!(!found.is_fresh(SystemTime::now()));
        assert!(storage.update_meta(&key, &meta(&[]), &span()).await.unwrap());
        assert!(look(storage, &key).await.unwrap().0.is_fresh(SystemTime::now()));
        storage.publish(Purge::new(Selector::All)).await.unwrap();
    }
}

/// What is fetched although it was found fresh, or without a lookup, is stamped by the lookup or by the fence.
#[tokio::test]
async fn h1_a_fetch_without_a_ticket_is_fenced() {
    let storage = storage();
    for (looked, purged) in [(true, true), (true, false), (false, true), (false, false)] {
        let other = key(storage, "http://h/a");
        put(storage, &other, &meta(&[]), "old").await;
        let key = key(storage, "http://h/a");
        if looked {
            assert!(look(storage, &key).await.is_some());
        }
        let concerned = if purged { "http://h/a" } else { "http://h/b" };
        storage.publish(Purge::new(Selector::Url(concerned.into()))).await.unwrap();
        let mut miss = storage.get_miss_handler(&key, &meta(&[]), &span()).await.unwrap();
        miss.write_body("late".into(), true).await.unwrap();
        miss.finish().await.unwrap();
        assert_eq!(body(storage, &other).await, (!purged).then(|| "late".to_owned()));
        storage.publish(Purge::new(Selector::All)).await.unwrap();
    }
}

/// A key without a fence reads; what it writes is kept only while no purge can concern it.
#[tokio::test]
async fn a_key_without_a_fence_never_stores_what_a_purge_may_have_taken() {
    let storage = storage();
    let bare = || CacheKey::new("http://h/a", "");
    put(storage, &bare(), &meta(&[]), "one").await;
    assert_eq!(body(storage, &bare()).await.as_deref(), Some("one"));
    storage.publish(Purge::new(Selector::Tag("unrelated".into()))).await.unwrap();
    storage.publish(Purge::new(Selector::Url("http://h/a".into()))).await.unwrap();
    put(storage, &bare(), &meta(&[]), "two").await;
    assert_eq!(body(storage, &bare()).await, None);
    assert!(!storage.update_meta(&bare(), &meta(&[]), &span()).await.unwrap());
}

/// A clone is another request's key: neither takes the other's ticket.
#[tokio::test]
async fn a_clone_of_a_key_has_a_fence_of_its_own() {
    let storage = storage();
    let early = key(storage, "http://h/a");
    assert!(look(storage, &early).await.is_none());
    let late = early.clone();
    storage.publish(Purge::new(Selector::Url("http://h/a".into()))).await.unwrap();
    assert!(look(storage, &late).await.is_none());
    let mut miss = storage.get_miss_handler(&early, &meta(&[]), &span()).await.unwrap();
    miss.write_body("old".into(), true).await.unwrap();
    miss.finish().await.unwrap();
    assert!(look(storage, &early).await.is_none());
    let mut miss = storage.get_miss_handler(&late, &meta(&[]), &span()).await.unwrap();
    miss.write_body("new".into(), true).await.unwrap();
    miss.finish().await.unwrap();
    assert_eq!(body(storage, &early).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn keys_of_any_bytes_are_told_apart() {
    let storage = storage();
    let primaries: [&[u8]; 8] =
        [b"", b".", b"..", b"a/b", b"a%2Fb", b"\xff\x00", b"HTTP://h/a", b"http://pingora.invalid/k."];
    let mut names = Vec::new();
    for primary in primaries {
        let name = engine_key(&CacheKey::new(primary, "")).unwrap();
        assert!(!names.contains(&name), "{name:?}");
        names.push(name);
        put(storage, &storage.fence(CacheKey::new(primary, "")), &meta(&[]), "x").await;
    }
    storage.publish(Purge::new(Selector::Pattern("http://pingora.invalid/ka**".into()))).await.unwrap();
    for primary in primaries {
        let found = look(storage, &CacheKey::new(primary, "")).await.is_some();
        assert_eq!(found, !primary.starts_with(b"a"), "{primary:?}");
    }
    // Too long for the engine: it is not stored, and passes through.
    let long = storage.fence(CacheKey::new(vec![b'x'; 100_000], ""));
    assert!(storage.lookup(&long, &span()).await.is_err());
    let mut miss = storage.get_miss_handler(&long, &meta(&[]), &span()).await.unwrap();
    let tag = miss.streaming_write_tag().unwrap().to_vec();
    let (_, mut own) = storage.lookup_streaming_write(&long, Some(&tag), &span()).await.unwrap().unwrap();
    miss.write_body("abc".into(), true).await.unwrap();
    assert!(matches!(miss.finish().await.unwrap(), MissFinishType::Created(0)));
    assert_eq!(read(&mut own).await, "abc");
}

/// 128 bits of hash decide nothing: equal hashes of other bytes, or other hashes of equal bytes, are other objects.
#[tokio::test]
async fn equal_hashes_do_not_serve_each_other() {
    let storage = storage();
    let with = |url: &str, hash: u8| {
        let mut key = key(storage, url);
        key.set_primary_bin_override([hash; 16]);
        key
    };
    put(storage, &with("http://h/a", 1), &meta(&[]), "a").await;
    assert_eq!(body(storage, &with("http://h/b", 1)).await, None);
    assert_eq!(body(storage, &with("http://h/a", 2)).await, None);
    assert_eq!(body(storage, &with("http://h/a", 1)).await.as_deref(), Some("a"));
    let key = with("http://h/a", 1);
    assert_eq!(selector_of(&key), selector_of(&key.to_compact()));
    assert_eq!(key.primary_bin(), [1; 16]);
}

/// Extensions that were moved to another key lead nobody astray.
#[tokio::test]
async fn a_fence_of_another_key_is_not_believed() {
    let storage = storage();
    let fenced = key(storage, "http://h/a");
    let mut moved = CacheKey::new("http://h/b", "");
    assert!(look(storage, &fenced).await.is_none());
    moved.extensions = fenced.extensions.clone();
    put(storage, &moved, &meta(&[]), "b").await;
    assert_eq!(body(storage, &fenced).await, None);
    assert_eq!(body(storage, &moved).await.as_deref(), Some("b"));
}

#[test]
fn handlers_may_be_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<OustStorage>();
    fn object(_: &(dyn HandleHit + Sync + Send)) {}
    let _: fn(&(dyn HandleHit + Sync + Send)) = object;
}
