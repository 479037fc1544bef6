//! Naive reference implementations to test the engine against.
