//! The outbox at work: connects [`outbox::machine::Outbox`], which decides, to the producer, the journal and the requests.
//!
//! It adds nothing to what the machine says.

mod batch;
mod clients;
mod coordination;
pub mod dispatcher;
mod episodes;
mod event_log;
mod executor;
mod produce;
mod publication;
mod republish;
mod ticker;

pub use republish::Republished;
