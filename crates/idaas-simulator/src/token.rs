//! Creates the body of one callback: payload, encryption, claims, signature; for tests, with any of them wrong (the
//! usual faults are in `token/wrong.rs`).
//!
//! A valid callback is `Callback::new(tenant_keys, now).events(&events).body()`. Pure except for random numbers (`jti`,
//! initialization vector): the time is a parameter.

mod wrong;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::attacks;
use super::events::Event;
use super::payload::{self, Form};
use super::tenant_keys::TenantKeys;
use crate::encryption::ContentKey;
use crate::signing::SigningFault;

/// The issuer of every callback.
pub const ISSUER: &str = "urn:alibaba:idaas:app:event";

/// The lifetime of a token, in seconds.
pub const LIFETIME: i64 = 1800;

/// A builder for one callback. Each method changes one property; [`Callback::body`] creates the body.
#[derive(Clone)]
#[must_use]
pub struct Callback<'a> {
    tenant_keys: &'a TenantKeys,
    issued_at: i64,
    form: Form,
    content: Content,
    encryption: Encryption,
    signature: Signature,
    header: Vec<(String, Option<Value>)>,
    claims: Vec<(String, Option<Value>)>,
    raw_header: Option<Vec<u8>>,
    raw_claims: Option<Vec<u8>>,
}

#[derive(Clone)]
enum Content {
    Items(Vec<Value>),
    Raw(Vec<u8>),
}

#[derive(Clone)]
enum Encryption {
    Sealed,
    SealedByAnother,
    Deflated,
    Plain,
    Given(String),
}

#[derive(Clone, Copy)]
enum Signature {
    Good,
    ByAnotherKey,
    Hmac,
    Missing,
    OfOtherClaims,
}

/// Creates the body of one valid callback, encrypted, as on the wire. `now` is in seconds since 1970.
///
/// # Errors
/// [`SigningFault`] if the crypto library fails.
pub fn body(tenant_keys: &TenantKeys, events: &[Event], now: i64) -> Result<String, SigningFault> {
    Callback::new(tenant_keys, now).events(events).body()
}

/// Creates the bodies of many valid callbacks, in order, on all processors: for benchmarks and large tests.
///
/// # Errors
/// [`SigningFault`] if the crypto library fails.
pub fn bodies(tenant_keys: &TenantKeys, batches: &[Vec<Event>], now: i64) -> Result<Vec<String>, SigningFault> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = batches.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let make = |batches: &[Vec<Event>]| -> Result<Vec<String>, SigningFault> {
            batches.iter().map(|events| body(tenant_keys, events, now)).collect()
        };
        let making: Vec<_> = batches.chunks(share).map(|batches| scope.spawn(move || make(batches))).collect();
        let mut bodies = Vec::with_capacity(batches.len());
        for thread in making {
            bodies.extend(thread.join().map_err(|_| SigningFault)??);
        }
        Ok(bodies)
    })
}

impl<'a> Callback<'a> {
    /// Creates a valid callback without events, issued at `now` (seconds since 1970).
    pub const fn new(tenant_keys: &'a TenantKeys, now: i64) -> Self {
        Self {
            tenant_keys,
            issued_at: now,
            form: Form::Wire,
            content: Content::Items(Vec::new()),
            encryption: Encryption::Sealed,
            signature: Signature::Good,
            header: Vec::new(),
            claims: Vec::new(),
            raw_header: None,
            raw_claims: None,
        }
    }

    /// Sets the events, in the form that was set *before* with [`Callback::form`].
    pub fn events(self, events: &[Event]) -> Self {
        let form = self.form;
        self.event_values(events.iter().map(|event| payload::event_value(event, form)).collect())
    }

    /// Sets the elements of `eventData` unchanged.
    pub fn event_values(mut self, items: Vec<Value>) -> Self {
        self.content = Content::Items(items);
        self
    }

    /// Replaces the whole payload with these bytes. Without encryption they must be JSON, or are sent as a JSON
    /// string.
    pub fn raw_payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.content = Content::Raw(payload.into());
        self
    }

    /// Sets the form of the payload.
    pub const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Sends `plainData`, as if encryption were switched off in the instance.
    pub fn plain(mut self) -> Self {
        self.encryption = Encryption::Plain;
        self
    }

    /// Replaces `cipherData`.
    pub fn cipher_data(mut self, cipher_data: impl Into<String>) -> Self {
        self.encryption = Encryption::Given(cipher_data.into());
        self
    }

    /// Sets a member of the header.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Removes a member of the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.push((name.to_owned(), None));
        self
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Removes a claim.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.push((name.to_owned(), None));
        self
    }

    /// Replaces the header with these bytes, which need not be JSON: for duplicate members, for example.
    pub fn raw_header(mut self, header: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(header.into());
        self
    }

    /// Replaces the claims with these bytes, which need not be JSON.
    pub fn raw_claims(mut self, claims: impl Into<Vec<u8>>) -> Self {
        self.raw_claims = Some(claims.into());
        self
    }

    /// Returns the claims that would be signed, as JSON. A test can change the text and pass it to
    /// [`Callback::raw_claims`].
    #[must_use]
    pub fn claims_json(&self) -> String {
        changed(self.honest_claims(), &self.claims).to_string()
    }

    /// Returns the body: `{"event":"<JWS>"}`.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn body(self) -> Result<String, SigningFault> {
        // Base64url and dots need no escapes in JSON.
        Ok(format!(r#"{{"event":"{}"}}"#, self.token()?))
    }

    /// Returns the token, a compact JWS.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn token(self) -> Result<String, SigningFault> {
        let header = json!({"kid": self.tenant_keys.signing.key_id(), "typ": "JWT", "alg": "RS256"});
        let header = changed(header, &self.header).to_string().into_bytes();
        let claims = self.claims_json().into_bytes();
        let header = URL_SAFE_NO_PAD.encode(self.raw_header.as_ref().unwrap_or(&header));
        let claims = self.raw_claims.as_ref().unwrap_or(&claims);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = match self.signature {
            Signature::Good => self.tenant_keys.signing.sign(input.as_bytes())?,
            Signature::ByAnotherKey => self.tenant_keys.unrelated_key()?.sign(input.as_bytes())?,
            Signature::Hmac => attacks::hmac_with_public_key(&self.tenant_keys.signing, input.as_bytes())?,
            Signature::Missing => Vec::new(),
            Signature::OfOtherClaims => {
                let signature = self.tenant_keys.signing.sign(input.as_bytes())?;
                let claims = String::from_utf8_lossy(claims).replacen("\"exp\":", "\"exp\":1", 1);
                let (claims, signature) = (URL_SAFE_NO_PAD.encode(claims), URL_SAFE_NO_PAD.encode(signature));
                return Ok(format!("{header}.{claims}.{signature}"));
            }
        };
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn honest_claims(&self) -> Value {
        let identity = &self.tenant_keys.identity;
        let plaintext = || match &self.content {
            Content::Items(items) => payload::payload(items, identity, self.form).to_string().into_bytes(),
            Content::Raw(bytes) => bytes.clone(),
        };
        let plain = matches!(self.encryption, Encryption::Plain);
        let cipher_data = match &self.encryption {
            Encryption::Sealed => self.tenant_keys.content.seal(&plaintext()),
            Encryption::SealedByAnother => ContentKey::generate_hex()
                .and_then(|key| ContentKey::from_hex(&key))
                .map_or_else(|_| String::new(), |key| key.seal(&plaintext())),
            Encryption::Deflated => attacks::deflated_jwe(&plaintext(), &self.tenant_keys.content).unwrap_or_default(),
            Encryption::Plain => String::new(),
            Encryption::Given(cipher_data) => cipher_data.clone(),
        };
        let plain_data = match &self.content {
            _ if !plain => Value::from(""),
            Content::Items(items) => payload::payload(items, identity, self.form),
            Content::Raw(bytes) => serde_json::from_slice(bytes)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes).into_owned())),
        };
        json!({
            "iss": ISSUER, "sub": identity.instance_id, "aud": identity.application_id,
            "iat": self.issued_at, "exp": self.issued_at + LIFETIME,
            "jti": URL_SAFE_NO_PAD.encode(fastrand::u128(..).to_be_bytes()),
            "dataEncrypted": !plain, "cipherData": cipher_data, "plainData": plain_data,
        })
    }
}

fn changed(value: Value, changes: &[(String, Option<Value>)]) -> Value {
    let mut members = match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    for (name, change) in changes {
        match change {
            Some(value) => members.insert(name.clone(), value.clone()),
            None => members.remove(name),
        };
    }
    Value::Object(members)
}

#[cfg(test)]
#[path = "tests/token.rs"]
mod tests;
