//! A value as given in the file or by an environment variable, and its conversion to plain types.
//!
//! Diagnoses from here name types and never contents, because any value can be a secret.

use std::collections::BTreeMap;

use toml::Value;

use crate::diagnosis::{Diagnosis, misconfigured};

/// A value, and the key under which its faults are reported.
pub(super) struct RawValue {
    pub(super) key: String,
    pub(super) raw: Raw,
}

pub(super) enum Raw {
    /// A value in the file that is neither a table nor a list.
    Plain(Value),
    /// The text of an environment variable.
    Variable(String),
    List(Vec<RawValue>),
    Table(Entries),
}

pub(super) type Entries = BTreeMap<String, RawValue>;

impl RawValue {
    /// Reads a value of the file, and what is in it, under the name `key`.
    pub(super) fn from_file(key: String, value: Value) -> Self {
        let raw = match value {
            Value::Table(table) => Raw::Table(
                table
                    .into_iter()
                    .map(|(name, value)| {
                        let raw_value = Self::from_file(join(&key, &name), value);
                        (name, raw_value)
                    })
                    .collect(),
            ),
            Value::Array(items) => Raw::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| Self::from_file(format!("{key}[{index}]"), item))
                    .collect(),
            ),
            plain @ (Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)) => Raw::Plain(plain),
        };
        Self { key, raw }
    }

    /// Describes the value's type, for diagnoses.
    fn kind(&self) -> &'static str {
        match &self.raw {
            Raw::Variable(_) | Raw::Plain(Value::String(_)) => "is a string",
            Raw::Plain(Value::Integer(_) | Value::Float(_)) => "is a number",
            Raw::Plain(Value::Boolean(_)) => "is a boolean",
            Raw::Plain(Value::Datetime(_)) => "is a date",
            Raw::List(_) | Raw::Plain(Value::Array(_)) => "is a list",
            Raw::Table(_) | Raw::Plain(Value::Table(_)) => "is a table",
        }
    }

    pub(super) fn mismatch(&self, remedy: impl Into<String>) -> Diagnosis {
        misconfigured(self.kind(), remedy)
    }

    /// Returns the value as trimmed text. An empty text is a fault, because it usually is a variable that should have
    /// been set.
    pub(super) fn text(&self) -> Result<&str, Diagnosis> {
        let text = match &self.raw {
            Raw::Variable(text) | Raw::Plain(Value::String(text)) => text.trim(),
            Raw::Plain(_) | Raw::List(_) | Raw::Table(_) => return Err(self.mismatch("write a string in quotes")),
        };
        if text.is_empty() { Err(misconfigured("is empty", "set a value, or remove the key")) } else { Ok(text) }
    }

    pub(super) fn boolean(&self) -> Result<bool, Diagnosis> {
        match &self.raw {
            Raw::Plain(Value::Boolean(value)) => Ok(*value),
            Raw::Variable(text) if text.trim() == "true" => Ok(true),
            Raw::Variable(text) if text.trim() == "false" => Ok(false),
            Raw::Plain(_) | Raw::Variable(_) | Raw::List(_) | Raw::Table(_) => {
                Err(self.mismatch("write true or false, without quotes"))
            }
        }
    }

    pub(super) fn integer(&self) -> Result<i64, Diagnosis> {
        match &self.raw {
            Raw::Plain(Value::Integer(value)) => Ok(*value),
            Raw::Variable(text) => {
                text.trim().parse().map_err(|_| misconfigured("is not a whole number", "write digits only"))
            }
            Raw::Plain(_) | Raw::List(_) | Raw::Table(_) => Err(self.mismatch("write a whole number, without quotes")),
        }
    }

    /// Returns the value as a list. A variable's text is split at commas.
    pub(super) fn list(self) -> Result<Vec<Self>, Diagnosis> {
        match self.raw {
            Raw::List(items) => Ok(items),
            Raw::Variable(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Self { key: self.key.clone(), raw: Raw::Variable(item.to_owned()) })
                .collect()),
            Raw::Plain(_) | Raw::Table(_) => Err(self.mismatch("write a list: [\"…\", \"…\"]")),
        }
    }

    pub(super) fn table(self) -> Result<Entries, Diagnosis> {
        match self.raw {
            Raw::Table(entries) => Ok(entries),
            Raw::Variable(_) => {
                Err(misconfigured("is a table, and one variable cannot set it", "set its keys one by one: …__<KEY>"))
            }
            Raw::Plain(_) | Raw::List(_) => Err(self.mismatch("write a table here: [section] and keys below it")),
        }
    }
}

/// Joins a path and a name as TOML does: `kafka` and `sasl.password` give `kafka."sasl.password"`.
pub(super) fn join(path: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
