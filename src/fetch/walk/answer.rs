//! Parses the answers of a walk.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fetch::entities::Object;
use idaas_callback::event_type::Entity;

/// An answer does not conform to the API's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fetch) struct Malformed;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    #[serde(default)]
    pub(super) organizational_unit_ids: Option<Vec<String>>,
    #[serde(default)]
    pub(super) group_ids: Option<Vec<String>>,
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rows {
    #[serde(default)]
    pub(super) total_count: Option<u64>,
    #[serde(default)]
    pub(super) data: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParentIds {
    #[serde(default)]
    pub(super) parent_ids: Option<Vec<String>>,
}

/// Parses a JSON object. Serde alone would accept an array.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed);
    }
    serde_json::from_slice(body).map_err(|_| Malformed)
}

/// Parses a page. A page without rows must contain the total number.
pub(super) fn parse_rows(body: &[u8]) -> Result<Rows, Malformed> {
    let rows: Rows = parse(body)?;
    if rows.data.is_none() && rows.total_count.is_none() { Err(Malformed) } else { Ok(rows) }
}

pub(super) fn object(entity: Entity, json: &RawValue) -> Result<Object, Malformed> {
    Object::parse(entity, json).ok_or(Malformed)
}

pub(super) fn objects(entity: Entity, rows: &[Box<RawValue>]) -> Result<Vec<Object>, Malformed> {
    rows.iter().map(|row| object(entity, row)).collect()
}

pub(super) fn after_token(entity: Entity, body: &[u8]) -> Result<(Vec<Object>, Option<String>), Malformed> {
    let Rows { data, next_token, .. } = parse_rows(body)?;
    Ok((objects(entity, &data.unwrap_or_default())?, next_token.filter(|token| !token.is_empty())))
}
