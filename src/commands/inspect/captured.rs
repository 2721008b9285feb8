//! What a captured body says of itself, believed or not: for showing, never for deciding.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The JSON in a part of a compact JWS or JWE.
fn part(token: &str, index: usize) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?).ok()
}

/// A captured body, taken apart as far as it goes.
pub(super) struct Captured {
    /// The compact JWS.
    pub(super) token: Option<String>,
    /// Its JOSE header.
    pub(super) header: Option<Value>,
    /// Its claims.
    pub(super) claims: Option<Value>,
}

impl Captured {
    pub(super) fn read(body: &[u8]) -> Self {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let token = body.as_ref().and_then(|body| body.get("event")?.as_str()).map(str::to_owned);
        let part = |index| part(token.as_deref()?, index);
        let (header, claims) = (part(0), part(1));
        Self { token, header, claims }
    }

    /// The application that it says it is for.
    pub(super) fn audience(&self) -> Option<String> {
        Some(self.claims.as_ref()?.get("aud")?.as_str()?.to_owned())
    }

    /// The header of its encrypted data.
    pub(super) fn encryption(&self) -> Option<Value> {
        part(self.claims.as_ref()?.get("cipherData")?.as_str()?, 0)
    }

    /// The key that it says signed it.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.as_ref()?.get("kid")?.as_str()
    }
}
