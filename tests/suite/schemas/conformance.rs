//! The judge of records passes every example in both modes, and finds every planted fault.

use idaas_bridge::schema::Schema;
use serde_json::{Value, json};

use super::{example, examples};
use crate::support::conformance::{assert_conforms, nonconformities};
use crate::support::passwords::password_members;
use crate::support::validators::record_schemas;

/// A record as a producer would hand it over.
struct Sent {
    topic: String,
    headers: Vec<(String, Vec<u8>)>,
    key: Option<Vec<u8>>,
    value: Value,
}

impl Sent {
    /// The record that an example would be published as in binary mode.
    fn of(schema: Schema, value: Value) -> Self {
        let (name, origin) = (schema.name(), value["origin"].clone());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let subject = ["user", "organizationalUnit", "group"].iter().find_map(|member| text(&value[*member]["id"]));
        let (event_id, biz_id) = (text(&origin["eventId"]), text(&origin["bizId"]));
        let key = match schema {
            Schema::Unclassified => biz_id.or_else(|| event_id.clone()),
            Schema::Connectivity | Schema::DeadLetter => event_id.clone().or(biz_id),
            Schema::User | Schema::OrganizationalUnit | Schema::Group | Schema::Credential | Schema::Asyncapi => {
                subject.clone()
            }
        };
        let suffix = if schema == Schema::Credential { ":credential" } else { "" };
        let id = event_id.map(|id| id + suffix).unwrap_or_else(|| "0198a3f4-6f0e-8c55-9a43-5d2b8c1e7f60".to_owned());
        let action = value["action"].as_str().unwrap();
        let (instance, application) = (text(&origin["instanceId"]).unwrap(), text(&origin["applicationId"]).unwrap());
        let headers = [
            ("content-type", Some("application/json".to_owned())),
            ("ce_specversion", Some("1.0".to_owned())),
            ("ce_id", Some(id)),
            ("ce_source", Some(format!("/idaas/{instance}/{application}"))),
            ("ce_type", Some(format!("com.alibabacloud.idaas.{name}.{action}.v1"))),
            ("ce_subject", subject),
            ("ce_time", text(&origin["eventTime"])),
            ("ce_dataschema", Some(format!("urn:idaas-bridge:schema:{name}:v1"))),
            ("ce_partitionkey", key.clone()),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into_bytes())));
        Self { topic: format!("idaas.{name}.v1"), headers: headers.collect(), key: key.map(String::into_bytes), value }
    }

    fn structured(mut self) -> Self {
        let mut envelope = json!({"datacontenttype": "application/json", "data": self.value});
        for (name, value) in self.headers.drain(..) {
            if let Some(attribute) = name.strip_prefix("ce_") {
                envelope[attribute] = json!(String::from_utf8(value).unwrap());
            }
        }
        self.headers.push(("content-type".to_owned(), b"application/cloudevents+json; charset=UTF-8".to_vec()));
        self.value = envelope;
        self
    }

    fn header(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|(own, _)| own != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.as_bytes().to_vec())));
        self
    }

    fn faults(&self) -> Vec<String> {
        nonconformities(&self.headers, self.key.as_deref(), self.value.to_string().as_bytes(), &self.topic)
    }

    fn assert_faulty(&self, why: &str, condition: &str) {
        let faults = self.faults();
        assert!(faults.iter().any(|fault| fault.contains(why)), "{condition}: {why:?} not in {faults:?}");
    }
}

fn user(change: impl FnOnce(&mut Value)) -> Sent {
    let mut value = example(Schema::User, "created");
    change(&mut value);
    Sent::of(Schema::User, value)
}

#[test]
fn every_example_conforms_in_both_modes() {
    for schema in record_schemas() {
        for (name, value) in examples(schema.name()) {
            for sent in [Sent::of(schema, value.clone()), Sent::of(schema, value.clone()).structured()] {
                assert_eq!(sent.faults(), Vec::<String>::new(), "{}/{name}", schema.name());
            }
        }
    }
}

#[test]
fn another_prefix_conforms() {
    let sent = user(|_| ());
    let value = sent.value.to_string();
    assert_conforms(&sent.headers, sent.key.as_deref(), value.as_bytes(), "acme.staging.user.v1");
}

#[test]
#[should_panic(expected = "ce_id is None")]
fn a_faulty_record_fails_the_test_and_says_why() {
    let sent = user(|_| ()).header("ce_id", None);
    assert_conforms(&sent.headers, sent.key.as_deref(), sent.value.to_string().as_bytes(), &sent.topic);
}

#[test]
fn a_faulty_header_is_found() {
    let cases = [
        ("content-type", Some("text/plain"), "content-type"),
        ("content-type", None, "content-type"),
        ("ce_specversion", Some("0.3"), "ce_specversion"),
        ("ce_id", Some("evnt_other"), "ce_id"),
        ("ce_source", Some("/idaas/app_1"), "ce_source"),
        ("ce_type", Some("com.alibabacloud.idaas.user.deleted.v1"), "ce_type"),
        ("ce_type", None, "ce_type"),
        ("ce_subject", None, "ce_subject"),
        ("ce_subject", Some("user_other"), "ce_subject"),
        ("ce_time", None, "ce_time"),
        ("ce_time", Some("2022-03-30T07:34:52Z"), "ce_time"),
        ("ce_dataschema", Some("urn:idaas-bridge:schema:group:v1"), "ce_dataschema"),
        ("ce_partitionkey", None, "ce_partitionkey"),
        ("ce_traceparent", Some("00-0-0-0"), "ce_traceparent"),
        ("ce_traceparent", Some("00-00000000000000000000000000000000-b7ad6b7169203331-01"), "ce_traceparent"),
        ("ce_password", Some("x"), "ce_password"),
        ("x-debug", Some("x"), "x-debug"),
    ];
    for (name, value, why) in cases {
        user(|_| ()).header(name, value).assert_faulty(why, &format!("{name}: {value:?}"));
    }
    let mut twice = user(|_| ());
    twice.headers.push(("ce_id".to_owned(), b"evnt_other".to_vec()));
    twice.assert_faulty("twice", "two ids");
    let mut bytes = user(|_| ());
    bytes.headers.push(("ce_traceparent".to_owned(), vec![0xff]));
    bytes.assert_faulty("not UTF-8", "a header of other bytes");
}

#[test]
fn a_trace_context_conforms() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(user(|_| ()).header("ce_traceparent", Some(trace)).faults(), Vec::<String>::new());
}

#[test]
fn a_faulty_key_or_topic_is_found() {
    for key in [None, Some(b"evnt_1".to_vec()), Some(vec![0xff])] {
        let mut sent = user(|_| ());
        sent.key = key;
        sent.assert_faulty("the key is", "another key");
    }
    for topic in ["idaas.user.v2", "user.v1", ".user.v1", "idaas.users.v1", "idaas.asyncapi.v1", "idaas.group.v1"] {
        let mut sent = user(|_| ());
        sent.topic = topic.to_owned();
        assert!(!sent.faults().is_empty(), "{topic}");
    }
}

#[test]
fn a_faulty_value_is_found() {
    user(|value| value["user"]["nickname"] = json!("Z")).assert_faulty("nickname", "a member that is not described");
    user(|value| value["traceId"] = json!("1")).assert_faulty("traceId", "a member that is not described");
    user(|value| value["origin"]["region"] = json!("cn")).assert_faulty("region", "a member that is not described");
    user(|value| value["user"]["createdAt"] = json!("2022-03-29T05:25:53Z"))
        .assert_faulty("createdAt", "no milliseconds");
    user(|value| value["action"] = json!("renamed")).assert_faulty("does not fit the event type", "unknown action");
    user(|value| value["action"] = json!("deleted")).assert_faulty("does not fit the event type", "another action");
    let known = json!("urn:alibaba:idaas:app:event:ud:user:create");
    let mut value = example(Schema::Unclassified, "unknown");
    value["origin"]["eventType"] = known;
    Sent::of(Schema::Unclassified, value).assert_faulty("does not fit the event type", "a known type");
}

#[test]
fn an_event_time_that_is_not_a_time_is_only_in_additional() {
    user(|value| value["origin"]["eventTime"] = json!("yesterday")).assert_faulty("eventTime", "an odd time in origin");
    let odd = |value: &mut Value| {
        value["additional"] =
            json!({"eventTime": value["origin"].as_object_mut().unwrap().remove("eventTime").unwrap()});
    };
    assert_eq!(user(odd).faults(), Vec::<String>::new());
    user(odd).header("ce_time", Some("2022-03-30T07:34:52.578Z")).assert_faulty("ce_time", "a time of its own");
}

#[test]
fn a_credential_with_its_event_s_id_is_found() {
    let sent = || Sent::of(Schema::Credential, example(Schema::Credential, "created"));
    let id = sent().value["origin"]["eventId"].as_str().unwrap().to_owned();
    sent().header("ce_id", Some(&id)).assert_faulty("ce_id", "the id of the record on the user topic");
}

#[test]
fn cleared_names_exactly_the_members_that_are_null() {
    user(|value| drop(value.as_object_mut().unwrap().remove("cleared"))).assert_faulty("cleared", "left out");
    user(|value| value["user"]["phone"]["region"] = json!(null)).assert_faulty("cleared", "one missing");
    user(|value| value["user"]["lockExpiresAt"] = value["user"]["createdAt"].clone())
        .assert_faulty("cleared", "one more");
}

#[test]
fn a_dead_letter_without_an_event_id_needs_a_uuid_of_version_8() {
    let sent = || Sent::of(Schema::DeadLetter, example(Schema::DeadLetter, "malformed_event"));
    assert_eq!(sent().key, None);
    sent().header("ce_id", Some("evnt_1")).assert_faulty("UUID", "no UUID");
    sent().header("ce_id", None).assert_faulty("UUID", "no id at all");
    sent().header("ce_id", Some("0198a3f4-6f0e-4c55-9a43-5d2b8c1e7f60")).assert_faulty("UUID", "a random one");
}

#[test]
fn a_password_is_found_wherever_it_hides() {
    let text = r#"{"a":[{"password":"x"}]}"#;
    let cases = [
        json!({"password": "x"}),
        json!({"deep": [{"deeper": {"password": null}}]}),
        json!({"bizData": text}),
        json!({"bizData": json!(text).to_string()}),
        json!({"bizData": format!("  {text}\n")}),
    ];
    for additional in cases {
        let plant = |value: &mut Value| value["additional"] = additional.clone();
        user(plant).assert_faulty("a password at additional", &additional.to_string());
        user(plant).structured().assert_faulty("a password at data/additional", &additional.to_string());
    }
    let mut credential = example(Schema::Credential, "created");
    credential["user"]["password"] = credential["password"].clone();
    Sent::of(Schema::Credential, credential).assert_faulty("a password at user/password", "sealed, but elsewhere");
}

#[test]
fn a_password_is_found_in_a_member_that_its_twin_hides() {
    assert_eq!(password_members(br#"{"a":{"password":"x"},"a":{}}"#).unwrap(), ["a/password"]);
    assert_eq!(password_members(br#"{"pass\u0077ord":"x"}"#).unwrap(), ["password"]);
}

#[test]
fn words_that_are_no_member_are_no_password() {
    let innocent =
        br#"{"passwordSet":true,"Password":1,"say":"password","action":"password_changed","t":"{\"password\""}"#;
    assert_eq!(password_members(innocent).unwrap(), Vec::<String>::new());
}

#[test]
fn a_credential_sealed_in_another_form_is_found() {
    let mut value = example(Schema::Credential, "created");
    // {"alg":"dir","enc":"A256GCM"}: no key id.
    let rest = value["password"].as_str().unwrap().split_once('.').unwrap().1.to_owned();
    value["password"] = json!(format!("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0.{rest}"));
    Sent::of(Schema::Credential, value).assert_faulty("not a compact JWE", "without a key id");
}

#[test]
fn an_envelope_that_its_headers_contradict_is_found() {
    let sent = || user(|_| ()).structured();
    let agreeing = sent().value["id"].as_str().unwrap().to_owned();
    assert_eq!(sent().header("ce_id", Some(&agreeing)).faults(), Vec::<String>::new());
    sent().header("ce_id", Some("evnt_other")).assert_faulty("ce_id differs", "another id");
    let mut number = sent();
    number.value["time"] = json!(5);
    number.assert_faulty("/time", "a number as attribute");
}
