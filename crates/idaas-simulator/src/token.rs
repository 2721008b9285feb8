//! Creates the body of one callback: payload, encryption, claims, signature; for tests, with any of them wrong (the
//! usual faults are in `token/wrong.rs`).
//!
//! A valid callback is `Callback::new(material, now).events(&events).body()`. Pure except for random numbers (`jti`,
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
    material: &'a TenantKeys,
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
pub fn body(material: &TenantKeys, events: &[Event], now: i64) -> Result<String, SigningFault> {
    Callback::new(material, now).events(events).body()
}

/// Creates the bodies of many valid callbacks, in order, on all processors: for benchmarks and large tests.
///
/// # Errors
/// [`SigningFault`] if the crypto library fails.
pub fn bodies(material: &TenantKeys, batches: &[Vec<Event>], now: i64) -> Result<Vec<String>, SigningFault> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = batches.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let make = |batches: &[Vec<Event>]| -> Result<Vec<String>, SigningFault> {
            batches.iter().map(|events| body(material, events, now)).collect()
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
    pub const fn new(material: &'a TenantKeys, now: i64) -> Self {
        Self {
            material,
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
        let header = json!({"kid": self.material.signing.key_id(), "typ": "JWT", "alg": "RS256"});
        let header = changed(header, &self.header).to_string().into_bytes();
        let claims = self.claims_json().into_bytes();
        let header = URL_SAFE_NO_PAD.encode(self.raw_header.as_ref().unwrap_or(&header));
        let claims = self.raw_claims.as_ref().unwrap_or(&claims);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = match self.signature {
            Signature::Good => self.material.signing.sign(input.as_bytes())?,
            Signature::ByAnotherKey => self.material.unrelated_key()?.sign(input.as_bytes())?,
            Signature::Hmac => attacks::hmac_with_public_key(&self.material.signing, input.as_bytes())?,
            Signature::Missing => Vec::new(),
            Signature::OfOtherClaims => {
                let signature = self.material.signing.sign(input.as_bytes())?;
                let claims = String::from_utf8_lossy(claims).replacen("\"exp\":", "\"exp\":1", 1);
                let (claims, signature) = (URL_SAFE_NO_PAD.encode(claims), URL_SAFE_NO_PAD.encode(signature));
                return Ok(format!("{header}.{claims}.{signature}"));
            }
        };
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn honest_claims(&self) -> Value {
        let identity = &self.material.identity;
        let plaintext = || match &self.content {
            Content::Items(items) => payload::payload(items, identity, self.form).to_string().into_bytes(),
            Content::Raw(bytes) => bytes.clone(),
        };
        let plain = matches!(self.encryption, Encryption::Plain);
        let cipher_data = match &self.encryption {
            Encryption::Sealed => self.material.content.seal(&plaintext()),
            Encryption::SealedByAnother => ContentKey::generate_hex()
                .and_then(|key| ContentKey::from_hex(&key))
                .map_or_else(|_| String::new(), |key| key.seal(&plaintext())),
            Encryption::Deflated => attacks::deflated_jwe(&plaintext(), &self.material.content).unwrap_or_default(),
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
mod tests {
    use idaas_callback::jose::jwe::Sealed;
    use idaas_callback::jose::jws::{KeySet, Verification};
    use josekit::jwe::alg::direct::DirectJweAlgorithm;

    use super::*;
    use crate::events::Generator;

    const NOW: i64 = 1_753_000_000;

    struct Opened {
        header: Value,
        claims: Value,
        verification: Verification,
    }

    fn opened(material: &TenantKeys, token: &str) -> Opened {
        let parts: Vec<_> = token.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        let keys = KeySet::parse(material.jwks().to_string().as_bytes()).unwrap();
        let input = format!("{}.{}", parts[0], parts[1]);
        let verification = keys.verify(header["kid"].as_str().unwrap(), input.as_bytes(), &decode(parts[2]));
        Opened { header, claims: serde_json::from_slice(&decode(parts[1])).unwrap(), verification }
    }

    fn material() -> &'static TenantKeys {
        static MATERIAL: std::sync::OnceLock<std::sync::Arc<TenantKeys>> = std::sync::OnceLock::new();
        MATERIAL.get_or_init(crate::test_bridge::material)
    }

    /// Returns the receiver's key, which has its own implementation.
    fn opener() -> idaas_callback::jose::jwe::ContentKey {
        idaas_callback::jose::jwe::ContentKey::from_hex(&material().encryption_key()).unwrap()
    }

    fn callback() -> Callback<'static> {
        Callback::new(material(), NOW).events(&Generator::new(1).one_of_each(NOW * 1000))
    }

    #[test]
    fn a_simulated_callback_has_idaas_members_and_signature() {
        let body: Value = serde_json::from_str(&callback().body().unwrap()).unwrap();
        let opened = opened(material(), body["event"].as_str().unwrap());
        assert_eq!(opened.verification, Verification::Good);
        let header = json!({"kid": material().signing.key_id(), "typ": "JWT", "alg": "RS256"});
        assert_eq!(opened.header, header);
        let claims = &opened.claims;
        assert_eq!(claims["iss"], ISSUER);
        assert_eq!(claims["sub"], material().identity.instance_id);
        assert_eq!(claims["aud"], material().identity.application_id);
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 1800);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
        assert_eq!(claims["dataEncrypted"], true);
        assert_eq!(claims["plainData"], "");
        assert_eq!(claims.as_object().unwrap().len(), 9);
    }

    #[test]
    fn the_cipher_data_opens_with_our_key_and_with_another_library() {
        let claims = opened(material(), &callback().token().unwrap()).claims;
        let cipher_data = claims["cipherData"].as_str().unwrap();
        let ours = opener().open(Sealed::parse(cipher_data).unwrap()).ok().unwrap();
        let key: Vec<u8> =
            openssl::bn::BigNum::from_hex_str(&material().encryption_key()).unwrap().to_vec_padded(32).unwrap();
        let decrypter = DirectJweAlgorithm::Dir.decrypter_from_bytes(key).unwrap();
        let (theirs, header) = josekit::jwe::deserialize_compact(cipher_data, &decrypter).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(header.claims_set().len(), 2);
        let payload: Value = serde_json::from_slice(&ours).unwrap();
        let items: Vec<Value> = serde_json::from_str(payload["eventData"].as_str().unwrap()).unwrap();
        assert_eq!(items.len(), crate::kind::Kind::ALL.len());
    }

    #[test]
    fn a_plain_callback_carries_an_object_and_an_empty_cipher_text() {
        let claims = opened(material(), &callback().plain().token().unwrap()).claims;
        assert_eq!(claims["dataEncrypted"], false);
        assert_eq!(claims["cipherData"], "");
        assert_eq!(claims["plainData"]["instanceId"], material().identity.instance_id);
    }

    #[test]
    fn a_compressed_jwe_is_rejected() {
        let claims = opened(material(), &callback().deflated().token().unwrap()).claims;
        let cipher_data = claims["cipherData"].as_str().unwrap();
        assert!(Sealed::parse(cipher_data).is_none());
        let key: Vec<u8> =
            openssl::bn::BigNum::from_hex_str(&material().encryption_key()).unwrap().to_vec_padded(32).unwrap();
        let decrypter = DirectJweAlgorithm::Dir.decrypter_from_bytes(key).unwrap();
        let (plaintext, _) = josekit::jwe::deserialize_compact(cipher_data, &decrypter).unwrap();
        assert!(serde_json::from_slice::<Value>(&plaintext).unwrap()["eventData"].is_string());
    }

    #[test]
    fn bad_signatures_do_not_verify() {
        let verification = |callback: Callback<'_>| opened(material(), &callback.token().unwrap()).verification;
        assert_eq!(verification(callback().wrong_key()), Verification::Bad);
        assert_eq!(verification(callback().tampered()), Verification::Bad);
        assert_eq!(verification(callback().wrong_algorithm()), Verification::Bad);
        assert_eq!(verification(callback().none_algorithm()), Verification::Bad);
        assert_eq!(verification(callback().unknown_key()), Verification::UnknownKey);
    }

    #[test]
    fn a_forged_algorithm_is_signed_with_the_public_key() {
        let token = callback().wrong_algorithm().token().unwrap();
        let public = openssl::pkey::PKey::private_key_from_pem(&material().signing.to_pem()).unwrap();
        let verifier = josekit::jws::HS256.verifier_from_bytes(public.public_key_to_pem().unwrap()).unwrap();
        let (_, header) = josekit::jws::deserialize_compact(&token, &verifier).unwrap();
        assert_eq!(header.algorithm(), Some("HS256"));
    }

    #[test]
    fn a_tampered_token_is_still_json_with_another_expiry() {
        let claims = opened(material(), &callback().tampered().token().unwrap()).claims;
        assert!(claims["exp"].as_i64().unwrap() > NOW + LIFETIME);
    }

    #[test]
    fn a_wrongly_encrypted_callback_does_not_open() {
        let claims = opened(material(), &callback().wrong_encryption_key().token().unwrap()).claims;
        let sealed = Sealed::parse(claims["cipherData"].as_str().unwrap()).unwrap();
        assert!(opener().open(sealed).is_err());
    }

    #[test]
    fn claims_and_headers_can_be_overridden() {
        let token = callback().header("crit", json!(["b64"])).claim("aud", 7).without_claim("exp").token().unwrap();
        let opened_token = opened(material(), &token);
        assert_eq!(opened_token.header["crit"], json!(["b64"]));
        assert_eq!(opened_token.claims["aud"], 7);
        assert!(opened_token.claims.get("exp").is_none());
        assert_eq!(opened_token.verification, Verification::Good);
        let text = callback().claims_json().replacen('{', "{\"aud\":\"x\",", 1);
        assert_eq!(opened(material(), &callback().raw_claims(text).token().unwrap()).verification, Verification::Good);
    }

    #[test]
    fn many_bodies_are_in_the_order_of_their_events() {
        let event = |index| Generator::new(1).event(&crate::kind::Kind::Test.into(), index, NOW * 1000);
        let batches: Vec<_> = (0..5).map(|index| vec![event(index)]).collect();
        let bodies = bodies(material(), &batches, NOW).unwrap();
        for (body, events) in bodies.iter().zip(&batches) {
            let body: Value = serde_json::from_str(body).unwrap();
            let claims = opened(material(), body["event"].as_str().unwrap()).claims;
            let sealed = Sealed::parse(claims["cipherData"].as_str().unwrap()).unwrap();
            let payload = String::from_utf8(opener().open(sealed).ok().unwrap()).unwrap();
            assert!(payload.contains(&events[0].event_id));
        }
        assert_eq!(bodies.len(), 5);
    }
}
