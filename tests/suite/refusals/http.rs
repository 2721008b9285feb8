//! What senders do wrong with HTTP: too large, too slow, too clever.

use std::sync::Arc;

use idaas_callback::Refusal;

use super::{assert_refused, event, gzip, honest};
use crate::support::bridge::{Caller, Setup};
use crate::support::http::{Connection, Reply, request};
use crate::support::records::retry;

fn small() -> Setup {
    Setup::new().server("max_body = \"64KiB\"")
}

/// A body in chunks of 4 KiB, without the last, empty one.
fn chunks(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks(4096)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect()
}

#[test]
fn a_client_that_sends_too_much_still_reads_the_413() {
    let bridge = small().start();
    for size in [65_537, 1 << 20, 9 << 20] {
        let reply = bridge.post(vec![b'x'; size]);
        assert_refused(&reply, Refusal::TooLarge);
    }
    bridge.has_published_nothing();
}

#[test]
fn a_client_that_announces_too_much_need_not_send_it() {
    let bridge = small().start();
    let mut connection = Connection::open(bridge.listen).unwrap();
    let head = request("POST", &bridge.path(), &[("Content-Length", "99999999999")], b"");
    assert_refused(&connection.exchange(&head).unwrap(), Refusal::TooLarge);
    bridge.has_published_nothing();
}

#[test]
fn a_chunked_body_is_accepted_up_to_the_limit() {
    let bridge = small().start();
    let mut connection = Connection::open(bridge.listen).unwrap();
    let head = request("POST", &bridge.path(), &[("Transfer-Encoding", "chunked")], b"");
    connection.send(&[head.clone(), chunks(&[b'x'; 70_000]), b"0\r\n\r\n".to_vec()].concat()).unwrap();
    assert_refused(&connection.reply().unwrap(), Refusal::TooLarge);

    let mut connection = Connection::open(bridge.listen).unwrap();
    let body = chunks(honest(&bridge).as_bytes());
    let reply = connection.exchange(&[head, body, b"0\r\n\r\n".to_vec()].concat()).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn the_largest_body_that_is_allowed_is_taken() {
    let bridge = small().start();
    let mut body = honest(&bridge).into_bytes();
    body.resize(64 << 10, b' ');
    assert_eq!(bridge.post(&body).status, 200);
}

#[test]
fn a_body_that_ends_early_is_no_callback_and_holds_nothing() {
    let bridge = Setup::new().start();
    let whole = request("POST", &bridge.path(), &[], honest(&bridge).as_bytes());
    let mut connection = Connection::open(bridge.listen).unwrap();
    connection.send(&whole[..whole.len() - 10]).unwrap();
    connection.finish();
    // An answer to a client that has disconnected does not matter.
    let _ = connection.reply();
    bridge.wait_metric("callbacks_in_flight", &[], 0.0);
    bridge.has_published_nothing();
}

#[test]
fn many_slow_senders_keep_nobody_out() {
    let bridge = Setup::new().start();
    let head = request("POST", &bridge.path(), &[("Content-Length", "8000000")], b"{");
    let slow_bodies: Vec<_> = (0..100).map(|_| sent(&bridge, &head)).collect();
    let slow_heads: Vec<_> = (0..100).map(|_| sent(&bridge, b"POST /callbacks/work")).collect();
    bridge.wait_metric("callbacks_in_flight", &[], 100.0);
    for _ in 0..10 {
        assert_eq!(bridge.post(honest(&bridge)).status, 200);
    }
    drop((slow_bodies, slow_heads));
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let bridge = Setup::new().start();
    let mut connection = sent(&bridge, b"POST /callbacks/workforce HTTP/1.1\r\nHost: ");
    // Whether it is told why or not: the connection ends.
    while connection.reply().is_ok() {}
    bridge.has_published_nothing();
}

#[test]
fn malformed_heads_write_no_log_lines() {
    let mut bridge = Setup::new().spawn();
    for _ in 0..3 {
        assert_eq!(sent(&bridge, b"x\r\n\r\n").reply().unwrap().status, 400);
    }
    assert!(bridge.end());
    assert!(!bridge.program().log().contains("stream error"), "{}", bridge.program().log());
}

fn sent(bridge: &Caller, bytes: &[u8]) -> Connection {
    let mut connection = Connection::open(bridge.listen).unwrap();
    connection.send(bytes).unwrap();
    connection
}

#[test]
fn no_content_type_is_insisted_on() {
    let bridge = Setup::new().start();
    for kind in ["text/plain", "application/jose", "application/x-www-form-urlencoded", "x", "multipart/form-data"] {
        assert_eq!(bridge.post_with(&[("Content-Type", kind)], honest(&bridge)).status, 200, "{kind}");
    }
    assert_eq!(bridge.post_with(&[], honest(&bridge)).status, 200);
}

#[test]
fn a_coding_that_does_not_compress_is_accepted() {
    let bridge = Setup::new().start();
    for coding in ["identity", "UTF-8", "utf8", "identity, utf-8", "", "charset=utf-8", "none", "x"] {
        assert_eq!(bridge.post_with(&[("Content-Encoding", coding)], honest(&bridge)).status, 200, "{coding}");
    }
    // What cannot be read is not a callback, whatever it is called.
    assert_refused(&bridge.post_with(&[("Content-Encoding", "utf-8")], gzip(&honest(&bridge))), Refusal::Malformed);
}

#[test]
fn healthz_is_neither_logged_nor_counted() {
    let mut bridge = Setup::new().spawn();
    for method in ["GET", "HEAD"] {
        let mut connection = Connection::open(bridge.listen).unwrap();
        connection.send(&request(method, "/healthz", &[], b"")).unwrap();
        connection.finish();
        let (head, body) = whole(&mut connection);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, if method == "GET" { "ok\n" } else { "" }, "{method}");
    }
    assert_refused(&bridge.raw(&request("POST", "/healthz", &[], b"{}")), Refusal::NotFound);
    assert_eq!(bridge.metric("callbacks_total", &[]), 1.0);
    assert!(bridge.end());
    assert_eq!(bridge.program().log().matches("callback refused").count(), 1);
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let bridge = Setup::new().start();
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        let mut connection = Connection::open(bridge.admin).unwrap();
        connection.send(format!("HEAD {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let (head, body) = whole(&mut connection);
        assert!(head.contains(" 200 OK\r\n") && head.contains("content-length: "), "{path}: {head}");
        assert_eq!(body, "", "{path}");
    }
    let mut connection = Connection::open(bridge.admin).unwrap();
    connection.send(b"HEAD /nothing HTTP/1.0\r\n\r\n").unwrap();
    assert!(whole(&mut connection).0.contains(" 404 "));
}

#[test]
fn without_the_admin_token_ids_are_not_served() {
    let mut bridge = Setup::new().server("admin_token = \"0123456789abcdef\"").start();
    let status = |bridge: &Caller, path: &str, token: &str| {
        let headers = [("Authorization", token), ("X-Idaas-Bridge", "journal")];
        Connection::open(bridge.admin).unwrap().exchange(&request("GET", path, &headers, b"")).unwrap().status
    };
    for token in ["", "Bearer 0123456789abcdeg", "Basic 0123456789abcdef"] {
        assert_eq!(status(&bridge, "/journal", token), 401, "{token}");
        assert_eq!(status(&bridge, "/console/events?query=e", token), 401, "{token}");
        assert_eq!(status(&bridge, "/metrics", token), 200, "{token}");
    }
    // The next gate: the host's name.
    assert_eq!(status(&bridge, "/journal", "Bearer 0123456789abcdef"), 403);
    // A page of another site does not know the token.
    assert_eq!(status(&bridge, "/console/events?query=e", "Bearer 0123456789abcdef"), 200);
    assert!(bridge.reload_with(|setup| setup.server_again("admin_token = \"another-token-0000\"")));
    assert_eq!(status(&bridge, "/journal", "Bearer 0123456789abcdef"), 401);
    assert_eq!(status(&bridge, "/journal", "Bearer another-token-0000"), 403);
}

/// The head and the body of an answer, read until the other side closes.
fn whole(connection: &mut Connection) -> (String, String) {
    let bytes = connection.rest_of_all().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (format!("{head}\r\n"), body.to_owned())
}

#[test]
fn no_compression_is_accepted_under_any_name() {
    let bridge = Setup::new().start();
    for encoding in ["gzip", "GZIP", "br", "deflate", "zstd", "x-gzip", "identity, gzip", "gzip, identity"] {
        let body = gzip(&honest(&bridge));
        assert_refused(&bridge.post_with(&[("Content-Encoding", encoding)], body), Refusal::UnsupportedEncoding);
    }
    let twice = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")];
    assert_refused(&bridge.post_with(&twice, gzip(&honest(&bridge))), Refusal::UnsupportedEncoding);
    bridge.has_published_nothing();
}

#[test]
fn every_other_method_is_refused() {
    let bridge = Setup::new().start();
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
        let reply = bridge.raw(&request(method, &bridge.path(), &[], honest(&bridge).as_bytes()));
        assert_refused(&reply, Refusal::MethodNotAllowed);
        assert_eq!(reply.header("allow"), Some("POST"), "{method}");
    }
    bridge.has_published_nothing();
}

fn forwarded(bridge: &Caller, values: &[&str]) -> Reply {
    let headers: Vec<_> = values.iter().map(|value| ("X-Forwarded-For", *value)).collect();
    bridge.post_with(&headers, honest(bridge))
}

#[test]
fn a_forged_x_forwarded_for_lets_nobody_in() {
    let bridge = Setup::new().application("allowed_networks = [\"198.51.100.0/24\"]").start();
    for values in [&["198.51.100.7"][..], &["198.51.100.7, 198.51.100.7"], &["198.51.100.7", "198.51.100.8"]] {
        assert_refused(&forwarded(&bridge, values), Refusal::AddressNotAllowed);
    }
    for header in ["Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP"] {
        let reply = bridge.post_with(&[(header, "for=198.51.100.7"), (header, "198.51.100.7")], honest(&bridge));
        assert_refused(&reply, Refusal::AddressNotAllowed);
    }
    bridge.has_published_nothing();
}

#[test]
fn behind_a_trusted_proxy_the_rightmost_stranger_decides() {
    let bridge = Setup::new()
        .server("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
        .application("allowed_networks = [\"198.51.100.0/24\"]")
        .start();
    let allowed: [&[&str]; 5] = [
        &["198.51.100.7"],
        &["203.0.113.9, 198.51.100.7"],
        &["203.0.113.9", "198.51.100.7, 10.0.0.1"],
        &["::ffff:198.51.100.7"],
        &["198.51.100.7:4711"],
    ];
    for values in allowed {
        assert_eq!(forwarded(&bridge, values).status, 200, "{values:?}");
    }
    let refused: [&[&str]; 8] = [
        &["203.0.113.9"],
        &["198.51.100.7, 203.0.113.9"],
        &["198.51.100.7", "203.0.113.9"],
        &["198.51.100.7, unknown"],
        &["198.51.100.7, \u{fc}"],
        &["198.51.100.7,"],
        &[""],
        &[],
    ];
    for values in refused {
        assert_refused(&forwarded(&bridge, values), Refusal::AddressNotAllowed);
    }
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn an_address_is_judged_before_anything_else() {
    let bridge =
        Setup::new().application("allowed_networks = [\"192.0.2.0/24\"]").server("max_body = \"64KiB\"").start();
    for request in [
        request("GET", &bridge.path(), &[], b""),
        request("POST", &bridge.path(), &[("Content-Length", "99999999")], b""),
        request("POST", &bridge.path(), &[("Content-Encoding", "gzip")], b"x"),
    ] {
        assert_refused(&bridge.raw(&request), Refusal::AddressNotAllowed);
    }
    bridge.has_published_nothing();
}

#[test]
fn an_ipv4_peer_on_an_ipv6_socket_is_judged_as_ipv4() {
    for (network, allowed) in [("127.0.0.0/8", true), ("192.0.2.0/24", false), ("::ffff:127.0.0.0/104", true)] {
        let setup = Setup::new().application(format!("allowed_networks = [{network:?}]"));
        let bridge = setup.listen("[::]:0").start();
        let status = bridge.post(honest(&bridge)).status;
        assert_eq!(status, if allowed { 200 } else { 403 }, "{network}");
    }
}

#[test]
fn requests_on_one_connection_are_independent() {
    let bridge = Setup::new().start();
    let good = request("POST", &bridge.path(), &[], honest(&bridge).as_bytes());
    let bad = request("POST", &bridge.path(), &[], b"{}");
    let mut connection = Connection::open(bridge.listen).unwrap();
    // Pipelined: all at once.
    connection.send(&[good.clone(), bad.clone(), good, bad].concat()).unwrap();
    let statuses: Vec<_> = (0..4).map(|_| connection.reply().unwrap().status).collect();
    assert_eq!(statuses, [200, 400, 200, 400]);
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn a_flood_of_forgeries_leaves_room_for_the_honest() {
    let bridge = Setup::new().start();
    let forged = bridge.callback().events(&[event()]).wrong_key().body().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (caller, forged) = (Arc::clone(&bridge), &forged);
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(caller.post(forged).status, 401)));
        }
        assert_eq!(bridge.post(honest(&bridge)).status, 200);
    });
    bridge.wait_metric("callbacks_total", &[("code", "bad_signature")], 400.0);
    retry(|| if bridge.records().len() == 1 { Ok(()) } else { Err("not one record".to_owned()) });
}
