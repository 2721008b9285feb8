//! Tests the background task on a paused clock, which advances only when all tasks wait. Minutes pass at once, and
//! each time is exact.

mod endpoint;
mod requests;

use std::sync::LazyLock;

use idaas_callback::jose::jws::{SkipReason, SkippedKey, Verification};
use idaas_simulator::signing::SigningKey;
use parking_lot::Mutex;

use self::endpoint::Endpoint;
use super::*;
use crate::keys::Proxy;

static DOCUMENTS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    ["OLD", "NEW"].map(|kid| SigningKey::generate(kid).expect("a key").to_jwks().to_string().into_bytes())
});

/// Records the results of refreshes.
#[derive(Default)]
struct ResultLog(Mutex<Vec<RefreshResult>>);

impl KeyObserver for ResultLog {
    fn refreshed(&self, application: &str, result: &RefreshResult) {
        assert_eq!(application, "workforce");
        self.0.lock().push(result.clone());
    }
}

fn settings(observer: &Arc<ResultLog>) -> Settings {
    Settings {
        directory: None,
        clients: Clients::new(Proxy::Direct),
        timing: Timing { jitter: 0.0, ..Timing::default() },
        observer: Arc::clone(observer) as Arc<dyn KeyObserver>,
        liveness: Arc::default(),
    }
}

fn source() -> JwksSource {
    JwksSource::Url { url: "https://example.com/jwks".to_owned(), ca_file: None }
}

fn begin(endpoint: &Arc<Endpoint>) -> (Refresher, Arc<ResultLog>) {
    let log = Arc::new(ResultLog::default());
    (start_with("workforce", source(), None, &settings(&log), endpoint.fetcher()), log)
}

fn old() -> Result<Vec<u8>, FetchFault> {
    Ok(DOCUMENTS[0].clone())
}

fn new() -> Result<Vec<u8>, FetchFault> {
    Ok(DOCUMENTS[1].clone())
}

fn kids(store: &KeyStore) -> Vec<String> {
    store.current().as_ref().map(|keys| keys.set.key_ids().map(str::to_owned).collect()).unwrap_or_default()
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_once_and_then_every_ten_minutes() {
    let endpoint = Endpoint::new(old());
    let (refresher, log) = begin(&endpoint);
    assert_eq!(refresher.store().key_count(), 0);
    refresher.store().first_attempt().await;
    assert_eq!(kids(refresher.store()), ["OLD"]);
    pass(1801).await;
    assert_eq!(endpoint.times(), [0, 600, 1200, 1800]);
    use RefreshResult::{Changed, Unchanged};
    assert_eq!(*log.0.lock(), [Changed, Unchanged, Unchanged, Unchanged]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_keys_and_ends_with_the_first_good_answer() {
    let endpoint = Endpoint::new(old());
    let (refresher, log) = begin(&endpoint);
    refresher.store().first_attempt().await;
    endpoint.answers(Err(FetchFault::Timeout));
    pass(900).await;
    assert_eq!(endpoint.times(), [0, 600, 610, 630, 670, 730, 790, 850]);
    assert_eq!(kids(refresher.store()), ["OLD"]);
    assert_eq!(log.0.lock().last(), Some(&RefreshResult::Failed(FetchFault::Timeout)));
    endpoint.answers(new());
    pass(11).await;
    assert_eq!(kids(refresher.store()), ["NEW"]);
}

#[tokio::test(start_paused = true)]
async fn without_any_keys_the_retries_start_at_a_second() {
    let endpoint = Endpoint::new(Err(FetchFault::Dns));
    let (refresher, _) = begin(&endpoint);
    pass(64).await;
    assert_eq!(endpoint.times(), [0, 1, 3, 7, 15, 31, 63]);
    assert!(refresher.store().current().is_none() && refresher.store().age().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unusable_set_never_replaces_a_good_one() {
    let endpoint = Endpoint::new(old());
    let (refresher, log) = begin(&endpoint);
    refresher.store().first_attempt().await;
    for document in
        [&b"<html>"[..], b"", b"{\"keys\":[]}", b"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\",\"kid\":\"K\"}]}"]
    {
        endpoint.answers(Ok(document.to_vec()));
        refresher.store().refresh_now();
        pass(1).await;
        assert_eq!(kids(refresher.store()), ["OLD"]);
    }
    use FetchFault::{NoUsableKey, NotAKeySet};
    use RefreshResult::{Changed, Failed};
    let symmetric = SkippedKey { index: 0, key_id: Some("K".to_owned()), reason: SkipReason::KeyType };
    let empty = [Failed(NotAKeySet), Failed(NotAKeySet), Failed(NoUsableKey(None))];
    let results = [&[Changed][..], &empty, &[Failed(NoUsableKey(Some(symmetric)))]].concat();
    assert_eq!(*log.0.lock(), results);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_refresher_ends_the_fetching_and_leaves_the_keys() {
    let endpoint = Endpoint::new(old());
    let (refresher, _) = begin(&endpoint);
    let store = Arc::clone(refresher.store());
    store.first_attempt().await;
    drop(refresher);
    pass(3600).await;
    assert_eq!((endpoint.fetches(), kids(&store)), (1, vec!["OLD".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_restart_during_an_outage_works_with_the_set_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let with_directory = Settings { directory: Some(directory.path().to_owned()), ..settings(&Arc::default()) };
    let endpoint = Endpoint::new(old());
    let before = start_with("workforce", source(), None, &with_directory, endpoint.fetcher());
    before.store().first_attempt().await;
    drop(before);

    endpoint.answers(Err(FetchFault::Connect));
    let after = start_with("workforce", source(), None, &with_directory, endpoint.fetcher());
    assert_eq!(kids(after.store()), ["OLD"]);
    after.store().first_attempt().await;
    assert_eq!(kids(after.store()), ["OLD"]);

    let elsewhere = JwksSource::Url { url: "https://example.com/other".to_owned(), ca_file: None };
    let other = start_with("workforce", elsewhere, None, &with_directory, endpoint.fetcher());
    assert_eq!(other.store().key_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_cache_directory_loses_only_the_cache() {
    let settings = Settings { directory: Some("/nonexistent/directory".into()), ..settings(&Arc::default()) };
    let refresher = start_with("workforce", source(), None, &settings, Endpoint::new(old()).fetcher());
    refresher.store().first_attempt().await;
    assert_eq!(kids(refresher.store()), ["OLD"]);
}

#[test]
fn the_order_of_keys_and_members_makes_no_change() {
    assert!(same_keys(br#"{"keys":[{"a":1,"b":2},{"c":3}]}"#, br#"{"x":0,"keys":[{"c":3},{"b":2,"a":1}]}"#));
    assert!(!same_keys(br#"{"keys":[{"a":1}]}"#, br#"{"keys":[{"a":2}]}"#));
    assert!(!same_keys(b"", b"{}"));
}
