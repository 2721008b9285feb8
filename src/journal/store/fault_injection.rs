//! For tests: a disk that fails on request.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// Which operations of the disk fail. A store has the faults of the thread that opened it.
#[derive(Debug, Clone, Default)]
pub(in crate::journal) struct FaultInjection(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    reserve_fails: AtomicBool,
    write_full: AtomicBool,
    sync_fails: AtomicBool,
    /// A sync waits until this lock is free.
    sync_gate: Mutex<()>,
}

thread_local! {
    static CURRENT: RefCell<FaultInjection> = RefCell::default();
}

impl FaultInjection {
    pub(in crate::journal) fn of_this_thread() -> Self {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(in crate::journal) fn on_this_thread(&self) {
        CURRENT.with(|current| *current.borrow_mut() = self.clone());
    }

    /// Sets whether reserving disk space fails.
    pub(in crate::journal) fn set_reserve_fails(&self, on: bool) {
        self.0.reserve_fails.store(on, Ordering::SeqCst);
    }

    /// Sets whether a write fails because the disk is full.
    pub(in crate::journal) fn set_write_full(&self, on: bool) {
        self.0.write_full.store(on, Ordering::SeqCst);
    }

    /// Sets whether a sync fails.
    pub(in crate::journal) fn set_sync_fails(&self, on: bool) {
        self.0.sync_fails.store(on, Ordering::SeqCst);
    }

    pub(super) fn reserve(&self) -> io::Result<()> {
        fails(&self.0.reserve_fails, io::ErrorKind::StorageFull)
    }

    pub(super) fn write(&self) -> io::Result<()> {
        fails(&self.0.write_full, io::ErrorKind::StorageFull)
    }

    /// Blocks every sync until the guard is dropped.
    pub(in crate::journal) fn hold_sync(&self) -> MutexGuard<'_, ()> {
        self.0.sync_gate.lock()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        drop(self.0.sync_gate.lock());
        fails(&self.0.sync_fails, io::ErrorKind::Other)
    }
}

fn fails(switch: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
    if switch.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
}
