//! The sender's side: as many callbacks as the server takes, or so many a second. Plain HTTP/1.1 over TCP, written by
//! hand, so that the sender takes as little of the machine as it can.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::sleep_until;

use crate::process::Target;

/// Sends all bodies over so many connections, each waiting for its answer before the next.
pub(crate) fn saturate(target: Target, bodies: &[String], connections: usize) {
    let bodies: Arc<[String]> = bodies.into();
    let next = Arc::new(AtomicUsize::new(0));
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let senders = (0..connections).map(|_| {
            let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
            tokio::spawn(async move {
                let mut connection = Connection::open(target).await;
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    connection.send(body).await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
    });
}

/// Sends all bodies at a rate, whatever the server does; latencies count from when a body was to be sent.
pub(crate) fn at_rate(target: Target, bodies: &[String], rate: u64) -> Latencies {
    let bodies: Arc<[String]> = bodies.into();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        const SENDERS: usize = 64;
        let began = tokio::time::Instant::now() + Duration::from_millis(100);
        let senders = (0..SENDERS).map(|sender| {
            let bodies = Arc::clone(&bodies);
            tokio::spawn(async move {
                let mut connection = Connection::open(target).await;
                let mut latencies = Vec::new();
                for (index, body) in bodies.iter().enumerate().skip(sender).step_by(SENDERS) {
                    let due = began + Duration::from_secs_f64(index as f64 / rate as f64);
                    sleep_until(due).await;
                    connection.send(body).await;
                    latencies.push(due.elapsed());
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

/// Produces records of the same size at the same rate with a bare producer.
pub(crate) fn bare_produce(bootstrap_servers: &str, rate: u64, time: Duration) -> Latencies {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .create()
        .unwrap();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        let began = tokio::time::Instant::now() + Duration::from_millis(100);
        let value = "x".repeat(1200);
        let count = time.as_secs() * rate;
        let mut waiting = Vec::new();
        for index in 0..count {
            let due = began + Duration::from_secs_f64(index as f64 / rate as f64);
            sleep_until(due).await;
            let (key, producer, value) = (format!("user_{index}"), producer.clone(), value.clone());
            waiting.push(tokio::spawn(async move {
                let record = FutureRecord::to("idaas.user.v1").key(&key).payload(&value);
                producer.send(record, Duration::from_secs(10)).await.unwrap();
                due.elapsed()
            }));
        }
        let mut all = Vec::new();
        for latency in waiting {
            all.push(latency.await.unwrap());
        }
        Latencies::of(all)
    })
}

/// How long things took, in order.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Self {
        // The first second opens connections.
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

    /// Sends one callback and reads its answer, which must be a success of all.
    async fn send(&mut self, body: &str) {
        let head = format!(
            "POST /callbacks/workforce HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json;charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body.as_bytes());
        self.stream.write_all(&request).await.unwrap();
        self.answer.clear();
        let began = Instant::now();
        loop {
            assert!(self.stream.read_buf(&mut self.answer).await.unwrap() > 0, "closed after {:?}", began.elapsed());
            if self.complete() {
                break;
            }
        }
        let text = std::str::from_utf8(&self.answer).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.ends_with(r#""skippedEvents":[],"failedEvents":[],"retriedEvents":[]}"#), "{text}");
    }

    fn complete(&self) -> bool {
        let text = std::str::from_utf8(&self.answer).unwrap_or_default();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        length == Some(body.len())
    }
}
