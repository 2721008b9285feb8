//! Looks at the bridge from outside, whatever life it is in: its metrics, and what it occupies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::http::{Connection, request};

/// Can be given to other threads.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(super) admin: SocketAddr,
    /// 0 while no process is there.
    pub(super) process: Arc<AtomicU32>,
}

/// What was seen at one moment.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "only the soak asks for all of it")]
pub(crate) struct Sample {
    /// The process, to tell its lives apart.
    pub(crate) process: u32,
    /// Resident, in KiB.
    pub(crate) memory: u64,
    pub(crate) open_files: usize,
    /// Events that wait in the journal.
    pub(crate) journal: u64,
    /// Answered in this life.
    pub(crate) answered: u64,
}

impl Watch {
    /// The sum of a metric's samples, whatever their labels. `None` if it does not answer.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        Some(sum(&self.ask("/metrics")?, name))
    }

    /// `None` while it is away.
    pub(crate) fn sample(&self) -> Option<Sample> {
        let process = self.process.load(Ordering::Relaxed);
        let metrics = self.ask("/metrics")?;
        let of = |name| sum(&metrics, name) as u64;
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Sample {
            process,
            memory: resident.split_whitespace().next()?.parse().ok()?,
            open_files: std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count(),
            journal: of("journal_events"),
            answered: of("events_answered_total"),
        })
    }

    /// The body of a 200 of the admin listener.
    pub(super) fn ask(&self, path: &str) -> Option<String> {
        let reply = Connection::open(self.admin).ok()?.exchange(&request("GET", path, &[], b"")).ok()?;
        (reply.status == 200).then(|| reply.text().to_owned())
    }
}

fn sum(metrics: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let found = series.split('{').next()?.strip_prefix("idaas_bridge_")?;
        if found == name { value.parse::<f64>().ok() } else { None }
    };
    metrics.lines().filter_map(of).sum()
}
