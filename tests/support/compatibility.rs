//! Compares a schema with the one released before, and names each difference that could break a consumer.
//!
//! Within one version a schema may gain optional properties, actions, definitions and better words; nothing else.
//! Widening breaks too: a consumer that was promised text cannot read `null`. So whatever is not known to be harmless
//! is a break. Understands the part of JSON Schema 2020-12 that our schemas use: references are local and not
//! recursive.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// Keywords that only tell something to people.
const ANNOTATIONS: [&str; 8] =
    ["$comment", "$defs", "default", "deprecated", "description", "examples", "readOnly", "title"];

/// What a difference does to consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BreakKind {
    /// Another `$id` or `$schema`: no longer the same document.
    ChangedIdentity,
    /// A property is gone: consumers that read it find nothing.
    RemovedProperty,
    /// A property must be there that was optional: records already on the topic no longer fit.
    NewRequired,
    /// A property that was promised may be missing.
    LostRequired,
    /// Fewer JSON types than before.
    NarrowedType,
    /// More JSON types than before, or other ones.
    WidenedType,
    /// Fewer values than before.
    NarrowedEnum,
    /// More values than before, in a list that was closed.
    WidenedEnum,
    /// Another pattern, or one where there was none, or none any more.
    ChangedPattern,
    /// Unknown members are no longer allowed, so that nothing could ever be added.
    ClosedObject,
    /// An action or a reason is no longer documented.
    RemovedAction,
    /// Any other keyword that decides about validity was added, removed or changed.
    ChangedKeyword,
}

/// One difference that could break a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// What kind.
    pub(crate) kind: BreakKind,
    /// Where, as names joined by `/`, with references followed: `properties/user/properties/id`.
    pub(crate) path: String,
    /// Which keyword or name.
    pub(crate) what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at /{}: {}", self.kind, self.path, self.what)
    }
}

/// Every break between the `released` schema and the `current` one, in document order. Empty if consumers are safe.
pub(crate) fn breaking_changes(released: &Value, current: &Value) -> Vec<Break> {
    let mut comparison = Comparison { released, current, breaks: Vec::new() };
    for keyword in ["$schema", "$id"] {
        if released.get(keyword) != current.get(keyword) {
            comparison.report(BreakKind::ChangedIdentity, "", keyword);
        }
    }
    comparison.schemas(released, current, "");
    comparison.breaks
}

struct Comparison<'a> {
    released: &'a Value,
    current: &'a Value,
    breaks: Vec<Break>,
}

impl Comparison<'_> {
    fn report(&mut self, kind: BreakKind, path: &str, what: impl Into<String>) {
        self.breaks.push(Break { kind, path: path.to_owned(), what: what.into() });
    }

    fn schemas(&mut self, released: &Value, current: &Value, path: &str) {
        let (old, new) = (expand(released, self.released), expand(current, self.current));
        let (Value::Object(old), Value::Object(new)) = (&old, &new) else {
            if old != new {
                self.report(BreakKind::ChangedKeyword, path, "another schema");
            }
            return;
        };
        let keywords: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for keyword in keywords {
            self.keyword(keyword, old, new, path);
        }
    }

    fn keyword(&mut self, keyword: &str, old: &Map<String, Value>, new: &Map<String, Value>, path: &str) {
        let (before, now) = (old.get(keyword), new.get(keyword));
        match keyword {
            "$id" | "$schema" => {}
            "examples" if ["properties/action", "properties/reason"].contains(&path) => self.actions(before, now, path),
            _ if ANNOTATIONS.contains(&keyword) => {}
            "properties" => self.properties(before, now, path),
            "required" => self.required(before, now, path),
            "type" => self.set(before, now, path, "type", BreakKind::NarrowedType, BreakKind::WidenedType),
            "enum" => self.set(before, now, path, "enum", BreakKind::NarrowedEnum, BreakKind::WidenedEnum),
            "pattern" if before != now => self.report(BreakKind::ChangedPattern, path, keyword),
            "additionalProperties" if before != now && !open(now) => {
                self.report(BreakKind::ClosedObject, path, keyword);
            }
            "items" => match (before, now) {
                (Some(before), Some(now)) => self.schemas(before, now, &join(path, "items")),
                _ => self.report(BreakKind::ChangedKeyword, path, keyword),
            },
            // What has no rule of its own is compared whole: with its references followed, and without its words.
            _ => {
                let before = before.map(|value| substance(value, self.released));
                let now = now.map(|value| substance(value, self.current));
                if before != now && !(keyword == "additionalProperties" && open(before.as_ref()) && open(now.as_ref()))
                {
                    self.report(BreakKind::ChangedKeyword, path, keyword);
                }
            }
        }
    }

    fn properties(&mut self, before: Option<&Value>, now: Option<&Value>, path: &str) {
        let Some(Value::Object(before)) = before else { return };
        for (name, schema) in before {
            match now.and_then(|now| now.get(name)) {
                Some(now) => self.schemas(schema, now, &join(&join(path, "properties"), name)),
                None => self.report(BreakKind::RemovedProperty, path, name),
            }
        }
    }

    fn required(&mut self, before: Option<&Value>, now: Option<&Value>, path: &str) {
        let (before, now) = (members(before), members(now));
        for name in now.difference(&before) {
            self.report(BreakKind::NewRequired, path, name);
        }
        for name in before.difference(&now) {
            self.report(BreakKind::LostRequired, path, name);
        }
    }

    fn actions(&mut self, before: Option<&Value>, now: Option<&Value>, path: &str) {
        for name in members(before).difference(&members(now)) {
            self.report(BreakKind::RemovedAction, path, name);
        }
    }

    /// A keyword that lists what is allowed; where it stands not at all, everything is.
    fn set(
        &mut self,
        before: Option<&Value>,
        now: Option<&Value>,
        path: &str,
        keyword: &str,
        narrowed: BreakKind,
        widened: BreakKind,
    ) {
        let (old, new) = (members(before), members(now));
        if (before.is_none() && now.is_some()) || (now.is_some() && !old.is_subset(&new)) {
            self.report(narrowed, path, keyword);
        }
        if (before.is_some() && now.is_none()) || (before.is_some() && !new.is_subset(&old)) {
            self.report(widened, path, keyword);
        }
    }
}

/// `additionalProperties` that lets everything through: absent or `true`.
fn open(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Bool(true)))
}

fn members(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        None => BTreeSet::new(),
        Some(Value::Array(values)) => values.iter().map(name).collect(),
        Some(value) => BTreeSet::from([name(value)]),
    }
}

fn name(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// The schema with a reference at its top replaced by what it refers to; what stands beside the reference is added.
fn expand(schema: &Value, root: &Value) -> Value {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema.clone() };
    let pointer = reference.strip_prefix('#').expect("a reference within the document");
    let mut target = expand(root.pointer(pointer).expect("a reference to something that is there"), root);
    if let (Some(target), Some(beside)) = (target.as_object_mut(), schema.as_object()) {
        for (keyword, value) in beside.iter().filter(|(keyword, _)| *keyword != "$ref") {
            target.insert(keyword.clone(), value.clone());
        }
    }
    target
}

/// A keyword's value with all references followed and all words for people left out.
fn substance(value: &Value, root: &Value) -> Value {
    match expand(value, root) {
        Value::Object(keywords) => keywords
            .into_iter()
            .filter(|(keyword, _)| !ANNOTATIONS.contains(&keyword.as_str()))
            .map(|(keyword, value)| match (keyword.as_str(), value) {
                // Names chosen by us, not keywords: a property may be called `description`.
                ("properties", Value::Object(names)) => {
                    (keyword, names.iter().map(|(name, schema)| (name.clone(), substance(schema, root))).collect())
                }
                ("const" | "enum", value) => (keyword, value),
                (_, value) => (keyword, substance(&value, root)),
            })
            .collect(),
        Value::Array(values) => values.iter().map(|value| substance(value, root)).collect(),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => scalar,
    }
}
