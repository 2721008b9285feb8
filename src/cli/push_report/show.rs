//! Prints full pushes as text or as JSON.

use std::io::{self, Write};

use idaas_state::Entity;
use serde_json::{Map, Value, json};

use super::runs::{Kind, Run};
use crate::config::Config;
use crate::terminal::{HEADING, QUIET, Table, styled};
use idaas_callback::timestamp::rfc3339;

/// Prints all runs.
pub(super) fn all(runs: &[Run], config: &Config, list: bool, json: bool, out: &mut dyn Write) -> io::Result<()> {
    for (number, run) in runs.iter().enumerate() {
        let application = config.applications.iter().find(|application| application.id == run.application);
        let name = application.map(|application| application.name.as_str());
        if json {
            writeln!(out, "{}", object(run, name, list))?;
        } else {
            if number > 0 {
                writeln!(out)?;
            }
            table(run, name, list, out)?;
        }
    }
    if !json {
        let note = "Not mentioned does not mean deleted: a push can cover a part of the directory.";
        writeln!(out, "\n{}", styled(QUIET, note))?;
    }
    out.flush()
}

const fn plural(entity: Entity) -> &'static str {
    match entity {
        Entity::User => "users",
        Entity::OrganizationalUnit => "organizational units",
        Entity::Group => "groups",
    }
}

fn time(millis: i64) -> String {
    rfc3339(millis).unwrap_or_else(|| millis.to_string())
}

fn count(run: &Run, entity: Entity, kind: Kind) -> usize {
    run.mentioned.get(&entity).map_or(0, |ids| ids.values().filter(|known| **known == kind).count())
}

fn unmentioned(run: &Run, entity: Entity) -> Option<&[String]> {
    let all = run.unmentioned.as_ref()?;
    Some(all.get(&entity).map_or(&[], Vec::as_slice))
}

fn table(run: &Run, name: Option<&str>, list: bool, out: &mut dyn Write) -> io::Result<()> {
    let application = name.map_or_else(|| run.application.clone(), |name| format!("{name} ({})", run.application));
    writeln!(out, "{}", styled(HEADING, format!("Full push of {application}")))?;
    writeln!(out, "{} to {}, snapshots: {}", time(run.begin), time(run.end), run.snapshots)?;
    let mut table = Table::new(["", ">new", ">changed", ">unchanged", ">not mentioned"]);
    for entity in Entity::ALL {
        let [new, changed, unchanged] =
            [Kind::New, Kind::Changed, Kind::Unchanged].map(|kind| count(run, entity, kind).to_string());
        let absent = unmentioned(run, entity).map_or_else(|| "?".to_owned(), |ids| ids.len().to_string());
        table.row([plural(entity).to_owned(), new, changed, unchanged, absent]);
    }
    write!(out, "{table}")?;
    if run.unmentioned.is_none() {
        writeln!(
            out,
            "? = the state topics do not exist, or this user may not see them; see `idaas-bridge materialize --help`"
        )?;
    }
    for entity in Entity::ALL.into_iter().filter(|_| list) {
        for id in unmentioned(run, entity).into_iter().flatten() {
            writeln!(out, "not mentioned: {} {id}", entity.name())?;
        }
    }
    Ok(())
}

fn object(run: &Run, name: Option<&str>, list: bool) -> Value {
    let entities = Entity::ALL.map(|entity| {
        let ids = unmentioned(run, entity);
        let mut counts = json!({
            "new": count(run, entity, Kind::New),
            "changed": count(run, entity, Kind::Changed),
            "unchanged": count(run, entity, Kind::Unchanged),
            "notMentioned": ids.map(<[String]>::len),
        });
        if let (Some(ids), Some(counts)) = (ids.filter(|_| list), counts.as_object_mut()) {
            counts.insert("notMentionedIds".to_owned(), ids.into());
        }
        (entity.name().to_owned(), counts)
    });
    json!({
        "applicationId": run.application,
        "application": name,
        "begin": time(run.begin),
        "end": time(run.end),
        "snapshots": run.snapshots,
        "entities": Map::from_iter(entities),
    })
}
