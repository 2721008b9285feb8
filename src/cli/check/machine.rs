//! Checks of this machine: listeners, certificate, and who can read the secrets. Makes and changes nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::code::Code;
use super::finding::Finding;
use super::journal;
use super::report::plural;
use crate::cli::output::shell_word;
use crate::config::{Config, SecretFile, Tls};
use crate::diagnosis::Remedy;
use crate::http::ListenerCertificate;
use crate::service::wiring;

/// A certificate that expires within fewer days gets a warning.
const MIN_CERTIFICATE_DAYS: i32 = 14;
/// Permission bits of users who are neither the owner nor in the group. Access for the group is fine: Kubernetes gives
/// secret volumes to the pod's group.
const OTHER_USERS: u32 = 0o007;
/// Timeout for an answer from the process that uses the admin listener's address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let admin = config.server.admin_listen;
    let mut findings =
        vec![listener("server.listen", config.server.listen, admin), listener("server.admin_listen", admin, admin)];
    findings.extend(config.server.tls.as_ref().map(certificate));
    findings.extend(journal::examine(&config.journal, admin));
    findings
}

/// Reports the files with secrets that every user of this machine can open, each once.
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
        // Follows links, because the permissions of the target count.
        match std::fs::metadata(&file.path) {
            Ok(metadata) if metadata.permissions().mode() & OTHER_USERS != 0 => {
                let mode = metadata.permissions().mode() & 0o777;
                let problem = format!(
                    "{shown} contains a secret, and every user of this machine can access it (mode {mode:04o})"
                );
                let command = format!("chmod o= {}", shell_word(&shown.to_string()));
                let remedy = Remedy::command("revoke the access of other users", &command);
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
        // On a machine where the service runs, its own listeners are not a fault.
        Err(error) if error.kind() == ErrorKind::AddrInUse && bridge_runs(admin) => {
            if address == admin || answers_as_callback_listener(address) {
                return Finding::ok(Code::Listener, key, &format!("{address} is in use by the running idaas-bridge"));
            }
            let why = format!("whether {address} is free: something uses it, possibly the running idaas-bridge");
            let remedy = "if the address has changed, choose one that no other program uses";
            Finding::not_tested(Code::Listener, key, &why, remedy)
        }
        Err(error) => Finding::prevents_start(Code::Listener, wiring::listen_fault(key, address, &error)),
    }
}

/// Returns true if an idaas-bridge responds on the admin listener.
pub(super) fn bridge_runs(admin: SocketAddr) -> bool {
    get(admin, "/metrics").is_ok_and(|answer| answer.contains(crate::telemetry::metrics::BUILD_INFO))
}

/// Returns true if the address responds as a callback listener without TLS does.
fn answers_as_callback_listener(address: SocketAddr) -> bool {
    get(address, crate::http::callbacks::HEALTH)
        .is_ok_and(|answer| answer.ends_with("\r\nok\n") || answer.ends_with("\r\ndraining\n"))
}

/// Returns the response of a local HTTP server.
fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let address = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        ip if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    };
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn certificate(tls: &Tls) -> Finding {
    let (code, key) = (Code::Certificate, "server.tls");
    if let Err(fault) = ListenerCertificate::load(&tls.certificate, &tls.key) {
        return Finding::prevents_start(code, wiring::tls_fault(&fault));
    }
    let renew = || "replace it, then send SIGHUP";
    let days_left = |days: i32| plural(usize::try_from(days.abs()).unwrap_or_default(), "day");
    match ListenerCertificate::days_left(&tls.certificate) {
        None => {
            let why = "when the certificate expires: its expiry date cannot be read";
            let remedy = "inspect it: openssl x509 -noout -enddate -in FILE";
            Finding::not_tested(code, key, why, remedy)
        }
        Some(days) if days < 0 => {
            let problem = format!("the certificate expired {} ago: IDaaS does not deliver to it", days_left(days));
            Finding::fault(code, key, &problem, renew())
        }
        Some(days) if days < MIN_CERTIFICATE_DAYS => {
            let problem = format!("the certificate expires in {}", days_left(days));
            Finding::warning(code, key, &problem, renew())
        }
        Some(days) => {
            let text = format!("the certificate matches its key, and is valid for {}", days_left(days));
            Finding::ok(code, key, &text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

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
        // As in Kubernetes: a link to a link, both with all permission bits, to a file that the group can read.
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
}
