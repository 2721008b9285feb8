//! The configuration of a schedule, and the defect that is planted in it.

/// Defects of the environment, in addition to the coordinator's own, to check that an invariant finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// Lanes are not withheld.
    HoldsNothing,
    /// Lanes that fill while they are withheld are not claimed.
    ExtendsNothing,
    /// No replica reports that it is done.
    NeverDone,
    /// Deadlines never pass.
    WaitsForEver,
    /// The event topics count as read before they are.
    LearnsNothing,
}

/// The configuration of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) replicas: u64,
    /// Enables kills, restarts, pauses and lost connections. Without them, no event may be published twice.
    pub(super) faults: bool,
    pub(super) defect: Option<Defect>,
}
