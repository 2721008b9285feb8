//! Key sets and private keys as real systems write them, as the program judges them.

use idaas_simulator::signing::SigningKey;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use serde_json::{Value, json};

use super::NOWHERE;
use super::setting::{Setting, run};

/// What `check --offline` says of these keys.
fn check(keys: Value) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    let setting = Setting::with_jwks(NOWHERE, &format!("{{ file = {:?} }}", path.display().to_string()));
    let shown = run(&["check", "--config", &setting.config, "--offline"]);
    (shown.code, shown.flat())
}

fn key(kid: &str) -> Value {
    SigningKey::generate(kid).unwrap().to_jwks()["keys"][0].clone()
}

#[test]
fn unset_optional_members_of_a_key_are_fine() {
    let mut key = key("KEYexample0001");
    for name in ["alg", "key_ops", "x5u", "x5c", "x5t"] {
        key[name] = Value::Null;
    }
    let (code, out) = check(json!([key]));
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("ok application[workforce].jwks:") && out.contains("contains usable keys"), "{out}");
    assert!(!out.contains(" keys[0]"), "{out}");
}

#[test]
fn entries_that_cannot_be_used_are_named_and_disable_no_other() {
    let mut other = key("KEYencryption");
    other["use"] = json!("enc");
    let (code, out) = check(json!([{"kty": "EC", "kid": "KEYec"}, other, key("KEYgood")]));
    assert_eq!(code, 0, "a warning alone does not fail: {out}");
    assert!(out.contains("keys[0] (kid \"KEYec\") is not an RSA key"), "{out}");
    assert!(out.contains("keys[1] (kid \"KEYencryption\") is not for signatures"), "{out}");
    assert!(out.contains("contains usable keys") && !out.contains("keys[2]"), "{out}");

    let (code, out) = check(json!([{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]));
    assert!(code == 2 && out.contains("keys[0] has no \"kid\""), "{out}");
}

#[test]
fn a_private_key_with_a_passphrase_is_refused_without_asking() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let pem = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"hush").unwrap();
    std::fs::write(path("tls.key"), pem).unwrap();
    std::fs::write(path("tls.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let tls = format!("[server.tls]\ncertificate = {:?}\nkey = {:?}\n", path("tls.crt"), path("tls.key"));
    let setting = Setting::foreign_with("jwcrypto", NOWHERE, &tls);
    let shown = run(&["serve", "--config", &setting.config]);
    assert_eq!(shown.code, 2);
    assert!(shown.err.contains("server.tls.key: ") && shown.err.contains("needs a passphrase"), "{}", shown.err);
    assert!(shown.err.contains("openssl pkey"), "{}", shown.err);

    let kafka = format!("[kafka.properties]\n\"ssl.key.location\" = {:?}\n", path("tls.key"));
    let setting = Setting::foreign_with("jwcrypto", NOWHERE, &kafka);
    let shown = run(&["serve", "--config", &setting.config]);
    assert_eq!(shown.code, 2);
    assert!(shown.err.contains("ssl.key.location") && shown.err.contains("ssl.key.password"), "{}", shown.err);
}
