//! The [`oust`] engine as the cache storage of Pingora.

mod hit;
mod key;
mod meta;
mod miss;
mod purge;
mod storage;

pub use self::key::{VARIANCE, engine_key, selector_of};
pub use self::storage::OustStorage;
