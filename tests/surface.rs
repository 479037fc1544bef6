//! What the public types are for whoever embeds the engine, checked when this is compiled.

use std::error::Error;
use std::fmt::Debug;

use oust::cache::{L2State, L2Stats, Stamp};
use oust::disk::media::{Access, Directory, File, Identity, Media, Memory, OpenError};
use oust::freshness::{self, Assessment, Demand, Directives, Freshness, Policy, RequestDirectives, Skip};
use oust::key::{KeyError, KeyRef};
use oust::purge::{self, InvalidPurgeId, MatchSet, Matcher, PurgeId, PurgeRecord, SelectorError};
use oust::site::{KeyPolicy, RequestError, Site, Sites, SitesError};
use oust::{
    Admit, Answer, BuildError, Cache, Chunks, Config, Deferred, Explained, Fetch, FillBroken, FillReader, FillTicket,
    FillWriter, Head, Hit, Key, L2Config, Lookup, ObjectInfo, Purge, PurgeError, Reason, Selector, Stats,
};

/// Moved to other threads and shared between them, held over an `await`, printed.
const fn everywhere<T: Send + Sync + Unpin + Debug + 'static>() {}

/// `?` into a boxed error of any kind, sent to another thread.
const fn error<T: Error + Send + Sync + 'static>() {}

macro_rules! all {
    ($check:ident: $($type:ty),+ $(,)?) => { const _: () = { $($check::<$type>();)+ }; };
}

all!(everywhere: Cache, Config, L2Config, Hit, Chunks, Head, Lookup, Deferred, Fetch, FillTicket, FillWriter, FillReader, Answer, Admit, Reason, Stamp);
all!(everywhere: Key, KeyRef<'static>, Purge, Selector, PurgeRecord, PurgeId, Explained, ObjectInfo, Stats, L2Stats, L2State, Matcher, MatchSet);
all!(everywhere: purge::Cost, purge::Usage, purge::Count, purge::Durability, purge::Class, purge::PurgeState, purge::PurgeErrorKind);
all!(everywhere: Freshness, Policy, Assessment, Skip, Demand, Directives, RequestDirectives, freshness::Exchange<'static>);
all!(everywhere: freshness::range::Multipart, freshness::range::Part, freshness::range::Selection);
all!(everywhere: Site, Sites, KeyPolicy, Access, Directory, Memory, Identity, Box<dyn Media>, Box<dyn File>);
all!(everywhere: oust::inspect::Inspection, oust::clock::SystemClock, oust::clock::ManualClock, Box<dyn oust::clock::Clock>);
all!(error: BuildError, PurgeError, SelectorError, KeyError, SitesError, RequestError, OpenError, FillBroken, InvalidPurgeId);
all!(error: oust::inspect::InspectError);

/// A purge's identity is text in URLs and tasks, and comes back.
#[test]
fn an_id_comes_back_from_its_text() {
    let cache = Config::new().build().expect("the defaults are valid");
    let id = cache.purge(&Purge::new(Selector::All)).expect("everything can be purged").id;
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in ["", "-", "1", "1-", "-1", "1-x", "x-1", "1-2-3", "99999999999999999999-1"] {
        assert!(text.parse::<PurgeId>().is_err(), "{text}");
    }
}

/// What refuses long lists beforehand refuses what the cache would.
#[test]
fn the_longest_batch_is_admitted_and_one_more_is_not() {
    let cache = Config::new().max_batch(3).build().expect("three is a length");
    assert_eq!(cache.max_batch(), 3);
    let batch = |length: usize| Purge::batch(vec![Selector::All; length]);
    assert!(cache.purge(&batch(3)).is_ok());
    let refused = cache.purge(&batch(4)).expect_err("one too many");
    assert_eq!((refused.kind(), refused.limit()), (purge::PurgeErrorKind::TooLarge, Some(("max_batch", 3))));
    assert_eq!((refused.selector(), refused.position()), (None, None));
}
