//! Reasons why the journal cannot be opened, each with a stable code and a fix, and the messages of its rejections.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::diagnosis::Diagnosis;
use crate::telemetry::journal::JournalRejection;

/// Reason why the journal cannot be opened. Nothing was changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", prefix = "journal_")]
pub enum OpenFault {
    /// Another process uses it. Contains the id of the process, if known.
    #[error("{} is in use by {}", .0.display(), .1.map_or("another process".to_owned(), |id| format!("process {id}")))]
    Locked(PathBuf, Option<u32>),
    /// This user may not read or write the path.
    #[error("this user may not read and write {}", .0.display())]
    NoPermission(PathBuf),
    /// The file is not a journal.
    #[error("{} is not the file of a journal; it was left untouched", .0.display())]
    Foreign(PathBuf),
    /// The file is a journal, but it is damaged. Contains a description of the damage.
    #[error("{} is damaged: {}; nothing was removed", .0.display(), .1)]
    Damaged(PathBuf, String),
    /// The key with this id is not configured, and this many entries and callbacks are sealed with it.
    #[error("{} of its entries {} sealed with the key {}, which is not in journal.keys", .1, if *.1 == 1 { "is" } else { "are" }, .0)]
    UnknownKey(String, u64),
    /// A newer build wrote the file.
    #[error("{} was written by a newer build", .0.display())]
    Newer(PathBuf),
    /// The disk is full.
    #[error("the disk of {} is full", .0.display())]
    DiskFull(PathBuf),
    /// Any other error of the operating system.
    #[error("{} cannot be used ({})", .0.display(), .1)]
    Unusable(PathBuf, ErrorKind),
}

impl OpenFault {
    /// Returns true if the fault can pass by itself: the other process ends, or the disk recovers.
    #[must_use]
    pub const fn can_pass(&self) -> bool {
        match self {
            Self::Locked(..) | Self::DiskFull(_) | Self::Unusable(..) => true,
            Self::NoPermission(_) | Self::Foreign(_) | Self::Damaged(..) | Self::UnknownKey(..) | Self::Newer(_) => {
                false
            }
        }
    }
}

impl From<&OpenFault> for Diagnosis {
    fn from(fault: &OpenFault) -> Self {
        let remedy = match fault {
            OpenFault::Locked(_, Some(process)) => {
                format!("stop process {process}, or give each process its own directory")
            }
            OpenFault::Locked(_, None) => "stop the other process, or give each process its own directory".to_owned(),
            OpenFault::NoPermission(path) => format!("allow the service's user to read and write {}", path.display()),
            OpenFault::Foreign(_) => "name another directory, or move the file away if it is not needed".to_owned(),
            OpenFault::Damaged(path, _) => format!(
                "check the disk; restore {0} from a copy, or move it aside (keep it: its events may not be in Kafka) \
                and start with an empty journal",
                path.display()
            ),
            OpenFault::UnknownKey(id, _) => {
                format!("add the key {id} at the end of journal.keys; it can be removed once nothing is sealed with it")
            }
            OpenFault::Newer(_) => "start the newer build again until the journal is empty, then this one".to_owned(),
            OpenFault::DiskFull(path) => format!("free space on the disk of {}", path.display()),
            OpenFault::Unusable(path, _) => format!("check the disk and the file system of {}", path.display()),
        };
        Self::new(fault, fault.to_string(), remedy)
    }
}

impl JournalRejection {
    /// Returns one sentence for the log.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Full => {
                "the journal has reached journal.max_size; new events are answered as overloaded until Kafka confirms \
                some of those in it"
            }
            Self::QuarantineFull => {
                "the quarantine has reached its share, a quarter of journal.max_size; further callbacks that cannot \
                be read are refused until a key decrypts some of them, some are discarded, or journal.max_size is \
                raised"
            }
            Self::Busy => {
                "the journal's disk is too slow for the load; events are answered as overloaded until it has caught up"
            }
            Self::DiskFull => "the journal's disk is full; events are answered as overloaded until there is space",
            Self::Failed => "the journal cannot be written; it is reopened and verified before it is used again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_never_change() {
        let path = PathBuf::new;
        let faults = [
            OpenFault::Locked(path(), None),
            OpenFault::NoPermission(path()),
            OpenFault::Foreign(path()),
            OpenFault::Damaged(path(), String::new()),
            OpenFault::UnknownKey(String::new(), 1),
            OpenFault::Newer(path()),
            OpenFault::DiskFull(path()),
            OpenFault::Unusable(path(), ErrorKind::Other),
        ];
        assert_eq!(
            faults.map(|fault| Diagnosis::from(&fault).code),
            [
                "journal_locked",
                "journal_no_permission",
                "journal_foreign",
                "journal_damaged",
                "journal_unknown_key",
                "journal_newer",
                "journal_disk_full",
                "journal_unusable",
            ]
        );
        let rejections = ["full", "quarantine_full", "busy", "disk_full", "failed"];
        assert_eq!(JournalRejection::ALL.map(JournalRejection::code), rejections);
    }
}
