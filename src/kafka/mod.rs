//! Everything that uses Kafka. No other module uses the `rdkafka` crate.
//!
//! A folder imports only from folders below it:
//!
//! - `producer`, `history`, `state` and `replica_log` do the work: they publish events, read our topics, maintain the
//!   state topics of `materialize`, and exchange the replicas' records. None of them imports another.
//! - `admin` compares topics, brokers and rights with their plan. `history` and `state` take the topics' names from
//!   it.
//! - `availability` decides whether the cluster and its partitions accept records. `producer` uses it.
//! - `client` holds what every client needs: settings, headers, the polling thread, error types. It imports none of
//!   the others, and neither does `embedded`, the broker for the demo and for tests.

pub mod admin;
pub mod availability;
pub mod client;
pub mod embedded;
pub mod history;
pub mod producer;
pub mod replica_log;
pub mod state;
