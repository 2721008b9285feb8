//! What operators are told and can do.

use super::*;
use crate::jose::jwe::Sealed;
use crate::journal::desk::Found;

#[tokio::test]
async fn a_summary_counts_by_where_entries_belong_and_shows_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let mut all = entries(0..6000);
    for entry in all.iter_mut().skip(5990) {
        entry.application = "partners".to_owned();
    }
    put(&mut store, &all);
    let desk = crate::journal::Desk::alone(store, key('a')).unwrap();
    let summary = desk.summary(2).await.unwrap();
    let groups: Vec<_> = summary.groups.iter().map(|group| (group.application.as_str(), group.events)).collect();
    assert_eq!(groups, [("partners", 10), ("workforce", 5990)]);
    assert_eq!((summary.events, summary.limit_bytes, summary.oldest_accepted_at), (6000, ROOM, Some(1_000_000)));
    assert_eq!(summary.oldest.iter().map(|entry| entry.event_id.as_str()).collect::<Vec<_>>(), ["evnt_0", "evnt_1"]);
}

#[tokio::test]
async fn an_export_has_every_entry_once_and_nothing_personal_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    let desk = desk_with_entries(directory.path());
    let (mut lines, mut from) = (String::new(), Some(0));
    while let Some(place) = from {
        let (page, next) = desk.export(place, 2).await.unwrap();
        lines.push_str(&page);
        from = next;
    }
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["eventId"].as_str().unwrap()).collect::<Vec<_>>(),
        ["evnt_0", "evnt_1", "evnt_2"]
    );
    for (seq, line) in (0..).zip(&lines) {
        let sealed = line["value"].as_str().unwrap();
        assert_eq!(key('a').open(Sealed::parse(sealed).unwrap()).ok().unwrap(), super::noise(seq, 300));
    }
}

#[tokio::test]
async fn one_thing_can_be_removed_by_its_id_and_nothing_by_a_name_of_several() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let mut all = entries(0..3);
    // The same eventId from another application.
    all.push(Entry { seq: Seq(3), application: "partners".to_owned(), ..entry(0) });
    put(&mut store, &all);
    let desk = crate::journal::Desk::alone(store, key('a')).unwrap();
    assert!(matches!(desk.find("evnt_1").await.unwrap(), Found::Event(found) if found.seq == 1));
    assert!(matches!(desk.discard("evnt_1").await.unwrap(), Found::Event(_)));
    let several = Found::Several(vec!["workforce/evnt_0".to_owned(), "partners/evnt_0".to_owned()]);
    assert_eq!(desk.discard("evnt_0").await.unwrap(), several);
    assert!(matches!(desk.discard("partners/evnt_0").await.unwrap(), Found::Event(found) if found.seq == 3));
    assert_eq!(desk.discard("evnt_9").await.unwrap(), Found::Nothing);
    drop(desk);
    assert_eq!(held(directory.path()), [0, 2]);
}
