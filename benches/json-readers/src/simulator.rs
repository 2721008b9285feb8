//! The events of the simulator, from its sources: its other dependencies are not needed here.

#![allow(dead_code, unreachable_pub, reason = "a part of it is used")]

#[path = "../../../crates/idaas-simulator/src/directory.rs"]
pub mod directory;
#[path = "../../../crates/idaas-simulator/src/events.rs"]
pub mod events;
#[path = "../../../crates/idaas-simulator/src/kind.rs"]
pub mod kind;
