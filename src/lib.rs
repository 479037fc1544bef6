//! An embeddable HTTP edge cache engine built for **purging**.

pub mod cache;
pub mod clock;
mod config;
mod edge;
mod entry;
mod fill;
pub mod freshness;
pub mod key;
pub mod purge;
pub mod site;
mod sync;
pub mod vary;

pub use cache::{
    Admit, Answer, Cache, Explained, Fetch, FillBroken, FillReader, FillTicket, FillWriter, Head, Hit, Lookup,
    ObjectInfo, Reason, Stats,
};
pub use config::{BuildError, Config};
pub use key::Key;
pub use purge::{Action, Layers, Purge, PurgeError, Selector};
