//! Tracing, seen by a collector: what is exported, how spans belong together, and that nothing else depends on it.

use std::collections::BTreeSet;
use std::net::TcpListener;

use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use serde_json::json;

use crate::support::bridge::{Setup, TestBridge, Verdicts};
use crate::support::otlp::{Collector, Exported};
use crate::support::records::{Seen, retry};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";
const SERVER: &str = "POST /callbacks/{application}";
const SEND: &str = "send idaas.user.v1";

fn sampled() -> String {
    format!("00-{TRACE}-{SENDER}-01")
}

fn traced(collector: &Collector, ratio: &str) -> Setup {
    let endpoint = collector.endpoint();
    Setup::new().section(format!("[tracing]\notlp_endpoint = \"{endpoint}\"\nsample_ratio = {ratio}\n"))
}

fn behind_gateway(setup: Setup) -> Setup {
    setup.server("trusted_proxies = [\"127.0.0.1\"]")
}

fn user(number: u64) -> Event {
    Generator::new(23).event(&Kind::UserUpdateInfo.into(), number, now_ms())
}

fn send_with(bridge: &TestBridge, traceparent: &str, events: &[Event]) {
    let body = bridge.callback().events(events).body().unwrap();
    assert_eq!(bridge.post_with(&[("traceparent", traceparent)], body).status, 200);
}

fn assert_all(verdicts: &Verdicts, list: List) {
    assert!(verdicts.values().all(|(found, _)| *found == list), "{verdicts:?}");
}

fn one<'a>(spans: &'a [Exported], name: &str) -> &'a Exported {
    let found: Vec<_> = spans.iter().filter(|exported| exported.span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    found[0]
}

fn only(records: Vec<Seen>) -> Seen {
    assert_eq!(records.len(), 1, "{records:?}");
    records.into_iter().next().unwrap()
}

#[test]
fn a_callback_is_traced_from_request_to_confirmation() {
    let collector = Collector::start();
    let bridge = behind_gateway(traced(&collector, "0")).start();
    let mut event = user(1);
    event.biz_data = json!({"userId": event.biz_id, "username": "zhangsan", "email": "zs@example.com",
        "phoneNumber": "15512345678", "password": "Tr0ub4dor&3"});
    send_with(&bridge, &sampled(), std::slice::from_ref(&event));
    collector.wait_for(SERVER, 1);
    collector.wait_for(SEND, 1);
    let spans = collector.spans();
    assert!(spans.iter().all(|exported| exported.trace() == TRACE), "{spans:?}");
    let server = one(&spans, SERVER);
    assert_eq!((server.parent().as_str(), server.span.kind), (SENDER, 2));
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/callbacks/{application}"),
        ("url.path", "/callbacks/workforce"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("idaas_bridge.code", "answered"),
    ] {
        assert_eq!(server.attribute(name), Some(value), "{name}");
    }
    for stage in ["read body", "authenticate", "decrypt", "decode", "normalize", "process event"] {
        assert_eq!(one(&spans, stage).parent(), server.id(), "{stage}");
    }
    let (accepted, sent) = (one(&spans, "process event"), one(&spans, SEND));
    assert_eq!(accepted.attribute("idaas_bridge.verdict"), Some("SUCCESS"));
    assert_eq!((sent.parent(), sent.span.kind), (accepted.id(), 4));
    let record = only(bridge.records());
    for (name, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", record.topic.as_str()),
        ("messaging.destination.partition.id", record.partition.to_string().as_str()),
        ("messaging.kafka.offset", record.offset.to_string().as_str()),
        ("cloudevents.event_id", event.event_id.as_str()),
        ("cloudevents.event_type", "com.alibabacloud.idaas.user.updated.v1"),
    ] {
        assert_eq!(sent.attribute(name), Some(value), "{name}");
    }
    assert_eq!(record.header("traceparent"), Some(sent.traceparent().as_str()));
    assert_eq!(record.header("ce_traceparent"), Some(server.traceparent().as_str()));
    let exported = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for private in ["zhangsan", "zs@example.com", "15512345678", "Tr0ub4dor&3", &event.biz_id, "127.0.0.1"] {
        assert!(!exported.contains(private), "{private}");
    }
}

#[test]
fn each_export_has_the_configured_headers_and_name() {
    let collector = Collector::start();
    let setup = traced(&collector, "1")
        .section("service_name = \"directory-bridge\"\nheaders = { Authorization = \"Bearer 0123456789abcdef\" }\n");
    let bridge = setup.start();
    assert_all(&bridge.send(&[user(1)]), List::Success);
    let spans = collector.wait_for(SERVER, 1);
    assert_eq!(spans[0].resource["service.name"], "directory-bridge");
    let request = collector.first_request();
    assert_eq!(request[""], "POST /v1/traces HTTP/1.1");
    assert_eq!(request["authorization"], "Bearer 0123456789abcdef");
    assert_eq!(request["content-type"], "application/x-protobuf");
}

#[test]
fn a_redelivery_links_to_the_first_delivery() {
    let collector = Collector::start();
    let bridge = traced(&collector, "1").start();
    let event = user(1);
    assert_all(&bridge.send(std::slice::from_ref(&event)), List::Success);
    assert_all(&bridge.send(std::slice::from_ref(&event)), List::Success);
    let spans = collector.wait_for("process event", 2);
    let with = |admission: &str| {
        spans.iter().find(|span| span.attribute("idaas_bridge.admission") == Some(admission)).unwrap()
    };
    let (first, again) = (with("new"), with("known"));
    assert_ne!(first.trace(), again.trace());
    assert!(first.span.links.is_empty());
    let links: Vec<_> = again.span.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&first.span.trace_id, &first.span.span_id)]);
}

#[test]
fn a_flag_of_an_untrusted_sender_samples_nothing() {
    let collector = Collector::start();
    let bridge = traced(&collector, "0").start();
    send_with(&bridge, &sampled(), &[user(1)]);
    let record = only(bridge.records());
    assert_eq!((record.header("traceparent"), record.header("ce_traceparent")), (None, Some(sampled().as_str())));
    drop(bridge);
    // The same collector hears of the next bridge, and of nothing before it.
    let bridge = behind_gateway(traced(&collector, "0")).start();
    send_with(&bridge, &sampled(), &[user(2)]);
    assert_eq!(collector.wait_for(SERVER, 1).len(), 1);
}

#[test]
fn a_sampled_callback_of_an_untrusted_sender_links_to_its_trace() {
    let collector = Collector::start();
    let bridge = traced(&collector, "1").start();
    send_with(&bridge, &sampled(), &[user(1)]);
    let server = collector.wait_for(SERVER, 1).remove(0);
    assert_ne!(server.trace(), TRACE);
    assert_eq!(server.parent(), "");
    assert_eq!(server.span.links[0].span_id, hex(SENDER));
}

#[test]
fn records_of_unsampled_callbacks_say_so() {
    let collector = Collector::start();
    let bridge = traced(&collector, "0").start();
    assert_all(&bridge.send(&[user(1)]), List::Success);
    let record = only(bridge.records());
    assert_eq!(record.header("traceparent"), None);
    assert!(record.header("ce_traceparent").unwrap().ends_with("-00"));
}

#[test]
fn without_tracing_records_have_no_trace_context() {
    let bridge = Setup::new().start();
    assert_all(&bridge.send(&[user(1)]), List::Success);
    let record = only(bridge.records());
    let names: BTreeSet<_> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!names.contains("traceparent") && !names.contains("ce_traceparent"), "{names:?}");
}

#[test]
fn an_event_from_the_journal_is_published_in_its_trace() {
    for mode in ["binary", "structured"] {
        let collector = Collector::start();
        let setup = behind_gateway(traced(&collector, "0")).deadline(800);
        let mut bridge = setup.topics(format!("event_mode = {mode:?}")).spawn();
        bridge.wait_metric("kafka_available", &[], 1.0);
        bridge.mock().broker_down(1).unwrap();
        bridge.wait_metric("kafka_available", &[], 0.0);
        send_with(&bridge, &sampled(), &[user(1)]);
        let server = collector.wait_for(SERVER, 1).remove(0);
        let accepted = collector.wait_for("process event", 1).remove(0);
        assert_eq!(accepted.attribute("idaas_bridge.verdict"), Some("not_confirmed"));
        assert_eq!(collector.wait_for("write to journal", 1)[0].parent(), accepted.id());
        bridge.start_again();
        bridge.mock().broker_up(1).unwrap();
        // Attempts that failed have spans as well.
        let confirmed = |exported: &Exported| exported.attribute("messaging.kafka.offset").is_some();
        let sent = retry(|| collector.spans().into_iter().find(confirmed).ok_or("nothing is confirmed".to_owned()));
        assert_eq!((sent.trace().as_str(), sent.parent()), (TRACE, server.id()), "{mode}");
        let record = only(bridge.records());
        assert_eq!(record.header("traceparent"), Some(sent.traceparent().as_str()));
    }
}

#[test]
fn a_refused_callback_shows_the_stage_that_refused_it() {
    let collector = Collector::start();
    let bridge = traced(&collector, "1").start();
    let body = bridge.callback().claim("exp", 1).events(&[user(1)]).body().unwrap();
    assert_eq!(bridge.post(body).status, 401);
    let server = collector.wait_for(SERVER, 1).remove(0);
    assert_eq!(server.attribute("idaas_bridge.code"), Some("expired"));
    assert_eq!(server.attribute("http.response.status_code"), Some("401"));
    let stage = collector.wait_for("authenticate", 1).remove(0);
    assert_eq!(stage.attribute("error.type"), Some("expired"));
    assert!(!collector.spans().iter().any(|exported| exported.span.name == "decrypt"));
}

#[test]
fn without_a_collector_callbacks_are_answered_and_spans_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let section = format!("[tracing]\notlp_endpoint = \"http://{nobody}\"\nsample_ratio = 1\n");
    let mut bridge = Setup::new().section(section).spawn();
    for number in 0..3 {
        assert_all(&bridge.send(&[user(number)]), List::Success);
    }
    let line = bridge.program().wait_for(|line| line["code"] == "spans_dropped");
    assert!(line["message"].as_str().unwrap().contains("no connection to the host"), "{line}");
    assert!(bridge.metric("spans_dropped_total", &[("reason", "export_failed")]) >= 3.0);
    assert_eq!(bridge.metric("spans_exported_total", &[]), 0.0);
    assert!(bridge.end());
    assert_eq!(bridge.program().log().matches("\"spans_dropped\"").count(), 1);
    assert_eq!(bridge.program().log().matches(&nobody.to_string()).count(), 0);
}

#[test]
fn spans_are_exported_again_after_the_collector_has_failed() {
    let collector = Collector::start();
    collector.answer(400);
    let mut bridge = traced(&collector, "1").spawn();
    assert_all(&bridge.send(&[user(1)]), List::Success);
    bridge.program().wait_for(|line| line["code"] == "spans_dropped");
    collector.answer(200);
    assert_all(&bridge.send(&[user(2)]), List::Success);
    bridge.program().wait_for(|line| line["code"] == "spans_exported");
    assert_eq!(collector.wait_for(SERVER, 1).len(), 1);
}

#[test]
fn the_last_spans_are_exported_at_the_shutdown() {
    let collector = Collector::start();
    let mut bridge = traced(&collector, "1").spawn();
    assert_all(&bridge.send(&[user(1)]), List::Success);
    assert!(bridge.end());
    // Without a wait: the program has ended.
    let spans = collector.spans();
    one(&spans, SERVER);
    one(&spans, SEND);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
