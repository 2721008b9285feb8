//! Forged, ambiguous and incomplete tokens. One bridge takes them all, and has published nothing in the end.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use idaas_callback::Refusal;
use idaas_simulator::token::Callback;
use serde_json::{Value, json};

use super::{assert_refused, event, honest};
use crate::support::bridge::{Setup, TestBridge};

fn each_refused(cases: Vec<(&str, Refusal, String)>, bridge: TestBridge) {
    for (what, refusal, body) in cases {
        let reply = bridge.post(body);
        assert_eq!((reply.status, reply.json()["error"].as_str()), (refusal.status(), Some(refusal.code())), "{what}");
        assert_refused(&reply, refusal);
    }
    bridge.has_published_nothing();
}

fn with_claim_twice(callback: Callback<'_>, name: &str, second: &Value) -> String {
    let claims = callback.claims_json();
    let doubled = format!("{},\"{name}\":{second}}}", claims.strip_suffix('}').unwrap());
    callback.raw_claims(doubled).body().unwrap()
}

#[test]
fn a_missing_or_mistyped_claim_counts_as_a_wrong_one() {
    let bridge = Setup::new().start();
    let mut cases = Vec::new();
    let callback = || bridge.callback().events(&[event()]);
    for (claim, refusal) in [
        ("iss", Refusal::WrongIssuer),
        ("aud", Refusal::WrongAudience),
        ("sub", Refusal::WrongInstance),
        ("exp", Refusal::Expired),
        ("iat", Refusal::NotYetValid),
    ] {
        cases.push((claim, refusal, callback().without_claim(claim).body().unwrap()));
        let honest: Value = serde_json::from_str(&callback().claims_json()).unwrap();
        let listed = json!([honest[claim]]);
        let quoted = if honest[claim].is_string() { listed.clone() } else { json!(honest[claim].to_string()) };
        for mistyped in [json!(null), json!({}), json!(true), json!(""), json!([]), listed, quoted] {
            cases.push((claim, refusal, callback().claim(claim, mistyped).body().unwrap()));
        }
    }
    cases.push(("nbf", Refusal::NotYetValid, callback().claim("nbf", "now").body().unwrap()));
    cases.push(("exp", Refusal::Expired, callback().claim("exp", -1).body().unwrap()));
    cases.push(("iat", Refusal::NotYetValid, callback().claim("iat", 1e300).body().unwrap()));
    cases.push(("no claims", Refusal::WrongIssuer, callback().raw_claims("{}").body().unwrap()));
    each_refused(cases, bridge);
}

#[test]
fn a_member_twice_is_malformed_wherever_it_stands() {
    let bridge = Setup::new().start();
    let callback = || bridge.callback().events(&[event()]);
    let identity = &bridge.applications[0].tenant_keys.identity;
    let key_id = bridge.applications[0].tenant_keys.jwks()["keys"][0]["kid"].clone();
    let header = format!(r#"{{"kid":{key_id},"typ":"JWT","alg":"RS256","alg":"RS256"}}"#);
    let escaped = format!(r#"{{"kid":{key_id},"typ":"JWT","alg":"RS256","\u0061lg":"none"}}"#);
    let token = callback().token().unwrap();
    let cases = vec![
        ("aud", Refusal::Malformed, with_claim_twice(callback(), "aud", &json!(identity.application_id))),
        ("cipherData", Refusal::Malformed, with_claim_twice(callback(), "cipherData", &json!(""))),
        ("an unknown claim", Refusal::Malformed, with_claim_twice(callback().claim("x", 1), "x", &json!(1))),
        ("alg", Refusal::Malformed, callback().raw_header(header).body().unwrap()),
        ("alg by escapes", Refusal::Malformed, callback().raw_header(escaped).body().unwrap()),
        ("event", Refusal::Malformed, format!(r#"{{"event":"{token}","event":"{token}"}}"#)),
    ];
    each_refused(cases, bridge);
}

#[test]
fn thousands_of_members_are_malformed() {
    let bridge = Setup::new().start();
    let token = bridge.callback().events(&[event()]).token().unwrap();
    let body = |members: usize| {
        let others: String = (1..members).map(|number| format!(r#""{number}":0,"#)).collect();
        format!(r#"{{{others}"event":"{token}"}}"#)
    };
    assert_eq!(bridge.post(body(1000)).status, 200);
    let malformed = bridge.post(body(1001));
    assert_refused(&malformed, Refusal::Malformed);
}

#[test]
fn no_algorithm_but_rs256_is_accepted() {
    let bridge = Setup::new().start();
    let callback = || bridge.callback().events(&[event()]);
    let mut cases = vec![
        ("hmac with the public key", Refusal::BadAlgorithm, callback().wrong_algorithm().body().unwrap()),
        ("none, not signed", Refusal::BadAlgorithm, callback().none_algorithm().body().unwrap()),
        ("left out", Refusal::BadAlgorithm, callback().without_header("alg").body().unwrap()),
        ("a list", Refusal::BadAlgorithm, callback().header("alg", json!(["RS256"])).body().unwrap()),
    ];
    for name in ["none", "None", "nOnE", "HS256", "RS384", "RS512", "PS256", "ES256", "rs256", "RS256 ", ""] {
        cases.push((name, Refusal::BadAlgorithm, callback().header("alg", name).body().unwrap()));
    }
    each_refused(cases, bridge);
}

#[test]
fn a_token_brings_no_key_of_its_own_and_changes_no_rule() {
    let bridge = Setup::new().start();
    let key = bridge.applications[0].tenant_keys.jwks()["keys"][0].clone();
    let mut cases: Vec<_> = [
        ("jwk", key),
        ("jku", json!("http://127.0.0.1:1/jwks")),
        ("x5u", json!("http://127.0.0.1:1/chain")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
    ]
    .into_iter()
    .map(|(name, value)| {
        let callback = bridge.callback().events(&[event()]);
        (name, Refusal::UnsupportedHeader, callback.header(name, value).body().unwrap())
    })
    .collect();
    let callback = || bridge.callback().events(&[event()]);
    cases.push(("no kid", Refusal::UnknownKey, callback().without_header("kid").body().unwrap()));
    cases.push(("a number as kid", Refusal::UnknownKey, callback().header("kid", 1).body().unwrap()));
    cases.push(("an empty kid", Refusal::UnknownKey, callback().header("kid", "").body().unwrap()));
    each_refused(cases, bridge);
}

#[test]
fn bodies_that_are_no_callback_are_malformed() {
    let bridge = Setup::new().start();
    let token = bridge.callback().events(&[event()]).token().unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let padded = format!("{{\"event\":\"{input}=.{signature}\"}}");
    let cases = [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        token.clone(),
        format!("\"{token}\""),
        format!("[\"{token}\"]"),
        format!("{{\"Event\":\"{token}\"}}"),
        format!("{{\"event\":\"{token}\""),
        format!("{{\"event\":\"{token}\"}}x"),
        r#"{"event":null}"#.to_owned(),
        r#"{"event":""}"#.to_owned(),
        r#"{"event":"a"}"#.to_owned(),
        r#"{"event":"a.b"}"#.to_owned(),
        r#"{"event":"..."}"#.to_owned(),
        r#"{"event":"\ud800"}"#.to_owned(),
        format!("{{\"event\":{}}}", json!({"token": token})),
        format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{\"event\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)),
    ];
    for body in cases {
        let reply = bridge.post(&body);
        assert_refused(&reply, Refusal::Malformed);
    }
    assert_refused(&bridge.post([0xff, 0xfe, b'{']), Refusal::Malformed);
    // The signature covers the first two parts as they are: what has another form has another signature.
    let reply = bridge.post(padded);
    assert!([400, 401].contains(&reply.status), "{}", reply.text());
    bridge.has_published_nothing();
}

#[test]
fn a_body_of_very_many_members_costs_no_more_than_its_size() {
    let bridge = Setup::new().start();
    let members: Vec<_> = (0..400_000).map(|number| format!("\"{number}\":0")).collect();
    let body = format!("{{{}}}", members.join(","));
    assert_refused(&bridge.post(body), Refusal::Malformed);
    bridge.has_published_nothing();
}

#[test]
fn what_is_sealed_must_be_sealed_as_agreed() {
    let bridge = Setup::new().start();
    let callback = || bridge.callback().events(&[event()]);
    let sealed = {
        let claims: Value = serde_json::from_str(&callback().claims_json()).unwrap();
        claims["cipherData"].as_str().unwrap().to_owned()
    };
    let parts: Vec<_> = sealed.split('.').collect();
    let with_header =
        |header: &str| format!("{}..{}.{}.{}", URL_SAFE_NO_PAD.encode(header), parts[2], parts[3], parts[4]);
    let cut_tag = format!("{}..{}.{}.{}", parts[0], parts[2], parts[3], parts[4].split_at(20).0);
    let with_key = format!("{}.AAAA.{}.{}.{}", parts[0], parts[2], parts[3], parts[4]);
    let cipher = |data: String| callback().cipher_data(data).body().unwrap();
    let cases = vec![
        ("another key", Refusal::Undecryptable, callback().wrong_encryption_key().body().unwrap()),
        ("compressed", Refusal::Undecryptable, callback().deflated().body().unwrap()),
        ("nothing", Refusal::Undecryptable, cipher(String::new())),
        ("no JWE", Refusal::Undecryptable, cipher("a.b.c".to_owned())),
        ("a short tag", Refusal::Undecryptable, cipher(cut_tag)),
        ("an encrypted key", Refusal::Undecryptable, cipher(with_key)),
        ("another header", Refusal::Undecryptable, cipher(with_header(r#"{"enc":"A256GCM","alg":"dir"}"#))),
        ("cbc", Refusal::Undecryptable, cipher(with_header(r#"{"alg":"dir","enc":"A256CBC-HS512"}"#))),
        ("wrapped", Refusal::Undecryptable, cipher(with_header(r#"{"alg":"A256KW","enc":"A256GCM"}"#))),
        ("crit", Refusal::Undecryptable, cipher(with_header(r#"{"alg":"dir","enc":"A256GCM","crit":["x"]}"#))),
        ("no text", Refusal::Undecryptable, callback().claim("cipherData", 1).body().unwrap()),
        ("said to be plain", Refusal::NotEncrypted, callback().claim("dataEncrypted", false).body().unwrap()),
        ("said in words", Refusal::NotEncrypted, callback().claim("dataEncrypted", "true").body().unwrap()),
        ("not said", Refusal::NotEncrypted, callback().without_claim("dataEncrypted").body().unwrap()),
    ];
    each_refused(cases, bridge);
}

#[test]
fn what_is_opened_must_be_a_list_of_events() {
    let bridge = Setup::new().start();
    let cases = [
        "",
        "null",
        "[]",
        "{}",
        "{\"eventData\":null}",
        "{\"eventData\":\"\"}",
        "{\"eventData\":\"{}\"}",
        "{\"eventData\":{}}",
        "{\"eventData\":\"[\"}",
        "{\"eventData\":[}",
        "{\"eventData\":\"[] []\"}",
        "{\"eventData\":7}",
    ];
    for payload in cases {
        let reply = bridge.post(bridge.callback().raw_payload(payload).body().unwrap());
        assert_eq!(reply.json()["error"], "unreadable", "{payload}");
        assert_refused(&reply, Refusal::Unreadable);
    }
    let reply = bridge.post(bridge.callback().raw_payload([0xff, 0xfe]).body().unwrap());
    assert_refused(&reply, Refusal::Unreadable);
    bridge.has_published_nothing();
}

#[test]
fn millions_of_nothings_are_no_list_of_events_and_take_no_room() {
    let mut bridge = Setup::new().spawn();
    assert_eq!(bridge.post(honest(&bridge)).status, 200);
    let before = bridge.program().peak_memory();
    let of = |element: &str, count: usize| {
        let payload = format!("{{\"eventData\":[{}{element}]}}", format!("{element},").repeat(count));
        let body = bridge.callback().raw_payload(payload).body().unwrap();
        assert!(body.len() <= 8 << 20, "{}", body.len());
        bridge.post(body)
    };
    // All that the largest body can hold.
    for (element, count) in [("0", 2_200_000), ("{}", 1_500_000), ("[]", 1_500_000)] {
        assert_refused(&of(element, count), Refusal::Unreadable);
    }
    // As many as there can be: each a dead letter, and there is no room for all of them at once.
    let padded = of(&format!("0{}", " ".repeat(63)), 70_000);
    assert_refused(&padded, Refusal::Overloaded);
    // Three kilobytes an element of the last, and nothing for the others.
    let grown = bridge.program().peak_memory() - before;
    assert!(grown < 400 << 20, "{} MiB", grown >> 20);
}

#[test]
fn clocks_may_differ_by_a_minute_and_not_more() {
    let bridge = Setup::new().start();
    let now = idaas_simulator::sender::now_ms() / 1000;
    let at = |iat: i64, exp: i64| {
        let body = bridge.callback().events(&[event()]).claim("iat", iat).claim("exp", exp).body().unwrap();
        bridge.post(body).status
    };
    assert_eq!((at(now + 50, now + 1850), at(now - 1850, now - 50)), (200, 200));
    assert_eq!((at(now + 75, now + 1875), at(now - 1865, now - 65)), (401, 401));
    // The documents' example has both at the same moment; fractions are allowed by the standard.
    assert_eq!(at(now, now), 200);
    let fractions = bridge.callback().events(&[event()]).claim("iat", now as f64 + 0.5).body().unwrap();
    assert_eq!(bridge.post(fractions).status, 200);
}

#[test]
fn unknown_header_members_and_claims_are_passed_over() {
    let bridge = Setup::new().start();
    let callback = bridge.callback().events(&[event()]);
    let body = callback.header("cty", "json").without_header("typ").claim("nonce", "x").without_claim("jti").body();
    assert_eq!(bridge.post(body.unwrap()).status, 200);
    let spaced = honest(&bridge).replace("{\"event\":", " \r\n{\t\"other\" : {} , \"event\" :\n");
    assert_eq!(bridge.post(spaced).status, 200);
}
