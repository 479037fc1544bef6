//! The C ABI. The only module of this crate with unsafe code: `raw` looks at the caller's pointers, `table` keeps handles, `wake` calls back; what
//! remains unsafe in the functions themselves is to pass on the caller's duties, which the crate's documentation numbers.
#![allow(unsafe_code, reason = "a C ABI is made of pointers that only the caller can vouch for")]
#![allow(non_camel_case_types, reason = "names as C has them")]

pub(crate) mod cache;
pub(crate) mod fill;
pub(crate) mod head;
pub(crate) mod lookup;
pub(crate) mod purge;
pub(crate) mod raw;
pub(crate) mod reader;
pub(crate) mod reply;
pub(crate) mod table;
pub mod types;
pub(crate) mod wake;

#[cfg(test)]
mod tests;

pub use cache::*;
pub use fill::*;
pub use head::*;
pub use lookup::*;
pub use purge::*;
pub use reader::*;
pub use reply::*;
pub use types::*;
