//! The integration tests: one binary, real sockets.

// What a test cannot set up, it fails by; clippy knows tests only by their attribute, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod keys;
