//! Whether the bridge grows: its last life, without the first third, in which it warms up; the next third against the
//! last one.

use std::fmt;

use crate::support::stage::watch::Sample;

/// What the memory of answered events may take for each, in bytes: it is meant to grow, up to its limit.
const PER_ANSWERED: u64 = 64;
/// Of the rest, what is noise and not growth.
const NOISE: f64 = 0.1;
/// Open files that come and go.
const FILES: usize = 10;

/// Before and after.
pub(crate) struct Flatness {
    samples: usize,
    /// Medians, in KiB.
    memory: (u64, u64),
    /// The fewest of each third: what comes and goes with connections is left out, and what leaks stays.
    files: (usize, usize),
    /// Events answered between the middles of the two thirds.
    answered: u64,
}

/// Of the process that was seen last.
pub(crate) fn of_last_life(samples: &[Sample]) -> Flatness {
    let last = samples.last().map(|sample| sample.process);
    let life: Vec<_> = samples.iter().filter(|sample| Some(sample.process) == last).collect();
    let third = life.len() / 3;
    let (before, after) = (&life[third..third * 2], &life[third * 2..]);
    Flatness {
        samples: life.len(),
        memory: (median(before), median(after)),
        files: (fewest(before), fewest(after)),
        answered: middle(after)
            .map_or(0, |sample| sample.answered)
            .saturating_sub(middle(before).map_or(0, |s| s.answered)),
    }
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

    /// What grows.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
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
            "the bridge's last life ({} samples), its second third against its last: memory {} to {} MiB (at most {} \
             would be flat, with {} more answers to remember), open files {} to {}",
            self.samples,
            self.memory.0 / 1024,
            self.memory.1 / 1024,
            self.allowed() / 1024,
            self.answered,
            self.files.0,
            self.files.1,
        )
    }
}
