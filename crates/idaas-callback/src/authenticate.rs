//! Is this callback from IDaaS, for this application, now? From the body to a [`Verified`] one.
//!
//! Fails closed: whatever is missing, mistyped or ambiguous is refused. No algorithm, key or time is taken from the
//! token except to be compared. Claims are read only after the signature has held.

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

/// Header members that would change how the token is read, or bring a key along (RFC 7515 §4.1, RFC 7797).
const UNSUPPORTED_HEADERS: [&str; 7] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip"];

/// A callback whose signature and claims hold. Only [`authenticate`] makes one.
pub struct Verified {
    pub(super) instance_id: String,
    pub(super) content: Content,
}

/// What the token carries.
pub(super) enum Content {
    /// A compact JWE, perhaps empty.
    Encrypted(String),
    /// JSON in the clear.
    Plain(String),
}

/// Authenticates a callback's body as of `now` (seconds since 1970).
///
/// # Errors
/// [`Refusal::Malformed`] where it is no callback, else what about the token does not hold.
pub fn authenticate(body: &[u8], keys: &KeySet, policy: &Policy, now: i64) -> Result<Verified, Refusal> {
    let token = envelope(body)?;
    let (input, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, claims) = input.split_once('.').ok_or(Refusal::Malformed)?;
    let key_id = check_header(&decoded(header).ok_or(Refusal::Malformed)?)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::BadSignature)?;
    match keys.verify(&key_id, input.as_bytes(), &signature) {
        Verification::Good => {}
        Verification::Bad => return Err(Refusal::BadSignature),
        Verification::UnknownKey => return Err(Refusal::UnknownKey),
    }
    let text = decoded(claims).ok_or(Refusal::Malformed)?;
    let claims = members(&text)?;
    let instance_id = check_claims(&claims, policy, now)?;
    let (encrypted, carried) = carried(&claims, policy)?;
    // It can be megabytes long, so it stays where it is.
    let carried = match carried {
        Cow::Borrowed(part) => match json::place(&text, part) {
            Some(place) => cut(text, place),
            None => part.to_owned(),
        },
        Cow::Owned(unescaped) => unescaped,
    };
    let content = if encrypted { Content::Encrypted(carried) } else { Content::Plain(carried) };
    Ok(Verified { instance_id, content })
}

/// The token in `{"event": "<compact JWS>"}`.
fn envelope(body: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let body = std::str::from_utf8(body).map_err(|_| Refusal::Malformed)?;
    members(body)?.get("event").and_then(json::text).ok_or(Refusal::Malformed)
}

/// An object in which no name stands twice: two readers of an ambiguous one could see two different tokens.
fn members(text: &str) -> Result<Members<'_>, Refusal> {
    Members::parse(text).filter(|members| !members.ambiguous()).ok_or(Refusal::Malformed)
}

fn decoded(part: &str) -> Option<String> {
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

/// Seconds since 1970, perhaps with a fraction (RFC 7519 §2, NumericDate).
fn numeric_date(value: Raw<'_>) -> Option<i64> {
    let json = value.get();
    if json::whole_number(json) {
        return json.parse().ok();
    }
    let seconds: f64 = serde_json::from_str(json).ok()?;
    // The cast saturates, so a date beyond all reason stays one.
    Some(seconds.floor() as i64)
}

/// What is inside, and whether it is encrypted, by what the token says of itself and what the application demands.
fn carried<'a>(claims: &Members<'a>, policy: &Policy) -> Result<(bool, Cow<'a, str>), Refusal> {
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

/// What stands at `place`, in the text's own memory.
fn cut(mut text: String, place: Range<usize>) -> String {
    text.truncate(place.end);
    text.drain(..place.start);
    text
}
