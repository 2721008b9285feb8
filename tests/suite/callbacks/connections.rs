//! Connections of clients that do not send their requests, or do not take their answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{assert_success, users};
use crate::support::bridge::{Setup, TestBridge};
use crate::support::certificates::Authority;
use crate::support::http::Connection;
use crate::support::records::retry;

/// Longer than the bridge waits for a request on an open connection.
const PATIENCE: Duration = Duration::from_secs(120);

const PROBE: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: bridge\r\n\r\n";
const UNREAD_BODY: &[u8] = b"POST /x HTTP/1.1\r\nHost: bridge\r\nTransfer-Encoding: chunked\r\n\r\n";

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a whole request, waits for the answer, and sends more. Returns once the bridge has closed the connection.
fn until_closed<S: Read + Write>(stream: S, request: &[u8], status: u16, more: &[u8]) {
    let mut connection = Connection::over(stream);
    assert_eq!(connection.exchange(request).unwrap().status, status);
    connection.send(more).unwrap();
    let error = loop {
        if let Err(error) = connection.reply() {
            break error;
        }
    };
    assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays open");
}

fn with_tls() -> (TestBridge, openssl::ssl::SslConnector) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    std::fs::write(path("tls.crt"), certificate).unwrap();
    std::fs::write(path("tls.key"), key).unwrap();
    let tls = format!("tls = {{ certificate = {:?}, key = {:?} }}", path("tls.crt"), path("tls.key"));
    let mut connector = openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls_client()).unwrap();
    connector.set_verify(openssl::ssl::SslVerifyMode::NONE);
    (Setup::new().server(tls).start(), connector.build())
}

#[test]
fn connection_ends_if_its_next_request_does_not() {
    let bridge = Setup::new().start();
    let (secure_bridge, connector) = with_tls();
    let (plain, secure) = (bridge.listen, secure_bridge.listen);
    let over_tls = || connector.connect("127.0.0.1", tcp(secure)).unwrap();
    let half = b"POST /callbacks/workforce HTTP/1.1\r\nHost: ";
    std::thread::scope(|scope| {
        scope.spawn(|| until_closed(tcp(plain), PROBE, 200, half));
        scope.spawn(|| until_closed(tcp(plain), UNREAD_BODY, 404, b""));
        scope.spawn(|| until_closed(over_tls(), PROBE, 200, half));
        scope.spawn(|| until_closed(over_tls(), UNREAD_BODY, 404, b""));
    });
}

#[test]
fn connection_idle_the_longest_makes_room_for_another() {
    let bridge = Setup::new().spawn();
    let open = || {
        let mut connection = tcp(bridge.listen);
        connection.write_all(PROBE).unwrap();
        assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
        connection
    };
    let mut connections: Vec<_> = (0..max_idle() + 20).map(|_| open()).collect();
    connections[0].set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // Each new connection closes one that has been idle for a second.
    retry(|| {
        let _another = open();
        match connections[0].read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("more than an answer came".to_owned()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(format!("the first connection is open: {error}")),
        }
    });
    assert_success(&bridge.send(&users(1)));
    let newest = connections.pop().unwrap();
    assert_eq!(Connection::over(newest).exchange(PROBE).unwrap().status, 200);
}

/// How many connections the bridge keeps open without a request: it shares this limit of open files.
fn max_idle() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: usize = line.split_whitespace().next().unwrap().parse().unwrap();
    1024.min(files / 4)
}

#[test]
fn client_that_takes_no_answer_does_not_delay_the_shutdown() {
    let mut bridge = Setup::new().spawn();
    let mut greedy = tcp(bridge.listen);
    greedy.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let many = PROBE.repeat(1000);
    while greedy.write_all(&many).is_ok() {}
    assert!(bridge.end());
    assert!(!bridge.program().log().contains("drain_timeout"), "{}", bridge.program().log());
}
