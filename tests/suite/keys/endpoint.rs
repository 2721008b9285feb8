//! A key endpoint and a proxy to test against: small servers on loopback ports, one thread per connection.
//!
//! They speak just enough HTTP/1.1, and misbehave on demand.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use parking_lot::Mutex;

use crate::support::certificates::Authority;

/// What the endpoint says its time is.
pub(super) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// How the endpoint answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Document(Vec<u8>),
    /// In this content coding.
    Coded(&'static str, Vec<u8>),
    /// In chunks of a few bytes.
    Chunked(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Bytes without an end, of no announced length.
    Endless,
    /// This length is announced, and nothing of it sent.
    Announced(usize),
    /// Not a word, until the other side closes.
    Silence,
    /// Half a document of the announced length, and the end.
    Cut,
    /// Not HTTP.
    Gibberish,
}

/// A server that ends, and frees its port, when dropped.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(address: SocketAddr, serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let serve = Arc::clone(&serve);
                // An error is the client's hanging up, which is what some tests want.
                thread::spawn(move || drop(serve(stream)));
            }
        });
        Self { address, stop, accepting: Some(accepting) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

/// The endpoint.
pub(super) struct Endpoint {
    server: Server,
    scheme: &'static str,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
}

impl Endpoint {
    pub(super) fn http(answer: Answer) -> Self {
        Self::http_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    pub(super) fn http_at(address: SocketAddr, answer: Answer) -> Self {
        Self::start(address, None, answer)
    }

    pub(super) fn https(authority: &Authority, answer: Answer) -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), Some(acceptor(authority)), answer)
    }

    fn start(address: SocketAddr, tls: Option<SslAcceptor>, answer: Answer) -> Self {
        let (answer, requests) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (answers, counter) = (Arc::clone(&answer), Arc::clone(&requests));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Server::start(address, move |stream| match &tls {
            Some(acceptor) => {
                let mut stream = acceptor.accept(stream).map_err(io::Error::other)?;
                exchange(&mut stream, &answers, &counter)?;
                stream.shutdown().map(drop).map_err(io::Error::other)
            }
            None => exchange(&mut &stream, &answers, &counter),
        });
        Self { server, scheme, answer, requests }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(super) fn url(&self) -> String {
        format!("{}://{}/v2/jwks", self.scheme, self.server.address)
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn exchange(stream: &mut (impl Read + Write), answer: &Mutex<Answer>, requests: &AtomicUsize) -> io::Result<()> {
    read_head(stream)?;
    requests.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().clone();
    let head =
        |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\ndate: {DATE}\r\nconnection: close\r\n{more}\r\n");
    let length = |length: usize| head(200, &format!("content-length: {length}\r\n"));
    match answer {
        Answer::Document(document) => {
            stream.write_all(length(document.len()).as_bytes())?;
            stream.write_all(&document)
        }
        Answer::Coded(coding, document) => {
            let more = format!("content-encoding: {coding}\r\ncontent-length: {}\r\n", document.len());
            stream.write_all(head(200, &more).as_bytes())?;
            stream.write_all(&document)
        }
        Answer::Chunked(document) => {
            stream.write_all(head(200, "transfer-encoding: chunked\r\n").as_bytes())?;
            for chunk in document.chunks(100) {
                stream.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        Answer::Status(status) => stream.write_all(head(status, "content-length: 0\r\n").as_bytes()),
        Answer::Redirect(to) => {
            stream.write_all(head(302, &format!("location: {to}\r\ncontent-length: 0\r\n")).as_bytes())
        }
        Answer::Endless => {
            stream.write_all(head(200, "").as_bytes())?;
            loop {
                stream.write_all(&[b' '; 8192])?;
            }
        }
        Answer::Announced(size) => {
            stream.write_all(length(size).as_bytes())?;
            stream.read(&mut [0]).map(drop)
        }
        Answer::Silence => stream.read(&mut [0]).map(drop),
        Answer::Cut => stream.write_all(format!("{}{{\"keys\":[", length(1000)).as_bytes()),
        Answer::Gibberish => stream.write_all(b"\x00\x01\x02 no HTTP at all\r\n\r\n"),
    }
}

fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// An HTTP proxy that tunnels (`CONNECT`), and remembers what it was asked for.
pub(super) struct ConnectProxy {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Leads every tunnel to `to`, whatever name was asked for.
    pub(super) fn start(to: SocketAddr) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&asked);
        let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), move |mut client| {
            let head = read_head(&mut client)?;
            lines.lock().push(head.lines().next().unwrap_or_default().to_owned());
            let upstream = TcpStream::connect(to)?;
            client.write_all(b"HTTP/1.1 200 x\r\n\r\n")?;
            let (from, into) = (client.try_clone()?, upstream.try_clone()?);
            thread::spawn(move || pump(&from, &into));
            pump(&upstream, &client)
        });
        Self { server, asked }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

fn pump(mut from: &TcpStream, mut into: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut into);
    into.shutdown(Shutdown::Write)?;
    copied.map(drop)
}

fn acceptor(authority: &Authority) -> SslAcceptor {
    let (certificate, key) = authority.issue(&["127.0.0.1", "keys.example"]);
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("OpenSSL");
    acceptor.set_private_key(&PKey::private_key_from_pem(&key).expect("a key")).expect("its key");
    acceptor.set_certificate(&X509::from_pem(&certificate).expect("a certificate")).expect("its certificate");
    acceptor.build()
}
