//! Reads request bodies, with limits on size, time, and the memory of all bodies together.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt;
use idaas_callback::Refusal;
use tokio::time::{Instant, timeout_at};

use crate::app_state::{AppState, MemoryPermit};

/// A body, and the memory reserved for it.
pub(super) struct Body<'a> {
    pub(super) bytes: Bytes,
    _reserved: MemoryPermit<'a>,
}

/// Reads the body, whatever its content type.
///
/// # Errors
/// [`Refusal::UnsupportedEncoding`], [`Refusal::TooLarge`], [`Refusal::RequestTimeout`] at `deadline`,
/// [`Refusal::Malformed`] if the connection breaks, or [`Refusal::Overloaded`] if the memory limit is reached.
pub(super) async fn read<'a>(
    request: &HttpRequest,
    mut payload: Payload,
    app_state: &'a AppState,
    deadline: Instant,
) -> Result<Body<'a>, Refusal> {
    let limit = app_state.limits.max_body;
    if request.headers().get_all(header::CONTENT_ENCODING).any(|codings| is_compressed(codings.as_bytes())) {
        return Err(Refusal::UnsupportedEncoding);
    }
    let content_length = request.headers().get(header::CONTENT_LENGTH);
    let content_length = content_length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if content_length.is_some_and(|length| length > limit) {
        return Err(Refusal::TooLarge);
    }
    let mut reserved = app_state.reserve();
    let mut body = BodyBuffer::Nothing;
    loop {
        match timeout_at(deadline, payload.next()).await {
            Err(_) => return Err(Refusal::RequestTimeout),
            Ok(None) => return Ok(Body { bytes: body.into_bytes(), _reserved: reserved }),
            Ok(Some(Err(_))) => return Err(Refusal::Malformed),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > limit => return Err(Refusal::TooLarge),
            Ok(Some(Ok(chunk))) if !reserved.try_grow(chunk.len()) => return Err(Refusal::Overloaded),
            Ok(Some(Ok(chunk))) => body = body.with_chunk(chunk, content_length.unwrap_or(limit)),
        }
    }
}

/// Content codings (RFC 9110 §8.4.1 and the IANA registry) that compress a body.
const COMPRESSIONS: [&str; 15] = [
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    "zstd",
    "compress",
    "x-compress",
    "dcb",
    "dcz",
    "exi",
    "pack200-gzip",
    "bzip2",
    "lz4",
    "snappy",
    "xz",
];

/// Returns true if a `Content-Encoding` names a compression. Any other value, such as `identity` or a charset that a
/// sender puts there by mistake, is ignored. If the body is unreadable after all, it is rejected as malformed.
fn is_compressed(codings: &[u8]) -> bool {
    let named = |coding: &[u8]| COMPRESSIONS.iter().any(|known| coding.eq_ignore_ascii_case(known.as_bytes()));
    codings.split(|byte| *byte == b',').any(|coding| named(coding.trim_ascii()))
}

/// The chunks received so far. Most callbacks are a single chunk, which is not copied.
enum BodyBuffer {
    Nothing,
    One(Bytes),
    Several(Vec<u8>),
}

impl BodyBuffer {
    const fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(chunk) => chunk.len(),
            Self::Several(chunks) => chunks.len(),
        }
    }

    /// Appends a chunk. `expected` is the likely size of the whole body, in bytes.
    fn with_chunk(self, chunk: Bytes, expected: usize) -> Self {
        match self {
            Self::Nothing => Self::One(chunk),
            Self::One(first) => {
                let mut chunks = Vec::new();
                append(&mut chunks, &first, expected);
                append(&mut chunks, &chunk, expected);
                Self::Several(chunks)
            }
            Self::Several(mut chunks) => {
                append(&mut chunks, &chunk, expected);
                Self::Several(chunks)
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(chunk) => chunk,
            Self::Several(chunks) => chunks.into(),
        }
    }
}

fn append(chunks: &mut Vec<u8>, chunk: &[u8], expected: usize) {
    let length = chunks.len() + chunk.len();
    if length > chunks.capacity() {
        // Caps the reservation at four times the received bytes, whatever Content-Length says.
        chunks.reserve_exact(expected.clamp(length, 4 * length) - chunks.len());
    }
    chunks.extend_from_slice(chunk);
}
