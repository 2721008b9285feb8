//! The sender's side: as many callbacks as the server takes, or so many a second. Plain HTTP/1.1 over TCP, written by
//! hand, so that the sender takes as little of the machine as it can.

use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::process::Target;

/// What the answers must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// All events are on Kafka.
    Success,
    /// All events are in the journal.
    Kept,
}

/// Sends all bodies over so many connections, each waiting for its answer before the next.
pub(crate) fn saturate(target: Target, bodies: &[String], connections: usize, expected: Expected) -> Latencies {
    let bodies: Arc<[String]> = bodies.into();
    let next = Arc::new(AtomicUsize::new(0));
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let senders = (0..connections).map(|_| {
            let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
            tokio::spawn(async move {
                let mut connection = Connection::open(target).await;
                let mut latencies = Vec::new();
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    connection.send(body, expected).await;
                    latencies.push(began.elapsed());
                }
                latencies
            })
        });
        let mut all = Vec::new();
        for sender in senders.collect::<Vec<_>>() {
            all.extend(sender.await.unwrap());
        }
        Latencies::of(all)
    })
}

/// Sends all bodies at a rate, whatever the server does; latencies count from when a body was to be sent. Each sender
/// is a thread of the system, because a runtime's timers are a millisecond late.
pub(crate) fn at_rate(target: Target, bodies: &[String], rate: u64) -> Latencies {
    const SENDERS: usize = 64;
    let began = Instant::now() + Duration::from_millis(200);
    let send = |sender: usize| {
        let mut stream = std::net::TcpStream::connect(target.address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut answer = Vec::new();
        let mut latencies = Vec::new();
        for (index, body) in bodies.iter().enumerate().skip(sender).step_by(SENDERS) {
            let due = began + Duration::from_secs_f64(index as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            stream.write_all(&request(body)).unwrap();
            answer.clear();
            while !is_complete(&answer, Expected::Success) {
                let mut part = [0; 4096];
                let length = stream.read(&mut part).unwrap();
                assert!(length > 0, "the server closed the connection");
                answer.extend_from_slice(&part[..length]);
            }
            latencies.push(due.elapsed());
        }
        latencies
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        Latencies::of(senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect())
    })
}

/// Notes when each record was acknowledged.
struct Acknowledged(Arc<Mutex<Vec<Duration>>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, due: Box<Instant>) {
        assert!(result.is_ok(), "not acknowledged");
        self.0.lock().unwrap().push(due.elapsed());
    }
}

/// Produces records of the same size at the same rate with a bare producer.
pub(crate) fn bare_produce(bootstrap_servers: &str, rate: u64, time: Duration) -> Latencies {
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let producer: ThreadedProducer<Acknowledged> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("compression.type", "none")
        .create_with_context(Acknowledged(Arc::clone(&latencies)))
        .unwrap();
    let began = Instant::now() + Duration::from_millis(200);
    let value = "x".repeat(1200);
    for index in 0..time.as_secs() * rate {
        let due = began + Duration::from_secs_f64(index as f64 / rate as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let key = format!("user_{index}");
        let record = BaseRecord::with_opaque_to("idaas.user.v1", Box::new(due)).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    drop(producer);
    Latencies::of(std::mem::take(&mut latencies.lock().unwrap()))
}

/// How long things took, in order.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        Self(all)
    }

    fn quantile(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| self.quantile(share));
        write!(f, "p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.1} ms")
    }
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(target: Target) -> Self {
        let stream = TcpStream::connect(target.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: Vec::new() }
    }

    /// Sends one callback and reads its answer, which must be as expected.
    async fn send(&mut self, body: &str, expected: Expected) {
        self.stream.write_all(&request(body)).await.unwrap();
        self.answer.clear();
        while !is_complete(&self.answer, expected) {
            assert!(self.stream.read_buf(&mut self.answer).await.unwrap() > 0, "the server closed the connection");
        }
    }
}

fn request(body: &str) -> Vec<u8> {
    let head = format!(
        "POST /callbacks/workforce HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json;charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body.as_bytes());
    request
}

/// Whether the answer is complete; then it must be as expected of all events.
fn is_complete(answer: &[u8], expected: Expected) -> bool {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length != Some(body.len()) {
        return false;
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let fits = match expected {
        Expected::Success => text.ends_with(r#""skippedEvents":[],"failedEvents":[],"retriedEvents":[]}"#),
        Expected::Kept => text.contains(r#""successEvents":[],"#) && !text.contains("overloaded"),
    };
    // A large answer has thousands of events.
    assert!(fits, "{}", text.chars().take(2_000).collect::<String>());
    true
}
