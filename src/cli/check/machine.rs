//! The doctor's look at this machine: listeners, certificate, the journal's directory. Makes and changes nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};
use tokio::runtime::Runtime;

use super::code::Code;
use super::finding::Finding;
use super::report::plural;
use crate::cli::journal::source::Source;
use crate::cli::output::shell_word;
use crate::config::{Config, Journal, SecretFile, Tls};
use crate::counts::counted;
use crate::diagnosis::{Diagnosis, Remedy};
use crate::http::Certificate;
use crate::journal::OpenFault;
use crate::journal::store::Store;
use crate::service::wiring;

/// A certificate that ends within so many days is worth a word.
const DAYS: i32 = 14;
/// The permission bits of everybody who is neither the owner nor in the group. A group is fine: Kubernetes gives secret
/// volumes to the pod's group.
const EVERYBODY: u32 = 0o007;
/// How long whoever holds the admin listener's address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let admin = config.server.admin_listen;
    let mut findings =
        vec![listener("server.listen", config.server.listen, admin), listener("server.admin_listen", admin, admin)];
    findings.extend(config.server.tls.as_ref().map(certificate));
    findings.extend(journal(&config.journal.directory, config.journal.max_size));
    findings.extend(contents(&config.journal, admin));
    findings
}

/// Which files with secrets every user of this machine can open, each once.
pub(super) fn secret_files(files: &[SecretFile]) -> Vec<Finding> {
    let code = Code::SecretFile;
    let mut checked: Vec<&Path> = Vec::new();
    let mut findings = Vec::new();
    for file in files {
        if checked.contains(&file.path.as_path()) {
            continue;
        }
        checked.push(&file.path);
        let shown = file.path.display();
        // Of what a link leads to.
        match std::fs::metadata(&file.path) {
            Ok(metadata) if metadata.permissions().mode() & EVERYBODY != 0 => {
                let mode = metadata.permissions().mode() & 0o777;
                let problem =
                    format!("{shown} holds a secret, and every user of this machine has access (mode {mode:04o})");
                let remedy = Remedy::command("take it away", &format!("chmod o= {}", shell_word(&shown.to_string())));
                findings.push(Finding::warning(code, &file.key, &problem, remedy));
            }
            Ok(_) => {}
            Err(error) => {
                let why = format!("who has access to {shown} ({})", error.kind());
                let remedy = "run check as the user that the service runs as";
                findings.push(Finding::not_tested(code, &file.key, &why, remedy));
            }
        }
    }
    if findings.is_empty() && !checked.is_empty() {
        let text = format!("{}, closed to other users", plural(checked.len(), "file"));
        findings.push(Finding::ok(code, "secrets", &text));
    }
    findings
}

fn listener(key: &str, address: SocketAddr, admin: SocketAddr) -> Finding {
    match wiring::bind(address) {
        Ok(_) => Finding::ok(Code::Listener, key, &format!("{address} is free")),
        // Whoever checks a machine where the service runs does not want to be told that it does.
        Err(error) if error.kind() == ErrorKind::AddrInUse && bridge_runs(admin) => {
            Finding::ok(Code::Listener, key, &format!("{address} is held by the idaas-bridge that is running"))
        }
        Err(error) => Finding::prevents_start(Code::Listener, wiring::listen_fault(key, address, &error)),
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
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).contains(crate::telemetry::metrics::BUILD_INFO))
    };
    ask().unwrap_or(false)
}

fn certificate(tls: &Tls) -> Finding {
    let (code, key) = (Code::Certificate, "server.tls");
    if let Err(fault) = Certificate::load(&tls.certificate, &tls.key) {
        return Finding::prevents_start(code, wiring::tls_fault(&fault));
    }
    let renew = || "put a new one in its place, then send SIGHUP";
    let days_left = |days: i32| plural(usize::try_from(days.abs()).unwrap_or_default(), "day");
    match Certificate::days_left(&tls.certificate) {
        None => {
            let why = "when the certificate expires: its end cannot be read";
            let remedy = "look at it: openssl x509 -noout -enddate -in FILE";
            Finding::not_tested(code, key, why, remedy)
        }
        Some(days) if days < 0 => {
            let problem = format!("the certificate expired {} ago: IDaaS will not deliver to it", days_left(days));
            Finding::fault(code, key, &problem, renew())
        }
        Some(days) if days < DAYS => {
            let problem = format!("the certificate expires in {}", days_left(days));
            Finding::warning(code, key, &problem, renew())
        }
        Some(days) => {
            let text = format!("the certificate belongs to its key, and is valid for {}", days_left(days));
            Finding::ok(code, key, &text)
        }
    }
}

fn journal(directory: &Path, max_size: u64) -> Vec<Finding> {
    let key = wiring::JOURNAL_DIRECTORY;
    // What is not there yet is made at the start, below the nearest directory that is.
    // The parent of a relative path ends up empty, which means where we are.
    let here = |path: &'_ Path| if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path.to_owned() };
    let Some(existing) = directory.ancestors().map(here).find(|path| path.exists()) else {
        let problem = format!("{} cannot be made", directory.display());
        return vec![Finding::prevents_start(Code::JournalDirectory, wiring::directory_fault(problem))];
    };
    let shown = directory.display();
    if !existing.is_dir() {
        return vec![Finding::prevents_start(
            Code::JournalDirectory,
            wiring::directory_fault(format!("{} is not a directory", existing.display())),
        )];
    }
    if let Err(error) = access(&existing, Access::WRITE_OK | Access::EXEC_OK) {
        let problem = format!("{} cannot be written to ({})", existing.display(), io::Error::from(error).kind());
        return vec![Finding::prevents_start(Code::JournalDirectory, wiring::directory_fault(problem))];
    }
    let text = if existing == directory { "can be written to" } else { "is not there yet, and can be made" };
    let mut findings = vec![Finding::ok(Code::JournalDirectory, key, &format!("{shown} {text}"))];
    findings.push(room(&existing, max_size));
    findings
}

/// What to look at if something waits.
const WHY_WAITING: &str = "; `idaas-bridge journal` shows why they wait";

/// What waits in the running service, if there is one that can be asked.
pub(super) fn waiting(config: &Config, runtime: &Runtime) -> Option<Finding> {
    let summary = runtime.block_on(async { Source::running(config).await?.summary(0).await.ok() })?;
    let (events, callbacks) = (counted(summary.events, "event"), counted(summary.quarantine_callbacks, "callback"));
    let text = format!("the running service has {events} in the journal and {callbacks} in quarantine");
    Some(match (summary.events, summary.quarantine_callbacks) {
        (0, 0) => Finding::ok(Code::Journal, "journal", &text),
        (_, 0) => Finding::ok(Code::Journal, "journal", &format!("{text}{WHY_WAITING}")),
        (_, 1..) => Finding::warning(Code::Journal, "journal", &text, "see what they need: idaas-bridge journal"),
    })
}

/// What the journal holds, where there is one: a start needs all of its keys, and it must be whole.
fn contents(journal: &Journal, admin: SocketAddr) -> Option<Finding> {
    let key = "journal.keys";
    if !Store::is_in(&journal.directory) {
        return None;
    }
    Some(match Store::open(&journal.directory, &journal.keys, journal.max_size) {
        Ok(opened) => {
            let events = plural(opened.inventory.len(), "event");
            let callbacks = plural(usize::try_from(opened.quarantined).unwrap_or_default(), "callback");
            let see = if opened.inventory.is_empty() && opened.quarantined == 0 { "" } else { WHY_WAITING };
            Finding::ok(Code::Journal, key, &format!("they open the journal: {events}, {callbacks} in quarantine{see}"))
        }
        Err(OpenFault::Locked(..)) if bridge_runs(admin) => {
            Finding::ok(Code::Journal, key, "the journal is open in the idaas-bridge that is running")
        }
        Err(fault) => Finding::prevents_start(Code::Journal, Diagnosis::from(&fault).at(wiring::JOURNAL_DIRECTORY)),
    })
}

fn room(directory: &Path, max_size: u64) -> Finding {
    let (code, key) = (Code::JournalRoom, "journal.max_size");
    let Ok(disk) = statvfs(directory) else {
        let remedy = "compare it with journal.max_size by hand: df";
        return Finding::not_tested(code, key, "whether the disk has room: its free room cannot be read", remedy);
    };
    // What the file takes already need not be free.
    let taken = std::fs::metadata(directory.join(Store::FILE)).map_or(0, |file| file.blocks() * 512);
    let room = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_add(taken);
    let needed = Store::disk_need(max_size);
    let (room_shown, wanted) = (mebibytes(room), mebibytes(needed));
    let grows = format!("the journal's file can become {wanted}, because journal.max_size is {}", mebibytes(max_size));
    if room < needed {
        let problem = format!("{grows}, and the disk of {} has {room_shown} for it", directory.display());
        Finding::warning(code, key, &problem, "make room, or lower journal.max_size")
    } else {
        Finding::ok(code, key, &format!("{grows}; the disk has {room_shown} for it"))
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
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
    fn a_missing_journal_key_prevents_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let section = |key: &str| Journal {
            directory: directory.path().to_owned(),
            max_size: 64 << 20,
            keys: vec![std::sync::Arc::new(idaas_callback::jose::jwe::ContentKey::from_hex(key).unwrap())],
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

    #[test]
    fn a_secret_that_everybody_can_read_is_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            SecretFile { key: name.to_owned(), path }
        };
        let files = [file("open", 0o644), file("writable", 0o602), file("group", 0o440), file("owner", 0o400)];
        // Kubernetes: a link to a link, which have all permission bits, to a file that the group can read.
        std::os::unix::fs::symlink(directory.path(), directory.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/group", directory.path().join("linked")).unwrap();
        let linked = SecretFile { key: "linked".to_owned(), path: directory.path().join("linked") };
        let findings = secret_files(&[&files[..], &files[..1], std::slice::from_ref(&linked)].concat());
        let keys: Vec<_> = findings.iter().map(|finding| (finding.diagnosis.key.as_str(), finding.level)).collect();
        assert_eq!(keys, [("open", Level::Warning), ("writable", Level::Warning)], "{findings:?}");
        assert!(findings[0].diagnosis.problem.contains("(mode 0644)"), "{findings:?}");
        assert!(findings[0].diagnosis.remedy.as_ref().unwrap().to_string().contains(": chmod o= "));
        let fine = secret_files(&[linked, files[3].clone()]);
        assert_eq!(fine.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Ok]);
    }

    /// Fills the journal with entries of one size, and replaces some of them several times.
    fn file_of_a_full_journal(size: usize, max_size: u64) -> u64 {
        use crate::journal::store::Batch;
        let directory = tempfile::tempdir().unwrap();
        let key = idaas_callback::jose::jwe::ContentKey::from_hex(&"00".repeat(32)).unwrap();
        let mut store = Store::open(directory.path(), &[std::sync::Arc::new(key)], max_size).unwrap().store;
        let (mut next, mut held) = (0, Vec::<outbox::Seq>::new());
        for round in 0..4 {
            // Every other one is confirmed, then every third.
            let step = 2 + round % 2;
            let (gone, left): (Vec<_>, Vec<_>) = held.iter().enumerate().partition(|(at, _)| at % step == 0);
            let gone: Vec<_> = gone.into_iter().map(|(_, seq)| *seq).collect();
            held = left.into_iter().map(|(_, seq)| *seq).collect();
            for removes in gone.chunks(500) {
                store.commit(&Batch { removes, ..Batch::default() });
            }
            loop {
                let count = ((1 << 20) / size as u64).clamp(1, 512);
                let puts: Vec<_> = (next..next + count).map(|seq| crate::journal::tests::entry_of(seq, size)).collect();
                next += count;
                let committed = store.commit(&Batch { puts: &puts, ..Batch::default() });
                held.extend(&committed.written);
                if !committed.refused.is_empty() {
                    break;
                }
            }
        }
        store.size_on_disk()
    }

    #[test]
    fn the_file_of_a_full_journal_is_as_large_as_announced() {
        let max_size = 16 << 20;
        // The store gives a value a power of two of pages: the worst sizes are those that are just above one.
        let sizes = [1_500, 4_200, 33_000, 270_000];
        let files: Vec<_> = sizes.iter().map(|size| (*size, file_of_a_full_journal(*size, max_size))).collect();
        let shown: Vec<_> =
            files.iter().map(|(size, file)| format!("{size}: {:.2}", *file as f64 / max_size as f64)).collect();
        let largest = files.iter().map(|(_, file)| *file).max().unwrap();
        assert!(largest <= Store::disk_need(max_size), "{shown:?}");
        // Not much less, either: a volume costs money.
        assert!(largest > Store::disk_need(max_size) / 2, "{shown:?}");
    }
}
