//! Chance that can be had again: every decision is drawn from the schedule's seed and from what it is about, so that a
//! schedule from which something was taken out decides all the rest as before.

/// A schedule's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SimRng(pub(super) u64);

/// What is decided. Two decisions about the same thing need two of these.
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
    /// The throws for one decision.
    pub(super) fn on<const N: usize>(self, about: About, what: [u64; N]) -> fastrand::Rng {
        let first = mix(self.0 ^ mix(about as u64 + 1));
        fastrand::Rng::with_seed(what.into_iter().fold(first, |sum, part| mix(sum ^ part)))
    }

    /// A number for one decision.
    pub(super) fn number(self, about: About, what: u64) -> u64 {
        mix(mix(self.0 ^ mix(about as u64 + 1)) ^ what)
    }
}

/// Throws that read well where they are used.
pub(super) trait RngExt {
    /// Whether something happens that happens so many times in a thousand.
    fn permille(&mut self, odds: u64) -> bool;
    /// A time: mostly near `usual`, now and then up to `most`.
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
