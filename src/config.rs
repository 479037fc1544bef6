//! Configuration of a cache.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{Cache, Settings};
use crate::clock::{Clock, SystemClock};
use crate::disk::media::{Access, Directory, Media};
use crate::l2;
use crate::site::Sites;

/// How a cache is built. Unset fields take the documented default.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing before `build`"]
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
    l2: Option<L2Config>,
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

    /// A second tier on disk, with a journal that makes purges durable. Default: none.
    pub fn l2(mut self, l2: L2Config) -> Self {
        self.l2 = Some(l2);
        self
    }

    /// Builds the cache, and starts its sweeper thread unless told not to.
    ///
    /// # Errors
    ///
    /// Names the field and the limit that a value passes, or says that a thread could not be started, or why the directory of the second tier
    /// cannot be used. A directory whose contents cannot be trusted is no error: they are discarded, and [`Cache::l2_notice`] says why.
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
            l2: self.l2.map(|l2| l2.build()).transpose()?,
        };
        Cache::new(settings)
    }
}

/// The second tier of a cache: a directory of its own, or any other [`Media`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing before `Config::l2` gets it"]
pub struct L2Config {
    media: Place,
    capacity: u64,
    segment_size: Option<u64>,
    write_rate: Option<u64>,
    readers: Option<usize>,
    distrust: bool,
    adopt: bool,
}

#[derive(Debug, Clone)]
enum Place {
    Directory(PathBuf, Access),
    Media(Arc<dyn Media>),
}

impl L2Config {
    /// A tier of up to `capacity` bytes in a directory, which is made if it is not there. Its segments are mapped.
    pub fn directory(path: impl Into<PathBuf>, capacity: u64) -> Self {
        Self::of(Place::Directory(path.into(), Access::Mmap), capacity)
    }

    /// A tier on a media of the caller's.
    pub fn media(media: Arc<dyn Media>, capacity: u64) -> Self {
        Self::of(Place::Media(media), capacity)
    }

    fn of(media: Place, capacity: u64) -> Self {
        Self { media, capacity, segment_size: None, write_rate: None, readers: None, distrust: false, adopt: false }
    }

    /// How files of a directory are read. Default: [`Access::Mmap`].
    pub fn access(mut self, access: Access) -> Self {
        if let Place::Directory(_, own) = &mut self.media {
            *own = access;
        }
        self
    }

    /// Bytes of a segment file, 1 MiB to 1 GiB. Default 64 MiB, less where the capacity holds fewer than eight of them.
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = Some(bytes);
        self
    }

    /// Bytes that may be written in a second; what exceeds it is not written. Default 256 MiB.
    pub fn write_rate(mut self, bytes: u64) -> Self {
        self.write_rate = Some(bytes);
        self
    }

    /// Threads that wait for the disk on behalf of lookups. Default 4.
    pub fn readers(mut self, threads: usize) -> Self {
        self.readers = Some(threads);
        self
    }

    /// Discards what is stored: for when a backup or a machine snapshot was restored, which cannot be seen from inside. Default false.
    pub fn distrust(mut self, yes: bool) -> Self {
        self.distrust = yes;
        self
    }

    /// Accepts a directory that was moved on purpose, with its journal. Default false.
    pub fn adopt(mut self, yes: bool) -> Self {
        self.adopt = yes;
        self
    }

    fn build(self) -> Result<l2::Options, BuildError> {
        let smallest = MIN_SEGMENT.saturating_mul(2);
        if self.capacity < smallest {
            return Err(BuildError::new(format!("l2 size is {} bytes, the least is {smallest}", self.capacity)));
        }
        let fits = (self.capacity / 8).next_power_of_two() / 2;
        let segment_size = self.segment_size.unwrap_or_else(|| fits.clamp(MIN_SEGMENT, DEFAULT_SEGMENT));
        if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&segment_size) || segment_size > self.capacity / 2 {
            let message = format!(
                "l2 segment is {segment_size} bytes, which is not between {MIN_SEGMENT} and {MAX_SEGMENT} or more than half of its size"
            );
            return Err(BuildError::new(message));
        }
        let readers = self.readers.unwrap_or(4);
        if readers == 0 || readers > MAX_READERS {
            return Err(BuildError::new(format!("l2 readers is {readers}, not between 1 and {MAX_READERS}")));
        }
        let media = match self.media {
            Place::Media(media) => media,
            Place::Directory(path, access) => {
                let directory = Directory::open(&path, access).map_err(|error| {
                    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                    // It names the directory.
                    BuildError::storage(format!("l2 directory {error}{cause}"))
                })?;
                Arc::new(directory)
            }
        };
        Ok(l2::Options {
            media,
            capacity: self.capacity,
            segment_size,
            distrust: self.distrust,
            adopt: self.adopt,
            write_rate: self.write_rate.unwrap_or(256 << 20).max(1),
            readers,
        })
    }
}

/// Least size of the memory tier: its fixed structures and a few objects.
const MIN_EDGE: u64 = 1 << 20;
const MAX_SHARDS: usize = 256;
const MIN_SEGMENT: u64 = 1 << 20;
const DEFAULT_SEGMENT: u64 = 64 << 20;
const MAX_SEGMENT: u64 = 1 << 30;
const MAX_READERS: usize = 64;
/// An entry's lengths are 32 bits.
const MAX_OBJECT: u64 = 2 << 30;

/// Why a configuration cannot be built. `Display` names the field, its value and the limit.
#[derive(Debug)]
pub struct BuildError {
    message: String,
    storage: bool,
}

impl BuildError {
    pub(crate) fn new(message: String) -> Self {
        Self { message, storage: false }
    }

    pub(crate) fn storage(message: String) -> Self {
        Self { message, storage: true }
    }

    /// Whether the directory of the second tier is the reason, not the configuration: another process has it, or the file system fails.
    pub fn is_storage(&self) -> bool {
        self.storage
    }
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BuildError {}
