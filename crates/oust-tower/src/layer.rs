//! The layer: settings, and what makes services of them.

use std::fmt;
use std::sync::Arc;

use oust::Cache;
use oust::site::Sites;
use tower_layer::Layer;

use super::key::SiteKeys;
use super::options::Options;
use super::runtime::Tokio;
use super::service::{CacheService, Shared};

/// Puts a cache before an HTTP service. All services of one layer, and of any layers of one [`Cache`], share what is stored.
///
/// Cheap to clone. See the [crate](crate) for what it does.
///
/// `K` tells keys ([`KeyFor`](crate::KeyFor)), `R` runs fills ([`Runtime`](crate::Runtime)).
pub struct CacheLayer<K = SiteKeys, R = Tokio> {
    shared: Arc<Shared<K, R>>,
}

impl CacheLayer {
    /// A layer on `cache`, with keys by its sites, default options, and fills on tokio.
    pub fn new(cache: Cache) -> Self {
        let keys = SiteKeys::new(Sites::clone(&cache.sites()));
        Self { shared: Arc::new(Shared { cache, keys, options: Arc::new(Options::new()), runtime: Tokio }) }
    }
}

impl<K, R: Clone> CacheLayer<K, R> {
    /// With other keys.
    pub fn keys<L>(self, keys: L) -> CacheLayer<L, R> {
        let Shared { cache, options, runtime, .. } = &*self.shared;
        let (cache, options, runtime) = (cache.clone(), options.clone(), runtime.clone());
        CacheLayer { shared: Arc::new(Shared { cache, keys, options, runtime }) }
    }

    /// With other settings.
    pub fn options(self, options: Options) -> Self
    where
        K: Clone,
    {
        let Shared { cache, keys, runtime, .. } = &*self.shared;
        let (cache, keys, runtime) = (cache.clone(), keys.clone(), runtime.clone());
        Self { shared: Arc::new(Shared { cache, keys, options: Arc::new(options), runtime }) }
    }

    /// With fills on another runtime.
    pub fn runtime<T>(self, runtime: T) -> CacheLayer<K, T>
    where
        K: Clone,
    {
        let Shared { cache, keys, options, .. } = &*self.shared;
        let (cache, keys, options) = (cache.clone(), keys.clone(), options.clone());
        CacheLayer { shared: Arc::new(Shared { cache, keys, options, runtime }) }
    }
}

impl<S, K, R> Layer<S> for CacheLayer<K, R> {
    type Service = CacheService<S, K, R>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService::new(inner, Arc::clone(&self.shared))
    }
}

impl<K, R> Clone for CacheLayer<K, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, R> fmt::Debug for CacheLayer<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
