//! The public key endpoint of the simulated instance: it can stop listening and come back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::real_kafka::free_ports;

/// The endpoint. Dropping it takes it away.
pub(crate) struct KeyEndpoint {
    address: SocketAddr,
    document: Arc<str>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl KeyEndpoint {
    pub(crate) fn start(document: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_ports(1)[0]));
        let mut endpoint = Self { address, document: document.into(), running: None };
        endpoint.come_back();
        endpoint
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v2/jwks", self.address)
    }

    /// Connections are refused from now on.
    pub(crate) fn go_away(&mut self) {
        if let Some((ends, thread)) = self.running.take() {
            ends.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(self.address));
            thread.join().expect("the endpoint ends");
        }
    }

    pub(crate) fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its port");
        let (ends, document) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.document));
        let end = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever hangs up has no answer.
                drop(answer(stream, &document));
            }
        });
        self.running = Some((ends, thread));
    }
}

impl Drop for KeyEndpoint {
    fn drop(&mut self) {
        self.go_away();
    }
}

fn answer(mut stream: TcpStream, document: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let length = document.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{document}")
}
