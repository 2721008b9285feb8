//! The broker and the producers: records arrive late or never, and reports are lost, repeated, or come from old
//! producers.

use super::payload::Payload;
use super::plan::Kind;
use super::rng::{About, RngExt};
use super::scheduler::{Scheduler, SimEvent};
use crate::event::Publication;
use crate::publishing::record_bit;
use crate::{DeliveryReport, EventHandle, FailureCode, Millis};

/// How long a producer keeps a record at most.
const TIMEOUT: Millis = 120_000;

/// One record that was handed over.
pub(super) struct Flight {
    payload: Payload,
    part: u8,
    /// The cluster that its process knew when it handed the record over.
    cluster: u32,
    pub(super) replica: usize,
    pub(super) incarnation: usize,
    handle: EventHandle,
    handed_over: Millis,
    /// True if it can still reach the broker.
    lands: bool,
    landed: bool,
    /// The report that the producer is going to give, and whether it has.
    report: Option<DeliveryReport>,
    pub(super) reported: bool,
}

impl Scheduler<'_> {
    /// Hands an event to the producer. Returns the immediate reports.
    pub(super) fn produce(
        &mut self,
        replica: usize,
        handle: EventHandle,
        payload: &Payload,
        confirmed: u8,
    ) -> Vec<(u8, DeliveryReport)> {
        let lane = payload.spec.lane;
        let event = payload.spec.event;
        let busy = self.replicas[replica].current().in_flight[lane];
        self.ensure(busy == 0, || format!("event {event} goes to the producer while another of its lane is there"));
        let there = &self.replicas[replica];
        let gone = |one: usize| there.machine.as_ref().is_none_or(|machine| !machine.has(super::payload::key(one)));
        let settled = |one: usize| self.oracle.is_complete(one) || (self.oracle.formerly[one] && gone(one));
        let missing = there
            .incarnations
            .last()
            .and_then(|incarnation| incarnation.before(event, lane).find(|one| !settled(*one)));
        let incarnation = self.replicas[replica].current();
        let (held, learned) = (incarnation.held[lane], incarnation.learned[event] && !incarnation.forgetful);
        self.ensure(missing.is_none(), || format!("event {event} goes to the producer before {missing:?}"));
        let under_way = self.plan.threads > 0;
        self.ensure(!held || under_way, || format!("event {event} is published, although another replica goes first"));
        self.ensure(!learned || under_way, || format!("event {event} is in its topic, and is published again"));
        let (mut at_once, mut sent) = (Vec::new(), 0);
        for part in 0..payload.records() {
            if payload.records() > 1 && confirmed & record_bit(part) != 0 {
                let unnoticed = self.replicas[replica].current().cluster < self.oracle.cluster;
                let there = self.oracle.has_record(event, part) || unnoticed || (under_way && self.oracle.cluster > 0);
                self.ensure(there, || format!("record {part} of event {event} is left out, and is not in its topic"));
            } else {
                sent += 1;
                at_once.extend(self.hand_over(replica, handle, *payload, part).map(|report| (part, report)));
            }
        }
        let closed = at_once.iter().filter(|(_, report)| matches!(report, DeliveryReport::NotSent(_))).count();
        if closed > 0 && closed == sent {
            self.replicas[replica].current().closed.push(handle);
        }
        at_once
    }

    fn hand_over(&mut self, replica: usize, handle: EventHandle, payload: Payload, part: u8) -> Option<DeliveryReport> {
        let (flight, now) = (self.flights.len(), self.now);
        let incarnation = self.replicas[replica].current();
        let again =
            payload.form == 0 && payload.records() > 1 && incarnation.confirmed[payload.spec.event][usize::from(part)];
        let excused = incarnation.forgetful || incarnation.operator_touched[payload.spec.event];
        self.ensure(!again || excused, || {
            format!("record {part} of event {} was confirmed, and is sent again", payload.spec.event)
        });
        let mut rng = self.plan.sim_rng.on(About::Record, [payload.spec.event as u64, flight as u64]);
        if self.plan.faulty(Kind::NoRoom, replica, now).is_some() && rng.permille(600) {
            return Some(DeliveryReport::QueueFull);
        }
        if self.plan.faulty(Kind::ClosedPartitions, 0, now).is_some() && rng.permille(700) {
            return Some(DeliveryReport::NotSent(FailureCode::PartitionUnavailable));
        }
        let refused = payload.refused(now < self.plan.calm());
        let rejected = DeliveryReport::Rejected(FailureCode::RecordTooLarge);
        if refused && rng.bool() {
            return Some(rejected);
        }
        let incarnation = self.replicas[replica].incarnation();
        self.replicas[replica].current().in_flight[payload.spec.lane] += 1;
        let mut record = Flight {
            payload,
            part,
            cluster: self.replicas[replica].current().cluster,
            replica,
            incarnation,
            handle,
            handed_over: now,
            lands: !refused,
            landed: false,
            report: None,
            reported: false,
        };
        let slow = if self.plan.faulty(Kind::SlowBroker, 0, now).is_some() { 10_000 } else { 0 };
        let arrival = now + rng.time(self.plan.latency, 1_000.max(self.plan.latency).max(slow));
        let unknown = part == 1 && self.plan.faulty(Kind::SecondRecordFails, 0, now).is_some();
        if refused || unknown {
            record.lands = false;
            record.report = Some(if refused { rejected } else { DeliveryReport::Failed(FailureCode::UnknownTopic) });
            self.at(arrival, SimEvent::Report(flight));
        } else {
            self.at(arrival, SimEvent::Land(flight));
        }
        self.flights.push(record);
        None
    }

    /// A record reaches the broker.
    pub(super) fn land(&mut self, flight: usize) {
        let (now, plan) = (self.now, self.plan);
        let Flight { payload, part, replica, handed_over, lands, landed, reported, .. } = self.flights[flight];
        if !lands {
            return;
        }
        let mut rng = plan.sim_rng.on(About::Landing, [flight as u64]);
        if let Some(outage) = plan.faulty(Kind::Outage, 0, now) {
            let again = outage.at + outage.length + rng.time(100, 2_000);
            let over = handed_over + TIMEOUT;
            if reported || again < over {
                return self.at(again, SimEvent::Land(flight));
            }
            // It may have been sent before, and be found only when the broker is back.
            if rng.bool() {
                self.at(again, SimEvent::Land(flight));
            }
            return self.will_report(flight, DeliveryReport::Failed(FailureCode::TimedOut), over);
        }
        self.note(|| format!("  event {} of r{replica} is in its topic", payload.spec.event));
        self.flights[flight].landed = true;
        if self.oracle.land(&payload, part) {
            self.spread(payload.spec.event);
        }
        if landed || reported {
            return;
        }
        let lost = plan.faulty(Kind::LostReports, 0, now).is_some() && rng.permille(700);
        let (report, at) = match (lost, rng.u8(0..3)) {
            (false, _) => (DeliveryReport::Confirmed, now + rng.time(plan.latency, 1_500)),
            (true, 0) => (DeliveryReport::Failed(FailureCode::TimedOut), now + rng.u64(0..=TIMEOUT)),
            (true, _) => (DeliveryReport::Failed(FailureCode::Other), now + rng.time(100, 5_000)),
        };
        self.will_report(flight, report, at);
        // Rarely, a record is published twice.
        if rng.permille(5) {
            self.at(now + rng.time(100, 5_000), SimEvent::Land(flight));
        }
    }

    fn will_report(&mut self, flight: usize, report: DeliveryReport, at: Millis) {
        let record = &mut self.flights[flight];
        if record.report.is_none() {
            record.report = Some(report);
            let latest = record.handed_over + TIMEOUT;
            self.at(at.min(latest), SimEvent::Report(flight));
        }
    }

    /// A producer reports on a record, once.
    pub(super) fn report(&mut self, flight: usize) {
        let now = self.now;
        let Flight { payload, part, cluster, replica, incarnation, handle, report, reported, .. } =
            self.flights[flight];
        let Some(mut report) = report.filter(|_| !reported && self.replicas[replica].is_alive(incarnation)) else {
            return;
        };
        // The producer verifies which cluster has confirmed a record.
        if report == DeliveryReport::Confirmed && cluster != self.oracle.cluster {
            report = DeliveryReport::Failed(FailureCode::ClusterReplaced);
        }
        if report == DeliveryReport::Confirmed && payload.form == 0 {
            self.replicas[replica].current().confirmed[payload.spec.event][usize::from(part)] = true;
        }
        if report == DeliveryReport::Failed(FailureCode::ClusterReplaced) {
            let incarnation = self.replicas[replica].current();
            incarnation.confirmed[payload.spec.event] = [false; 2];
            incarnation.learned[payload.spec.event] = false;
        }
        self.flights[flight].reported = true;
        self.replicas[replica].current().in_flight[payload.spec.lane] -= 1;
        self.note(|| format!("  event {} of r{replica}: {report:?}", payload.spec.event));
        if let Some(machine) = &mut self.replicas[replica].machine {
            machine.report(handle, part, report, now);
        }
        self.execute(replica);
        let mut rng = self.plan.sim_rng.on(About::Repeat, [flight as u64]);
        if rng.permille(100) {
            self.at(now + 1 + rng.time(200, 5_000), SimEvent::Repeat(flight));
        }
    }

    /// A report is repeated, and must not count for another event.
    pub(super) fn repeat(&mut self, flight: usize) {
        let (now, Flight { replica, incarnation, handle, .. }) = (self.now, &self.flights[flight]);
        let (replica, incarnation, handle) = (*replica, *incarnation, *handle);
        if !self.replicas[replica].is_alive(incarnation) {
            return;
        }
        if let Some(machine) = self.replicas[replica].machine.as_mut().filter(|machine| machine.is_gone(handle)) {
            machine.report(handle, 0, DeliveryReport::Confirmed, now);
        }
        self.execute(replica);
    }

    /// A producer is replaced: its records fail at once, and some of them are published all the same.
    pub(super) fn purge(&mut self, replica: usize) {
        let incarnation = self.replicas[replica].incarnation();
        for flight in 0..self.flights.len() {
            let Flight { replica: whose, incarnation: when, reported, .. } = self.flights[flight];
            if (whose, when) != (replica, incarnation) || reported {
                continue;
            }
            let mut rng = self.plan.sim_rng.on(About::Purge, [flight as u64]);
            self.flights[flight].lands &= rng.permille(600);
            if self.flights[flight].report.is_none() {
                self.flights[flight].report = Some(DeliveryReport::Failed(FailureCode::ProducerReplaced));
                self.at(self.now + rng.time(0, 50), SimEvent::Report(flight));
            }
        }
    }

    /// Returns true if a replica still has the event.
    pub(super) fn is_kept(&self, event: usize) -> bool {
        self.replicas.iter().any(|there| match &there.machine {
            Some(machine) => machine.has(super::payload::key(event)),
            None => there.disk.has(event),
        })
    }

    /// Another, empty cluster answers at the same address. Records in flight fail.
    pub(super) fn replace_cluster(&mut self) {
        let kept: Vec<bool> = (0..self.oracle.specs.len()).map(|event| self.is_kept(event)).collect();
        self.oracle.replace_cluster(&kept);
        for flight in 0..self.flights.len() {
            let record = &mut self.flights[flight];
            record.lands = false;
            if !record.reported {
                record.report = Some(DeliveryReport::Failed(FailureCode::ClusterReplaced));
                let mut rng = self.plan.sim_rng.on(About::Notice, [flight as u64]);
                self.at(self.now + rng.time(50, 2_000), SimEvent::Report(flight));
            }
        }
        for replica in 0..self.plan.replicas {
            let incarnation = self.replicas[replica].incarnation();
            let mut rng = self.plan.sim_rng.on(About::Notice, [replica as u64, self.now, 1]);
            self.at(self.now + rng.time(500, 3_000), SimEvent::ClusterNoticed(replica, incarnation));
        }
    }

    /// A process has ended. Records that it had sent can still be published.
    pub(super) fn lose_report(&mut self, replica: usize, incarnation: usize) {
        for flight in 0..self.flights.len() {
            let record = &mut self.flights[flight];
            if (record.replica, record.incarnation) == (replica, incarnation) && !record.landed {
                record.lands &= self.plan.sim_rng.on(About::Death, [flight as u64]).bool();
            }
        }
    }

    /// Replicas that follow the topics learn about an event.
    fn spread(&mut self, event: usize) {
        if !self.plan.following {
            return;
        }
        for replica in 0..self.plan.replicas {
            let incarnation = self.replicas[replica].incarnation();
            let mut rng = self.plan.sim_rng.on(About::Follow, [event as u64, replica as u64]);
            self.at(self.now + rng.time(50, 5_000), SimEvent::Learn(replica, incarnation, event));
        }
    }
}
