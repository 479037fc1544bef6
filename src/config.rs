//! Configuration of a cache.

use std::sync::Arc;

use crate::cache::{Cache, Settings};
use crate::clock::{Clock, SystemClock};
use crate::site::Sites;

/// How a cache is built. Unset fields take the documented default.
#[derive(Debug, Clone, Default)]
pub struct Config {
    edge_size: Option<u64>,
    max_object: Option<u64>,
    shards: Option<usize>,
    max_rules: Option<usize>,
    max_batch: Option<usize>,
    history: Option<usize>,
    background_sweep: Option<bool>,
    clock: Option<Arc<dyn Clock>>,
    sites: Option<Sites>,
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

    /// Rules whose purges are kept in the history, as long as their selectors take no more than 64 MiB. Default 100,000.
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

    /// Builds the cache, and starts its sweeper thread unless told not to.
    ///
    /// # Errors
    ///
    /// Names the field and the limit that a value passes, or says that the thread could not be started.
    pub fn build(self) -> Result<Cache, BuildError> {
        let edge_size = self.edge_size.unwrap_or(256 << 20);
        if edge_size < MIN_EDGE {
            return Err(BuildError::new(format!("edge size is {edge_size} bytes, the least is {MIN_EDGE}")));
        }
        let shards = match self.shards {
            Some(shards) if shards.is_power_of_two() && shards <= MAX_SHARDS => shards,
            Some(shards) => {
                return Err(BuildError::new(format!("shards is {shards}, not a power of two up to {MAX_SHARDS}")));
            }
            None => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                // A shard of a small cache must still hold more than a few objects.
                let fit = usize::try_from(edge_size / MIN_EDGE).unwrap_or(MAX_SHARDS).max(1);
                (4 * cores).next_power_of_two().min(MAX_SHARDS).min(1 << fit.ilog2())
            }
        };
        let max_object = self.max_object.unwrap_or(64 << 20);
        if max_object > MAX_OBJECT {
            return Err(BuildError::new(format!("max object is {max_object} bytes, the most is {MAX_OBJECT}")));
        }
        let positive = |name: &str, value: usize| {
            if value == 0 { Err(BuildError::new(format!("{name} is 0, the least is 1"))) } else { Ok(value) }
        };
        let settings = Settings {
            edge_size,
            max_object: max_object.min(edge_size),
            shards,
            max_rules: positive("max rules", self.max_rules.unwrap_or(100_000))?,
            max_batch: positive("max batch", self.max_batch.unwrap_or(10_000))?,
            history: positive("history", self.history.unwrap_or(100_000))?,
            background_sweep: self.background_sweep.unwrap_or(true),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            sites: self.sites.unwrap_or_default(),
        };
        Cache::new(settings)
            .map_err(|error| BuildError::new(format!("the sweeper thread could not be started: {error}")))
    }
}

/// Least size of the memory tier: its fixed structures and a few objects.
const MIN_EDGE: u64 = 1 << 20;
const MAX_SHARDS: usize = 256;
/// An entry's lengths are 32 bits.
const MAX_OBJECT: u64 = 2 << 30;

/// Why a configuration cannot be built. `Display` names the field, its value and the limit.
#[derive(Debug)]
pub struct BuildError {
    message: String,
}

impl BuildError {
    fn new(message: String) -> Self {
        Self { message }
    }
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BuildError {}
