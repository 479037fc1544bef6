//! Purging: the engine's selectors, and Pingora's targets.

use std::future::poll_fn;

use oust::cache::{Lookup, ObjectInfo};
use oust::purge::PurgeRecord;
use oust::{Action, Key, Purge, PurgeError, Selector};
use pingora_cache::key::CacheHashKey;
use pingora_cache::{CacheEntryId, PurgeOutcome, PurgeTarget};
use pingora_error::{Error, ErrorType, OrErr, Result};

use crate::key::{VARIANCE, hex, selecting, selector_of};
use crate::meta;
use crate::storage::OustStorage;

impl OustStorage {
    /// Publishes a purge of any kind. After it returns, no lookup that starts later finds what the purge takes, and no fetch that began before is
    /// stored. With a second tier it returns when the purge is on disk, and waits for that on tokio's blocking threads.
    ///
    /// ```
    /// use oust::{Purge, Selector};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let storage = oust_pingora::OustStorage::leak(oust::Config::new().edge_size(64 << 20).build()?);
    /// storage.publish(Purge::new(Selector::Pattern("https://example.com/img/**".into()))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Cache::purge`](oust::Cache::purge).
    ///
    /// # Cancel safety
    ///
    /// Given up, the purge takes place all the same, or did not begin.
    pub async fn publish(&self, purge: Purge) -> std::result::Result<PurgeRecord, PurgeError> {
        if !self.cache().has_l2() {
            return self.cache().purge(&purge);
        }
        let (cache, sent) = (self.cache().clone(), purge.clone());
        match tokio::task::spawn_blocking(move || cache.purge(&sent)).await {
            Ok(done) => done,
            // The runtime ends: whoever waits for this still gets it.
            Err(_) => self.cache().purge(&purge),
        }
    }

    pub(crate) async fn take(&self, target: PurgeTarget<'_>, action: Action) -> Result<PurgeOutcome> {
        let key = target.key();
        let selector = selector_of(key);
        let objects = self.objects(&selector).await?;
        let (selector, id) = match target {
            PurgeTarget::Active(_) => (selector, self.active(key, &objects).await),
            PurgeTarget::Exact(entry) => {
                let wanted = entry.entry_id();
                match self.exact(wanted, &objects).await {
                    Some(selector) => (selector, wanted),
                    None => return Ok(PurgeOutcome::NotFound),
                }
            }
        };
        let purge = Purge::new(selector).action(action).by("pingora");
        let done = self.publish(purge).await;
        done.map_err(|error| Error::because(ErrorType::InternalError, "purging the cache", error))?;
        Ok(if action == Action::Delete { PurgeOutcome::Purged(id) } else { PurgeOutcome::Expired })
    }

    async fn objects(&self, selector: &Selector) -> Result<Vec<ObjectInfo>> {
        let done = if self.cache().has_l2() {
            let (cache, selector) = (self.cache().clone(), selector.clone());
            let listing = tokio::task::spawn_blocking(move || cache.objects(&selector));
            listing.await.or_err(ErrorType::InternalError, "listing objects")?
        } else {
            self.cache().objects(selector)
        };
        done.map_err(|error| Error::because(ErrorType::InternalError, "listing objects", error))
    }

    /// The number of the object that a lookup of the target's key would find.
    async fn active(&self, key: &impl CacheHashKey, objects: &[ObjectInfo]) -> Option<CacheEntryId> {
        let wanted = key.variance_bin().map(|variance| hex(&variance));
        let slot = |object: &&ObjectInfo| variance_of(object) == wanted.as_deref();
        // A variant may be in the slot without a variance.
        let object = objects.iter().find(slot).or_else(|| objects.first())?;
        self.number(object).await.map(CacheEntryId::new)
    }

    /// The selector of the object of this number. What is stored in its place at this very moment is taken with it, and fetched again.
    async fn exact(&self, wanted: Option<CacheEntryId>, objects: &[ObjectInfo]) -> Option<Selector> {
        for object in objects {
            let Some(id) = self.number(object).await else { continue };
            if wanted.is_none_or(|wanted| wanted.get() == id) {
                let value = variance_of(object).map(|value| (VARIANCE.to_string(), value.to_owned()));
                return Some(Selector::Variant { key: object.key.clone(), headers: value.into_iter().collect() });
            }
        }
        None
    }

    async fn number(&self, object: &ObjectInfo) -> Option<u64> {
        let name = Key::parse(object.key.as_bytes()).ok()?;
        let mut request = selecting(None);
        if let Some(value) = variance_of(object) {
            request.insert(VARIANCE, value.parse().ok()?);
        }
        let found = match self.cache().lookup(&name, &request) {
            Lookup::Deferred(mut deferred) => poll_fn(|cx| deferred.poll(cx)).await,
            found => found,
        };
        match found {
            Lookup::Hit(hit) | Lookup::Stale(hit, _) | Lookup::MustValidate(hit, _) => Some(meta::open(&hit)?.0.id),
            _ => None,
        }
    }
}

/// The variance an object is stored for.
fn variance_of(object: &ObjectInfo) -> Option<&str> {
    let field = object.variant.iter().find(|(name, _)| name == VARIANCE.as_str());
    field.and_then(|(_, value)| value.as_deref())
}
