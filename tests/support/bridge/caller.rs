//! What plays IDaaS, its operator and everybody else who talks to a bridge. Can be shared between threads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use idaas_simulator::answer::{Answer, List};
use idaas_simulator::events::Event;
use idaas_simulator::sender::now_ms;
use idaas_simulator::token::Callback;
use serde_json::Value;

use super::application::TestApplication;
use crate::support::http::{Connection, Reply, request};
use crate::support::records::retry;

/// List and code of each event.
pub(crate) type Verdicts = BTreeMap<String, (List, String)>;

/// Addresses and keys.
pub(crate) struct Caller {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) applications: Vec<TestApplication>,
}

impl Caller {
    pub(super) fn new(mut listen: SocketAddr, admin: SocketAddr, applications: Vec<TestApplication>) -> Self {
        if listen.ip().is_unspecified() {
            listen.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Self { listen, admin, applications }
    }

    /// A valid callback of the first application, without events.
    pub(crate) fn callback(&self) -> Callback<'_> {
        self.callback_of(0)
    }

    /// The same of another application.
    pub(crate) fn callback_of(&self, index: usize) -> Callback<'_> {
        Callback::new(&self.applications[index].tenant_keys, now_ms() / 1000)
    }

    /// The path of the first application.
    pub(crate) fn path(&self) -> String {
        self.path_of(0)
    }

    /// The path of an application.
    pub(crate) fn path_of(&self, index: usize) -> String {
        format!("/callbacks/{}", self.applications[index].name())
    }

    /// Posts a body to the first application, as IDaaS does.
    pub(crate) fn post(&self, body: impl AsRef<[u8]>) -> Reply {
        self.post_with(&[("Content-Type", "application/json;charset=utf-8")], body)
    }

    /// Posts a body with these headers.
    pub(crate) fn post_with(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        self.raw(&request("POST", &self.path(), headers, body.as_ref()))
    }

    /// Sends these bytes over a connection of their own, and reads the answer.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Reply {
        Connection::open(self.listen).unwrap().exchange(bytes).unwrap()
    }

    /// Sends a finished callback and reads the verdicts. Fails where it is not answered with a 200.
    pub(crate) fn deliver(&self, callback: Callback<'_>) -> Verdicts {
        self.deliver_to(0, callback)
    }

    /// The same to another application.
    pub(crate) fn deliver_to(&self, index: usize, callback: Callback<'_>) -> Verdicts {
        let body = callback.body().unwrap();
        verdicts(&self.raw(&request("POST", &self.path_of(index), &[], body.as_bytes())))
    }

    /// Sends events as on the wire. Fails if an event is not in exactly one list.
    pub(crate) fn send(&self, events: &[Event]) -> Verdicts {
        let verdicts = self.deliver(self.callback().events(events));
        let mut ids: Vec<_> = events.iter().map(|event| event.event_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(verdicts.keys().map(String::as_str).collect::<Vec<_>>(), ids);
        verdicts
    }

    /// Sends an event until it is answered with success, as IDaaS does.
    pub(crate) fn send_until_success(&self, event: &Event) {
        let give_up = Instant::now() + Duration::from_secs(120);
        loop {
            let (list, code) = self.send(std::slice::from_ref(event))[&event.event_id].clone();
            if list == List::Success {
                return;
            }
            assert!(Instant::now() < give_up, "never a success: {code}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends elements of `eventData`.
    pub(crate) fn send_items(&self, items: Vec<Value>) -> Verdicts {
        self.deliver(self.callback().event_values(items))
    }

    /// Asks the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Reply {
        Connection::open(self.admin).unwrap().exchange(&request("GET", path, &[], b"")).unwrap()
    }

    /// What the journal's part of the admin listener answers, asked as the program asks it.
    pub(crate) fn ask_admin(&self, method: &str, path: &str) -> Reply {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nx-idaas-bridge: journal\r\nContent-Length: 0\r\n\r\n",
            self.admin
        );
        Connection::open(self.admin).unwrap().exchange(request.as_bytes()).unwrap()
    }

    /// The same without what tells the program from a page in a browser.
    pub(crate) fn raw_admin(&self, method: &str, path: &str) -> Reply {
        Connection::open(self.admin).unwrap().exchange(&request(method, path, &[], b"")).unwrap()
    }

    /// The sum of a metric's samples that have these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).iter().sum()
    }

    /// A metric's samples that have these labels.
    pub(crate) fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let reply = self.admin("/metrics");
        let samples = reply.text().lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, found_labels) = series.split_once('{').unwrap_or((series, ""));
            let matches = found.strip_prefix("idaas_bridge_") == Some(name)
                && labels.iter().all(|(label, value)| found_labels.contains(&format!("{label}=\"{value}\"")));
            if matches { value.parse::<f64>().ok() } else { None }
        });
        samples.collect()
    }

    /// Waits until a metric's sum has this value.
    pub(crate) fn wait_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        retry(|| match self.metric(name, labels) {
            now if now == value => Ok(()),
            now => Err(format!("{name}{labels:?} is {now}, not {value}")),
        });
    }
}

/// The verdicts of a 200. Fails where the answer is not what IDaaS understands.
pub(crate) fn verdicts(reply: &Reply) -> Verdicts {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json;charset=utf-8"));
    let answer = Answer::parse(&reply.body).unwrap();
    let mut verdicts = Verdicts::new();
    for verdict in answer.verdicts {
        let twin = verdicts.insert(verdict.event_id.clone(), (verdict.list, verdict.code));
        assert_eq!(twin, None, "{} stands in two lists", verdict.event_id);
    }
    verdicts
}
