//! The runtime of the outbox: connects [`outbox::machine::Outbox`], which decides, to the producer, the journal and
//! the requests.
//!
//! Decides nothing itself.

mod admission;
mod callback_events;
mod clients;
mod coordination;
pub mod dispatcher;
mod event_log;
mod executor;
mod produce;
mod publication;
mod recovery;
mod republish;
pub mod request;
mod ticker;
mod waiting_log;

pub use republish::Republished;
