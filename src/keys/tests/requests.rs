//! Fetches that tokens and operators request, besides the regular ones.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_there_within_two_seconds_of_its_first_use() {
    let endpoint = Endpoint::new(old());
    *endpoint.takes.lock() = Duration::from_millis(800);
    let (refresher, _) = begin(&endpoint);
    refresher.store().first_attempt().await;
    endpoint.answers(new());
    let current = refresher.store().current();
    let set = &current.as_ref().expect("keys").set;
    assert_eq!(set.verify("NEW", b"", b""), Verification::UnknownKey);
    refresher.store().refresh_after_unknown_kid();
    let asked = Instant::now();
    while kids(refresher.store()) != ["NEW"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_causes_one_fetch_in_ten_seconds() {
    let endpoint = Endpoint::new(old());
    *endpoint.takes.lock() = Duration::from_millis(300);
    let (refresher, _) = begin(&endpoint);
    refresher.store().first_attempt().await;
    for _ in 0..10_000 {
        for _ in 0..100 {
            refresher.store().refresh_after_unknown_kid();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked: Vec<Instant> = endpoint.asked.lock().clone();
    assert_eq!(asked.len(), 1 + 10);
    assert!(asked.windows(2).skip(1).all(|pair| pair[1] - pair[0] >= Duration::from_secs(10)));
    assert_eq!(endpoint.busy.lock().1, 1, "two fetches at a time");
}

#[tokio::test(start_paused = true)]
async fn a_key_replaced_under_its_id_is_accepted_within_36_s() {
    let (before, after) = (SigningKey::generate("SAME").expect("a key"), SigningKey::generate("SAME").expect("a key"));
    let document = |key: &SigningKey| Ok(key.to_jwks().to_string().into_bytes());
    let endpoint = Endpoint::new(document(&before));
    let (refresher, _) = begin(&endpoint);
    let store = refresher.store();
    store.first_attempt().await;
    // The worst case: a forgery has just used up the cool-down.
    store.refresh_after_bad_signature();
    pass(1).await;
    endpoint.answers(document(&after));
    let signature = after.sign(b"input").expect("a signature");
    let mut answers = Vec::new();
    // The sender's schedule.
    for delay in [0, 1, 5, 10, 10, 10] {
        pass(delay).await;
        let verification = store.current().as_ref().expect("keys").set.verify("SAME", b"input", &signature);
        if verification == Verification::Bad {
            store.refresh_after_bad_signature();
        }
        answers.push(verification);
    }
    assert_eq!(answers.last(), Some(&Verification::Good), "{answers:?}");
    assert_eq!(endpoint.times(), [0, 0, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_forgeries_causes_one_fetch_in_ten_seconds() {
    let endpoint = Endpoint::new(old());
    let (refresher, _) = begin(&endpoint);
    refresher.store().first_attempt().await;
    for _ in 0..10_000 {
        refresher.store().refresh_after_bad_signature();
        refresher.store().refresh_after_unknown_kid();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((endpoint.fetches(), endpoint.busy.lock().1), (1 + 10, 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_cause_at_most_one_fetch_in_ten_seconds() {
    let endpoint = Endpoint::new(old());
    let (refresher, _) = begin(&endpoint);
    refresher.store().first_attempt().await;
    endpoint.answers(Err(FetchFault::Connect));
    for _ in 0..10_000 {
        refresher.store().refresh_after_unknown_kid();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(endpoint.fetches(), 1 + 10);
    assert_eq!(kids(refresher.store()), ["OLD"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_during_the_cool_down_is_fetched_after_it() {
    let endpoint = Endpoint::new(old());
    let (refresher, _) = begin(&endpoint);
    refresher.store().first_attempt().await;
    refresher.store().refresh_after_unknown_kid();
    pass(3).await;
    endpoint.answers(new());
    refresher.store().refresh_after_unknown_kid();
    pass(6).await;
    assert_eq!((endpoint.fetches(), kids(refresher.store())), (2, vec!["OLD".to_owned()]));
    pass(2).await;
    assert_eq!((endpoint.times(), kids(refresher.store())), (vec![0, 0, 10], vec!["NEW".to_owned()]));
    pass(500).await;
    assert_eq!(endpoint.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_during_a_fetch_causes_one_more_fetch() {
    let endpoint = Endpoint::new(old());
    *endpoint.takes.lock() = Duration::from_secs(2);
    let (refresher, _) = begin(&endpoint);
    pass(1).await;
    refresher.store().refresh_after_unknown_kid();
    refresher.store().refresh_after_unknown_kid();
    pass(9).await;
    assert_eq!(endpoint.times(), [0, 2]);
    assert_eq!(endpoint.busy.lock().1, 1, "two fetches at a time");
}

#[tokio::test(start_paused = true)]
async fn a_demand_by_the_operator_waits_for_no_cool_down() {
    let endpoint = Endpoint::new(old());
    let (refresher, _) = begin(&endpoint);
    refresher.store().refresh_after_unknown_kid();
    pass(1).await;
    refresher.store().refresh_now();
    pass(1).await;
    assert_eq!(endpoint.times(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_demand_during_a_fetch_is_met_by_the_next_one() {
    let endpoint = Endpoint::new(old());
    *endpoint.takes.lock() = Duration::from_secs(2);
    let (refresher, _) = begin(&endpoint);
    refresher.store().refreshed().await;
    pass(1).await;
    refresher.store().refresh_now();
    refresher.store().refreshed().await;
    assert_eq!(endpoint.times(), [0, 2]);
    assert_eq!(endpoint.asked.lock()[1].elapsed(), Duration::from_secs(2));
}
