//! The exchange of claims before a replica publishes, after a start and after an outage.
//!
//! After the recovery of partitions it publishes all other lanes meanwhile, and claims those that waited for them.

use std::collections::HashSet;

use super::coordinator::{Coordinator, Facts, Stage};
use super::record::Body;
use crate::Millis;

/// How long to wait for the producer's last reports and for the topic.
const MAX_SETTLING: Millis = 3000;

/// How long to wait for the others to take part, and to claim.
const MAX_WAIT_FOR_OTHERS: Millis = 4000;

/// How long reading the event topics may take.
const MAX_TOPIC_READ: Millis = 4000;

/// How long a publishing replica waits for the claims of those that do not publish yet.
const MAX_WAIT_FOR_CLAIMS: Millis = 3000;

/// How long it waits in total for records of withheld lanes that are with its producer.
const MAX_WAIT_FOR_REPORTS: Millis = 5000;

/// How long the whole exchange may take.
pub(super) const MAX_EXCHANGE: Millis = 12_000;

impl Coordinator {
    /// Starts the exchange.
    pub(super) fn begin(&mut self, now: Millis) {
        self.exchange_began = now;
        self.enter(Stage::Settling, now);
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Millis) {
        (self.stage, self.stage_since, self.sent_at) = (stage, now, None);
    }

    /// Advances the exchange as far as possible at `now`.
    pub(super) fn gather(&mut self, now: Millis, facts: &impl Facts) {
        if now >= self.exchange_began + MAX_EXCHANGE {
            return self.open();
        }
        let me = self.me.replica;
        let takes_part = |stage| matches!(stage, Stage::Learning(_) | Stage::Claiming | Stage::Checking(..));
        if takes_part(self.stage) && self.table.round().is_none_or(|round| !round.ready.contains(&me)) {
            // Another replica has opened a new round.
            self.enter(Stage::Ready, now);
        }
        match self.stage {
            Stage::Settling => self.settle(now, facts),
            Stage::Ready => self.wait_until_ready(now),
            Stage::Learning(ticket) => {
                if facts.caught_up() >= ticket || now >= self.stage_since + MAX_TOPIC_READ {
                    self.enter(Stage::Claiming, now);
                    self.wait_for_claims(now, facts);
                }
            }
            Stage::Claiming => self.wait_for_claims(now, facts),
            Stage::Checking(ticket, releases) => {
                if facts.caught_up() >= ticket || now >= self.stage_since + MAX_TOPIC_READ {
                    self.started = false;
                    self.enter(Stage::Starting(releases), now);
                    self.wait_for_start(releases, now, facts);
                }
            }
            Stage::Starting(releases) => self.wait_for_start(releases, now, facts),
            Stage::Unavailable | Stage::Live => {}
        }
    }

    fn settle(&mut self, now: Millis, facts: &impl Facts) {
        let is_timed_out = now >= self.stage_since + MAX_SETTLING;
        if !is_timed_out && !facts.log_is_current() {
            return;
        }
        if self.others().next().is_none() {
            return self.open();
        }
        let in_flight = if self.is_open { facts.recovering_in_flight() } else { facts.in_flight() };
        if !is_timed_out && in_flight {
            return;
        }
        self.rounds += 1;
        self.enter(Stage::Ready, now);
        self.wait_until_ready(now);
    }

    fn wait_until_ready(&mut self, now: Millis) {
        let round = self.table.round().filter(|round| round.ready.contains(&self.me.replica));
        let Some(round) = round.filter(|_| self.sent_at.is_none() && now > self.stage_since) else {
            if self.may_send(now) {
                self.write(Body::Ready { live: self.is_open, recovering: self.is_open });
            }
            return;
        };
        let all = self.others().all(|other| round.ready.contains(&other));
        if all || now >= self.stage_since + MAX_WAIT_FOR_OTHERS {
            let ticket = self.catch_up();
            self.enter(Stage::Learning(ticket), now);
        }
    }

    fn wait_for_claims(&mut self, now: Millis, facts: &impl Facts) {
        let round = self.table.round().filter(|round| round.claimed.contains(&self.me.replica));
        let Some(round) = round else {
            if self.may_send(now) {
                self.write_claim(self.waiting(facts));
            }
            return;
        };
        let all = self.others().all(|other| round.claimed.contains(&other));
        if all || now >= self.stage_since + MAX_WAIT_FOR_OTHERS {
            let releases = self.table.releases();
            let ticket = self.catch_up();
            self.enter(Stage::Checking(ticket, releases), now);
        }
    }

    fn wait_for_start(&mut self, releases: u64, now: Millis, facts: &impl Facts) {
        if !self.started {
            if self.may_send(now) {
                self.claim_new_lanes(facts);
                self.write(Body::Start);
            }
            return;
        }
        if self.table.releases() == releases {
            // This replica knows all published events of its lanes.
            (self.held, self.release) = (HashSet::new(), None);
        }
        self.hold_all();
        self.open();
    }

    /// Also claims the lanes that were empty at the claim and have received events since. The numbers of the other
    /// lanes stay: they show which replica has most of the events that the outage left.
    fn claim_new_lanes(&mut self, facts: &impl Facts) {
        let claimed = self.table.claimed(self.me.replica);
        let mut lanes = self.waiting(facts);
        if lanes.keys().any(|lane| !claimed.is_some_and(|claimed| claimed.contains_key(lane))) {
            lanes.extend(claimed.into_iter().flatten().map(|(lane, events)| (*lane, *events)));
            self.write_claim(lanes);
        }
    }

    /// Takes part in a round that another replica has opened, while it continues to publish.
    pub(super) fn answer(&mut self, now: Millis, facts: &impl Facts) {
        let me = self.me.replica;
        if self.table.is_unstarted(me) && self.may_send(now) {
            return self.write(Body::Start);
        }
        let Some(round) = self.table.round() else { return };
        let (is_ready, has_claimed) = (round.ready.contains(&me), round.claimed.contains(&me));
        if has_claimed || (!is_ready && round.closed) {
            return;
        }
        let (id, all) = (round.id, round.gathering.is_subset(&round.claimed));
        let since = match self.answering {
            Some((answered, since)) if answered == id => since,
            Some(_) | None => {
                (self.answering, self.sent_at) = (Some((id, now)), None);
                self.rounds += 1;
                now
            }
        };
        if !is_ready {
            // If partitions have recovered, this producer is about to report their records. The others have to learn
            // them before they claim, and this replica takes part as one that recovers.
            let is_settled = now >= since + MAX_SETTLING || !facts.recovering_in_flight();
            if is_settled && self.may_send(now) {
                self.write(Body::Ready { live: true, recovering: false });
            }
            return;
        }
        let claimed = all || now >= since + MAX_WAIT_FOR_CLAIMS;
        // Lanes that others claim are withheld by now.
        if claimed && (now >= since + MAX_WAIT_FOR_REPORTS || !facts.in_flight_in(&self.held)) && self.may_send(now) {
            self.write_claim(facts.waiting());
            self.write(Body::Start);
        }
    }
}
