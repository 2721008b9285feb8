//! TLS on the callback listener, and a certificate that is replaced while it runs.

use std::net::TcpStream;
use std::path::Path;

use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};

use super::users;
use crate::support::bridge::{Caller, Setup};
use crate::support::certificates::Authority;
use crate::support::http::{Connection, RESPONSE_TIMEOUT, request};

fn connect(caller: &Caller, authority: &Path, most: Option<SslVersion>) -> Result<SslStream<TcpStream>, String> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(authority).unwrap();
    connector.set_verify(SslVerifyMode::PEER);
    connector.set_max_proto_version(most).unwrap();
    let stream = TcpStream::connect(caller.listen).unwrap();
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT)).unwrap();
    connector.build().connect("127.0.0.1", stream).map_err(|error| error.to_string())
}

fn serial(stream: &SslStream<TcpStream>) -> String {
    stream.ssl().peer_certificate().unwrap().serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string()
}

#[test]
fn a_reload_replaces_the_tls_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::new();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    let write = |names: &[&str]| {
        let (certificate, key) = authority.issue(names);
        std::fs::write(path("tls.crt"), certificate).unwrap();
        std::fs::write(path("tls.key"), key).unwrap();
    };
    write(&["127.0.0.1"]);
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}");
    let mut bridge = Setup::new().server(tls).spawn();

    let body = bridge.callback().events(&users(1)).body().unwrap();
    let request = request("POST", &bridge.path(), &[], body.as_bytes());
    let first = connect(&bridge, &path("ca.pem"), None).unwrap();
    let first_serial = serial(&first);
    let mut open = Connection::over(first);
    assert_eq!(open.exchange(&request).unwrap().status, 200);

    write(&["127.0.0.1"]);
    assert!(bridge.reload_as_it_is());
    let second = connect(&bridge, &path("ca.pem"), None).unwrap();
    let second_serial = serial(&second);
    assert_ne!(second_serial, first_serial);
    assert_eq!(Connection::over(second).exchange(&request).unwrap().status, 200);
    assert_eq!(open.exchange(&request).unwrap().status, 200, "an open connection was lost by the reload");

    // A certificate that does not fit its key changes nothing.
    let (other, _) = authority.issue(&["127.0.0.1"]);
    std::fs::write(path("tls.crt"), other).unwrap();
    assert!(!bridge.reload_as_it_is());
    assert_eq!(serial(&connect(&bridge, &path("ca.pem"), None).unwrap()), second_serial);

    // Old protocols and plain text get nowhere.
    assert!(connect(&bridge, &path("ca.pem"), Some(SslVersion::TLS1_1)).is_err());
    assert!(Connection::open(bridge.listen).unwrap().exchange(&request).is_err());
    assert!(bridge.end());
    assert_eq!(bridge.records().len(), 1);
}
