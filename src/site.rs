//! Sites: aliases, environments and key policies (to be built).

/// The sites of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Sites {}
