//! The doctor's look at this machine: listeners, certificate, the journal's directory. Makes and changes nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use super::finding::Finding;
use crate::config::{Config, Fault, Journal, Tls};
use crate::journal::OpenFault;
use crate::journal::store::Store;
use crate::server::Certificate;
use crate::service::assemble;

/// A certificate that ends within so many days is worth a word.
const DAYS: i32 = 14;
/// How long whoever holds the admin listener's address may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let admin = config.server.admin_listen;
    let mut findings =
        vec![listener("server.listen", config.server.listen, admin), listener("server.admin_listen", admin, admin)];
    findings.extend(config.server.tls.as_ref().map(certificate));
    findings.extend(journal(&config.journal.directory, config.journal.max_size));
    findings.extend(contents(&config.journal, admin));
    findings
}

fn listener(key: &str, address: SocketAddr, admin: SocketAddr) -> Finding {
    match assemble::bind(address) {
        Ok(_) => Finding::ok(key, &format!("{address} is free")),
        // Whoever checks a machine where the service runs does not want to be told that it does.
        Err(error) if error.kind() == ErrorKind::AddrInUse && bridge_runs(admin) => {
            Finding::ok(key, &format!("{address} is held by the idaas-bridge that is running"))
        }
        Err(error) => Finding::prevents_start(assemble::listen_fault(key, address, &error)),
    }
}

/// Whether an idaas-bridge answers on the admin listener.
fn bridge_runs(admin: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let address = match admin.ip() {
            ip if ip.is_unspecified() && ip.is_ipv4() => SocketAddr::from((Ipv4Addr::LOCALHOST, admin.port())),
            ip if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, admin.port())),
            _ => admin,
        };
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).contains(crate::telemetry::metrics::BUILD_INFO))
    };
    ask().unwrap_or(false)
}

fn certificate(tls: &Tls) -> Finding {
    let key = "server.tls";
    if let Err(fault) = Certificate::load(&tls.certificate, &tls.key) {
        return Finding::prevents_start(assemble::tls_fault(&fault));
    }
    match Certificate::days_left(&tls.certificate) {
        None => Finding::skipped(key, "the certificate's end cannot be read"),
        Some(days) if days < 0 => {
            let problem = format!("the certificate ended {} days ago: IDaaS will not deliver to it", -days);
            Finding::fault(key, &problem, "put a new one in its place, then send SIGHUP")
        }
        Some(days) if days < DAYS => {
            let problem = format!("the certificate ends in {days} days");
            Finding::warning(key, &problem, "put a new one in its place, then send SIGHUP")
        }
        Some(days) => Finding::ok(key, &format!("the certificate belongs to its key, and holds for {days} days")),
    }
}

fn journal(directory: &Path, max_size: u64) -> Vec<Finding> {
    let key = "journal.directory";
    // What is not there yet is made at the start, below the nearest directory that is.
    // The parent of a relative path ends up empty, which means where we are.
    let here = |path: &'_ Path| if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path.to_owned() };
    let Some(existing) = directory.ancestors().map(here).find(|path| path.exists()) else {
        let problem = format!("{} cannot be made", directory.display());
        return vec![Finding::prevents_start(fault(&problem))];
    };
    let shown = directory.display();
    if !existing.is_dir() {
        return vec![Finding::prevents_start(fault(&format!("{} is no directory", existing.display())))];
    }
    if let Err(error) = access(&existing, Access::WRITE_OK | Access::EXEC_OK) {
        let problem = format!("{} cannot be written to ({})", existing.display(), io::Error::from(error).kind());
        return vec![Finding::prevents_start(fault(&problem))];
    }
    let text = if existing == directory { "can be written to" } else { "is not there yet, and can be made" };
    let mut findings = vec![Finding::ok(key, &format!("{shown} {text}"))];
    findings.push(room(&existing, max_size));
    findings
}

/// What the journal holds, where there is one: a start needs all of its keys, and it must be whole.
fn contents(journal: &Journal, admin: SocketAddr) -> Option<Finding> {
    let key = "journal.keys";
    if !Store::is_in(&journal.directory) {
        return None;
    }
    Some(match Store::open(&journal.directory, &journal.keys, journal.max_size) {
        Ok(opened) => {
            let (events, callbacks) = (opened.inventory.len(), opened.quarantined);
            Finding::ok(key, &format!("they open the journal: {events} events, {callbacks} callbacks in quarantine"))
        }
        Err(OpenFault::Locked(..)) if bridge_runs(admin) => {
            Finding::ok(key, "the journal is open in the idaas-bridge that is running")
        }
        Err(fault) => {
            let remedy = fault.remedy();
            Finding::prevents_start(Fault { key: "journal.directory".to_owned(), problem: fault.to_string(), remedy })
        }
    })
}

fn room(directory: &Path, max_size: u64) -> Finding {
    let key = "journal.max_size";
    let Ok(disk) = statvfs(directory) else {
        return Finding::skipped(key, "the free room of the disk cannot be read");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = Store::disk_need(max_size);
    let (free_shown, wanted) = (mebibytes(free), mebibytes(needed));
    if free < needed {
        let shown = directory.display();
        let problem = format!("the disk of {shown} has {free_shown} free, and the journal's file takes up to {wanted}");
        Finding::warning(key, &problem, "make room, or lower journal.max_size")
    } else {
        Finding::ok(key, &format!("the disk has {free_shown} free, and the journal's file takes {wanted} at most"))
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn fault(problem: &str) -> Fault {
    Fault {
        key: "journal.directory".to_owned(),
        problem: problem.to_owned(),
        remedy: "name a directory that this user can write to, on a disk that outlives the process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_journal_below_a_file_keeps_the_service_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let findings = journal(&file.join("journal"), 1);
        assert!(findings.iter().any(|finding| finding.prevents_start), "{findings:?}");
    }

    #[test]
    fn a_journal_that_can_be_made_is_good_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let journal_directory = directory.path().join("a/b");
        let findings = journal(&journal_directory, 1);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
        assert!(!journal_directory.exists());
        let findings = journal(directory.path(), u64::MAX);
        assert_eq!(findings.last().unwrap().level, Level::Warning);
    }

    #[test]
    fn a_journal_sealed_with_a_key_that_is_gone_keeps_the_service_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let section = |key: &str| Journal {
            directory: directory.path().to_owned(),
            max_size: 64 << 20,
            keys: vec![std::sync::Arc::new(crate::jose::jwe::ContentKey::from_hex(key).unwrap())],
        };
        use crate::journal::store::Batch;
        let (here, gone) = ("00".repeat(32), "11".repeat(32));
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        assert!(contents(&section(&here), nobody).is_none(), "there is no journal yet");
        let mut opened = Store::open(directory.path(), &section(&gone).keys, 64 << 20).unwrap();
        let entry = crate::journal::tests::entry_of(1, 10);
        opened.store.commit(&Batch { puts: &[entry], ..Batch::default() });
        drop(opened);
        assert_eq!(contents(&section(&gone), nobody).unwrap().level, Level::Ok);
        assert!(contents(&section(&here), nobody).unwrap().prevents_start);
    }

    #[test]
    fn a_relative_directory_is_made_where_the_command_is_run() {
        let findings = journal(Path::new("there-is-no-such-directory/journal"), 1);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    }

    #[test]
    fn an_address_that_is_taken_keeps_the_service_from_starting() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(listener("server.listen", address, address).prevents_start);
        drop(taken);
        assert_eq!(listener("server.listen", address, address).level, Level::Ok);
    }
}
