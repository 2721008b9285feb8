//! Authenticates a callback: checks that it is from IDaaS, for this application, and current.
//!
//! Fails closed: a missing, mistyped or ambiguous member rejects the callback. Algorithms, keys and times in the
//! token are only compared with expected values, never used. Claims are read only after the signature has been
//! verified.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::{self, Members, Raw};
use super::policy::Policy;
use crate::jose::jws::{ALGORITHM, KeySet, Verification};
use crate::refusal::Refusal;

/// The `iss` of every IDaaS event callback.
pub const ISSUER: &str = "urn:alibaba:idaas:app:event";

/// Header members that change how the token is read, or that carry a key (RFC 7515 §4.1, RFC 7797).
const UNSUPPORTED_HEADERS: [&str; 7] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip"];

/// A callback whose signature and claims are valid. Created only by [`authenticate`] and from quarantine.
pub struct Verified {
    pub(super) instance_id: String,
    pub(super) content: Content,
}

/// The content of a token.
pub(super) enum Content {
    /// A compact JWE. Can be empty.
    Encrypted(String),
    /// Unencrypted JSON.
    Plain(String),
}

/// Authenticates a callback's body. `now` is in seconds since 1970.
///
/// # Errors
/// [`Refusal::Malformed`] if the body is not a callback; otherwise the [`Refusal`] for the first check that fails.
pub fn authenticate(body: &[u8], keys: &KeySet, policy: &Policy, now: i64) -> Result<Verified, Refusal> {
    let token = envelope(body)?;
    let (input, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, claims) = input.split_once('.').ok_or(Refusal::Malformed)?;
    let key_id = check_header(&decode_base64(header).ok_or(Refusal::Malformed)?)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::BadSignature)?;
    match keys.verify(&key_id, input.as_bytes(), &signature) {
        Verification::Good => {}
        Verification::Bad => return Err(Refusal::BadSignature),
        Verification::UnknownKey => return Err(Refusal::UnknownKey),
    }
    let text = decode_base64(claims).ok_or(Refusal::Malformed)?;
    let claims = members(&text)?;
    let instance_id = check_claims(&claims, policy, now)?;
    let (encrypted, content) = content_of(&claims, policy)?;
    // The content can be megabytes long, so it stays in the token's memory instead of being copied.
    let content = match content {
        Cow::Borrowed(part) => match json::range_of(&text, part) {
            Some(range) => keep_range(text, range),
            None => part.to_owned(),
        },
        Cow::Owned(unescaped) => unescaped,
    };
    let content = if encrypted { Content::Encrypted(content) } else { Content::Plain(content) };
    Ok(Verified { instance_id, content })
}

/// Returns the token in `{"event": "<compact JWS>"}`.
fn envelope(body: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let body = std::str::from_utf8(body).map_err(|_| Refusal::Malformed)?;
    members(body)?.get("event").and_then(json::text).ok_or(Refusal::Malformed)
}

/// Maximum number of members of an envelope, a header or claims. IDaaS sends about ten. Anyone can send more, because
/// these are parsed before the signature is verified, and a body of megabytes would take ten times its size in memory.
const MAX_MEMBERS: usize = 1000;

/// Parses an object and rejects duplicate names: two parsers could read two different tokens from such an object.
fn members(text: &str) -> Result<Members<'_>, Refusal> {
    Members::parse_limited(text, MAX_MEMBERS).filter(|members| !members.ambiguous()).ok_or(Refusal::Malformed)
}

fn decode_base64(part: &str) -> Option<String> {
    String::from_utf8(base64_simd::URL_SAFE_NO_PAD.decode_to_vec(part).ok()?).ok()
}

/// Checks the JOSE header and returns the key id.
fn check_header(header: &str) -> Result<String, Refusal> {
    let header = members(header)?;
    let text = |name| header.get(name).and_then(json::text);
    if text("alg").as_deref() != Some(ALGORITHM) {
        return Err(Refusal::BadAlgorithm);
    }
    if UNSUPPORTED_HEADERS.iter().any(|name| header.get(name).is_some()) {
        return Err(Refusal::UnsupportedHeader);
    }
    Ok(text("kid").ok_or(Refusal::UnknownKey)?.into_owned())
}

/// Checks the registered claims (RFC 7519 §4.1) and returns the instance id.
fn check_claims(claims: &Members<'_>, policy: &Policy, now: i64) -> Result<String, Refusal> {
    let text = |name| claims.get(name).and_then(json::text);
    let seconds = |name| claims.get(name).and_then(numeric_date);
    if text("iss").as_deref() != Some(ISSUER) {
        return Err(Refusal::WrongIssuer);
    }
    if text("aud").as_deref() != Some(policy.application_id.as_str()) {
        return Err(Refusal::WrongAudience);
    }
    let instance = text("sub").filter(|sub| !sub.is_empty()).ok_or(Refusal::WrongInstance)?;
    if policy.instance_id.as_deref().is_some_and(|expected| expected != instance) {
        return Err(Refusal::WrongInstance);
    }
    let expires = seconds("exp").ok_or(Refusal::Expired)?;
    if now >= expires.saturating_add(policy.clock_skew) {
        return Err(Refusal::Expired);
    }
    let latest = now.saturating_add(policy.clock_skew);
    if seconds("iat").is_none_or(|issued| issued > latest) {
        return Err(Refusal::NotYetValid);
    }
    if claims.get("nbf").is_some() && seconds("nbf").is_none_or(|from| from > latest) {
        return Err(Refusal::NotYetValid);
    }
    Ok(instance.into_owned())
}

/// Reads a NumericDate (RFC 7519 §2): seconds since 1970, optionally with a fraction.
fn numeric_date(value: Raw<'_>) -> Option<i64> {
    let json = value.get();
    if json::whole_number(json) {
        return json.parse().ok();
    }
    let seconds: f64 = serde_json::from_str(json).ok()?;
    // The cast saturates, so an absurdly large date remains a date in the far future.
    Some(seconds.floor() as i64)
}

/// Returns whether the content is encrypted, and the content. `dataEncrypted` decides; if it is absent, a non-empty
/// `cipherData` counts as encrypted.
fn content_of<'a>(claims: &Members<'a>, policy: &Policy) -> Result<(bool, Cow<'a, str>), Refusal> {
    let sealed = claims.get("cipherData").and_then(json::text).unwrap_or_default();
    let encrypted = match claims.get("dataEncrypted").map(Raw::get) {
        Some("true") => true,
        _ if policy.require_encryption => return Err(Refusal::NotEncrypted),
        Some("false") => false,
        _ => !sealed.is_empty(),
    };
    let plain = || claims.get("plainData").map(json::unwrapped).unwrap_or_default();
    Ok((encrypted, if encrypted { sealed } else { plain() }))
}

/// Returns the text at `range`, reusing the memory of `text`.
fn keep_range(mut text: String, range: Range<usize>) -> String {
    text.truncate(range.end);
    text.drain(..range.start);
    text
}
