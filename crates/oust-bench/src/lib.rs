//! Peers of the benchmarks that need a library of the system, each behind a feature.
//!
//! Not published; the benches of `oust` are built with it, and say so where a peer is left out.

#[cfg(feature = "hyperscan")]
#[path = "hyperscan.rs"]
mod scanner;

#[cfg(not(feature = "hyperscan"))]
mod scanner {
    /// Hyperscan, which this build leaves out.
    #[derive(Debug)]
    pub struct Hyperscan(std::convert::Infallible);

    impl Hyperscan {
        /// # Errors
        ///
        /// Always: the feature is off.
        pub fn new(_: Vec<String>) -> Result<Self, String> {
            Err("built without the feature `hyperscan`".into())
        }

        /// Whether one of the patterns matches.
        pub fn is_match(&self, _: &[u8]) -> bool {
            match self.0 {}
        }
    }
}

pub use scanner::Hyperscan;
