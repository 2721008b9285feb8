//! Why the journal cannot be opened, and why it does not take something: closed lists, each with its remedy or code.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Why the journal cannot be opened. Nothing was changed or thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenFault {
    /// Another process has it open: that with this id, where it is known.
    Locked(PathBuf, Option<u32>),
    /// This user may not read or write the path.
    NoPermission(PathBuf),
    /// The file is none of a journal.
    Foreign(PathBuf),
    /// The file is that of a journal, and damaged in this way.
    Damaged(PathBuf, String),
    /// This many things in it are sealed with a key of this id, which is not configured.
    UnknownKey(String, u64),
    /// A newer build wrote it.
    Newer(PathBuf),
    /// There is no room on the disk.
    DiskFull(PathBuf),
    /// The operating system refuses in another way.
    Unusable(PathBuf, ErrorKind),
}

impl OpenFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Locked(..) => "journal_locked",
            Self::NoPermission(_) => "journal_no_permission",
            Self::Foreign(_) => "journal_foreign",
            Self::Damaged(..) => "journal_damaged",
            Self::UnknownKey(..) => "journal_unknown_key",
            Self::Newer(_) => "journal_newer",
            Self::DiskFull(_) => "journal_disk_full",
            Self::Unusable(..) => "journal_unusable",
        }
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Locked(_, Some(process)) => {
                format!("end process {process}, or give each process a directory of its own")
            }
            Self::Locked(_, None) => "end the other process, or give each process a directory of its own".to_owned(),
            Self::NoPermission(path) => format!("let the service's user read and write {}", path.display()),
            Self::Foreign(_) => "name another directory, or move the file away if nobody needs it here".to_owned(),
            Self::Damaged(path, _) => format!(
                "check the disk; restore {0} from a copy, or move it aside (keep it: what is in it may not be on Kafka) \
                 and start with an empty journal",
                path.display()
            ),
            Self::UnknownKey(id, _) => format!(
                "add the key {id} at the end of journal.keys; it can be removed once nothing is sealed with it any more"
            ),
            Self::Newer(_) => "start the newer build again until the journal is empty, then this one".to_owned(),
            Self::DiskFull(path) => format!("make room on the disk of {}", path.display()),
            Self::Unusable(path, _) => format!("see to the disk and the file system of {}", path.display()),
        }
    }
}

impl fmt::Display for OpenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path, Some(process)) => write!(f, "{} is in use by process {process}", path.display()),
            Self::Locked(path, None) => write!(f, "{} is in use by another process", path.display()),
            Self::NoPermission(path) => write!(f, "{} may not be read and written by this user", path.display()),
            Self::Foreign(path) => write!(f, "{} is not the file of a journal; it was left untouched", path.display()),
            Self::Damaged(path, how) => write!(f, "{} is damaged: {how}; nothing was removed", path.display()),
            Self::UnknownKey(id, count) => {
                let verb = if *count == 1 { "is" } else { "are" };
                write!(f, "{count} of its entries {verb} sealed with the key {id}, which is not in journal.keys")
            }
            Self::Newer(path) => write!(f, "{} was written by a newer build", path.display()),
            Self::DiskFull(path) => write!(f, "the disk of {} is full", path.display()),
            Self::Unusable(path, kind) => write!(f, "{} cannot be used ({kind})", path.display()),
        }
    }
}

impl std::error::Error for OpenFault {}

/// Why the journal does not take something now. It takes it again by itself once the cause has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JournalRefusal {
    /// `journal.max_size` is reached.
    Full,
    /// The quarantine has reached its share of `journal.max_size`. Entries are accepted all the same.
    QuarantineFull,
    /// Too much waits for the disk already.
    Busy,
    /// The disk is full.
    DiskFull,
    /// Writing or syncing failed, or what is on the disk cannot be trusted.
    Failed,
}

impl JournalRefusal {
    /// Every refusal.
    pub const ALL: [Self; 5] = [Self::Full, Self::QuarantineFull, Self::Busy, Self::DiskFull, Self::Failed];

    /// The stable code, as a metric label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::QuarantineFull => "quarantine_full",
            Self::Busy => "busy",
            Self::DiskFull => "disk_full",
            Self::Failed => "failed",
        }
    }

    /// One sentence for the log.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Full => "the journal has reached journal.max_size; events are refused until Kafka takes some of it",
            Self::QuarantineFull => {
                "the quarantine has reached its share, a quarter of journal.max_size; further callbacks that cannot be \
                 read are refused until a key opens some of it, some of it is discarded, or journal.max_size is raised"
            }
            Self::Busy => "the journal's disk is too slow for what comes; callbacks are refused until it has caught up",
            Self::DiskFull => "the journal's disk is full; events are refused until there is room",
            Self::Failed => "the journal cannot be written; it is opened and verified anew before anything is trusted",
        }
    }
}
