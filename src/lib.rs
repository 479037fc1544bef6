//! An embeddable HTTP edge cache engine built for **purging**.

pub mod cache;
pub mod clock;
pub mod config;
pub mod freshness;
pub mod key;
pub mod purge;
pub mod site;
pub mod vary;

pub use cache::{Admit, Cache, Fetch, FillReader, FillTicket, FillWriter, Head, Hit, Lookup, Reason};
pub use config::{BuildError, Config};
pub use key::Key;
pub use purge::{Action, Layers, Purge, PurgeError, Selector};
