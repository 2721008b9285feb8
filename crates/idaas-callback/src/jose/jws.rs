//! Verifies JWS signatures with RS256 (RFC 7515, RFC 7518 §3.3) and a JSON Web Key Set (RFC 7517): the public keys of
//! one application.
//!
//! This module must never choose an algorithm from a token.
//!
//! Verifiers are created once, when the set is parsed, because creating one costs more than seven verifications. An
//! unusable entry does not disable the others: it is skipped, and [`KeySet::skipped`] gives the reason.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::rs256::Verifier;

/// The only accepted signature algorithm.
pub const ALGORITHM: &str = "RS256";

/// The UTF-8 byte-order mark, which some HTTP servers put in front of a document.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The public keys of one application, each with an initialized verifier.
pub struct KeySet {
    keys: Vec<(String, Verifier)>,
    skipped: Vec<SkippedKey>,
}

/// The reason why a JSON Web Key Set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetFault {
    /// The document is not a JSON object with a list `keys` (RFC 7517 §5).
    NotAKeySet,
    /// No key is an RSA key of at least 2048 bits, with a `kid`, usable for signatures. Contains the first skipped
    /// entry, if there is one.
    NoUsableKey(Option<SkippedKey>),
}

impl std::fmt::Display for KeySetFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAKeySet => f.write_str("the document is not a JSON Web Key Set (an object with a list \"keys\")"),
            Self::NoUsableKey(first) => {
                f.write_str(
                    "the key set contains no usable key (RSA, 2048 bits or more, with a \"kid\", for signatures)",
                )?;
                first.as_ref().map_or(Ok(()), |skipped| write!(f, ": {skipped}"))
            }
        }
    }
}

impl std::error::Error for KeySetFault {}

/// An entry of a key set that cannot be used. Its `Display` contains nothing of the document, so it can be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// The position in `keys`, from 0.
    pub index: usize,
    /// The entry's `kid`, if it has one.
    pub key_id: Option<String>,
    /// The reason.
    pub reason: SkipReason,
}

impl std::fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "keys[{}] {}", self.index, self.reason.message())
    }
}

/// The reason why an entry of a key set is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Not a JSON object.
    NotAnObject,
    /// `kty` is not `RSA`.
    KeyType,
    /// `use` is present and is not `sig`.
    Use,
    /// `key_ops` is present and does not contain `verify`.
    Operations,
    /// `alg` is present and is not `RS256`.
    Algorithm,
    /// `kid` is missing, so no token can name the key.
    NoKeyId,
    /// `n` and `e` are not the modulus and exponent of an RSA key in base64url.
    Numbers,
    /// The key has fewer than 2048 bits.
    TooShort,
}

impl SkipReason {
    /// Returns the reason as the predicate of a sentence about the entry.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotAnObject => "is not a JSON object",
            Self::KeyType => "is not an RSA key (\"kty\" is not \"RSA\")",
            Self::Use => "is not for signatures (\"use\" is not \"sig\")",
            Self::Operations => "is not for verifying (\"key_ops\" does not contain \"verify\")",
            Self::Algorithm => "is for another algorithm (\"alg\" is not \"RS256\")",
            Self::NoKeyId => "has no \"kid\", by which tokens name their key",
            Self::Numbers => "has no usable modulus and exponent (\"n\" and \"e\" in base64url)",
            Self::TooShort => "is shorter than 2048 bits",
        }
    }
}

/// The result of a signature check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// A key with that id made this signature over this input.
    Good,
    /// A key with that id exists, but it did not make this signature.
    Bad,
    /// No key has that id.
    UnknownKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a JSON Web Key Set (RFC 7517), with or without a byte-order mark. Keys of other types, uses or sizes
    /// are skipped, so that a key added for another purpose does no harm. An optional member that is `null` or empty
    /// counts as absent. `alg` is not required, because IDaaS does not send it.
    ///
    /// # Errors
    /// [`KeySetFault`] if the document is not a key set, or has no usable key.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetFault> {
        // RFC 8259 §8.1 allows parsers to ignore the mark.
        let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
        let document: Document = serde_json::from_slice(document).map_err(|_| KeySetFault::NotAKeySet)?;
        let mut set = Self { keys: Vec::new(), skipped: Vec::new() };
        for (index, entry) in document.keys.iter().enumerate() {
            match key(entry) {
                Ok(key) => set.keys.push(key),
                Err(reason) => {
                    let key_id = entry.get("kid").and_then(Value::as_str).map(str::to_owned);
                    set.skipped.push(SkippedKey { index, key_id, reason });
                }
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetFault::NoUsableKey(set.skipped.into_iter().next()));
        }
        Ok(set)
    }

    /// Verifies `signature` over `input` (the token up to its second dot) with the keys whose id is exactly `key_id`.
    #[must_use]
    pub fn verify(&self, key_id: &str, input: &[u8], signature: &[u8]) -> Verification {
        let mut verification = Verification::UnknownKey;
        for (id, verifier) in &self.keys {
            if id == key_id {
                if verifier.verify(input, signature) {
                    return Verification::Good;
                }
                verification = Verification::Bad;
            }
        }
        verification
    }

    /// Returns the ids of the keys, in document order.
    pub fn key_ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.keys.iter().map(|(id, _)| id.as_str())
    }

    /// Returns the unusable entries, in document order.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

fn key(entry: &Value) -> Result<(String, Verifier), SkipReason> {
    let members = entry.as_object().ok_or(SkipReason::NotAnObject)?;
    let is = |name, value| member(members, name).is_none_or(|found| found == value);
    if member(members, "kty").is_none_or(|kind| kind != "RSA") {
        return Err(SkipReason::KeyType);
    }
    if !is("use", "sig") {
        return Err(SkipReason::Use);
    }
    let verifies = |operations: &Value| {
        operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    };
    if !member(members, "key_ops").is_none_or(verifies) {
        return Err(SkipReason::Operations);
    }
    if !is("alg", ALGORITHM) {
        return Err(SkipReason::Algorithm);
    }
    let id = member(members, "kid").and_then(Value::as_str).ok_or(SkipReason::NoKeyId)?;
    // RFC 7518 §2 omits the padding, but some implementations add it.
    let number = |name| member(members, name)?.as_str().map(|digits| digits.trim_end_matches('='));
    let numbers = number("n").zip(number("e")).ok_or(SkipReason::Numbers)?;
    let verifier = Verifier::of(numbers.0, numbers.1).ok_or(SkipReason::Numbers)?;
    if verifier.bits() < 2048 { Err(SkipReason::TooShort) } else { Ok((id.to_owned(), verifier)) }
}

/// Returns a member that has a value. Some serializers write `null`, an empty text, list or object for "not set".
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use idaas_simulator::signing::SigningKey;
    use serde_json::json;

    use super::*;

    const OPTIONAL: [&str; 8] = ["use", "key_ops", "alg", "x5u", "x5c", "x5t", "x5t#S256", "oth"];

    fn good(kid: &str) -> Value {
        SigningKey::generate(kid).unwrap().to_jwks()["keys"][0].clone()
    }

    fn with(entry: &Value, name: &str, value: Value) -> Value {
        let mut entry = entry.clone();
        entry[name] = value;
        entry
    }

    fn parse(entries: &[Value]) -> Result<KeySet, KeySetFault> {
        KeySet::parse(json!({ "keys": entries }).to_string().as_bytes())
    }

    #[test]
    fn unset_optional_members_count_as_absent() {
        let good = good("KEY1");
        for name in OPTIONAL {
            for unset in [Value::Null, json!(""), json!([]), json!({})] {
                let set = parse(&[with(&good, name, unset.clone())]).unwrap_or_else(|_| panic!("{name} is {unset}"));
                assert!(set.skipped().is_empty(), "{name} is {unset}");
            }
        }
        let all = OPTIONAL.iter().fold(good, |entry, name| with(&entry, name, Value::Null));
        assert_eq!(parse(&[all]).unwrap().key_ids().collect::<Vec<_>>(), ["KEY1"]);
    }

    #[test]
    fn odd_certificates_beside_a_key_do_not_matter() {
        let good = good("KEY1");
        for (name, value) in [("x5c", json!(["no base64!"])), ("x5t", json!(17)), ("x5u", json!(true))] {
            assert!(parse(&[with(&good, name, value)]).unwrap().skipped().is_empty(), "{name}");
        }
    }

    #[test]
    fn an_unusable_entry_is_skipped_with_its_reason() {
        let good = good("KEY1");
        let short = openssl::rsa::Rsa::generate(1024).unwrap();
        let short = base64_simd::URL_SAFE_NO_PAD.encode_to_string(short.n().to_vec());
        for (bad, reason) in [
            (json!("text"), SkipReason::NotAnObject),
            (Value::Null, SkipReason::NotAnObject),
            (with(&good, "kty", json!("EC")), SkipReason::KeyType),
            (with(&good, "kty", Value::Null), SkipReason::KeyType),
            (with(&good, "use", json!("enc")), SkipReason::Use),
            (with(&good, "use", json!(1)), SkipReason::Use),
            (with(&good, "key_ops", json!(["encrypt"])), SkipReason::Operations),
            (with(&good, "alg", json!("PS256")), SkipReason::Algorithm),
            (with(&good, "kid", Value::Null), SkipReason::NoKeyId),
            (with(&good, "kid", json!(7)), SkipReason::NoKeyId),
            (with(&good, "n", json!("***")), SkipReason::Numbers),
            (with(&good, "e", Value::Null), SkipReason::Numbers),
            (with(&good, "n", json!(short)), SkipReason::TooShort),
        ] {
            let set = parse(&[bad.clone(), good.clone()]).unwrap_or_else(|fault| panic!("{bad}: {fault}"));
            let skipped = set.skipped()[0].clone();
            assert_eq!((set.key_ids().len(), skipped.index, skipped.reason), (1, 0, reason), "{bad}");
            assert_eq!(parse(&[bad]).err(), Some(KeySetFault::NoUsableKey(Some(skipped))));
        }
    }

    #[test]
    fn a_byte_order_mark_before_the_document_is_ignored() {
        let document = json!({ "keys": [good("KEY1")] }).to_string();
        assert!(KeySet::parse(format!("\u{feff}{document}\r\n").as_bytes()).is_ok());
    }

    #[test]
    fn padded_numbers_make_the_same_key() {
        let signer = SigningKey::generate("KEY1").unwrap();
        let mut entry = signer.to_jwks()["keys"][0].clone();
        entry["n"] = json!(format!("{}==", entry["n"].as_str().unwrap()));
        let set = parse(&[entry]).unwrap();
        assert_eq!(set.verify("KEY1", b"input", &signer.sign(b"input").unwrap()), Verification::Good);
    }
}
