//! Determines the sender's address: the peer's, or the one that a trusted proxy reports.
//!
//! Anybody can send `X-Forwarded-For`. So it is read from the right, and only as long as each entry was added by a
//! trusted proxy. If an entry is not an address, the sender is unknown and the request is rejected.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use ipnet::IpNet;

/// Returns the sender's address. `None` if a trusted proxy reports something that is not an address.
#[must_use]
pub(super) fn sender(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut sender = request.peer_addr()?.ip().to_canonical();
    // A line that is not text does not contain an address. It must not be skipped either.
    let lines: Vec<_> = request.headers().get_all("x-forwarded-for").map(|v| v.to_str().unwrap_or("?")).collect();
    for entry in lines.into_iter().flat_map(|line| line.split(',')).rev() {
        if !contains(trusted, sender) {
            break;
        }
        sender = parse(entry.trim())?;
    }
    Some(sender)
}

/// Returns true if one of the networks contains the address. An IPv4-mapped IPv6 address counts as IPv4.
#[must_use]
pub(super) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Parses an address with an optional port, in the forms that proxies use.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn nets(nets: &[&str]) -> Vec<IpNet> {
        nets.iter().map(|net| net.parse().unwrap()).collect()
    }

    fn from(peer: &str, lines: &[&str]) -> Option<String> {
        let trusted = nets(&["10.0.0.0/8", "fd00::/8"]);
        let mut request = TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
        for line in lines {
            request = request.append_header(("x-forwarded-for", *line));
        }
        sender(&request.to_http_request(), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn a_stranger_cannot_forward_for_anybody() {
        assert_eq!(from("203.0.113.9", &["198.51.100.1"]).unwrap(), "203.0.113.9");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_stranger_is_the_sender() {
        assert_eq!(from("10.0.0.1", &["198.51.100.1"]).unwrap(), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.2.3.4"]).unwrap(), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["6.6.6.6", "198.51.100.1"]).unwrap(), "198.51.100.1");
        assert_eq!(from("fd00::1", &["[2001:db8::7]:4711"]).unwrap(), "2001:db8::7");
        assert_eq!(from("10.0.0.1", &["198.51.100.1:4711"]).unwrap(), "198.51.100.1");
    }

    #[test]
    fn a_trusted_proxy_without_a_header_is_the_sender() {
        assert_eq!(from("10.0.0.1", &[]).unwrap(), "10.0.0.1");
    }

    #[test]
    fn what_is_no_address_is_nobody() {
        assert_eq!(from("10.0.0.1", &["198.51.100.1, unknown"]), None);
        assert_eq!(from("10.0.0.1", &["198.51.100.1,"]), None);
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_ipv4() {
        assert_eq!(from("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]).unwrap(), "198.51.100.1");
        assert!(contains(&nets(&["198.51.100.0/24"]), "::ffff:198.51.100.1".parse().unwrap()));
        assert!(!contains(&nets(&["198.51.100.0/24"]), "198.51.101.1".parse().unwrap()));
    }
}
