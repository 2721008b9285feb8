//! Whether the bridge grows: its last run, without the first third, in which it warms up; the next third against the
//! last one.
//!
//! Equal conditions are compared: an outage fills the memory for a while, so only quiet samples count, those with an
//! empty journal for some time. A run that has too few of them is not judged.

use std::fmt;

use crate::support::environment::watch::Sample;

/// What the memory of answered events may take for each, in bytes: it is meant to grow, up to its limit.
const PER_ANSWERED: u64 = 64;
/// Of the rest, what is noise and not growth.
const NOISE: f64 = 0.1;
/// Open files that come and go.
const FILES: usize = 10;

/// For how many samples in a row the journal must have been empty for the last of them to be quiet.
const QUIET_AFTER: usize = 10;
/// How many quiet samples each third needs.
const MIN_QUIET_SAMPLES: usize = 30;
/// How long the last run must be, in samples: the program and its allocator take minutes to warm up.
const MIN_SAMPLES: usize = 300;

/// Before and after.
pub(crate) struct Flatness {
    samples: usize,
    /// Quiet samples in each of the two thirds.
    quiet_samples: (usize, usize),
    /// Medians of the quiet samples, in KiB.
    memory: (u64, u64),
    /// The fewest of each third: what comes and goes with connections is left out, and what leaks stays.
    files: (usize, usize),
    /// Events answered between the middles of the two thirds.
    answered: u64,
}

/// Of the process that was seen last.
pub(crate) fn of_last_process_run(samples: &[Sample]) -> Flatness {
    let last = samples.last().map(|sample| sample.process);
    let process_run: Vec<_> = samples.iter().filter(|sample| Some(sample.process) == last).collect();
    let third = process_run.len() / 3;
    let (before, after) = (&process_run[third..third * 2], &process_run[third * 2..]);
    let quiet_samples =
        (quiet_samples(&process_run, third..third * 2), quiet_samples(&process_run, third * 2..process_run.len()));
    Flatness {
        samples: process_run.len(),
        quiet_samples: (quiet_samples.0.len(), quiet_samples.1.len()),
        memory: (median(&quiet_samples.0), median(&quiet_samples.1)),
        files: (fewest(before), fewest(after)),
        answered: middle(after)
            .map_or(0, |sample| sample.answered)
            .saturating_sub(middle(before).map_or(0, |s| s.answered)),
    }
}

/// The samples of a range before which nothing was in the journal for a while.
fn quiet_samples<'a>(process_run: &[&'a Sample], range: std::ops::Range<usize>) -> Vec<&'a Sample> {
    let is_quiet = |at: &usize| {
        at.checked_sub(QUIET_AFTER).is_some_and(|from| process_run[from..=*at].iter().all(|s| s.journal == 0))
    };
    range.filter(is_quiet).map(|at| process_run[at]).collect()
}

fn median(samples: &[&Sample]) -> u64 {
    let mut memory: Vec<_> = samples.iter().map(|sample| sample.memory).collect();
    memory.sort_unstable();
    memory.get(memory.len() / 2).copied().unwrap_or_default()
}

fn fewest(samples: &[&Sample]) -> usize {
    samples.iter().map(|sample| sample.open_files).min().unwrap_or_default()
}

fn middle<'a>(samples: &[&'a Sample]) -> Option<&'a Sample> {
    samples.get(samples.len() / 2).copied()
}

impl Flatness {
    fn allowed(&self) -> u64 {
        self.memory.0 + (self.memory.0 as f64 * NOISE) as u64 + self.answered * PER_ANSWERED / 1024
    }

    /// Whether the run tells enough for a judgement.
    pub(crate) fn is_judged(&self) -> bool {
        self.samples >= MIN_SAMPLES && self.quiet_samples.0.min(self.quiet_samples.1) >= MIN_QUIET_SAMPLES
    }

    /// What grows.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if !self.is_judged() {
            return complaints;
        }
        if self.memory.1 > self.allowed() {
            complaints.push(format!("memory grows: from {} to {} KiB", self.memory.0, self.memory.1));
        }
        if self.files.1 > self.files.0 + FILES {
            complaints.push(format!("open files grow: from {} to {}", self.files.0, self.files.1));
        }
        complaints
    }
}

impl fmt::Display for Flatness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the bridge's last run ({} samples), its second third against its last: memory {} to {} MiB (at most {} \
             would be flat, with {} more answers to remember), open files {} to {}",
            self.samples,
            self.memory.0 / 1024,
            self.memory.1 / 1024,
            self.allowed() / 1024,
            self.answered,
            self.files.0,
            self.files.1,
        )?;
        if !self.is_judged() {
            write!(
                f,
                "; not judged: a judgement takes {MIN_SAMPLES} samples of one run, and {MIN_QUIET_SAMPLES} with an \
                empty journal in each third, and here there are {}, {} and {}",
                self.samples, self.quiet_samples.0, self.quiet_samples.1
            )?;
        }
        Ok(())
    }
}
