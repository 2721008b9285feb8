//! Paths and addresses of the admin listener, and reasons why it does not respond.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;
use crate::journal::QuarantineId;

/// Reason why a service does not do what is requested.
pub(in crate::cli) enum RequestFault {
    /// No service responds.
    NoService,
    /// The service rejects the request, or its response is unexpected. Contains the message.
    Refused(String),
}

impl RequestFault {
    /// Returns a description of the problem.
    pub(in crate::cli) fn problem(&self, config: &Config) -> String {
        match self {
            Self::NoService => format!(
                "no service answers at {} (server.admin_listen), and only a running service publishes",
                config.server.admin_listen
            ),
            Self::Refused(why) => why.clone(),
        }
    }
}

/// Returns the paths to try, because an event id can look like the id of a quarantined callback.
pub(super) fn paths(id: &str) -> Vec<String> {
    let quarantine = QuarantineId::parse(id).map(|id| format!("/quarantine/{id}"));
    quarantine.into_iter().chain([format!("/journal/entries/{}", segment(id))]).collect()
}

/// Encodes an id as a segment of a path.
pub(super) fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Returns an address to connect to: the loopback address if the service listens on all addresses.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}
