//! A collector of OpenTelemetry spans: OTLP over HTTP on a real socket. It keeps what it gets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;

use super::records::retry;

/// The collector, until the test ends.
pub(crate) struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    status: u16,
    requests: Vec<BTreeMap<String, String>>,
    bodies: Vec<Vec<u8>>,
}

/// A span as it was exported.
#[derive(Debug, Clone)]
pub(crate) struct Exported {
    pub(crate) span: Span,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Exported {
    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The W3C trace context of whatever it is the parent of.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace(), self.id())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { status: 200, ..State::default() }));
        let kept = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                // Whoever hangs up has no answer.
                std::thread::spawn(move || drop(serve(stream, &kept)));
            }
        });
        Self { address, state }
    }

    /// What `otlp_endpoint` is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.state.lock().status = status;
    }

    /// The headers of the first request. Names are in lower case; the request line is under the empty name.
    pub(crate) fn first_request(&self) -> BTreeMap<String, String> {
        self.state.lock().requests[0].clone()
    }

    /// All spans that were accepted so far.
    pub(crate) fn spans(&self) -> Vec<Exported> {
        let state = self.state.lock();
        state.bodies.iter().flat_map(|body| spans(body)).collect()
    }

    /// Waits until so many spans with this name are there, and returns them.
    pub(crate) fn wait_for(&self, name: &str, count: usize) -> Vec<Exported> {
        retry(|| {
            let spans = self.spans();
            let names: Vec<_> = spans.iter().map(|exported| exported.span.name.clone()).collect();
            let found: Vec<_> = spans.into_iter().filter(|exported| exported.span.name == name).collect();
            if found.len() >= count { Ok(found) } else { Err(format!("no {count} spans {name:?} among {names:?}")) }
        })
    }

    /// All that was exported, as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state.lock().bodies.concat()
    }
}

fn spans(body: &[u8]) -> Vec<Exported> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut all = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(&group.resource.unwrap().attributes);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Exported { attributes: attributes(&span.attributes), resource: resource.clone(), span });
        }
    }
    all
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.iter().map(|attribute| (attribute.key.clone(), text(&attribute.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers requests until the other side closes.
fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => match line.split_once(": ") {
                    Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                    None => headers.insert(String::new(), line.to_owned()),
                },
            };
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = {
            let mut state = state.lock();
            if state.status == 200 {
                state.requests.push(headers);
                state.bodies.push(body);
            }
            state.status
        };
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")?;
    }
}
