//! Groups snapshot records into full pushes, and determines what each push changed. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use idaas_state::{Entity, Entry, Event, Outcome, State, apply};
use serde_json::Value;

use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::history::tail::TopicRecord;

/// How a snapshot compares to the known state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// No value differs.
    Unchanged,
    /// A value differs.
    Changed,
    /// The entity was not known.
    New,
}

/// One full push.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Id of the application in IDaaS.
    pub(super) application: String,
    /// Timestamps of its first and last snapshot, in milliseconds since 1970.
    pub(super) begin: i64,
    pub(super) end: i64,
    /// Number of its snapshot records.
    pub(super) snapshots: u64,
    /// The mentioned entities by kind and id.
    pub(super) mentioned: BTreeMap<Entity, BTreeMap<String, Kind>>,
    /// Ids of existing entities that it did not mention; `None` if the state topics do not exist.
    pub(super) unmentioned: Option<BTreeMap<Entity, Vec<String>>>,
}

/// A snapshot record.
struct Snapshot {
    at: i64,
    entity: Entity,
    id: String,
    kind: Kind,
}

/// State of an entity according to the events.
struct Known {
    entry: Entry,
    /// Timestamp of the entity's first event on the topic, in milliseconds since 1970.
    first: i64,
}

/// Builds runs from the records of the topics.
pub(super) struct Folder {
    pairs: Vec<TopicPair>,
    known: HashMap<(usize, String), Known>,
    snapshots: BTreeMap<String, Vec<Snapshot>>,
    /// Application of each existing entity.
    current: HashMap<(usize, String), String>,
}

impl Folder {
    pub(super) fn new(pairs: Vec<TopicPair>) -> Self {
        Self { pairs, known: HashMap::new(), snapshots: BTreeMap::new(), current: HashMap::new() }
    }

    /// Adds a record of an event topic, in the order of its partition.
    pub(super) fn event(&mut self, seen: &TopicRecord) {
        let Some(index) = self.pairs.iter().position(|pair| pair.events == seen.topic) else { return };
        let Some(pair) = self.pairs.get(index) else { return };
        let at = seen.timestamp.unwrap_or_default();
        let headers = seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let Ok(event) = Event::read(pair.entity, headers, &seen.value, at) else { return };
        let key = (index, event.id.clone());
        let before = self.known.remove(&key);
        let (entry, first) = before.map_or((None, at), |known| (Some(known.entry), known.first));
        let outcome = apply(entry.clone(), &event).outcome;
        if event.action == "snapshot" {
            let kind = kind(entry.as_ref(), &outcome);
            let snapshot = Snapshot { at, entity: pair.entity, id: event.id, kind };
            self.snapshots.entry(event.application_id).or_default().push(snapshot);
        }
        let entry = match outcome {
            Outcome::Unchanged => entry,
            Outcome::Updated(state) => Some(Entry::Live(state)),
            Outcome::Deleted(deletion) => Some(Entry::Deleted(deletion)),
        };
        self.known.extend(entry.map(|entry| (key, Known { entry, first })));
    }

    /// Adds a record of a state topic, in the order of its partition.
    pub(super) fn state(&mut self, seen: &TopicRecord) {
        let Some(index) = self.pairs.iter().position(|pair| pair.states == seen.topic) else { return };
        let Some(id) = seen.key.clone().and_then(|key| String::from_utf8(key).ok()) else { return };
        let value = serde_json::from_slice::<Value>(&seen.value).ok();
        let application = value.as_ref().and_then(|value| value.pointer("/state/applicationId")?.as_str());
        match application {
            Some(application) => drop(self.current.insert((index, id), application.to_owned())),
            None => drop(self.current.remove(&(index, id))),
        }
    }

    /// Returns the full pushes, ordered by their start.
    pub(super) fn runs(mut self, gap: Duration, states_exist: bool) -> Vec<Run> {
        let gap = i64::try_from(gap.as_millis()).unwrap_or(i64::MAX);
        let mut runs: Vec<Run> = Vec::new();
        for (application, mut snapshots) in std::mem::take(&mut self.snapshots) {
            snapshots.sort_by_key(|snapshot| snapshot.at);
            let first = runs.len();
            for Snapshot { at, entity, id, kind } in snapshots {
                let fits = |run: &&mut Run| at.saturating_sub(run.end) <= gap;
                let last = if runs.len() > first { runs.last_mut() } else { None };
                let run = match last.filter(fits) {
                    Some(run) => run,
                    None => {
                        runs.push(Run::begin(&application, at));
                        let Some(run) = runs.last_mut() else { continue };
                        run
                    }
                };
                run.end = at;
                run.snapshots += 1;
                let known = run.mentioned.entry(entity).or_default().entry(id).or_insert(kind);
                *known = (*known).max(kind);
            }
        }
        runs.sort_by_key(|run| run.begin);
        for run in runs.iter_mut().filter(|_| states_exist) {
            run.unmentioned = Some(self.unmentioned(run));
        }
        runs
    }

    /// Returns the existing entities of the run's application that were known when it ended and that it did not
    /// mention.
    fn unmentioned(&self, run: &Run) -> BTreeMap<Entity, Vec<String>> {
        let mut unmentioned: BTreeMap<Entity, Vec<String>> = BTreeMap::new();
        for (key, application) in &self.current {
            let Some(entity) = self.pairs.get(key.0).map(|pair| pair.entity) else { continue };
            let came_later = self.known.get(key).is_some_and(|known| known.first > run.end);
            let mentioned = run.mentioned.get(&entity).is_some_and(|ids| ids.contains_key(&key.1));
            if *application == run.application && !came_later && !mentioned {
                unmentioned.entry(entity).or_default().push(key.1.clone());
            }
        }
        unmentioned.values_mut().for_each(|ids| ids.sort());
        unmentioned
    }
}

impl Run {
    fn begin(application: &str, at: i64) -> Self {
        Self {
            application: application.to_owned(),
            begin: at,
            end: at,
            snapshots: 0,
            mentioned: BTreeMap::new(),
            unmentioned: None,
        }
    }
}

/// Keeps only the newest run of each application.
pub(super) fn keep_newest(runs: &mut Vec<Run>) {
    let newest: HashMap<String, i64> = runs.iter().map(|run| (run.application.clone(), run.begin)).collect();
    runs.retain(|run| newest.get(&run.application) == Some(&run.begin));
}

fn kind(before: Option<&Entry>, outcome: &Outcome) -> Kind {
    let before = match before {
        Some(Entry::Live(state)) => Some(state),
        Some(Entry::Deleted(_)) | None => None,
    };
    match (before, outcome) {
        (_, Outcome::Unchanged) => Kind::Unchanged,
        (None, _) => Kind::New,
        (Some(before), Outcome::Updated(after)) if has_same_values(before, after) => Kind::Unchanged,
        (Some(_), Outcome::Updated(_) | Outcome::Deleted(_)) => Kind::Changed,
    }
}

/// Returns true if all values are equal, regardless of their times.
fn has_same_values(one: &State, other: &State) -> bool {
    let fields = |state: &State| -> Vec<_> {
        state.fields.iter().map(|(path, field)| (path.clone(), field.value.clone())).collect()
    };
    let additional = |state: &State| -> Vec<_> {
        state.additional.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect()
    };
    let members = |state: &State| -> Vec<String> {
        state.members.iter().flat_map(|members| members.present.keys().cloned()).collect()
    };
    fields(one) == fields(other) && additional(one) == additional(other) && members(one) == members(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder() -> Folder {
        let pair = |entity: Entity| TopicPair {
            entity,
            events: entity.name().to_owned(),
            states: format!("{}.state", entity.name()),
        };
        Folder::new(Entity::ALL.map(pair).to_vec())
    }

    fn seen(topic: &str, id: &str, at: i64, value: &Value) -> TopicRecord {
        TopicRecord {
            topic: topic.to_owned(),
            partition: 0,
            offset: at,
            timestamp: Some(at),
            key: Some(id.as_bytes().to_vec()),
            headers: vec![("ce_id".to_owned(), format!("e{at}").into_bytes())],
            value: value.to_string().into_bytes(),
        }
    }

    fn event(application: &str, id: &str, action: &str, at: i64, name: &str) -> TopicRecord {
        let origin = json!({"applicationId": application});
        seen("user", id, at, &json!({"action": action, "user": {"id": id, "username": name}, "origin": origin}))
    }

    #[test]
    fn a_gap_or_another_application_begins_another_run() {
        let mut folder = folder();
        for (application, at) in [("a", 0), ("a", 500), ("b", 600), ("a", 1600), ("a", 1700)] {
            folder.event(&event(application, &format!("u{at}"), "snapshot", at, "n"));
        }
        let mut runs = folder.runs(Duration::from_millis(1000), false);
        let spans: Vec<_> = runs.iter().map(|run| (run.application.as_str(), run.begin, run.end)).collect();
        assert_eq!(spans, [("a", 0, 500), ("b", 600, 600), ("a", 1600, 1700)]);
        assert!(runs.iter().all(|run| run.unmentioned.is_none()));
        keep_newest(&mut runs);
        assert_eq!(runs.iter().map(|run| run.begin).collect::<Vec<_>>(), [600, 1600]);
    }

    #[test]
    fn entities_are_new_changed_unchanged_or_not_mentioned() {
        let mut folder = folder();
        for (id, name) in [("changed", "old"), ("same", "n"), ("absent", "n"), ("deleted", "n"), ("other", "n")] {
            folder.event(&event("a", id, "created", 1, name));
        }
        for id in ["changed", "same", "new"] {
            folder.event(&event("a", id, "snapshot", 100, "n"));
        }
        folder.event(&event("a", "later", "created", 200, "n"));
        let state = |application: &str| json!({"state": {"applicationId": application}});
        for id in ["changed", "same", "new", "absent", "deleted", "later"] {
            folder.state(&seen("user.state", id, 300, &state("a")));
        }
        folder.state(&seen("user.state", "other", 300, &state("b")));
        folder.state(&TopicRecord { value: Vec::new(), ..seen("user.state", "deleted", 301, &Value::Null) });
        let runs = folder.runs(Duration::from_secs(1), true);
        let [run] = &runs[..] else { panic!("{runs:?}") };
        let kinds: Vec<_> = run.mentioned[&Entity::User].iter().map(|(id, kind)| (id.as_str(), *kind)).collect();
        assert_eq!(kinds, [("changed", Kind::Changed), ("new", Kind::New), ("same", Kind::Unchanged)]);
        assert_eq!(run.unmentioned.as_ref().unwrap()[&Entity::User], ["absent"]);
    }
}
