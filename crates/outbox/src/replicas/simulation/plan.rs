//! The configuration of a schedule, and the defect that is planted in it.

/// What accepts no records for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// The cluster.
    Cluster,
    /// One of two partitions.
    Partition,
}

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
    /// Lanes are published as soon as their partition accepts records.
    RecoversAlone,
    /// Lanes that waited for their partition are not published.
    NeverRecovers,
}

/// The configuration of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) replicas: u64,
    pub(super) outage: Outage,
    /// Enables kills, restarts, pauses and lost connections. Without them, no event may be published twice.
    pub(super) faults: bool,
    pub(super) defect: Option<Defect>,
}
