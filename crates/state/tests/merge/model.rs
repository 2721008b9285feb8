//! A slow model of the merge, which keeps all events.

use std::collections::BTreeMap;

use idaas_state::{Entity, Event, Json, Path, Time};
use serde_json::{Value, json};

use crate::folded::Folded;

/// The slow model: all events since the last deletion that counts.
#[derive(Default)]
pub(crate) struct Model<'e> {
    events: Vec<&'e Event>,
    deleted_at: Option<Time>,
}

impl<'e> Model<'e> {
    pub(crate) fn apply(&mut self, event: &'e Event) {
        let newest = self.events.iter().map(|event| event.time).max();
        if self.deleted_at.is_some_and(|at| event.time <= at) {
            return;
        }
        if event.action != "deleted" {
            self.events.push(event);
        } else if newest.is_none_or(|newest| event.time >= newest) {
            self.events.clear();
            self.deleted_at = Some(event.time);
        }
    }

    /// The newest of the events that say something about a thing, and what they say; the last one of equal times.
    fn newest<T>(&self, says: impl Fn(&Event) -> Option<T>) -> Option<(Time, T)> {
        let said = self.events.iter().filter_map(|event| Some((event.time, says(event)?)));
        said.reduce(|one, other| if other.0 >= one.0 { other } else { one })
    }

    fn fields(&self) -> BTreeMap<Vec<String>, (Value, Time)> {
        let mut paths: Vec<Vec<String>> = vec![vec!["status".to_owned()]];
        for event in &self.events {
            let fields = event.fields.to_value();
            for (name, value) in fields.as_object().unwrap() {
                match value.as_object() {
                    Some(inner) => paths.extend(inner.keys().map(|inner| vec![name.clone(), inner.clone()])),
                    None => paths.push(vec![name.clone()]),
                }
            }
        }
        paths.retain(|path| !path[0].to_lowercase().ends_with("members"));
        let carried = |event: &Event, path: &[String]| {
            path.iter().try_fold(&event.fields.to_value(), |value, name| value.get(name)).cloned()
        };
        let value_of = |path: &Vec<String>| {
            self.newest(|event| {
                let status = ["enabled", "disabled"].contains(&event.action.as_str()) && path == &["status"];
                carried(event, path).or_else(|| (status && event.entity == Entity::User).then(|| json!(event.action)))
            })
        };
        paths.into_iter().filter_map(|path| value_of(&path).map(|(time, value)| (path, (value, time)))).collect()
    }

    /// The members, each with the time of its newest change; `None` if no event lists any.
    fn members(&self) -> Option<BTreeMap<String, Time>> {
        let ids = |event: &Event, name: &str| -> Option<Vec<String>> {
            let fields = event.fields.to_value();
            let list = fields.get(name)?.as_array()?;
            Some(list.iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect())
        };
        let says = |event: &Event, id: &str| -> Option<bool> {
            let has = |name| ids(event, name).map(|ids| ids.iter().any(|known| known == id));
            match event.action.as_str() {
                "member_added" => has("addedMembers").filter(|has| *has),
                "member_removed" => has("removedMembers").filter(|has| *has).map(|_| false),
                "snapshot" => has("members"),
                _ => None,
            }
        };
        let carries = |event: &Event, name: &str| event.fields.to_value().get(name).is_some();
        let is_known = self.events.iter().any(|event| match event.action.as_str() {
            "member_added" => carries(event, "addedMembers"),
            "member_removed" => carries(event, "removedMembers"),
            "snapshot" => carries(event, "members"),
            _ => false,
        });
        let member = |id: &str| {
            let word = self.newest(|event| says(event, id));
            word.filter(|(_, present)| *present).map(|(time, _)| (id.to_owned(), time))
        };
        is_known.then(|| (0..5).filter_map(|id| member(&format!("m{id}"))).collect())
    }
}

pub(crate) fn assert_equal(folded: &Folded, model: &Model<'_>) {
    let Some(state) = folded.live() else {
        assert!(model.events.is_empty());
        return;
    };
    let path = |path: &Path| path.names().map(|name| name.to_string()).collect::<Vec<_>>();
    let fields: BTreeMap<_, _> =
        state.fields.iter().map(|(at, field)| (path(at), (field.value.to_value(), field.time))).collect();
    assert_eq!(fields, model.fields());
    assert_eq!(Some(state.last.time), model.events.iter().map(|event| event.time).max());
    let members = state.members.as_ref().map(|members| {
        members.present.iter().map(|(id, member)| (id.clone(), member.since)).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(members, model.members());
    let additional: BTreeMap<_, _> =
        state.additional.iter().map(|(name, field)| (name.as_str(), (field.value.to_value(), field.time))).collect();
    for name in ["a", "b"] {
        let newest = model.newest(|event| event.additional.get(name).map(Json::to_value));
        assert_eq!(additional.get(name).cloned(), newest.map(|(time, value)| (value, time)));
    }
}
