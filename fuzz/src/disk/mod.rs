//! Directories of the second tier, made and damaged, and opened by the engine.

mod codec;
mod damage;
mod directory;
mod files;
mod inspected;
mod journal;
mod opened;
mod scene;
mod segment;
mod view;

pub use codec::records_codec;
pub use directory::directory;
pub use journal::journal;
pub use segment::segment;
