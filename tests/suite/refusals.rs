//! Each way in which a whole callback is refused: status, code, body, and that nothing was published.

mod http;
mod tokens;

use std::io::Write;
use std::time::Duration;

use idaas_callback::Refusal;
use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use serde_json::json;

use crate::support::bridge::{Caller, Setup, TestBridge, Verdicts};
use crate::support::http::{Connection, Reply, request};

/// The default events of the tests in this file.
pub(super) fn event() -> Event {
    Generator::new(1).event(&Kind::UserCreate.into(), 0, now_ms())
}

/// A valid body.
pub(super) fn honest(bridge: &Caller) -> String {
    bridge.callback().events(&[event()]).body().unwrap()
}

/// A refusal is what the interface says of it, and echoes nothing.
pub(super) fn assert_refused(reply: &Reply, refusal: Refusal) {
    assert_eq!((reply.status, reply.json()["error"].as_str()), (refusal.status(), Some(refusal.code())));
    assert_eq!(reply.json(), json!({"error": refusal.code(), "errorDescription": refusal.description()}));
    assert_eq!(reply.header("content-type"), Some("application/json;charset=utf-8"));
    let retry_after: Option<u32> = reply.header("retry-after").map(|seconds| seconds.parse().unwrap());
    assert_eq!(retry_after.is_some(), refusal.status() == 503, "{retry_after:?}");
    assert!(retry_after.is_none_or(|seconds| seconds > 0));
}

/// Sends `body` to a fresh bridge, which must refuse it so, and count it, and publish nothing.
pub(super) fn refused(setup: Setup, refusal: Refusal, send: impl FnOnce(&TestBridge) -> Reply) {
    let bridge = setup.start();
    assert_refused(&send(&bridge), refusal);
    let counted = [("application", "workforce"), ("code", refusal.code())];
    bridge.wait_metric("callbacks_total", &counted, 1.0);
    assert_eq!(bridge.metric("events_received_total", &[]), 0.0);
    bridge.has_published_nothing();
}

/// One test per refusal; a variant without one does not compile.
macro_rules! one_each {
    ($($name:ident: $variant:ident by $case:expr;)+) => {
        $(#[test] fn $name() { $case(Refusal::$variant); })+

        #[test]
        fn every_refusal_has_a_test() {
            let tested = [$(Refusal::$variant),+];
            for refusal in Refusal::ALL {
                match refusal { $(Refusal::$variant)|+ => assert!(tested.contains(&refusal)) }
            }
            let codes: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
            assert_eq!(codes.len(), tested.len());
        }
    };
}

one_each! {
    a_body_that_is_no_callback_is_malformed: Malformed by |code| refused(Setup::new(), code, |b| b.post("[]"));
    a_body_that_does_not_come_in_time_is_given_up: RequestTimeout by slow_body;
    a_body_over_the_limit_is_too_large: TooLarge by |code| {
        refused(Setup::new().server("max_body = \"64KiB\""), code, |b| b.post(vec![b' '; 65_537]));
    };
    a_signature_by_another_key_is_bad: BadSignature by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).wrong_key().body().unwrap()));
    };
    a_key_that_was_never_published_is_unknown: UnknownKey by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).unknown_key().body().unwrap()));
    };
    an_hmac_by_the_public_key_is_a_bad_algorithm: BadAlgorithm by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).wrong_algorithm().body().unwrap()));
    };
    a_critical_extension_is_an_unsupported_header: UnsupportedHeader by |code| {
        let critical = json!(["b64"]);
        refused(Setup::new(), code, |b| {
            b.post(b.callback().events(&[event()]).header("crit", critical).header("b64", false).body().unwrap())
        });
    };
    a_token_of_an_hour_ago_is_expired: Expired by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).expired().body().unwrap()));
    };
    a_token_of_the_future_is_not_yet_valid: NotYetValid by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).not_yet_valid().body().unwrap()));
    };
    another_issuer_is_wrong: WrongIssuer by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).wrong_issuer().body().unwrap()));
    };
    another_audience_is_wrong: WrongAudience by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).wrong_audience().body().unwrap()));
    };
    another_instance_is_wrong: WrongInstance by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).wrong_instance().body().unwrap()));
    };
    plain_data_is_not_encrypted: NotEncrypted by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().events(&[event()]).plain().body().unwrap()));
    };
    a_sender_outside_of_the_networks_is_not_allowed: AddressNotAllowed by |code| {
        let elsewhere = Setup::new().application("allowed_networks = [\"192.0.2.0/24\"]");
        refused(elsewhere, code, |b| b.post(honest(b)));
    };
    a_path_to_no_application_is_not_found: NotFound by nothing_there;
    another_method_than_post_is_not_allowed: MethodNotAllowed by |code| {
        refused(Setup::new(), code, |b| {
            let reply = b.raw(&request("GET", &b.path(), &[], b""));
            assert_eq!(reply.header("allow"), Some("POST"));
            reply
        });
    };
    a_compressed_body_is_an_unsupported_encoding: UnsupportedEncoding by |code| {
        refused(Setup::new(), code, |b| b.post_with(&[("Content-Encoding", "gzip")], gzip(&honest(b))));
    };
    data_that_no_key_opens_is_undecryptable: Undecryptable by |code| {
        refused(Setup::new(), code, |b| {
            b.post(b.callback().events(&[event()]).wrong_encryption_key().body().unwrap())
        });
    };
    data_that_is_no_list_of_events_is_unreadable: Unreadable by |code| {
        refused(Setup::new(), code, |b| b.post(b.callback().raw_payload("{}").body().unwrap()));
    };
    before_the_first_keys_nothing_is_authentic: KeysUnavailable by |code| {
        let mut setup = Setup::new().not_ready();
        // Port 1 of the loopback address refuses connections.
        setup.applications[0].jwks = Some("\"http://127.0.0.1:1/jwks\"".to_owned());
        refused(setup, code, |b| b.post(honest(b)));
    };
    an_event_that_cannot_be_answered_and_finds_no_room_is_asked_for_again: Overloaded by unanswerable;
    while_shutting_down_nothing_is_taken: Draining by draining;
}

fn slow_body(code: Refusal) {
    refused(Setup::new().deadline(600), code, |bridge| {
        let body = honest(bridge);
        let whole = request("POST", &bridge.path(), &[], body.as_bytes());
        let mut connection = Connection::open(bridge.listen).unwrap();
        connection.send(&whole[..whole.len() - 1]).unwrap();
        connection.reply().unwrap()
    });
}

fn nothing_there(code: Refusal) {
    let bridge = Setup::new().start();
    let body = honest(&bridge);
    let mut count = 0.0;
    for path in ["/", "/callbacks", "/callbacks/", "/callbacks/nobody", "/callbacks/workforce/", "/metrics", "/livez"] {
        for method in ["POST", "GET"] {
            assert_refused(&bridge.raw(&request(method, path, &[], body.as_bytes())), code);
            count += 1.0;
        }
    }
    bridge.wait_metric("callbacks_total", &[("application", "unknown"), ("code", code.code())], count);
    bridge.has_published_nothing();
}

fn unanswerable(code: Refusal) {
    let bridge = Setup::new().server("max_in_flight_events = 1").start();
    let with_id = json!({"eventId": "a", "eventType": Kind::UserDelete.urn(), "bizData": "{\"userId\":\"user_1\"}"});
    let without = json!({"eventType": Kind::UserDelete.urn(), "bizData": "{\"userId\":\"user_2\"}"});
    let body = |items: Vec<_>| bridge.callback().event_values(items).body().unwrap();
    assert_refused(&bridge.post(body(vec![with_id.clone(), without.clone()])), code);
    bridge.wait_metric("events_in_flight", &[], 0.0);
    assert_eq!(bridge.post(body(vec![without])).status, 200);
    assert_success_of(&bridge.deliver(bridge.callback().event_values(vec![with_id])));
    assert_eq!((bridge.records_of("user").len(), bridge.records_of("dead-letter").len()), (1, 1));
}

/// All of it was answered as a success.
fn assert_success_of(verdicts: &Verdicts) {
    assert!(verdicts.values().all(|(list, _)| *list == List::Success), "{verdicts:?}");
}

fn draining(code: Refusal) {
    let mut bridge = Setup::new().deadline(3000).start();
    bridge.mock().broker_round_trip_time(1, Duration::from_millis(700)).unwrap();
    let caller = std::sync::Arc::clone(&bridge);
    let worked_on = std::thread::spawn(move || caller.send(&[event()]));
    bridge.wait_metric("callbacks_in_flight", &[], 1.0);
    bridge.start_shutdown();
    bridge.wait_metric("draining", &[], 1.0);
    let other = Generator::new(2).event(&Kind::UserCreate.into(), 0, now_ms());
    let reply = bridge.post(bridge.callback().events(&[other]).body().unwrap());
    assert_refused(&reply, code);
    assert_eq!(reply.header("connection"), Some("close"));
    let health = bridge.raw(&request("GET", "/healthz", &[], b""));
    assert_eq!((health.status, health.text()), (503, "draining\n"));
    let readiness = bridge.admin("/readyz");
    assert_eq!((readiness.status, readiness.text()), (503, "draining\n"));
    assert_eq!(bridge.admin("/livez").status, 200);
    assert_eq!(worked_on.join().unwrap()[&event().event_id].1, "SUCCESS");
    assert!(bridge.end());
    bridge.mock().broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(bridge.records().len(), 1);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_honest_callback_that_the_others_are_made_of_is_taken() {
    let bridge = Setup::new().start();
    assert_eq!(bridge.post(honest(&bridge)).status, 200);
    assert_eq!(bridge.records().len(), 1);
}
