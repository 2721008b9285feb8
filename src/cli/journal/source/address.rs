//! Where things are on the admin listener, and why it does not answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;
use crate::journal::QuarantineId;

/// Why a service does not do what it is asked.
pub(in crate::cli) enum Unanswered {
    /// None answers.
    NoService,
    /// It says why, or answers in another way.
    Refused(String),
}

impl Unanswered {
    /// What is wrong.
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

/// Where an id can be: an event's id can look like the name of a callback.
pub(super) fn paths(id: &str) -> Vec<String> {
    let quarantine = QuarantineId::parse(id).map(|id| format!("/quarantine/{id}"));
    quarantine.into_iter().chain([format!("/journal/entries/{}", segment(id))]).collect()
}

/// An id as a segment of a path.
pub(super) fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}

/// An address to connect to: that of this machine where the service listens on all.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}
