//! The requests that wait for verdicts, each with its deadlines.

use std::collections::{BTreeSet, HashMap};

use super::event::EventHandle;
use super::verdict::Verdict;
use super::{CompletedRequest, Millis};

/// Identifies a request whose events are in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// The state of one event of a request.
#[derive(Clone, Copy)]
pub(super) enum Resolution {
    /// The verdict is known.
    Resolved(Verdict),
    /// The event is in progress.
    Open(EventHandle),
}

struct PendingRequest<W> {
    waiter: W,
    resolutions: Vec<Resolution>,
    open: usize,
    /// When events of the request that are not durable yet are written.
    write_at: Millis,
    deadline: Millis,
    written: bool,
}

/// All waiting requests.
pub(super) struct PendingRequests<W> {
    waiting: HashMap<RequestId, PendingRequest<W>>,
    /// The next due time of each request.
    due_times: BTreeSet<(Millis, RequestId)>,
    next: u64,
}

/// An action that is due.
pub(super) enum DueAction {
    /// Write these events to the journal.
    Write(Vec<EventHandle>),
    /// Answer the request now. These of its events, by position, have no verdict yet.
    Answer(RequestId, Vec<(u32, EventHandle)>),
}

impl<W> PendingRequests<W> {
    pub(super) fn new() -> Self {
        Self { waiting: HashMap::new(), due_times: BTreeSet::new(), next: 0 }
    }

    /// Returns the id of the next request.
    pub(super) const fn next_id(&self) -> RequestId {
        RequestId(self.next)
    }

    /// Adds a request. Returns it at once if all of its verdicts are known.
    pub(super) fn insert(
        &mut self,
        waiter: W,
        resolutions: Vec<Resolution>,
        (write_at, deadline): (Millis, Millis),
    ) -> Option<CompletedRequest<W>> {
        let id = self.next_id();
        self.next += 1;
        let open = resolutions.iter().filter(|resolution| matches!(resolution, Resolution::Open(_))).count();
        let request = PendingRequest { waiter, resolutions, open, write_at, deadline, written: false };
        if open == 0 {
            return Some(request.finish());
        }
        self.due_times.insert((write_at, id));
        self.waiting.insert(id, request);
        None
    }

    pub(super) fn contains(&self, id: RequestId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Returns the events of a request that have no verdict yet, each with its position.
    pub(super) fn open(&self, id: RequestId) -> Vec<(u32, EventHandle)> {
        self.waiting.get(&id).map(PendingRequest::open).unwrap_or_default()
    }

    /// Sets the verdict on the event at `position` of a request. Returns the request if that completes it.
    pub(super) fn resolve(&mut self, id: RequestId, position: u32, verdict: Verdict) -> Option<CompletedRequest<W>> {
        let request = self.waiting.get_mut(&id)?;
        let resolution = request.resolutions.get_mut(position as usize)?;
        if matches!(resolution, Resolution::Resolved(_)) {
            return None;
        }
        *resolution = Resolution::Resolved(verdict);
        request.open -= 1;
        if request.open == 0 { self.remove(id) } else { None }
    }

    /// Removes a request. Returns it with the verdicts that are known.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<CompletedRequest<W>> {
        let request = self.waiting.remove(&id)?;
        self.due_times.remove(&(request.next_due(), id));
        Some(request.finish())
    }

    /// Returns the next action that is due at `now`, if any.
    pub(super) fn due(&mut self, now: Millis) -> Option<DueAction> {
        let (at, id) = *self.due_times.first().filter(|(at, _)| *at <= now)?;
        self.due_times.remove(&(at, id));
        let request = self.waiting.get_mut(&id)?;
        if request.written {
            return Some(DueAction::Answer(id, request.open()));
        }
        request.written = true;
        self.due_times.insert((request.deadline, id));
        Some(DueAction::Write(request.open().into_iter().map(|(_, handle)| handle).collect()))
    }

    /// Brings all deadlines forward: writes are due now, answers at `deadline` at the latest.
    pub(super) fn expire_deadlines(&mut self, deadline: Millis) {
        self.due_times.clear();
        for (id, request) in &mut self.waiting {
            request.deadline = request.deadline.min(deadline);
            request.write_at = 0;
            self.due_times.insert((request.next_due(), *id));
        }
    }
}

#[cfg(test)]
impl<W> PendingRequests<W> {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns when the next action is due.
    pub(super) fn next_due(&self) -> Option<Millis> {
        self.due_times.first().map(|(at, _)| *at)
    }

    /// Returns the event at `position` of a request while it has no verdict. `None` if the request has ended.
    pub(super) fn event_at(&self, id: RequestId, position: u32) -> Option<Option<EventHandle>> {
        let request = self.waiting.get(&id)?;
        Some(match request.resolutions.get(position as usize) {
            Some(Resolution::Open(handle)) => Some(*handle),
            Some(Resolution::Resolved(_)) | None => None,
        })
    }

    /// Checks that each request is due at some time and waits for something. Returns the events without a verdict, each
    /// with its request and its position there.
    ///
    /// # Errors
    /// What is inconsistent.
    pub(super) fn audit(&self) -> Result<Vec<(RequestId, u32, EventHandle)>, String> {
        if self.due_times.len() != self.waiting.len() {
            return Err("due times are missing".to_owned());
        }
        let mut all = Vec::new();
        for (id, request) in &self.waiting {
            let open = request.open();
            if !self.due_times.contains(&(request.next_due(), *id)) {
                return Err(format!("{id:?} has no due time"));
            }
            if open.len() != request.open || open.is_empty() {
                return Err(format!("{id:?} waits for nothing"));
            }
            all.extend(open.into_iter().map(|(position, handle)| (*id, position, handle)));
        }
        Ok(all)
    }
}

impl<W> PendingRequest<W> {
    const fn next_due(&self) -> Millis {
        if self.written { self.deadline } else { self.write_at }
    }

    fn open(&self) -> Vec<(u32, EventHandle)> {
        let open = (0..).zip(&self.resolutions).filter_map(|(position, resolution)| match resolution {
            Resolution::Open(handle) => Some((position, *handle)),
            Resolution::Resolved(_) => None,
        });
        open.collect()
    }

    fn finish(self) -> CompletedRequest<W> {
        let verdict = |resolution| match resolution {
            Resolution::Resolved(verdict) => verdict,
            // The event is not known to be durable, so nothing is promised.
            Resolution::Open(_) => Verdict::Overloaded,
        };
        CompletedRequest { waiter: self.waiter, verdicts: self.resolutions.into_iter().map(verdict).collect() }
    }
}
