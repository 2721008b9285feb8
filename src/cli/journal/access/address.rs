//! Addresses of the admin listener, and paths on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Target;

/// Returns the path of an entry or a callback.
pub(super) fn path(target: Target<'_>) -> String {
    match target {
        Target::Callback(id) => format!("/quarantine/{id}"),
        Target::Entry(id) => format!("/journal/entries/{}", segment(id)),
    }
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
