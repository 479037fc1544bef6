//! The hybrid cache of foyer, with its block engine on the same file system, through the page cache too.

use std::path::Path;

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    PsyncIoEngineConfig,
};
use tokio::runtime::Runtime;

use crate::tier::sum;

pub(crate) struct Foyer {
    runtime: Runtime,
    cache: HybridCache<u64, Vec<u8>>,
}

impl Foyer {
    /// With memory for a few objects; each is written when it is inserted.
    pub(crate) fn open(path: &Path, capacity: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads start");
        let cache = runtime.block_on(async {
            let device = FsDeviceBuilder::new(path).with_capacity(capacity as usize).build().expect("a device");
            HybridCacheBuilder::new()
                .with_policy(HybridCachePolicy::WriteOnInsertion)
                .memory(8)
                .with_shards(1)
                .storage()
                .with_io_engine_config(PsyncIoEngineConfig::new())
                .with_engine_config(BlockEngineConfig::new(device).with_buffer_pool_size(64 << 20))
                .build()
                .await
                .expect("the configuration is valid")
        });
        Self { runtime, cache }
    }

    /// Stores so many objects, those of key 0 to `count`.
    pub(crate) fn write_all(&self, count: usize, body: &Bytes) {
        self.runtime.block_on(async {
            let mut since = 0;
            for key in 0..count as u64 {
                drop(self.cache.insert(key, body.to_vec()));
                since += body.len() + 4096;
                // What exceeds its buffers it does not write.
                if since > 8 << 20 {
                    self.cache.storage().wait().await;
                    since = 0;
                }
            }
            self.cache.storage().wait().await;
        });
    }

    /// How many of these are found; with `whole`, each is read to its end.
    pub(crate) fn find_all(&self, keys: impl Iterator<Item = u64>, whole: bool) -> usize {
        self.runtime.block_on(async {
            let mut found = 0;
            for key in keys {
                if let Ok(Some(entry)) = self.cache.get(&key).await {
                    found += 1;
                    std::hint::black_box(if whole { sum(entry.value()) } else { u64::from(entry.value()[0]) });
                }
            }
            found
        })
    }
}
