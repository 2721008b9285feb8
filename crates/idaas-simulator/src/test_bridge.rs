//! A minimal bridge for tests of the sender and of the command: decrypts callbacks, and answers as the test
//! specifies.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::sender::Sender;
use super::tenant_keys::TenantKeys;

/// A received callback.
#[derive(Debug, Clone, Default)]
pub struct ReceivedCallback {
    /// The ids of the events that have one.
    pub event_ids: Vec<String>,
    /// The token's `jti`.
    pub token_id: String,
    /// The elements of `eventData`.
    pub items: Vec<Value>,
}

/// Returns one instance for all tests of a process, because generating a key takes long.
pub fn tenant_keys() -> Arc<TenantKeys> {
    static MATERIAL: OnceLock<Arc<TenantKeys>> = OnceLock::new();
    Arc::clone(MATERIAL.get_or_init(|| Arc::new(TenantKeys::generate().unwrap())))
}

type Script = dyn Fn(usize, &[String]) -> (u16, String) + Send + Sync;

/// A running test bridge, and a sender to it.
pub struct TestBridge {
    /// Sends to the test bridge.
    pub sender: Arc<Sender>,
    arrivals: Arc<Mutex<Vec<ReceivedCallback>>>,
    task: JoinHandle<()>,
}

impl TestBridge {
    /// Starts to listen. `script` gets the request's number and its event ids, and returns status and body.
    pub async fn start(script: impl Fn(usize, &[String]) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tenant_keys = tenant_keys();
        let target = format!("http://{}", listener.local_addr().unwrap());
        let sender = Arc::new(Sender::new(Arc::clone(&tenant_keys), &target).unwrap());
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let task = tokio::spawn({
            let arrivals = Arc::clone(&arrivals);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&tenant_keys), Arc::clone(&script), Arc::clone(&arrivals)));
                }
            }
        });
        Self { sender, arrivals, task }
    }

    /// Returns the callbacks received so far.
    pub fn requests(&self) -> Vec<ReceivedCallback> {
        self.arrivals.lock().unwrap().clone()
    }

    /// Stops listening.
    pub async fn stopped(mut self) -> Self {
        self.task.abort();
        let _ = (&mut self.task).await;
        self
    }
}

/// Serves one request and closes the connection.
async fn serve(
    mut stream: TcpStream,
    tenant_keys: Arc<TenantKeys>,
    script: Arc<Script>,
    arrivals: Arc<Mutex<Vec<ReceivedCallback>>>,
) {
    let mut request = Vec::new();
    let body = loop {
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            break body.to_owned();
        }
    };
    let arrival = open(&tenant_keys, &body);
    let number = {
        let mut arrivals = arrivals.lock().unwrap();
        arrivals.push(arrival.clone());
        arrivals.len() - 1
    };
    let (status, body) = script(number, &arrival.event_ids);
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
}

fn open(tenant_keys: &TenantKeys, body: &str) -> ReceivedCallback {
    let body: Value = serde_json::from_str(body).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(body["event"].as_str().unwrap().split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let payload = tenant_keys.content.open(claims["cipherData"].as_str().unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let items: Vec<Value> = serde_json::from_str(payload["eventData"].as_str().unwrap()).unwrap();
    let event_ids = items.iter().filter_map(|item| Some(item.get("eventId")?.as_str()?.to_owned())).collect();
    ReceivedCallback { event_ids, token_id: claims["jti"].to_string(), items }
}

/// Returns an answer with these events in the lists for success and retry.
pub fn answer(success: &[String], retried: &[String]) -> String {
    let list = |ids: &[String], code: &str| -> Value {
        ids.iter().map(|id| json!({"eventId": id, "eventCode": code, "eventMessage": code})).collect()
    };
    json!({
        "successEvents": list(success, "SUCCESS"), "skippedEvents": [], "failedEvents": [],
        "retriedEvents": list(retried, "not_confirmed"),
    })
    .to_string()
}

/// Returns the body of a refusal.
pub fn refusal(code: &str) -> String {
    json!({"error": code, "errorDescription": "A test says so."}).to_string()
}
