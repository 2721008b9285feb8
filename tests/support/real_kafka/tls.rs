//! Certificates for the brokers' TLS listener: an authority of the run's own, and one certificate for 127.0.0.1.

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

/// The authority's certificate, for clients.
pub(super) const CA: &str = "ca.pem";
/// The brokers' private key and certificate chain in one file, as Kafka's PEM key store wants them.
pub(super) const BROKER: &str = "broker.pem";

/// Writes [`CA`] and [`BROKER`] into `directory`.
pub(super) fn write_certificates(directory: &Path) {
    let (authority_key, authority) = authority();
    let key = key();
    let mut builder = builder("127.0.0.1", &key);
    builder.set_issuer_name(authority.subject_name()).unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .dns("localhost")
        .build(&builder.x509v3_context(Some(&authority), None))
        .unwrap();
    builder.append_extension(names).unwrap();
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build().unwrap()).unwrap();
    builder.sign(&authority_key, MessageDigest::sha256()).unwrap();

    let mut store = key.private_key_to_pem_pkcs8().unwrap();
    store.extend(builder.build().to_pem().unwrap());
    store.extend(authority.to_pem().unwrap());
    std::fs::write(directory.join(BROKER), store).unwrap();
    std::fs::write(directory.join(CA), authority.to_pem().unwrap()).unwrap();
}

fn authority() -> (PKey<Private>, X509) {
    let key = key();
    let mut builder = builder("idaas-bridge test authority", &key);
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (key, builder.build())
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

/// A certificate that names itself as issuer and is valid from yesterday for a week.
fn builder(name: &str, key: &PKey<Private>) -> X509Builder {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
    let yesterday = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() - 86_400;

    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(i64::try_from(yesterday).unwrap()).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(7).unwrap()).unwrap();
    builder
}
