//! The merge rules: properties against a slow model, the cases that the example consumers share, and single rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail by panicking, as the tests do"
)]

mod folded;
mod model;
mod properties;
mod rules;
mod shared_cases;
