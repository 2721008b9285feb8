//! The journal's file under the store: makes sure that the disk has room before anything is written.
//!
//! A disk that is found full in the middle of a commit leaves a file that has to be repaired, on a full disk. So room is
//! taken from the file system first, in steps, and a commit that would not fit is refused while the file is still whole.
//! What has been taken stays taken, so that removing entries works on a full disk as well.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Room that is kept for removals, in bytes.
const HEADROOM: u64 = 4 << 20;

/// The step in which room is taken, in bytes.
const STEP: u64 = 1 << 20;

/// The file as the store's library sees it.
#[derive(Debug)]
pub(super) struct Backend {
    inner: FileBackend,
    room: Arc<DiskSpace>,
}

/// What is known of the file's room on the disk.
#[derive(Debug)]
pub(super) struct DiskSpace {
    file: File,
    /// The end of what was ever written; what lies behind is room that was announced and not used.
    top: AtomicU64,
    /// Up to here the disk's room is taken.
    allocated: AtomicU64,
    /// Whether the file system takes no room in advance.
    unsupported: AtomicBool,
    #[cfg(test)]
    pub(super) faults: super::fault_injection::FaultInjection,
}

impl Backend {
    /// Starts with a file.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // Blocks, because the file is announced to be up to twice as long as what is in it.
        let top = metadata.len().min(metadata.blocks() * 512);
        let room = DiskSpace {
            file: file.try_clone()?,
            top: AtomicU64::new(top),
            allocated: AtomicU64::new(0),
            unsupported: AtomicBool::new(false),
            #[cfg(test)]
            faults: super::fault_injection::FaultInjection::of_this_thread(),
        };
        let inner = FileBackend::new(file).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
        Ok(Self { inner, room: Arc::new(room) })
    }

    pub(super) fn disk_space(&self) -> Arc<DiskSpace> {
        Arc::clone(&self.room)
    }
}

impl DiskSpace {
    /// What the file takes on the disk, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// The end of what was ever written, in bytes: as much was needed at once.
    pub(super) fn top(&self) -> u64 {
        self.top.load(Ordering::Relaxed)
    }

    /// Reserves space on the disk for `bytes` more.
    pub(super) fn take(&self, bytes: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.room()?;
        let allocated = self.allocated.load(Ordering::Relaxed);
        let wanted = self.top() + bytes + HEADROOM;
        if wanted <= allocated || self.unsupported.load(Ordering::Relaxed) {
            return Ok(());
        }
        let wanted = wanted.next_multiple_of(STEP);
        match allocate(&self.file, allocated, wanted - allocated) {
            Ok(()) => self.allocated.store(wanted, Ordering::Relaxed),
            Err(error) if full(&error) => return Err(error),
            // A file system that cannot says so here; then a full disk is found while writing.
            Err(_) => self.unsupported.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Makes the next reads use the disk itself: after a failed sync the system's memory can hold what the disk
    /// does not.
    pub(super) fn drop_page_cache(file: &File) {
        #[cfg(target_os = "linux")]
        // An advice; where it is not taken, reads see what the system holds.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        #[cfg(not(target_os = "linux"))]
        let _ = file;
    }
}

/// Whether an error says that there is no room.
pub(super) fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, from: u64, length: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, from, length))?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &File, _from: u64, _length: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.inner.len()?;
        self.inner.set_len(len)?;
        if len < before {
            // What was taken behind the new end is given back by the system.
            self.room.top.fetch_min(len, Ordering::Relaxed);
            self.room.allocated.fetch_min(len, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.room.faults.sync()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.room.faults.write()?;
        self.inner.write(offset, data)?;
        self.room.top.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
