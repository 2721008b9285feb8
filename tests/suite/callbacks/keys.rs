//! Public keys and the clock, by an endpoint that changes while callbacks come.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use idaas_simulator::kind::Kind;
use parking_lot::Mutex;

use super::{assert_success, event, users};
use crate::support::bridge::{Caller, Setup, TestApplication};
use crate::support::http::request;
use crate::support::records::retry;

/// Serves whatever the document is at the moment, with a clock that stopped long ago. Returns the value of `jwks`.
fn endpoint(document: &Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("\"http://{}/jwks\"", listener.local_addr().unwrap());
    let document = Arc::clone(document);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, document) = (stream.unwrap(), document.lock().clone());
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{document}", document.len());
        }
    });
    url
}

#[test]
fn a_key_replaced_under_its_id_is_accepted_soon() {
    let (before, after) = (TestApplication::workforce(), TestApplication::workforce().with_another_key());
    let document = Arc::new(Mutex::new(before.tenant_keys.jwks().to_string()));
    let bridge = Setup::of(vec![TestApplication { jwks: Some(endpoint(&document)), ..before }]).start();
    assert_success(&bridge.send(&users(1)));
    *document.lock() = after.tenant_keys.jwks().to_string();
    let new = Caller { listen: bridge.listen, admin: bridge.admin, applications: vec![after] };
    let body = new.callback().events(&[event(Kind::UserCreate, 7)]).body().unwrap();
    assert_eq!(new.post(&body).json()["error"], "bad_signature");
    retry(|| match new.post(&body).status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
}

#[test]
fn reload_without_keys_is_refused_and_a_new_name_keeps_them() {
    let application = TestApplication::workforce();
    let document = Arc::new(Mutex::new(application.tenant_keys.jwks().to_string()));
    let empty = endpoint(&Arc::new(Mutex::new(String::new())));
    let jwks = Some(endpoint(&document));
    let mut bridge = Setup::of(vec![TestApplication { jwks: jwks.clone(), ..application.clone() }]).start();
    assert_success(&bridge.send(&users(1)));
    document.lock().clear();
    assert!(!bridge.reload(|setup| setup.applications[0].jwks = Some(empty.clone())), "its new source has no keys");
    assert_success(&bridge.send(&users(2)));

    let renamed = application.named_anew("staff");
    let caller = Caller { listen: bridge.listen, admin: bridge.admin, applications: vec![renamed.clone()] };
    assert!(bridge.reload(|setup| setup.applications = vec![TestApplication { jwks: jwks.clone(), ..renamed }]));
    assert_success(&caller.send(&users(3)));
}

#[test]
fn refused_reload_is_repeated_until_there_are_keys() {
    let application = TestApplication::workforce();
    let document = Arc::new(Mutex::new(String::new()));
    let mut bridge = Setup::of(vec![application.clone()]).start();
    assert!(!bridge.reload(|setup| setup.applications[0].jwks = Some(endpoint(&document))));
    *document.lock() = application.tenant_keys.jwks().to_string();
    bridge.wait_metric("config_last_reload_successful", &[], 1.0);
    assert_success(&bridge.send(&users(1)));
}

#[test]
fn a_clock_that_is_off_by_the_endpoint_s_is_told_once() {
    let document = Arc::new(Mutex::new(TestApplication::workforce().tenant_keys.jwks().to_string()));
    let mut applications = vec![TestApplication::workforce(), TestApplication::named("partners")];
    for application in &mut applications {
        application.jwks = Some(endpoint(&document));
    }
    let mut bridge = Setup::of(applications).spawn();
    bridge.wait_metric("jwks_refreshes_total", &[("result", "ok")], 2.0);
    let offsets = bridge.samples("clock_offset_seconds", &[]);
    assert!(offsets.len() == 2 && offsets.iter().all(|offset| *offset > 1e9), "{offsets:?}");
    // Something else is asked and logged after them.
    assert_eq!(bridge.raw(&request("POST", "/callbacks/nobody", &[], b"{}")).status, 404);
    bridge.program().wait_for(|line| line["code"] == "not_found");
    let log = bridge.program().log();
    assert_eq!(log.matches("\"clock_off\"").count(), 1, "{log}");
}
