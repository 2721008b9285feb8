//! Certificates for the brokers' TLS listener: an authority of the run's own, and one certificate for 127.0.0.1.

use std::path::Path;

use crate::support::certificates::Authority;

/// The authority's certificate, for clients.
pub(super) const CA: &str = "ca.pem";
/// The brokers' private key and certificate chain in one file, as Kafka's PEM key store wants them.
pub(super) const BROKER: &str = "broker.pem";

/// Writes [`CA`] and [`BROKER`] into `directory`.
pub(super) fn write_certificates(directory: &Path) {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1", "localhost"]);
    std::fs::write(directory.join(BROKER), [key, certificate, authority.pem()].concat()).unwrap();
    std::fs::write(directory.join(CA), authority.pem()).unwrap();
}
