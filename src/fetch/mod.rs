//! Reads the directory of an application through the Developer API of IDaaS and publishes it as `snapshot` records.
//!
//! | file | contents |
//! |---|---|
//! | `calls` | the calls, with paths and permissions |
//! | `answers` | classifies answers; pure |
//! | `schedule` | rate limit, back-off and token renewal; pure |
//! | `client` | requests over HTTP: token, rate limit, retries |
//! | `fault` | the reasons why a request failed, with remedies |
//! | `entities` | converts the API's objects to the field names of callbacks; pure |
//! | `walk` | the order of the calls, and the entities found; pure |
//! | `known` | the entities in the state topics, and the records that a run has already published |
//! | `verify` | decides which entities are deleted; pure |
//! | `run` | one run: reads, publishes, verifies deletions |
//! | `summary` | the counts of a run |
//!
//! Nothing here logs the client secret, a token or the body of an answer.

mod answers;
mod calls;
mod client;
mod entities;
mod fault;
mod known;
pub mod run;
mod schedule;
pub mod summary;
mod verify;
mod walk;

pub use answers::{ApiResponse, Rejection};
pub use calls::Call;
pub use client::{ATTEMPTS, Client, ClientSettings, Notice, Notify};
pub use fault::{ApiFault, Cause};
