//! What a schedule has, and which defect is planted in it.

/// Beyond the coordinator's own faults: what the world does wrong on purpose, to see that an invariant finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// Lanes are not withheld.
    HoldsNothing,
    /// Nobody says when it is done.
    NeverDone,
    /// Deadlines never pass.
    WaitsForEver,
    /// The event topics count as read before they are.
    LearnsNothing,
}

/// What a schedule has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) replicas: u64,
    /// Kills, restarts, pauses, lost connections. Without them nothing may be published twice.
    pub(super) faults: bool,
    pub(super) defect: Option<Defect>,
}
