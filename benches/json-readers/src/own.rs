//! The project's own reader, from its sources, because a part of its interface is private.

#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
#[path = "../../../crates/idaas-callback/src/json/mod.rs"]
pub mod json;
#[path = "../callback/walk.rs"]
pub mod walk;
