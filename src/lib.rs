//! The library of `idaas-bridge`: the service and its commands. [`architecture`] is the map of the code.

/// `ARCHITECTURE.md`, with links to the items. Contains no code.
///
/// The first definition of a reference counts, so these lead to items here. Those at the end of the file lead readers of
/// the repository to files. A private module is not visible from here: its reference leads to the module around it.
///
/// [`idaas_callback::prepare`]: idaas_callback::prepare()
/// [`outbox::DeliveryReport::Confirmed`]: outbox::DeliveryReport::Confirmed
/// [`http::callbacks`]: crate::http
/// [`delivery::request`]: crate::delivery::request
/// [`outbox::machine`]: outbox::machine
/// [`kafka::producer::confirmation_gate`]: crate::kafka::producer
/// [`kafka::availability::partitions`]: crate::kafka::availability
/// [`kafka::producer::monitor`]: crate::kafka::producer
/// [`kafka::producer::resend`]: crate::kafka::producer
#[doc = include_str!("../ARCHITECTURE.md")]
pub mod architecture {}

pub mod app_state;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod counts;
pub mod delivery;
pub mod demo;
pub mod diagnosis;
pub mod fetch;
pub mod http;
pub mod http_client;
pub mod journal;
pub mod kafka;
pub mod keys;
pub mod materialize;
pub mod schema;
pub mod secret;
pub mod service;
pub mod telemetry;
pub mod terminal;
pub mod text;
