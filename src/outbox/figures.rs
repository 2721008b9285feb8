//! What can be seen of the machine from outside: counts, for metrics, for the end of the process, and for whoever checks.

use super::event::{Disk, Parcel};
use super::machine::Outbox;

impl<P: Parcel, W> Outbox<P, W> {
    /// How many events have their parcels in memory.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// How many events are neither confirmed nor given back.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.events.len()
    }

    /// How many events are in memory or with the producer. Looks at every event.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.events.iter().filter(|(_, event)| event.in_flight() || event.parcel.is_some()).count()
    }

    /// How many events the end of the process would take along: those that the journal has not, and how many of them are
    /// being written.
    #[must_use]
    pub fn exposed(&self) -> (usize, usize) {
        let exposed = self.events.iter().filter(|(_, event)| event.disk != Disk::Durable).count();
        (exposed, self.writing.len())
    }

    /// Whether the broker is there, as far as is known.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// How many deliveries wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.deliveries.len()
    }
}
