//! Tests across dialects.
