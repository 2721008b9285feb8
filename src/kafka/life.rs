//! The producer's life: there always is one that works, and what the one before it had taken gets its report.
//!
//! librdkafka gives a producer up after what it calls a fatal error, and its epoch comes to an end. Either way a new one
//! is made, warmed up and put in its place, on a thread of its own; the old one is waited for and ended on another, so that
//! neither the service nor librdkafka's threads wait. A record is never moved from one to the other: only whoever handed it
//! over may decide, when its report has come, that it is sent again.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::health::{Health, LAST_EPOCH, Why, Word};
use super::producer::{Line, Position, ProducerFault, Reports, Ticket};
use super::settings::Cluster;
use super::statistics::ProducerState;
use crate::outbox::Report;
use crate::prepare::record::Record;

/// How long a producer is in use at least, so that a cluster that refuses all of them is not flooded with new ones.
const LEAST_LIFE: Duration = Duration::from_secs(5);
/// How long a new producer may take to connect. One that takes the place of a dead one need not wait for that: what it
/// is given waits inside of it.
const WARM_UP: Duration = Duration::from_secs(5);
const SHORT_WARM_UP: Duration = Duration::from_secs(1);
/// How long an old producer may take. After a fatal error, what is already with the broker is still answered, and
/// nothing else can come; a worn out one goes on for as long as a record may take.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
const LAST_RECORDS: Duration = Duration::from_secs(150);
/// How often is looked whether an old producer can go.
const GLANCE: Duration = Duration::from_millis(50);

/// The producer. Cheap to share; the last owner's drop ends it, which blocks.
pub struct Producer {
    life: Arc<Life>,
    words: Sender<Word>,
}

struct Life {
    cluster: Cluster,
    line: ArcSwap<Line>,
    /// The number of the line in use.
    current: Arc<AtomicU64>,
    tally: Arc<Tally>,
    ended: Arc<AtomicBool>,
    last_epoch: i64,
    least_life: Duration,
}

/// Passes reports on, and counts how many are still to come: over all producers, the old ones as well.
struct Tally {
    reports: Arc<dyn Reports>,
    open: AtomicUsize,
}

impl Reports for Tally {
    fn report(&self, ticket: Ticket, topic: &str, report: Report, position: Option<Position>) {
        self.reports.report(ticket, topic, report, position);
        self.open.fetch_sub(1, Ordering::Release);
    }

    fn state(&self, state: ProducerState) {
        self.reports.state(state);
    }

    fn recreated(&self) {
        self.reports.recreated();
    }

    fn partitions_recovered(&self) {
        self.reports.partitions_recovered();
    }
}

impl Producer {
    /// Starts a producer and its threads. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] where librdkafka refuses a property.
    pub fn start(cluster: &Cluster, reports: Arc<dyn Reports>) -> Result<Self, ProducerFault> {
        Self::start_with(cluster, reports, LAST_EPOCH, LEAST_LIFE)
    }

    fn start_with(
        cluster: &Cluster,
        reports: Arc<dyn Reports>,
        last_epoch: i64,
        least_life: Duration,
    ) -> Result<Self, ProducerFault> {
        let (words, told) = channel();
        let tally = Arc::new(Tally { reports, open: AtomicUsize::new(0) });
        let current = Arc::new(AtomicU64::new(0));
        let health = Arc::new(Health::new(0, Arc::clone(&current), words.clone(), last_epoch));
        let line = Line::start(cluster, Arc::clone(&tally) as Arc<dyn Reports>, health)?;
        let life = Arc::new(Life {
            cluster: cluster.clone(),
            line: ArcSwap::from_pointee(line),
            current,
            tally,
            ended: Arc::default(),
            last_epoch,
            least_life,
        });
        let keeper = Keeper { life: Arc::downgrade(&life), words: words.clone(), told };
        std::thread::Builder::new()
            .name("producer keeper".to_owned())
            .spawn(move || keeper.keep())
            .map_err(|error| ProducerFault::thread(&error))?;
        Ok(Self { life, words })
    }

    /// Hands a record over. Its report comes by [`Reports::report`], on another thread, unless the hand-over itself
    /// fails. Whatever becomes of the producer meanwhile, there is one report for each record.
    ///
    /// # Errors
    /// [`Report::NoRoom`] where the queue is full, [`Report::Refused`] where the record is larger than the producer
    /// takes, [`Report::Failed`] for everything else.
    pub fn send(&self, record: &Record, ticket: Ticket) -> Result<(), Report> {
        self.life.tally.open.fetch_add(1, Ordering::Relaxed);
        let line = self.life.line.load();
        line.send(record, ticket).inspect_err(|_| {
            self.life.tally.open.fetch_sub(1, Ordering::Release);
            line.health().suspect();
        })
    }

    /// Waits until everything that was handed over has its report, or the time is over. Says how many are left: in
    /// this producer, in the one for records that travel alone, and in those that were replaced.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        let rest = || end.saturating_duration_since(Instant::now());
        // Only to send what still gathers: what counts is the tally.
        let _ = self.life.line.load_full().flush(limit);
        while self.open() > 0 && !rest().is_zero() {
            std::thread::sleep(rest().min(Duration::from_millis(5)));
        }
        self.open()
    }

    fn open(&self) -> usize {
        self.life.tally.open.load(Ordering::Acquire)
    }

    /// Asks the cluster for its topics, which also opens the connections: a cold producer's first record waits half a
    /// second for them. `None` where the cluster does not answer in time.
    #[must_use]
    pub fn warm_up(&self, limit: Duration) -> Option<Vec<String>> {
        self.life.line.load_full().warm_up(limit)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.life.ended.store(true, Ordering::Relaxed);
        // The keeper may have ended.
        let _ = self.words.send(Word::End);
    }
}

/// Replaces producers, on a thread of its own.
struct Keeper {
    /// Held only while there is something to do: else the end would come on this thread, and nobody would wait for it.
    life: Weak<Life>,
    words: Sender<Word>,
    told: Receiver<Word>,
}

impl Keeper {
    fn keep(self) {
        let mut made: Option<Instant> = None;
        while let Ok(word) = self.told.recv() {
            let Some(life) = self.life.upgrade() else { return };
            let why = match word {
                Word::End => return,
                Word::Worn(number) => life.is_current(number).then_some(Why::Epoch),
                Word::Look(number) => life.is_fatal(number).then_some(Why::Fatal),
            };
            let Some(why) = why else { continue };
            let rest = made.map_or(Duration::ZERO, |made| life.least_life.saturating_sub(made.elapsed()));
            let Some(why) = self.pause(&life, rest, why) else { return };
            if !self.replace(&life, why) {
                return;
            }
            made = Some(Instant::now());
        }
    }

    /// Waits that long. `None` where the end came meanwhile; else why the producer has to go, which can have become
    /// more urgent.
    fn pause(&self, life: &Life, limit: Duration, mut why: Why) -> Option<Why> {
        let end = Instant::now() + limit;
        loop {
            match self.told.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => return Some(why),
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => return None,
                Ok(Word::Look(number)) if life.is_fatal(number) => why = Why::Fatal,
                Ok(Word::Look(_) | Word::Worn(_)) => {}
            }
        }
    }

    /// Puts a new producer in the place of the one in use; tries until it works. Says whether it did before the end.
    fn replace(&self, life: &Life, mut why: Why) -> bool {
        loop {
            match self.fresh(life, why) {
                Ok(Some(line)) => {
                    let number = line.health().number();
                    life.put(line, why);
                    // What it suspected of itself before it was in use has been passed over.
                    return self.words.send(Word::Look(number)).is_ok();
                }
                Ok(None) => tracing::warn!(code = "producer_not_replaced", "Kafka does not answer; trying again"),
                Err(fault) => tracing::error!(code = "producer_not_replaced", %fault, "trying again"),
            }
            match self.pause(life, life.least_life, why) {
                Some(now) => why = now,
                None => return false,
            }
        }
    }

    /// A new producer. `None` where it cannot be warmed up, and the old one still works.
    fn fresh(&self, life: &Life, why: Why) -> Result<Option<Line>, ProducerFault> {
        let number = life.current.load(Ordering::Relaxed) + 1;
        let health = Health::new(number, Arc::clone(&life.current), self.words.clone(), life.last_epoch);
        let line = Line::start(&life.cluster, Arc::clone(&life.tally) as Arc<dyn Reports>, Arc::new(health))?;
        let (limit, needed) = match why {
            Why::Fatal => (SHORT_WARM_UP, false),
            Why::Epoch => (WARM_UP, true),
        };
        let warm = line.warm_up(limit).is_some();
        Ok((warm || !needed).then_some(line))
    }
}

impl Life {
    fn is_current(&self, number: u64) -> bool {
        self.current.load(Ordering::Relaxed) == number
    }

    fn is_fatal(&self, number: u64) -> bool {
        self.is_current(number) && self.line.load().is_fatal()
    }

    fn put(&self, line: Line, why: Why) {
        self.current.store(line.health().number(), Ordering::Relaxed);
        let old = self.line.swap(Arc::new(line));
        self.tally.recreated();
        tracing::warn!(code = "producer_recreated", reason = why.code(), "a new producer has taken over");
        let ended = Arc::clone(&self.ended);
        let retire = move || retire(old, why, &ended);
        if std::thread::Builder::new().name("producer retiring".to_owned()).spawn(retire).is_err() {
            // With the closure its last owner is gone, and it has ended: on this thread.
            tracing::warn!(code = "producer_ended_early", "no thread could be had to wait for the old producer");
        }
    }
}

/// Waits until an old producer has given all of its reports, then ends it.
fn retire(mut shared: Arc<Line>, why: Why, ended: &AtomicBool) {
    // Whoever took hold of it before it was replaced may be handing a record over this instant.
    let line = loop {
        match Arc::try_unwrap(shared) {
            Ok(line) => break line,
            Err(held) => shared = held,
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let began = Instant::now();
    let limit = match why {
        Why::Fatal => LAST_ANSWERS,
        Why::Epoch => LAST_RECORDS,
    };
    while line.flush(GLANCE) > 0 {
        // Also more than once: what was refused in between travels alone now.
        if began.elapsed() >= limit || ended.load(Ordering::Relaxed) {
            line.purge();
        }
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
