//! Reproducible random numbers: every decision is derived from the schedule's seed and from its subject, so that a
//! schedule with something removed decides everything else as before.

/// The seed of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SimRng(pub(super) u64);

/// The kind of a decision. Two decisions about the same subject need two kinds.
#[derive(Debug, Clone, Copy)]
pub(super) enum About {
    Plan,
    Event,
    Tie,
    Record,
    Repeat,
    Landing,
    Purge,
    Commit,
    CommitOutcome,
    Reading,
    Tick,
    Thread,
    Choice,
    HangUp,
    Breaker,
    Tail,
    Follow,
    Death,
    Held,
    Notice,
    Alone,
}

impl SimRng {
    /// Returns the generator for one decision.
    pub(super) fn on<const N: usize>(self, about: About, what: [u64; N]) -> fastrand::Rng {
        let first = mix(self.0 ^ mix(about as u64 + 1));
        fastrand::Rng::with_seed(what.into_iter().fold(first, |sum, part| mix(sum ^ part)))
    }

    /// Returns a number for one decision.
    pub(super) fn number(self, about: About, what: u64) -> u64 {
        mix(mix(self.0 ^ mix(about as u64 + 1)) ^ what)
    }
}

/// Helpers for random decisions.
pub(super) trait RngExt {
    /// Returns true with a probability of `odds` in a thousand.
    fn permille(&mut self, odds: u64) -> bool;
    /// Returns a duration: mostly up to `usual`, sometimes up to `most`.
    fn time(&mut self, usual: u64, most: u64) -> u64;
}

impl RngExt for fastrand::Rng {
    fn permille(&mut self, odds: u64) -> bool {
        self.u64(0..1000) < odds
    }

    fn time(&mut self, usual: u64, most: u64) -> u64 {
        if self.u8(0..8) == 0 { self.u64(0..=most.max(usual)) } else { self.u64(0..=usual) }
    }
}

/// The finalizer of SplitMix64.
pub(super) const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
