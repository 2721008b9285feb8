//! The public keys of applications, fetched through real sockets: TLS, proxies, outages, rotations, reloads.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idaas_bridge::config::JwksSource;
use idaas_bridge::keys::{
    Clients, FetchFault, KeyObserver, KeyRing, KeyStore, MAX_DOCUMENT, Proxy, RefreshResult, Settings, Timing, fetch,
};
use idaas_callback::jose::jws::Verification;
use idaas_simulator::signing::SigningKey;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

mod endpoint;

use endpoint::{Answer, ConnectProxy, Endpoint};

use crate::support::certificates::Authority;

static OLD: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("KEYold").expect("a key"));
static NEW: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("KEYnew").expect("a key"));

/// An endpoint that goes away has a loopback address of its own, so that no other test can take its port meanwhile.
fn passing(last_byte: u8, answer: Answer) -> Endpoint {
    Endpoint::http_at(SocketAddr::from(([127, 0, 0, last_byte], 0)), answer)
}

fn document(key: &SigningKey) -> Vec<u8> {
    key.to_jwks().to_string().into_bytes()
}

fn answer(key: &SigningKey) -> Answer {
    Answer::Document(document(key))
}

fn url(url: impl Into<String>) -> JwksSource {
    JwksSource::Url { url: url.into(), ca_file: None }
}

fn trusting(url: impl Into<String>, ca_file: PathBuf) -> JwksSource {
    JwksSource::Url { url: url.into(), ca_file: Some(ca_file) }
}

/// Writes the authority's certificate into a file.
fn file(authority: &Authority, directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, authority.pem()).expect("written");
    path
}

async fn fault(source: &JwksSource) -> FetchFault {
    match fetch(source, &Clients::new(Proxy::Direct)).await {
        Ok(_) => panic!("a fetch that should fail succeeded"),
        Err(fault) => fault,
    }
}

/// Tells the test of each refresh.
struct Told(UnboundedSender<(String, RefreshResult)>);

impl KeyObserver for Told {
    fn refreshed(&self, application: &str, result: &RefreshResult) {
        // Nobody listens any more where the test has ended.
        let _ = self.0.send((application.to_owned(), result.clone()));
    }
}

fn settings() -> (Settings, UnboundedReceiver<(String, RefreshResult)>) {
    let (sender, receiver) = unbounded_channel();
    let observer = Arc::new(Told(sender));
    (
        Settings {
            directory: None,
            clients: Clients::new(Proxy::Direct),
            timing: Timing::default(),
            observer,
            liveness: Arc::default(),
        },
        receiver,
    )
}

fn one(source: &JwksSource) -> [(String, JwksSource); 1] {
    [("workforce".to_owned(), source.clone())]
}

fn store(ring: &KeyRing) -> &Arc<KeyStore> {
    ring.get("workforce").expect("the application's store")
}

fn verify(store: &KeyStore, key: &SigningKey) -> Verification {
    let signature = key.sign(b"input").expect("a signature");
    store.current().as_ref().expect("keys").set.verify(key.key_id(), b"input", &signature)
}

async fn next(results: &mut UnboundedReceiver<(String, RefreshResult)>) -> RefreshResult {
    results.recv().await.expect("a refresh").1
}

#[tokio::test]
async fn a_key_set_is_fetched_with_the_time_of_the_endpoint() {
    let endpoint = Endpoint::http(answer(&OLD));
    let fetched = fetch(&url(endpoint.url()), &Clients::new(Proxy::Direct)).await.expect("keys");
    assert_eq!(fetched.document, document(&OLD));
    assert_eq!(fetched.set.key_ids().collect::<Vec<_>>(), ["KEYold"]);
    assert_eq!(fetched.date, Some(UNIX_EPOCH + Duration::from_secs(784_111_777)));
}

fn gzip(document: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, document).and_then(|()| encoder.finish()).expect("compressed")
}

#[tokio::test]
async fn a_key_set_is_accepted_in_any_usual_coding() {
    let endpoint = Endpoint::http(answer(&OLD));
    let zlib = |document: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, document).and_then(|()| encoder.finish()).expect("compressed")
    };
    let plain = document(&OLD);
    for answer in [
        Answer::Chunked(plain.clone()),
        Answer::Document([b"\xef\xbb\xbf", &plain[..], b"\r\n"].concat()),
        Answer::Coded("identity", plain.clone()),
        Answer::Coded("UTF-8", plain.clone()),
        Answer::Coded("gzip", gzip(&plain)),
        Answer::Coded("x-gzip", gzip(&plain)),
        Answer::Coded("deflate", zlib(&plain)),
        Answer::Coded("deflate, gzip", gzip(&zlib(&plain))),
    ] {
        endpoint.answers(answer.clone());
        let fetched = fetch(&url(endpoint.url()), &Clients::new(Proxy::Direct)).await;
        let fetched = fetched.unwrap_or_else(|fault| panic!("{answer:?}: {fault}"));
        assert_eq!(fetched.set.key_ids().collect::<Vec<_>>(), ["KEYold"]);
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_where_it_is_named() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let endpoint = Endpoint::https(&authority, answer(&OLD));
    let trusted = trusting(endpoint.url(), file(&authority, &directory));
    assert!(fetch(&trusted, &Clients::new(Proxy::Direct)).await.is_ok());

    let refused = fault(&url(endpoint.url())).await;
    assert_eq!(refused.code(), "tls");
    assert!(refused.to_string().contains("certificate verify failed"), "{refused}");
    assert_eq!(endpoint.requests(), 1, "a request went out to a server that is not trusted");

    let other = tempfile::tempdir().expect("a directory");
    assert_eq!(fault(&trusting(endpoint.url(), file(&Authority::new(), &other))).await.code(), "tls");
}

#[tokio::test]
async fn a_replaced_ca_file_counts_from_the_next_fetch_on() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let endpoint = Endpoint::https(&authority, answer(&OLD));
    let clients = Clients::new(Proxy::Direct);
    let source = trusting(endpoint.url(), file(&Authority::new(), &directory));
    assert_eq!(fetch(&source, &clients).await.err().map(|fault| fault.code()), Some("tls"));
    file(&authority, &directory);
    assert!(fetch(&source, &clients).await.is_ok());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let endpoint = Endpoint::https(&authority, answer(&OLD));
    let by_other_name = endpoint.url().replace("127.0.0.1", "localhost");
    let refused = fault(&trusting(by_other_name, file(&authority, &directory))).await;
    assert_eq!(refused.code(), "tls");
    assert!(refused.to_string().contains("hostname mismatch"), "{refused}");
}

#[tokio::test]
async fn a_ca_file_that_is_missing_or_empty_is_a_fault_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ca.pem");
    let source = trusting("https://127.0.0.1:1/", path.clone());
    assert_eq!(fault(&source).await, FetchFault::CaFile(io::ErrorKind::NotFound));
    std::fs::write(&path, "no certificate").expect("written");
    assert_eq!(fault(&source).await, FetchFault::CaCertificate);
}

#[tokio::test]
async fn an_endpoint_behind_a_proxy_is_reached_with_tls() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let endpoint = Endpoint::https(&authority, answer(&OLD));
    let proxy = ConnectProxy::start(endpoint.address());
    let source = trusting("https://keys.example/v2/jwks", file(&authority, &directory));
    assert!(fetch(&source, &Clients::new(Proxy::Url(proxy.url()))).await.is_ok());
    assert_eq!(proxy.asked(), ["CONNECT keys.example:443 HTTP/1.1"]);
    let untrusted = fetch(&url("https://keys.example/v2/jwks"), &Clients::new(Proxy::Url(proxy.url()))).await;
    assert_eq!(untrusted.err().map(|fault| fault.code()), Some("tls"));
}

const CHILD_URL: &str = "IDAAS_BRIDGE_TEST_CHILD_URL";
const CHILD_CA: &str = "IDAAS_BRIDGE_TEST_CHILD_CA";

/// The environment belongs to the whole process, so this test runs itself as a child whose environment it chooses.
#[tokio::test]
async fn the_environment_names_the_proxy_and_what_goes_without_it() {
    if let (Ok(url), Some(ca_file)) = (std::env::var(CHILD_URL), std::env::var_os(CHILD_CA)) {
        assert!(fetch(&trusting(url, ca_file.into()), &Clients::new(Proxy::Environment)).await.is_ok());
        return;
    }
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let endpoint = Endpoint::https(&authority, answer(&OLD));
    let proxy = ConnectProxy::start(endpoint.address());
    let (_, module) = module_path!().split_once("::").expect("a module");
    let child = |url: &str, no_proxy: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        for name in ["https_proxy", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        let test = format!("{module}::the_environment_names_the_proxy_and_what_goes_without_it");
        command.args([&test, "--exact"]).env("HTTPS_PROXY", proxy.url()).env("NO_PROXY", no_proxy);
        let output = command.env(CHILD_URL, url).env(CHILD_CA, file(&authority, &directory)).output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    };
    child("https://keys.example/v2/jwks", "");
    assert_eq!(proxy.asked().len(), 1);
    child(&endpoint.url(), "127.0.0.1");
    assert_eq!(proxy.asked().len(), 1, "the proxy was asked for what NO_PROXY exempts");
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test]
async fn each_failure_has_its_code() {
    let endpoint = passing(2, Answer::Status(404));
    let source = url(endpoint.url());
    for (answer, expected) in [
        (Answer::Status(404), FetchFault::Status(404)),
        (Answer::Status(503), FetchFault::Status(503)),
        (Answer::Status(204), FetchFault::Status(204)),
        (Answer::Document(b"<html>".to_vec()), FetchFault::NotAKeySet),
        (Answer::Document(Vec::new()), FetchFault::NotAKeySet),
        (Answer::Document(b"{\"keys\":[]}".to_vec()), FetchFault::NoUsableKey(None)),
        (Answer::Coded("br", document(&OLD)), FetchFault::Encoding),
        (Answer::Coded("gzip", document(&OLD)), FetchFault::Encoding),
        (Answer::Coded("gzip", gzip(&vec![b' '; MAX_DOCUMENT + 1])), FetchFault::TooLarge),
        (Answer::Endless, FetchFault::TooLarge),
        (Answer::Announced(MAX_DOCUMENT + 1), FetchFault::TooLarge),
        (Answer::Document(vec![b' '; MAX_DOCUMENT]), FetchFault::NotAKeySet),
        (Answer::Cut, FetchFault::Interrupted),
        (Answer::Gibberish, FetchFault::Interrupted),
        (Answer::Redirect("https://127.0.0.1:1/".to_owned()), FetchFault::Redirect),
        (Answer::Redirect(endpoint.url()), FetchFault::Redirect),
    ] {
        endpoint.answers(answer);
        assert_eq!(fault(&source).await, expected);
    }
    let address = endpoint.address();
    drop(endpoint);
    assert_eq!(fault(&url(format!("http://{address}/"))).await, FetchFault::Connect);
    assert_eq!(fault(&url("https://keys.invalid/")).await, FetchFault::Dns);
    for text in ["", "keys", "ftp://example.com/", "file:///etc/passwd", "https://"] {
        assert_eq!(fault(&url(text)).await, FetchFault::InvalidUrl);
    }
    assert_eq!(fault(&JwksSource::File("/nonexistent".into())).await, FetchFault::File(io::ErrorKind::NotFound));
}

#[tokio::test]
async fn a_silent_endpoint_times_out_before_and_after_tls() {
    let before = Endpoint::http(Answer::Silence);
    let after = Endpoint::http(Answer::Announced(100));
    let before_tls = url(before.url().replace("http:", "https:"));
    let silent = Endpoint::http(Answer::Silence);
    let (silent, after) = (url(silent.url()), url(after.url()));
    let faults = tokio::join!(fault(&before_tls), fault(&silent), fault(&after));
    assert_eq!(faults, (FetchFault::Timeout, FetchFault::Timeout, FetchFault::Timeout));
}

#[tokio::test]
async fn redirects_never_go_from_https_to_http() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let (secure, plain) = (Endpoint::https(&authority, answer(&OLD)), Endpoint::http(answer(&OLD)));
    let moved = Endpoint::https(&authority, Answer::Redirect(secure.url()));
    let source = trusting(moved.url(), file(&authority, &directory));
    assert!(fetch(&source, &Clients::new(Proxy::Direct)).await.is_ok());
    moved.answers(Answer::Redirect(plain.url()));
    assert_eq!(fault(&source).await, FetchFault::Redirect);
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn a_rotated_key_is_accepted_after_its_first_use() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let endpoint = Endpoint::https(&authority, answer(&OLD));
    let (settings, mut results) = settings();
    let ring = KeyRing::start(one(&trusting(endpoint.url(), file(&authority, &directory))), &settings);
    ring.first_attempts().await;
    assert!(ring.any_keys());
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    assert_eq!(verify(store(&ring), &OLD), Verification::Good);

    endpoint.answers(answer(&NEW));
    assert_eq!(verify(store(&ring), &NEW), Verification::UnknownKey);
    store(&ring).refresh_after_unknown_kid();
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    assert_eq!(verify(store(&ring), &NEW), Verification::Good);
    assert_eq!(verify(store(&ring), &OLD), Verification::UnknownKey);
}

#[tokio::test]
async fn an_outage_garbage_and_floods_of_bytes_leave_the_old_keys() {
    let endpoint = passing(3, answer(&OLD));
    let (settings, mut results) = settings();
    let ring = KeyRing::start(one(&url(endpoint.url())), &settings);
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    for (answer, code) in [
        (Answer::Status(500), "status"),
        (Answer::Gibberish, "interrupted"),
        (Answer::Endless, "too_large"),
        (Answer::Document(b"[]".to_vec()), "not_a_key_set"),
    ] {
        endpoint.answers(answer);
        store(&ring).refresh_now();
        let RefreshResult::Failed(fault) = next(&mut results).await else {
            panic!("a refresh that should fail did not")
        };
        assert_eq!(fault.code(), code);
        assert_eq!(verify(store(&ring), &OLD), Verification::Good);
    }
    let address = endpoint.address();
    drop(endpoint);
    store(&ring).refresh_now();
    assert_eq!(next(&mut results).await, RefreshResult::Failed(FetchFault::Connect));
    assert_eq!(verify(store(&ring), &OLD), Verification::Good);

    let back = Endpoint::http_at(address, answer(&NEW));
    store(&ring).refresh_now();
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    assert_eq!((verify(store(&ring), &NEW), back.requests()), (Verification::Good, 1));
}

#[tokio::test]
async fn a_restart_during_an_outage_starts_with_the_keys_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let endpoint = passing(4, answer(&OLD));
    let (mut settings, mut results) = settings();
    settings.directory = Some(directory.path().to_owned());
    let source = url(endpoint.url());
    let before = KeyRing::start(one(&source), &settings);
    before.first_attempts().await;
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    drop((before, endpoint));

    let after = KeyRing::start(one(&source), &settings);
    assert_eq!(verify(store(&after), &OLD), Verification::Good);
    assert_eq!(next(&mut results).await, RefreshResult::Failed(FetchFault::Connect));
    assert_eq!(verify(store(&after), &OLD), Verification::Good);
    assert!(store(&after).current().as_ref().expect("keys").fetched_at < SystemTime::now());

    let elsewhere = KeyRing::start(one(&url("http://127.0.0.1:1/")), &settings);
    assert!(!elsewhere.any_keys());
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    let endpoint = Endpoint::http(answer(&OLD));
    let (settings, mut results) = settings();
    let ring = KeyRing::start(one(&url(endpoint.url())), &settings);
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    store(&ring).refresh_after_unknown_kid();
    assert_eq!(next(&mut results).await, RefreshResult::Unchanged);
    for _ in 0..1000 {
        store(&ring).refresh_after_unknown_kid();
        tokio::task::yield_now().await;
    }
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test]
async fn a_file_is_read_at_start_and_on_reload() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, document(&OLD)).expect("written");
    let (mut settings, mut results) = settings();
    let journal = tempfile::tempdir().expect("a directory");
    settings.directory = Some(journal.path().to_owned());
    let source = JwksSource::File(path.clone());
    let ring = KeyRing::start(one(&source), &settings);
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    assert_eq!(verify(store(&ring), &OLD), Verification::Good);
    std::fs::write(&path, document(&NEW)).expect("written");
    let ring = ring.reload(one(&source), &settings);
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    assert_eq!(verify(store(&ring), &NEW), Verification::Good);
    std::fs::remove_file(&path).expect("removed");
    store(&ring).refresh_now();
    assert_eq!(next(&mut results).await, RefreshResult::Failed(FetchFault::File(io::ErrorKind::NotFound)));
    assert_eq!(verify(store(&ring), &NEW), Verification::Good);
    assert_eq!(std::fs::read_dir(journal.path()).expect("a list").count(), 0);
}

#[tokio::test]
async fn a_reload_keeps_the_store_of_an_unchanged_source_and_no_other() {
    let (one_endpoint, other_endpoint) = (Endpoint::http(answer(&OLD)), Endpoint::http(answer(&NEW)));
    let (settings, _told) = settings();
    let applications = |first: &Endpoint, second: &Endpoint| {
        [("first".to_owned(), url(first.url())), ("second".to_owned(), url(second.url()))]
    };
    let ring = KeyRing::start(applications(&one_endpoint, &one_endpoint), &settings);
    ring.first_attempts().await;
    let reloaded = ring.reload(applications(&one_endpoint, &other_endpoint), &settings);
    reloaded.first_attempts().await;
    let get = |ring: &KeyRing, name| Arc::clone(ring.get(name).expect("a store"));
    assert!(Arc::ptr_eq(&get(&ring, "first"), &get(&reloaded, "first")));
    assert!(!Arc::ptr_eq(&get(&ring, "second"), &get(&reloaded, "second")));
    assert_eq!(verify(&get(&reloaded, "second"), &NEW), Verification::Good);
    assert_eq!(reloaded.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["first", "second"]);
    assert!(ring.reload([], &settings).get("first").is_none());
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn key_failures_and_changes_are_logged_once_without_secrets() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // While there is only one subscriber, `tracing` asks the current thread's subscriber about a log line that is met
    // for the first time, for all threads. That thread can be another test's, which has none: the line is then lost
    // here too.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let endpoint = Endpoint::http(Answer::Status(500));
    let (settings, mut results) = settings();
    let with_secrets = endpoint.url().replace("http://", "http://user:hunter2@") + "?token=hunter3";
    let ring = KeyRing::start(one(&url(with_secrets)), &settings);
    assert_eq!(next(&mut results).await, RefreshResult::Failed(FetchFault::Status(500)));
    endpoint.answers(answer(&OLD));
    store(&ring).refresh_now();
    assert_eq!(next(&mut results).await, RefreshResult::Changed);
    let text = String::from_utf8(lines.0.lock().clone()).expect("text");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("application=\"workforce\"") && lines[0].contains("code=\"status\""), "{text}");
    assert!(lines[1].contains("KEYold"), "{text}");
    assert!(!text.contains("hunter") && !text.contains("127.0.0.1"), "{text}");
}
