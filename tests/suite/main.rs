//! The integration tests: one binary, real sockets.

mod keys;
//! The integration suite, one binary.
//! The one integration binary: one link step, whatever the number of tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
    reason = "a test's helpers fail by panicking, as the tests do"
)]

#[path = "../support/mod.rs"]
mod support;

mod schemas;
mod foreign_fixtures;
mod real_kafka;
