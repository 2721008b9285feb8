//! Tests of `token`.

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

fn opened(tenant_keys: &TenantKeys, token: &str) -> Opened {
    let parts: Vec<_> = token.split('.').collect();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    let keys = KeySet::parse(tenant_keys.jwks().to_string().as_bytes()).unwrap();
    let input = format!("{}.{}", parts[0], parts[1]);
    let verification = keys.verify(header["kid"].as_str().unwrap(), input.as_bytes(), &decode(parts[2]));
    Opened { header, claims: serde_json::from_slice(&decode(parts[1])).unwrap(), verification }
}

fn tenant_keys() -> &'static TenantKeys {
    static MATERIAL: std::sync::OnceLock<std::sync::Arc<TenantKeys>> = std::sync::OnceLock::new();
    MATERIAL.get_or_init(crate::test_bridge::tenant_keys)
}

/// The receiver's key, which is code of its own.
fn opener() -> idaas_callback::jose::jwe::ContentKey {
    idaas_callback::jose::jwe::ContentKey::from_hex(&tenant_keys().encryption_key()).unwrap()
}

fn callback() -> Callback<'static> {
    Callback::new(tenant_keys(), NOW).events(&Generator::new(1).one_of_each(NOW * 1000))
}

#[test]
fn a_simulated_callback_has_idaas_members_and_signature() {
    let body: Value = serde_json::from_str(&callback().body().unwrap()).unwrap();
    let opened = opened(tenant_keys(), body["event"].as_str().unwrap());
    assert_eq!(opened.verification, Verification::Good);
    let header = json!({"kid": tenant_keys().signing.key_id(), "typ": "JWT", "alg": "RS256"});
    assert_eq!(opened.header, header);
    let claims = &opened.claims;
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], tenant_keys().identity.instance_id);
    assert_eq!(claims["aud"], tenant_keys().identity.application_id);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 1800);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    assert_eq!(claims["dataEncrypted"], true);
    assert_eq!(claims["plainData"], "");
    assert_eq!(claims.as_object().unwrap().len(), 9);
}

#[test]
fn the_cipher_data_opens_with_our_key_and_with_another_library() {
    let claims = opened(tenant_keys(), &callback().token().unwrap()).claims;
    let cipher_data = claims["cipherData"].as_str().unwrap();
    let ours = opener().open(Sealed::parse(cipher_data).unwrap()).ok().unwrap();
    let key: Vec<u8> =
        openssl::bn::BigNum::from_hex_str(&tenant_keys().encryption_key()).unwrap().to_vec_padded(32).unwrap();
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
    let claims = opened(tenant_keys(), &callback().plain().token().unwrap()).claims;
    assert_eq!(claims["dataEncrypted"], false);
    assert_eq!(claims["cipherData"], "");
    assert_eq!(claims["plainData"]["instanceId"], tenant_keys().identity.instance_id);
}

#[test]
fn a_compressed_jwe_is_rejected() {
    let claims = opened(tenant_keys(), &callback().deflated().token().unwrap()).claims;
    let cipher_data = claims["cipherData"].as_str().unwrap();
    assert!(Sealed::parse(cipher_data).is_none());
    let key: Vec<u8> =
        openssl::bn::BigNum::from_hex_str(&tenant_keys().encryption_key()).unwrap().to_vec_padded(32).unwrap();
    let decrypter = DirectJweAlgorithm::Dir.decrypter_from_bytes(key).unwrap();
    let (plaintext, _) = josekit::jwe::deserialize_compact(cipher_data, &decrypter).unwrap();
    assert!(serde_json::from_slice::<Value>(&plaintext).unwrap()["eventData"].is_string());
}

#[test]
fn bad_signatures_do_not_verify() {
    let verification = |callback: Callback<'_>| opened(tenant_keys(), &callback.token().unwrap()).verification;
    assert_eq!(verification(callback().wrong_key()), Verification::Bad);
    assert_eq!(verification(callback().tampered()), Verification::Bad);
    assert_eq!(verification(callback().wrong_algorithm()), Verification::Bad);
    assert_eq!(verification(callback().none_algorithm()), Verification::Bad);
    assert_eq!(verification(callback().unknown_key()), Verification::UnknownKey);
}

#[test]
fn a_forged_algorithm_is_signed_with_the_public_key() {
    let token = callback().wrong_algorithm().token().unwrap();
    let public = openssl::pkey::PKey::private_key_from_pem(&tenant_keys().signing.to_pem()).unwrap();
    let verifier = josekit::jws::HS256.verifier_from_bytes(public.public_key_to_pem().unwrap()).unwrap();
    let (_, header) = josekit::jws::deserialize_compact(&token, &verifier).unwrap();
    assert_eq!(header.algorithm(), Some("HS256"));
}

#[test]
fn a_tampered_token_is_still_json_with_another_expiry() {
    let claims = opened(tenant_keys(), &callback().tampered().token().unwrap()).claims;
    assert!(claims["exp"].as_i64().unwrap() > NOW + LIFETIME);
}

#[test]
fn a_wrongly_encrypted_callback_does_not_open() {
    let claims = opened(tenant_keys(), &callback().wrong_encryption_key().token().unwrap()).claims;
    let sealed = Sealed::parse(claims["cipherData"].as_str().unwrap()).unwrap();
    assert!(opener().open(sealed).is_err());
}

#[test]
fn claims_and_headers_can_be_overridden() {
    let token = callback().header("crit", json!(["b64"])).claim("aud", 7).without_claim("exp").token().unwrap();
    let opened_token = opened(tenant_keys(), &token);
    assert_eq!(opened_token.header["crit"], json!(["b64"]));
    assert_eq!(opened_token.claims["aud"], 7);
    assert!(opened_token.claims.get("exp").is_none());
    assert_eq!(opened_token.verification, Verification::Good);
    let text = callback().claims_json().replacen('{', "{\"aud\":\"x\",", 1);
    assert_eq!(opened(tenant_keys(), &callback().raw_claims(text).token().unwrap()).verification, Verification::Good);
}

#[test]
fn many_bodies_are_in_the_order_of_their_events() {
    let event = |index| Generator::new(1).event(&crate::kind::Kind::Test.into(), index, NOW * 1000);
    let batches: Vec<_> = (0..5).map(|index| vec![event(index)]).collect();
    let bodies = bodies(tenant_keys(), &batches, NOW).unwrap();
    for (body, events) in bodies.iter().zip(&batches) {
        let body: Value = serde_json::from_str(body).unwrap();
        let claims = opened(tenant_keys(), body["event"].as_str().unwrap()).claims;
        let sealed = Sealed::parse(claims["cipherData"].as_str().unwrap()).unwrap();
        let payload = String::from_utf8(opener().open(sealed).ok().unwrap()).unwrap();
        assert!(payload.contains(&events[0].event_id));
    }
    assert_eq!(bodies.len(), 5);
}
