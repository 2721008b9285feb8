//! The coordinator of one replica: decides when it writes records, which lanes it withholds, and when it publishes.
//!
//! Inputs are records of the topic, the availability of Kafka, and the time with facts about the outbox. Outputs are
//! [`Command`]s. If no other replica is known, it publishes at once. Otherwise replicas exchange their claims first
//! (`gather`). Each wait is bounded, so a replica that is gone delays the others by seconds.

use std::collections::{HashMap, HashSet};

pub use super::facts::Facts;
use super::holds::Release;
use super::record::{self, Body, Record};
use super::table::Table;
use super::{Offset, ReplicaId, Writer};
use crate::{LaneKey, Millis};

/// Interval between two heartbeats.
const HEARTBEAT_INTERVAL: Millis = 2000;

/// How long the event topics are still followed after the last other replica has gone. A restart is over by then, and
/// a replica that starts following again has to read the last ten minutes.
const FOLLOW_AFTER_LAST_OTHER: Millis = 600_000;

/// Time after which a record that was not read back is written again.
pub(super) const RESEND_INTERVAL: Millis = 2000;

/// An action for the driver. Commands are executed in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write a record to the topic.
    Write(Body),
    /// Start to publish: Kafka is available, and the others know which events wait here.
    StartPublishing,
    /// Publish what waits for partitions that accept records again. The others know which events wait here.
    Recover,
    /// Publish nothing until the next [`Command::StartPublishing`]. New events go to the journal.
    StopPublishing,
    /// Withhold these lanes and no others.
    Hold(HashSet<LaneKey>),
    /// Read the event topics up to their current ends, then report this ticket as done.
    CatchUp(u64),
    /// Start or stop following the event topics.
    Follow(bool),
}

/// The coordinator of one replica.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) me: Writer,
    pub(super) table: Table,
    pub(super) stage: Stage,
    /// True while it publishes: also during an exchange of claims after the recovery of partitions.
    pub(super) is_open: bool,
    /// True if partitions have recovered whose events still wait, and no exchange has begun.
    pub(super) recovery_due: bool,
    /// When the current exchange of claims began.
    pub(super) exchange_began: Millis,
    /// When the current stage of the exchange began.
    pub(super) stage_since: Millis,
    /// When a record was written that has not been read back.
    pub(super) sent_at: Option<Millis>,
    /// True if its [`Body::Start`] of the current exchange was read back.
    pub(super) started: bool,
    claims: u64,
    tickets: u64,
    /// True if it has begun to publish at least once.
    pub(super) joined: bool,
    /// True if the table has this process as a member.
    member: bool,
    following: bool,
    /// When another replica was last known.
    last_with_others: Millis,
    heartbeat_at: Option<Millis>,
    /// The round that is being answered, and since when.
    pub(super) answering: Option<(Offset, Millis)>,
    /// The lanes that it withholds.
    pub(super) held: HashSet<LaneKey>,
    pub(super) release: Option<Release>,
    /// The version of the table on which `held` and `owned` are based.
    pub(super) version: u64,
    /// The lanes that it owns.
    pub(super) owned: HashSet<LaneKey>,
    /// When it last checked whether its own lanes are published.
    pub(super) checked_at: Millis,
    /// True if this step has released lanes or begun to publish. [`Facts::has_backlog`] does not know that yet.
    pub(super) has_released: bool,
    /// When it last looked for withheld lanes that have filled.
    pub(super) extended_at: Millis,
    /// Since when lanes that could be released wait for their claims to be read back.
    pub(super) claims_awaited_since: Option<Millis>,
    /// When a [`Body::Done`] was written that has not been read back.
    pub(super) done_sent_at: Option<Millis>,
    pub(super) rounds: u64,
    pub(super) commands: Vec<Command>,
}

/// The stage of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Kafka is unavailable.
    Unavailable,
    /// Waits for the delivery reports of the records that were with the producer at the end of the outage, and for the
    /// topic.
    Settling,
    /// Waits until all members take part.
    Ready,
    /// Learns which events are published, so that the claim is right.
    Learning(u64),
    /// Waits until all members have claimed.
    Claiming,
    /// Learns which events others have published since. Holds the ticket, and the table's releases before it.
    Checking(u64, u64),
    /// Waits to read back that it has started.
    Starting(u64),
    /// Publishes.
    Live,
}

impl Coordinator {
    /// Creates the coordinator of a process that has read nothing yet.
    #[must_use]
    pub fn new(me: Writer) -> Self {
        Self {
            me,
            table: Table::default(),
            stage: Stage::Unavailable,
            is_open: false,
            recovery_due: false,
            exchange_began: 0,
            stage_since: 0,
            sent_at: None,
            started: false,
            claims: 0,
            tickets: 0,
            joined: false,
            member: false,
            following: false,
            last_with_others: 0,
            heartbeat_at: None,
            answering: None,
            held: HashSet::new(),
            release: None,
            version: 0,
            owned: HashSet::new(),
            checked_at: 0,
            has_released: false,
            extended_at: 0,
            claims_awaited_since: None,
            done_sent_at: None,
            rounds: 0,
            commands: Vec::new(),
        }
    }

    /// Handles the next record of the topic.
    pub fn apply(&mut self, record: &Record, offset: Offset) {
        self.table.apply(record, offset);
        if record.writer == self.me {
            self.member = true;
            match record.body {
                Body::Ready { .. } => self.sent_at = None,
                Body::Start => (self.sent_at, self.started) = (None, true),
                Body::Done { .. } => self.done_sent_at = None,
                Body::Heartbeat | Body::Claim { .. } | Body::Extend { .. } | Body::Leave => {}
            }
        } else if self.member && record.writer.replica == self.me.replica {
            // The journal was copied, so two processes have the same id. This one takes another.
            self.me.replica = ReplicaId(self.me.replica.0 ^ self.me.process);
            self.member = false;
        }
    }

    /// Notes whether Kafka is available.
    pub fn available(&mut self, available: bool, now: Millis) {
        if !available {
            self.stage = Stage::Unavailable;
            self.close();
        } else if self.stage == Stage::Unavailable {
            if self.joined && self.others().next().is_none() {
                self.open();
            } else {
                self.begin(now);
            }
        }
    }

    /// Notes that the topic cannot be used: no replica is known, and nothing is withheld.
    pub fn uncoordinated(&mut self) {
        (self.table, self.member, self.release, self.version) = (Table::default(), false, None, 0);
        self.owned.clear();
        if !self.held.is_empty() {
            self.held.clear();
            self.commands.push(Command::Hold(HashSet::new()));
        }
        match self.stage {
            Stage::Unavailable => {}
            Stage::Live if !self.recovery_due => {}
            Stage::Live
            | Stage::Settling
            | Stage::Ready
            | Stage::Learning(_)
            | Stage::Claiming
            | Stage::Checking(..)
            | Stage::Starting(_) => self.open(),
        }
    }

    /// Announces that the replica shuts down.
    pub fn leave(&mut self) -> Vec<Command> {
        vec![Command::Write(Body::Leave)]
    }

    /// Executes what is due at `now`.
    pub fn step(&mut self, now: Millis, facts: &impl Facts) -> Vec<Command> {
        if std::mem::replace(&mut self.member, self.table.has(self.me))
            && !self.member
            && self.stage != Stage::Unavailable
        {
            // The others have removed this replica, and publish its lanes.
            self.close();
            self.begin(now);
        }
        self.begin_recovery(now);
        self.has_released = false;
        self.send_heartbeat(now);
        match self.stage {
            Stage::Unavailable => {}
            Stage::Live => self.answer(now, facts),
            Stage::Settling
            | Stage::Ready
            | Stage::Learning(_)
            | Stage::Claiming
            | Stage::Checking(..)
            | Stage::Starting(_) => self.gather(now, facts),
        }
        if self.stage != Stage::Unavailable {
            self.extend_claims(now, facts);
            self.update_holds(now, facts);
            self.report_done(now, facts);
        }
        let has_others = self.others().next().is_some();
        if has_others {
            self.last_with_others = now;
        }
        let follow = has_others || (self.following && now < self.last_with_others + FOLLOW_AFTER_LAST_OTHER);
        if std::mem::replace(&mut self.following, follow) != follow {
            self.commands.push(Command::Follow(follow));
        }
        std::mem::take(&mut self.commands)
    }

    fn send_heartbeat(&mut self, now: Millis) {
        if self.stage != Stage::Unavailable && self.heartbeat_at.is_none_or(|last| now >= last + HEARTBEAT_INTERVAL) {
            self.heartbeat_at = Some(now);
            self.write(Body::Heartbeat);
        }
    }

    pub(super) fn open(&mut self) {
        self.commands.push(if self.is_open { Command::Recover } else { Command::StartPublishing });
        (self.stage, self.joined, self.sent_at, self.has_released) = (Stage::Live, true, None, true);
        (self.is_open, self.recovery_due) = (true, false);
    }

    fn close(&mut self) {
        (self.is_open, self.recovery_due) = (false, false);
        self.commands.push(Command::StopPublishing);
    }

    pub(super) fn write(&mut self, body: Body) {
        self.commands.push(Command::Write(body));
    }

    pub(super) fn write_claim(&mut self, lanes: HashMap<LaneKey, u32>) {
        self.claims += 1;
        let parts = record::claim(self.claims, lanes);
        self.commands.extend(parts.into_iter().map(Command::Write));
    }

    pub(super) fn catch_up(&mut self) -> u64 {
        self.tickets += 1;
        self.commands.push(Command::CatchUp(self.tickets));
        self.tickets
    }

    /// Returns true if a record that is not read back yet may be written, and notes the attempt. Limits repetitions.
    pub(super) fn may_send(&mut self, now: Millis) -> bool {
        let is_allowed = self.sent_at.is_none_or(|sent| now >= sent + RESEND_INTERVAL);
        if is_allowed {
            self.sent_at = Some(now);
        }
        is_allowed
    }

    pub(super) fn others(&self) -> impl Iterator<Item = ReplicaId> {
        self.table.others(self.me.replica)
    }
}
