//! Reading a request's body: bounded in size, in time, and in the memory of all bodies together.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::bridge::{Bridge, Reserved};
use crate::refusal::Refusal;

/// A body, with the room that it occupies.
pub(super) struct Body<'a> {
    pub(super) bytes: Bytes,
    _reserved: Reserved<'a>,
}

/// Reads the body as it is; the content type does not matter.
pub(super) async fn read<'a>(
    request: &HttpRequest,
    mut payload: Payload,
    bridge: &'a Bridge,
    deadline: Instant,
) -> Result<Body<'a>, Refusal> {
    let limit = bridge.limits.max_body;
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::UnsupportedEncoding);
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Refusal::TooLarge);
    }
    let mut reserved = bridge.reserve();
    let (mut chunks, mut length) = (Vec::new(), 0);
    loop {
        match timeout_at(deadline, payload.next()).await {
            Err(_) => return Err(Refusal::RequestTimeout),
            Ok(None) => return Ok(Body { bytes: joined(chunks), _reserved: reserved }),
            Ok(Some(Err(_))) => return Err(Refusal::Malformed),
            Ok(Some(Ok(chunk))) if length + chunk.len() > limit => return Err(Refusal::TooLarge),
            Ok(Some(Ok(chunk))) if !reserved.grow(chunk.len()) => return Err(Refusal::Overloaded),
            Ok(Some(Ok(chunk))) => {
                length += chunk.len();
                chunks.push(chunk);
            }
        }
    }
}

/// The chunks as one. Most callbacks are a single one, which is not copied.
fn joined(mut chunks: Vec<Bytes>) -> Bytes {
    match chunks.len() {
        0 | 1 => chunks.pop().unwrap_or_default(),
        _ => chunks.concat().into(),
    }
}
