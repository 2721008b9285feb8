//! The one integration binary: one link step, whatever the number of tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as the tests do"
)]

mod deploy;
