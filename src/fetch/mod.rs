//! Reads the directory of an application through the Developer API of IDaaS and publishes it as `snapshot` records.
//!
//! | file | contents |
//! |---|---|
//! | `calls` | the calls that are made, with paths and permissions |
//! | `answers` | what an answer means: pure |
//! | `schedule` | when the next request may be sent and when the token is renewed: pure |
//! | `client` | requests over HTTP: token, rate limit, retries |
//! | `fault` | why a request failed, and the fix |
//! | `entities` | the API's objects under the field names of callbacks: pure |
//! | `walk` | which call is next, and what was found: pure |
//! | `known` | what the state topics know, and what a run has already published |
//! | `verify` | which entities are gone: pure |
//! | `run` | one run: reads, publishes, verifies |
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

pub use answers::Rejection;
pub use calls::Call;
pub use client::{ATTEMPTS, Answer, Client, ClientSettings, Notice, Notify};
pub use fault::{ApiFault, Cause};
