//! IDaaS under way while things break: a steady load, redeliveries by its schedule, and a ledger of every answer.
//!
//! Two kinds of callbacks come at once. Those with one event each are for entities that take turns; the *first*
//! delivery of an entity's event waits until the one before has been answered or given up, so that the order in which
//! a correct receiver took them is known to the sender. Those with many events come whether the ones before were
//! answered or not, as IDaaS sends them. Whatever is not settled comes again on its own, as IDaaS does it: after 1, 5,
//! 10, 10 and 10 seconds, under a new token; exactly those events that were not settled, or all of them where there was
//! no answer with a 200.
//!
//! Of every third callback, what the receiver says it keeps (`not_confirmed`, `undecryptable`) does *not* come again,
//! as after IDaaS has given up: only the receiver can bring that to Kafka.

mod delivery;
mod events;
pub(crate) mod ledger;
pub(crate) mod published;
pub(crate) mod verify;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use idaas_simulator::events::Event;
use idaas_simulator::sender::now_ms;
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::token;
use parking_lot::Mutex;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval_at};

use self::events::Subject;
use self::ledger::{End, EventAnswer, Ledger, LedgerSnapshot};

/// When a delivery that was not settled comes again.
const AGAIN: [u64; 5] = [1, 5, 10, 10, 10];
/// Of so many callbacks, one is left to the receiver as soon as it says that it keeps it.
const LEFT: usize = 3;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Names ids and entities, so that loads are told apart.
    pub(crate) label: String,
    /// Callbacks with one event each, per second.
    pub(crate) rate: u32,
    /// Entities that those are about.
    pub(crate) entities: u32,
    /// Events of the callback that comes each second beside them; 0 for none. They are of 20 entities of their own.
    pub(crate) bulk: u32,
    /// Bytes that make each event larger.
    pub(crate) padding: usize,
}

impl Plan {
    /// 100 callbacks per second over 50 entities, and one of 100 events each second.
    pub(crate) fn usual(label: &str) -> Self {
        Self { label: label.to_owned(), rate: 100, entities: 50, bulk: 100, padding: 60 }
    }
}

/// A running load. Dropping it ends it, without its redeliveries.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    plan: Plan,
    to: SocketAddr,
    path: String,
    tenant_keys: Mutex<Arc<TenantKeys>>,
    ledger: Ledger,
    ends: AtomicBool,
    abandoned: AtomicBool,
    next_id: AtomicU64,
}

impl Load {
    /// Begins to send.
    pub(crate) fn start(plan: Plan, to: SocketAddr, tenant_keys: Arc<TenantKeys>) -> Self {
        let path = format!("/callbacks/{}", tenant_keys.identity.application);
        let shared = Arc::new(Shared {
            plan,
            to,
            path,
            tenant_keys: Mutex::new(tenant_keys),
            ledger: Ledger::new(),
            ends: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
        });
        let sending = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(run(sending));
        });
        Self { shared, thread: Some(thread) }
    }

    /// What was sent and said so far.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Encrypts by other keys from now on, as after an administrator's change.
    pub(crate) fn encrypt_with(&self, tenant_keys: Arc<TenantKeys>) {
        *self.shared.tenant_keys.lock() = tenant_keys;
    }

    /// Waits until that many deliveries more have ended, or a minute has passed: then nothing moves any more, which is
    /// for the verifier to say.
    pub(crate) fn go_on_for(&self, contacts: usize) {
        let (wanted, give_up) = (self.ledger().contacts() + contacts, Instant::now() + Duration::from_secs(60));
        while self.ledger().contacts() < wanted && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `name` was said, or that long. See [`Ledger::count`].
    pub(crate) fn until_said(&self, name: &str, at_most: Duration) -> bool {
        let give_up = Instant::now() + at_most;
        while Instant::now() < give_up {
            if self.ledger().count(name) > 0 {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Sends nothing new, waits until each event is settled or has come as often as it does, and returns the ledger.
    pub(crate) fn finish(mut self) -> Arc<LedgerSnapshot> {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("the sender ends");
        Arc::new(self.shared.ledger.take())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.abandoned.store(true, Ordering::Relaxed);
    }
}

async fn run(shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let (rate, entities) = (shared.plan.rate, shared.plan.entities);
    let period = Duration::from_secs(1) * entities / rate;
    for entity in 0..entities {
        tasks.spawn(one_by_one(Arc::clone(&shared), entity, period, period * entity / entities));
    }
    if shared.plan.bulk > 0 {
        tasks.spawn(bulk(Arc::clone(&shared)));
    }
    while !tasks.is_empty() {
        tokio::select! {
            Some(done) = tasks.join_next() => done.expect("no task panics"),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        if shared.abandoned.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Sends an entity's events, each after the answer to the one before; what was missed meanwhile is made up for.
async fn one_by_one(shared: Arc<Shared>, entity: u32, period: Duration, offset: Duration) {
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, period);
    let name = format!("user_{}_{entity}", shared.plan.label);
    let mut again = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        if shared.ends.load(Ordering::Relaxed) {
            break;
        }
        let callback = shared.write([(Subject::User, name.clone(), number)]);
        let open = shared.contact(&callback, callback.all()).await;
        again.spawn(come_again(Arc::clone(&shared), callback, open));
        while again.try_join_next().is_some() {}
    }
    again.join_all().await;
}

/// Sends callbacks of many events, each at its time. The events of an entity are not neighbours in it.
async fn bulk(shared: Arc<Shared>) {
    const ENTITIES: u64 = 20;
    let mut ticks = interval_at(tokio::time::Instant::now(), Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sending = JoinSet::new();
    let mut next = 0;
    loop {
        ticks.tick().await;
        if shared.ends.load(Ordering::Relaxed) {
            break;
        }
        let of = |index: u64| {
            let (entity, label) = (index % ENTITIES, &shared.plan.label);
            let (subject, kind) = if entity % 2 == 0 { (Subject::User, "user") } else { (Subject::Unit, "ou") };
            (subject, format!("{kind}_{label}_bulk_{entity}"), index / ENTITIES)
        };
        let callback = shared.write((next..next + u64::from(shared.plan.bulk)).map(of));
        next += u64::from(shared.plan.bulk);
        let shared = Arc::clone(&shared);
        sending.spawn(async move {
            let open = shared.contact(&callback, callback.all()).await;
            come_again(shared, callback, open).await;
        });
        while sending.try_join_next().is_some() {}
    }
    sending.join_all().await;
}

/// Sends what is open by the schedule, until nothing is, or it is given up.
async fn come_again(shared: Arc<Shared>, callback: Callback, mut open: Vec<usize>) {
    for seconds in AGAIN {
        if open.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        open = shared.contact(&callback, open).await;
    }
}

/// The events of a callback, with their positions in the ledger.
struct Callback {
    first: usize,
    /// What is kept does not come again.
    left: bool,
    events: Vec<Event>,
}

impl Callback {
    fn all(&self) -> Vec<usize> {
        (self.first..self.first + self.events.len()).collect()
    }
}

impl Shared {
    fn write(&self, events: impl IntoIterator<Item = (Subject, String, u64)>) -> Callback {
        let now = now_ms();
        let written: Vec<_> = events
            .into_iter()
            .map(|(subject, entity, number)| {
                let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                let id = format!("evnt_{}_{id}", self.plan.label);
                let event = events::event(subject, &entity, &id, number, self.plan.padding, now);
                (event, (entity, number, id))
            })
            .collect();
        let (events, entries): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        let (number, first) = self.ledger.enter(entries);
        Callback { first, left: number % LEFT == 0, events }
    }

    /// Delivers these events of a callback, and returns those that are to come again.
    async fn contact(&self, callback: &Callback, open: Vec<usize>) -> Vec<usize> {
        let events: Vec<_> = open.iter().map(|index| callback.events[index - callback.first].clone()).collect();
        let ids: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
        let tenant_keys = Arc::clone(&self.tenant_keys.lock());
        // On another thread: hundreds of callbacks can come again at once, and while some are encrypted, the requests
        // that have begun must continue.
        let body = spawn_blocking(move || token::body(&tenant_keys, &events, now_ms() / 1000));
        let body = body.await.expect("no panic").expect("a signature");
        let began = self.ledger.elapsed();
        let end = delivery::deliver(self.to, &self.path, &body, &ids).await;
        let unsettled = match &end {
            End::Answered(said) => {
                let comes_again = |said: &EventAnswer| match said {
                    EventAnswer::Success | EventAnswer::Skipped | EventAnswer::Failed(_) => false,
                    EventAnswer::NotConfirmed => !callback.left,
                    EventAnswer::Overloaded | EventAnswer::Retried(_) | EventAnswer::Nonsense => true,
                };
                open.iter().zip(said).filter(|(_, said)| comes_again(said)).map(|(index, _)| *index).collect()
            }
            End::Refused(422, _) if callback.left => Vec::new(),
            End::Refused(..) | End::Cut(_) | End::TooLate => open.clone(),
        };
        self.ledger.close(open, began, end);
        unsettled
    }
}
