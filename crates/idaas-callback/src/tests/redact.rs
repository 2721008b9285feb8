//! Tests of `redact`.

use super::*;

fn clean(json: &str) -> String {
    let value = Raw::parse(json).unwrap();
    redacted(value).get().to_owned()
}

#[test]
fn only_members_named_password_are_removed() {
    for harmless in [r#"{"passwordSet":true}"#, r#""{\"passwordSet\":1,\"x\":\"my password is\"}""#] {
        assert!(!may_hold_a_secret(harmless), "{harmless}");
    }
    for secret in [
        r#"{"password":"x"}"#,
        r#"{"passwordSet":1,"password" : "x"}"#,
        r#""{\"password\":\"x\"}""#,
        r#""{\"a\":\"{\\\"password\\\":1}\"}""#,
        r#""{\"password""#,
        r#"{"\u0070assword":1}"#,
        r#"{"passwor\u0064":1}"#,
        r#""{\"p\\u0061ssword\":1}""#,
    ] {
        assert!(may_hold_a_secret(secret), "{secret}");
    }
}

#[test]
fn a_value_without_the_member_stays_as_it_is_to_the_byte() {
    let sent = r#"{ "a" : 12345678901234567890.10 ,"passwordSet":true, "b":[ {} , [] ] }"#;
    assert_eq!(clean(r#"{ "a" : 12345678901234567890.10 }"#), r#"{ "a" : 12345678901234567890.10 }"#);
    let parsed: serde_json::Value = serde_json::from_str(&clean(sent)).unwrap();
    assert_eq!(parsed["b"], serde_json::json!([{}, []]));
    assert!(clean(sent).contains("12345678901234567890.10"));
}

#[test]
fn the_member_is_removed_wherever_it_stands() {
    for (sent, redacted) in [
        (r#"{"password":"x"}"#, r#"{}"#),
        (r#"{"password":"x","a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"password":{"b":[1,{"c":"}"}]}}"#, r#"{"a":1}"#),
        (r#"{"a":1,"password":[1,2],"b":2,"password":null,"c":3}"#, r#"{"a":1,"b":2,"c":3}"#),
        (r#"{"password":1,"password":2,"b":2}"#, r#"{"b":2}"#),
        (r#"[{"a":{"password":"x"}},"password",{"b":"password"}]"#, r#"[{"a":{}},"password",{"b":"password"}]"#),
        (r#"{"p\u0061ssword":"x","a":1}"#, r#"{"a":1}"#),
        (r#"{ "a" : 1 , "password" : "x" }"#, r#"{"a":1}"#),
        (r#"{"passwordSet":true,"password":""}"#, r#"{"passwordSet":true}"#),
    ] {
        assert_eq!(clean(sent), redacted, "{sent}");
    }
}

#[test]
fn the_member_is_removed_from_json_text_inside_strings() {
    let inner = serde_json::json!({"password": "x", "u": "y"}).to_string();
    let middle = serde_json::json!([{"bizData": inner}]).to_string();
    let sent = serde_json::json!({"eventData": middle}).to_string();
    let redacted = clean(&sent);
    assert!(!redacted.contains("password"), "{redacted}");
    assert!(redacted.contains('y'));
}

#[test]
fn text_without_passwords_keeps_every_byte() {
    let inner = r#"{ "passwordSet" : true, "username" : "\u4e2d" }"#;
    let sent = format!(r#"{{ "passwordSet" : true, "a" : "\u00e9" , "bizData" : {} }}"#, serde_json::json!(inner));
    assert_eq!(clean(&sent), sent);
}

#[test]
fn passwords_are_removed_from_nested_and_truncated_json() {
    let mut text = serde_json::json!({"a": 1, "password": "hunter2"}).to_string();
    for _ in 0..5 {
        text = serde_json::json!(text).to_string();
        assert!(!clean(&text).contains("hunter2"), "{text}");
    }
    for broken in [
        r#"{"a":1,"password":"hunter2"#,
        r#"{"a":1,"password" : "hunter2"} and more"#,
        "\u{feff}{\"password\":\"hunter2\"}",
        r#"{"a":"{\"password\":\"hunter2\"}""#,
    ] {
        let redacted = clean(&serde_json::json!({ "x": broken }).to_string());
        assert!(!redacted.contains("hunter2"), "{redacted}");
    }
    let harmless = r#"{"x":"the password: \"password\", of course"}"#;
    assert_eq!(clean(harmless), harmless);
}

#[test]
fn deep_nesting_and_broken_unicode_are_searched_too() {
    let deep = format!("{}{{\"password\":1}}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(!clean(&deep).contains("password"));
    let odd = clean(r#"{"a":"\ud800","password":"x"}"#);
    assert!(serde_json::from_str::<serde_json::Value>(&odd).is_ok());
    assert!(!odd.contains("password"));
}

#[test]
fn text_that_contains_a_password_is_told_from_other_text() {
    for (text, secret) in [
        (r#""Zhang \"San\"""#, false),
        (r#""the word \"password\"""#, false),
        (r#""{\"passwordSet\":true}""#, false),
        (r#""\ud800 password\n""#, false),
        (r#""{\"password\":\"x\"}""#, true),
        (r#""\u007b\"passw\u006frd\":1}""#, true),
        (r#""[\"{\\\"password\\\":1}\"]""#, true),
        (r#""{\"password\":\"cut of""#, true),
    ] {
        assert_eq!(contains_secret(Raw::parse(text).unwrap()), secret, "{text}");
    }
}
