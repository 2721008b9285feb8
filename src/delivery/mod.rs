//! The outbox at work: connects [`outbox::machine::Outbox`], which decides, to the producer, the journal and the requests.
//!
//! It adds nothing to what the machine says.

mod batch;
mod clients;
mod coordination;
pub mod dispatch;
mod drive;
mod episodes;
mod event_line;
mod package;
mod republish;
mod ticker;

pub use event_line::EventLine;
pub use republish::Republished;
