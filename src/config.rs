//! Configuration of a cache.

use std::sync::Arc;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::site::Sites;

/// How a cache is built. Unset fields take the documented default.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub(crate) edge_size: Option<u64>,
    pub(crate) max_object: Option<u64>,
    pub(crate) shards: Option<usize>,
    pub(crate) max_rules: Option<usize>,
    pub(crate) max_batch: Option<usize>,
    pub(crate) history: Option<usize>,
    pub(crate) background_sweep: Option<bool>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) sites: Option<Sites>,
}

impl Config {
    /// A configuration with every field at its default.
    pub fn new() -> Self {
        Self::default()
    }
    /// Capacity of the memory tier in bytes. Default 256 MiB.
    pub fn edge_size(mut self, bytes: u64) -> Self {
        self.edge_size = Some(bytes);
        self
    }
    /// Largest object that is stored, in bytes of body. Default 64 MiB.
    pub fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = Some(bytes);
        self
    }
    /// Number of shards. Default: four for each core, a power of two.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }
    /// Cap of live rules. Default 100,000.
    pub fn max_rules(mut self, rules: usize) -> Self {
        self.max_rules = Some(rules);
        self
    }
    /// Most selectors in one purge. Default 10,000.
    pub fn max_batch(mut self, selectors: usize) -> Self {
        self.max_batch = Some(selectors);
        self
    }
    /// Purges kept in the history. Default 100,000.
    pub fn history(mut self, purges: usize) -> Self {
        self.history = Some(purges);
        self
    }
    /// Whether a thread of the cache sweeps published rules. Default true; without it call [`Cache::sweep`].
    pub fn background_sweep(mut self, yes: bool) -> Self {
        self.background_sweep = Some(yes);
        self
    }
    /// The clock for freshness. Default [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }
    /// Sites whose aliases and key policies apply to the selectors of purges. Default: none.
    pub fn sites(mut self, sites: Sites) -> Self {
        self.sites = Some(sites);
        self
    }
    /// Builds the cache.
    pub fn build(self) -> Result<Cache, BuildError> {
        todo!()
    }
}

/// Why a configuration cannot be built.
#[derive(Debug)]
pub struct BuildError {
    pub(crate) message: String,
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for BuildError {}
