//! Unverified contents of a captured body. For display and for choosing the application, never for verification.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Returns the JSON in one part of a compact JWS or JWE.
fn part(token: &str, index: usize) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?).ok()
}

/// Returns the header of a compact JWE.
pub(super) fn encryption(compact: &str) -> Option<Value> {
    part(compact, 0)
}

/// A captured body, decoded as far as possible.
pub(super) struct Captured {
    /// The compact JWS.
    pub(super) token: Option<String>,
    /// Its JOSE header.
    pub(super) header: Option<Value>,
    /// Its claims.
    pub(super) claims: Option<Value>,
    /// True if the capture was only the token.
    pub(super) is_bare: bool,
}

/// Returns the token if the capture is a compact JWS: three parts, with or without quotation marks and line endings.
fn bare_token(capture: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(capture).ok()?.trim().trim_matches('"');
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte));
    (text.starts_with("ey") && text.split('.').count() == 3 && text.split('.').all(is_part)).then_some(text)
}

impl Captured {
    /// Parses a capture: the body, or only its token, as in the member `event`. Returns the body with it.
    pub(super) fn of(capture: Vec<u8>) -> (Self, Vec<u8>) {
        match bare_token(&capture) {
            Some(token) => {
                let body = json!({"event": token}).to_string().into_bytes();
                (Self { is_bare: true, ..Self::read(&body) }, body)
            }
            None => (Self::read(&capture), capture),
        }
    }

    fn read(body: &[u8]) -> Self {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let token = body.as_ref().and_then(|body| body.get("event")?.as_str()).map(str::to_owned);
        let part = |index| part(token.as_deref()?, index);
        let (header, claims) = (part(0), part(1));
        Self { token, header, claims, is_bare: false }
    }

    /// Returns the application id that the token claims to be for.
    pub(super) fn audience(&self) -> Option<String> {
        Some(self.claims.as_ref()?.get("aud")?.as_str()?.to_owned())
    }

    /// Returns the header of the encrypted data.
    pub(super) fn encryption(&self) -> Option<Value> {
        encryption(self.claims.as_ref()?.get("cipherData")?.as_str()?)
    }

    /// Returns the id of the key that claims to have signed the token.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.as_ref()?.get("kid")?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_alone_is_taken_as_the_body_around_it() {
        let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJhdWQiOiJhcHAifQ.c2ln";
        for capture in [token.to_owned(), format!("{token}\r\n"), format!(" \"{token}\"\n")] {
            let (captured, body) = Captured::of(capture.into_bytes());
            assert_eq!(body, format!("{{\"event\":\"{token}\"}}").into_bytes());
            assert_eq!(
                (captured.is_bare, captured.key_id(), captured.audience().as_deref()),
                (true, Some("k"), Some("app"))
            );
        }
        for capture in [format!("{{\"event\":\"{token}\"}}"), "ey".to_owned(), "eyJ.a.b.c.d".to_owned(), String::new()]
        {
            let (captured, body) = Captured::of(capture.clone().into_bytes());
            assert_eq!((captured.is_bare, body), (false, capture.into_bytes()));
        }
    }
}
