//! Members of a group or an organizational unit. For each member, the last writer wins.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::MEMORY;
use crate::event::Fields;
use crate::json::Json;
use crate::time::Time;

/// A present member.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The name as IDaaS sent it; `None` if it never did.
    pub name: Option<Value>,
    /// The time at which the membership was last confirmed.
    pub since: Time,
}

/// The members of one entity, and marks of removed members.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Members {
    /// The present members by id.
    pub present: BTreeMap<String, Member>,
    /// The times at which members were removed, by id; only removals of the last seven days.
    pub removed: BTreeMap<String, Time>,
    /// The time of the last complete list of members. Older changes do not count.
    pub listed_at: Option<Time>,
}

impl Members {
    /// Applies the membership changes of an event. Returns true if anything changed. `newest` is the time of the
    /// entity's newest event, including this one.
    pub(crate) fn apply(members: &mut Option<Self>, action: &str, fields: &Fields, time: Time, newest: Time) -> bool {
        let list = |list: &Option<Json>| list.as_ref().and_then(Json::list);
        match action {
            "member_added" => list(&fields.added_members).is_some_and(|list| {
                let first = members.is_none();
                let members = members.get_or_insert_default();
                list.iter().filter_map(member).fold(first, |changed, (id, name)| members.add(id, name, time) || changed)
            }),
            "member_removed" => list(&fields.removed_members).is_some_and(|list| {
                let first = members.is_none();
                let members = members.get_or_insert_default();
                let ids = list.iter().filter_map(member).map(|(id, _)| id);
                ids.fold(first, |changed, id| members.remove(id, time, newest) || changed)
            }),
            // IDaaS can send an empty list as null or as an empty text, both of which are null in the event.
            "snapshot" => fields.members.as_ref().and_then(Json::list_or_null).is_some_and(|list| {
                let first = members.is_none();
                members.get_or_insert_default().replace(&list, time) || first
            }),
            _ => false,
        }
    }

    /// Drops the marks of removals that are older than seven days.
    pub(crate) fn forget(&mut self, newest: Time) {
        self.removed.retain(|_, at| is_remembered(*at, newest));
    }

    fn add(&mut self, id: &str, name: Option<&Value>, time: Time) -> bool {
        let removed_later = self.removed.get(id).is_some_and(|at| *at > time);
        if removed_later || self.listed_at.is_some_and(|at| at > time) {
            return false;
        }
        let mut changed = self.removed.remove(id).is_some();
        match self.present.get_mut(id) {
            Some(known) if known.since > time => {}
            Some(known) => {
                changed |= known.since != time;
                known.since = time;
                if let Some(name) = name
                    && known.name.as_ref() != Some(name)
                {
                    known.name = Some(name.clone());
                    changed = true;
                }
            }
            None => {
                self.present.insert(id.to_owned(), Member { name: name.cloned(), since: time });
                changed = true;
            }
        }
        changed
    }

    fn remove(&mut self, id: &str, time: Time, newest: Time) -> bool {
        let added_later = self.present.get(id).is_some_and(|known| known.since > time);
        if added_later || self.listed_at.is_some_and(|at| at > time) {
            return false;
        }
        let mut changed = self.present.remove(id).is_some();
        if is_remembered(time, newest) && self.removed.get(id).is_none_or(|at| *at < time) {
            self.removed.insert(id.to_owned(), time);
            changed = true;
        }
        changed
    }

    /// Applies a complete list: removes the members that are not in it and did not change later. Their removal needs no
    /// mark, because changes older than `listed_at` do not count.
    fn replace(&mut self, list: &[Value], time: Time) -> bool {
        if self.listed_at.is_some_and(|at| at > time) {
            return false;
        }
        let listed: BTreeMap<&str, Option<&Value>> = list.iter().filter_map(member).collect();
        let before = self.present.len();
        self.present.retain(|id, known| known.since > time || listed.contains_key(id.as_str()));
        let mut changed = self.present.len() != before || self.listed_at != Some(time);
        for (id, name) in listed {
            changed |= self.add(id, name, time);
        }
        self.listed_at = Some(time);
        changed
    }
}

/// Returns true if a change at `at` is still remembered when the entity's newest event is of `newest`.
pub(crate) fn is_remembered(at: Time, newest: Time) -> bool {
    newest.since(at) < MEMORY
}

/// Returns id and name of an element of a list. Returns `None` if it has no id.
fn member(value: &Value) -> Option<(&str, Option<&Value>)> {
    let id = value.get("id")?.as_str().filter(|id| !id.is_empty())?;
    Some((id, value.get("name")))
}
