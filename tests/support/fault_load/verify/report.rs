//! The verdict on one load: a line for people, and what is wrong with it, with the events' histories.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::support::fault_load::ledger::LedgerSnapshot;

/// How many events of a kind are told in full.
const TOLD: usize = 5;

/// What was found. Lists hold positions in the ledger.
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) sent: usize,
    pub(crate) callbacks: usize,
    pub(crate) on_kafka: usize,
    pub(crate) lost: Vec<usize>,
    pub(crate) false_successes: Vec<usize>,
    /// Successes that were compared with the time at which the broker took the record.
    pub(crate) timed: usize,
    pub(crate) disorder: Vec<usize>,
    pub(crate) duplicates: usize,
    /// Copies that are not equal.
    pub(crate) unlike: Vec<usize>,
    /// Records with another key or content than was sent.
    pub(crate) distorted: Vec<usize>,
    /// Events of which something was said that nothing here calls for.
    pub(crate) unexpected: Vec<usize>,
    /// Never accepted, and told so to the last.
    pub(crate) refused: usize,
    /// Answers after more than 10 s, or never: positions of contacts.
    pub(crate) late: Vec<usize>,
    /// Records that Kafka showed and then had no more: the cluster's own fault, which makes the rest worthless.
    pub(crate) forgotten: usize,
    /// Of the answers that came.
    pub(crate) slowest: Duration,
    /// What a scenario says beyond that.
    pub(crate) remarks: Vec<String>,
    /// What a scenario finds wrong beyond that.
    pub(crate) complaints: Vec<String>,
    snapshot: Arc<LedgerSnapshot>,
}

impl Report {
    pub(super) fn new(name: &str, snapshot: Arc<LedgerSnapshot>) -> Self {
        Self {
            name: name.to_owned(),
            sent: snapshot.events.len(),
            callbacks: snapshot.callbacks,
            on_kafka: 0,
            lost: Vec::new(),
            false_successes: Vec::new(),
            timed: 0,
            disorder: Vec::new(),
            duplicates: 0,
            unlike: Vec::new(),
            distorted: Vec::new(),
            unexpected: Vec::new(),
            refused: 0,
            late: Vec::new(),
            forgotten: 0,
            slowest: Duration::ZERO,
            remarks: Vec::new(),
            complaints: Vec::new(),
            snapshot,
        }
    }

    /// Demands that the fault was felt at all: a proof that met no trouble proves nothing.
    pub(crate) fn must_have_said(&mut self, names: &[&str]) {
        let answers = self.snapshot.answers();
        if !names.iter().any(|name| answers.contains_key(*name)) {
            self.complaints.push(format!("the fault was not felt: none of {names:?} was ever said"));
        }
    }

    /// Demands that everything was accepted in the end.
    pub(crate) fn must_refuse_nothing(&mut self) {
        if self.refused > 0 {
            self.complaints.push(format!("{} events were refused for want of room to the last", self.refused));
        }
    }

    /// Everything that is wrong, with the histories of some of the events; empty where all holds.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = self.complaints.clone();
        let lists = [
            ("lost", &self.lost),
            ("falsely answered as success", &self.false_successes),
            ("published before what was accepted earlier", &self.disorder),
            ("published in unequal copies", &self.unlike),
            ("published with another key or content", &self.distorted),
            ("answered as nothing calls for", &self.unexpected),
        ];
        for (what, events) in lists {
            if !events.is_empty() {
                let told: Vec<_> =
                    events.iter().take(TOLD).map(|event| format!("\n    {}", self.snapshot.history(*event))).collect();
                faults.push(format!("{} {what}:{}", events.len(), told.concat()));
            }
        }
        // One in a thousand may be the machine's fault: a late answer loses nothing, because its events are sent again.
        if self.late.len() * 1000 > self.sent {
            let told: Vec<_> = self.late.iter().take(TOLD).map(|contact| self.snapshot.delivery(*contact)).collect();
            faults.push(format!(
                "{} answers came after more than 10 s, or never:\n    {}",
                self.late.len(),
                told.join("\n    ")
            ));
        }
        if self.forgotten > 0 {
            faults.push(format!("Kafka itself forgot {} records", self.forgotten));
        }
        faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.faults().is_empty() { "holds" } else { "BROKEN" };
        write!(
            f,
            "{}: {verdict}; sent {} in {} callbacks, on Kafka {}, lost {}, false successes {} ({} compared in time), \
             order violations {}, duplicates {}, refused for ever {}, slowest answer {:.2} s",
            self.name,
            self.sent,
            self.callbacks,
            self.on_kafka,
            self.lost.len(),
            self.false_successes.len(),
            self.timed,
            self.disorder.len(),
            self.duplicates,
            self.refused,
            self.slowest.as_secs_f64(),
        )?;
        let answers: Vec<_> = self.snapshot.answers().iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, " [{}]", answers.join(", "))?;
        self.remarks.iter().try_for_each(|remark| write!(f, " [{remark}]"))
    }
}
