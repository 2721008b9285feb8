//! What our topics hold: records for commands, and what became of events.

mod backfill;
pub mod consumer;
pub mod correlate;
pub mod follow;
mod locate;
pub mod our_topics;
mod published_record;
pub mod reader;
pub mod recent_records;
pub mod scan;
