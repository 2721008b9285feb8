//! Everything that meets Kafka: no other place knows the `rdkafka` crate.
//!
//! A folder imports only from folders below it:
//!
//! - `producer`, `history`, `state` and `replica_log` do the work: they publish events, read our topics, keep the state
//!   topics of `materialize`, and exchange the replicas' records. None of them imports another.
//! - `admin` knows what topics, brokers and rights should be and are. `history` and `state` take the topics' names from it.
//! - `availability` decides whether the cluster and its partitions accept records. `producer` asks it.
//! - `client` holds what every client needs: settings, headers, the polling thread, errors in our words. It imports
//!   nothing of the others, and neither does `embedded`, the broker for the demo and for tests.

pub mod admin;
pub mod availability;
pub mod client;
pub mod embedded;
pub mod history;
pub mod producer;
pub mod replica_log;
pub mod state;
