//! Parses the answers of a walk.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fetch::answers::ApiResponse;
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
struct Rows {
    #[serde(default)]
    total_count: Option<u64>,
    #[serde(default)]
    data: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParentIds {
    #[serde(default)]
    pub(super) parent_ids: Option<Vec<String>>,
}

/// Parses a JSON object. Serde alone would accept an array.
pub(super) fn parse<'a, T: Deserialize<'a>>(answer: &'a ApiResponse) -> Result<T, Malformed> {
    let body = answer.body.as_slice();
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed);
    }
    serde_json::from_slice(body).map_err(|_| Malformed)
}

/// Parses a page. A page without rows must contain the total number.
fn parse_rows(answer: &ApiResponse) -> Result<Rows, Malformed> {
    let rows: Rows = parse(answer)?;
    if rows.data.is_none() && rows.total_count.is_none() { Err(Malformed) } else { Ok(rows) }
}

/// Parses an answer that is an entity.
pub(super) fn object(entity: Entity, answer: &ApiResponse) -> Result<Object, Malformed> {
    Object::parse(entity, parse(answer)?, answer.read_at).ok_or(Malformed)
}

/// Parses a numbered page. Returns its entities and the total number.
pub(super) fn numbered_page(entity: Entity, answer: &ApiResponse) -> Result<(Vec<Object>, Option<u64>), Malformed> {
    let Rows { total_count, data, .. } = parse_rows(answer)?;
    Ok((objects(entity, data, answer.read_at)?, total_count))
}

/// A page of a list that is read with tokens.
pub(in crate::fetch) struct TokenPage {
    pub(in crate::fetch) rows: Vec<Object>,
    /// The number of rows of the whole list, if the answer contains it.
    pub(in crate::fetch) total: Option<u64>,
    /// The token of the next page. `None` if this is the last one.
    pub(in crate::fetch) next: Option<String>,
}

impl TokenPage {
    /// Parses the answer to a request with the token `sent`. A list whose next page is the same one would never end.
    pub(in crate::fetch) fn parse(entity: Entity, sent: Option<&str>, answer: &ApiResponse) -> Result<Self, Malformed> {
        let Rows { data, next_token, total_count } = parse_rows(answer)?;
        let next = next_token.filter(|token| !token.is_empty());
        if next.is_some() && next.as_deref() == sent {
            return Err(Malformed);
        }
        Ok(Self { rows: objects(entity, data, answer.read_at)?, total: total_count, next })
    }
}

fn objects(entity: Entity, rows: Option<Vec<Box<RawValue>>>, read_at: i64) -> Result<Vec<Object>, Malformed> {
    let rows = rows.unwrap_or_default();
    rows.iter().map(|row| Object::parse(entity, row, read_at).ok_or(Malformed)).collect()
}
