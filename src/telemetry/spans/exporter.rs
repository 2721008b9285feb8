//! Exports spans over OTLP (HTTP, protobuf) in the background. A slow or unavailable collector never delays anything
//! else: the queue is bounded, and spans that do not fit are dropped and counted.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::metrics::{DropReason, SpanMetrics};
use crate::config::Tracing;
use crate::http_client::{HttpClient, HttpFault, HttpResponse, Proxy, Settings};
use crate::secret::Secret;
use crate::telemetry::log_code::LogCode;

/// Maximum number of queued spans. They take about a kilobyte each.
const QUEUE: usize = 8192;
/// Maximum number of spans per request.
const MAX_BATCH: usize = 512;
/// Maximum wait of a batch for more spans.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of attempts to send a batch, and the time between them.
const ATTEMPTS: u32 = 3;
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum duration of the export during shutdown.
const LAST_EXPORT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;
const CONTENT_TYPE: (&str, &str) = ("content-type", "application/x-protobuf");

/// Accepts ended spans from any thread, and never blocks.
#[derive(Debug)]
pub(super) struct SpanQueue {
    sender: mpsc::Sender<SpanData>,
    metrics: SpanMetrics,
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.metrics.dropped(DropReason::QueueFull, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The task that exports spans.
pub(super) struct Exporter {
    task: Mutex<Option<(watch::Sender<bool>, JoinHandle<()>)>>,
}

impl Exporter {
    /// Starts the task. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`HttpFault`] if `ca` cannot be read, or if the HTTP client cannot be set up.
    pub(super) fn start(
        config: &Tracing,
        ca: Option<&[u8]>,
        resource: &Resource,
        metrics: &SpanMetrics,
    ) -> Result<(SpanQueue, Self), HttpFault> {
        let client = HttpClient::new(&Settings {
            proxy: Proxy::Environment,
            ca,
            // The headers are secret, so they must not be sent elsewhere.
            follow_redirects: false,
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            idle_connections: 1,
            idle_timeout: IDLE_TIMEOUT,
        })?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(false);
        let worker = Worker {
            client,
            url: config.otlp_endpoint.clone(),
            headers: config.headers.clone().into_iter().collect(),
            resource: ResourceAttributesWithSchema::from(resource),
            metrics: metrics.clone(),
            receiver,
            episode: None,
            dropped: 0,
        };
        let task = tokio::spawn(worker.run(ended));
        let queue = SpanQueue { sender, metrics: metrics.clone() };
        Ok((queue, Self { task: Mutex::new(Some((end, task))) }))
    }

    /// Exports the queued spans, for at most [`LAST_EXPORT`], and stops the task.
    pub(super) async fn end(&self) {
        let Some((end, mut task)) = self.task.lock().take() else { return };
        end.send_replace(true);
        if timeout(LAST_EXPORT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// The reason why spans cannot be exported.
enum ExportFault {
    /// The request failed.
    Http(HttpFault),
    /// The collector answered with this status.
    Status(u16),
}

impl ExportFault {
    /// Returns true if a retry can succeed, by the rules of the OTLP specification.
    const fn is_temporary(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 429 | 502 | 503 | 504),
            Self::Http(fault) => match fault {
                HttpFault::Dns | HttpFault::Connect | HttpFault::Timeout | HttpFault::Interrupted => true,
                HttpFault::InvalidUrl
                | HttpFault::CaCertificate
                | HttpFault::Setup
                | HttpFault::Tls(_)
                | HttpFault::Redirect
                | HttpFault::TooLarge
                | HttpFault::Encoding => false,
            },
        }
    }
}

impl std::fmt::Display for ExportFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(fault) => fault.fmt(f),
            Self::Status(status @ (401 | 403)) => {
                write!(f, "the collector answers with status {status}; see tracing.headers")
            }
            Self::Status(status) => write!(f, "the collector answers with status {status}"),
        }
    }
}

struct Worker {
    client: HttpClient,
    url: String,
    headers: Vec<(String, Secret<String>)>,
    resource: ResourceAttributesWithSchema,
    metrics: SpanMetrics,
    receiver: mpsc::Receiver<SpanData>,
    /// The number of dropped spans when the current episode of losses began.
    episode: Option<u64>,
    /// The number of dropped spans after the last export.
    dropped: u64,
}

impl Worker {
    async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let mut batch = Vec::new();
        loop {
            let collected = tokio::select! {
                collected = collect(&mut self.receiver, &mut batch) => collected,
                () = until(&mut ended) => false,
            };
            if !collected {
                break;
            }
            self.export(std::mem::take(&mut batch), Some(&mut ended)).await;
        }
        self.receiver.close();
        while let Ok(span) = self.receiver.try_recv() {
            batch.push(span);
        }
        // A collector that was unavailable before must not delay the shutdown.
        while !batch.is_empty() && self.episode.is_none() {
            let rest = batch.split_off(batch.len().min(MAX_BATCH));
            self.export(std::mem::replace(&mut batch, rest), None).await;
        }
        self.metrics.dropped(DropReason::ExportFailed, batch.len() as u64);
    }

    /// Exports a batch, or drops it. Retries until `ended`; without `ended`, does not retry.
    async fn export(&mut self, batch: Vec<SpanData>, ended: Option<&mut watch::Receiver<bool>>) {
        let spans = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut result = self.send(body.clone()).await;
        if let Some(ended) = ended {
            for _ in 1..ATTEMPTS {
                if !result.as_ref().is_err_and(ExportFault::is_temporary) {
                    break;
                }
                if timeout(RETRY_INTERVAL, until(ended)).await.is_ok() {
                    break;
                }
                result = self.send(body.clone()).await;
            }
        }
        match &result {
            Ok(rejected) => {
                let rejected = (*rejected).min(spans);
                self.metrics.exported.inc_by(spans - rejected);
                self.metrics.dropped(DropReason::Rejected, rejected);
            }
            Err(_) => self.metrics.dropped(DropReason::ExportFailed, spans),
        }
        self.observe(result.err());
    }

    /// Sends a request. Returns how many of its spans the collector rejected.
    async fn send(&self, body: Vec<u8>) -> Result<u64, ExportFault> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()));
        let headers: Vec<_> = own.chain([CONTENT_TYPE]).collect();
        let answer = self.client.post(&self.url, body, &headers, MAX_ANSWER).await.map_err(ExportFault::Http)?;
        let HttpResponse { status, body, .. } = answer;
        if !(200..300).contains(&status) {
            return Err(ExportFault::Status(status));
        }
        // An unreadable answer is treated as a success.
        let partial = ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default().partial_success;
        Ok(partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or_default()))
    }

    /// Logs the start and the end of an episode in which spans are dropped.
    fn observe(&mut self, fault: Option<ExportFault>) {
        let dropped = self.metrics.dropped_total();
        let is_losing = dropped > self.dropped;
        match self.episode {
            None if is_losing => {
                self.episode = Some(self.dropped);
                let problem = fault.map_or_else(|| "the collector is too slow".to_owned(), |fault| fault.to_string());
                tracing::warn!(
                    code = LogCode::SpansDropped.as_str(),
                    "spans are dropped: {problem}; callbacks and events are not affected"
                );
            }
            Some(before) if !is_losing => {
                self.episode = None;
                tracing::info!(
                    code = LogCode::SpansExported.as_str(),
                    dropped = dropped - before,
                    "spans are exported again"
                );
            }
            None | Some(_) => {}
        }
        self.dropped = dropped;
    }
}

/// Waits for the shutdown.
async fn until(ended: &mut watch::Receiver<bool>) {
    // An error means that the shutdown's caller is gone.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Waits for a span, and for at most [`INTERVAL`] for more. Returns false if the queue is closed and empty.
async fn collect(receiver: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) -> bool {
    if batch.is_empty() && receiver.recv_many(batch, MAX_BATCH).await == 0 {
        return false;
    }
    let until = Instant::now() + INTERVAL;
    while batch.len() < MAX_BATCH {
        let missing = MAX_BATCH - batch.len();
        match timeout_at(until, receiver.recv_many(batch, missing)).await {
            Ok(more) if more > 0 => {}
            Ok(_) | Err(_) => break,
        }
    }
    true
}
