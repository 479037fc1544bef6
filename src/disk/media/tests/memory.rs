//! What is special to files in memory.
