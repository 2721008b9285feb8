//! The storage backend of the journal's file: reserves disk space before data is written.
//!
//! If the disk becomes full in the middle of a commit, the file has to be repaired on a full disk. Space is therefore
//! reserved first, in steps, and a commit that would not fit is rejected while the file is intact. Reserved space is
//! kept, so that deletions also work on a full disk.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Space reserved for deletions, in bytes.
const HEADROOM: u64 = 4 << 20;

/// Space is reserved in multiples of this size, in bytes.
const STEP: u64 = 1 << 20;

/// The file as a storage backend of redb.
#[derive(Debug)]
pub(super) struct Backend {
    inner: FileBackend,
    disk_space: Arc<DiskSpace>,
}

/// The file's space on the disk.
#[derive(Debug)]
pub(super) struct DiskSpace {
    file: File,
    /// Offset of the end of the written data. The file can be longer, but there is no data behind it.
    written_end: AtomicU64,
    /// Offset up to which disk space is reserved.
    allocated: AtomicU64,
    /// True if the file system cannot reserve space.
    unsupported: AtomicBool,
    #[cfg(test)]
    pub(super) faults: super::fault_injection::FaultInjection,
}

impl Backend {
    /// Starts with a file.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // Considers the blocks too, because redb makes the file up to twice as long as its contents.
        let written_end = metadata.len().min(metadata.blocks() * 512);
        let disk_space = DiskSpace {
            file: file.try_clone()?,
            written_end: AtomicU64::new(written_end),
            allocated: AtomicU64::new(0),
            unsupported: AtomicBool::new(false),
            #[cfg(test)]
            faults: super::fault_injection::FaultInjection::of_this_thread(),
        };
        let inner = FileBackend::new(file).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
        Ok(Self { inner, disk_space: Arc::new(disk_space) })
    }

    pub(super) fn disk_space(&self) -> Arc<DiskSpace> {
        Arc::clone(&self.disk_space)
    }
}

impl DiskSpace {
    /// Returns the space that the file uses on the disk, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// Returns the offset of the end of the written data, in bytes: the largest size needed so far.
    pub(super) fn written_end(&self) -> u64 {
        self.written_end.load(Ordering::Relaxed)
    }

    /// Reserves space on the disk for `bytes` more.
    pub(super) fn reserve(&self, bytes: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.reserve()?;
        let allocated = self.allocated.load(Ordering::Relaxed);
        let wanted = self.written_end() + bytes + HEADROOM;
        if wanted <= allocated || self.unsupported.load(Ordering::Relaxed) {
            return Ok(());
        }
        let wanted = wanted.next_multiple_of(STEP);
        match allocate(&self.file, allocated, wanted - allocated) {
            Ok(()) => self.allocated.store(wanted, Ordering::Relaxed),
            Err(error) if is_disk_full(&error) => return Err(error),
            // A file system that cannot reserve space fails here. A full disk is then detected only while writing.
            Err(_) => self.unsupported.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Makes the next reads use the disk itself: after a failed sync the system's memory can hold what the disk
    /// does not.
    pub(super) fn drop_page_cache(file: &File) {
        #[cfg(target_os = "linux")]
        // Only a hint. If the kernel ignores it, reads come from the page cache.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        #[cfg(not(target_os = "linux"))]
        let _ = file;
    }
}

/// Returns true if the error means that there is no space left.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
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
            // Truncation also releases the reserved space behind the new end.
            self.disk_space.written_end.fetch_min(len, Ordering::Relaxed);
            self.disk_space.allocated.fetch_min(len, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.disk_space.faults.sync()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.disk_space.faults.write()?;
        self.inner.write(offset, data)?;
        self.disk_space.written_end.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
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
