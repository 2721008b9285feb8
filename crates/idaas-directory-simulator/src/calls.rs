//! The API's calls, which only read.

use serde_json::{Map, Value, json};

use crate::api::{ApiError, Parameters};
use crate::directory::Directory;
use crate::faults::Permission;
use crate::views;

const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 100;
const MAX_PAGE: usize = 1_000_000;

/// A call, with the ids in its path.
pub(crate) enum Call<'a> {
    Scope,
    ListUsers,
    GetUser(&'a str),
    ListGroupsForUser(&'a str),
    ListUnits,
    GetUnit(&'a str),
    ListParentIds(&'a str),
    ListGroups,
    GetGroup(&'a str),
    ListUsersForGroup(&'a str),
}

impl<'a> Call<'a> {
    /// Returns the call for a path, relative to the application's path.
    pub(crate) fn of(path: &[&'a str]) -> Option<Self> {
        Some(match *path {
            ["provisioningScope"] => Self::Scope,
            ["users"] => Self::ListUsers,
            ["users", id] => Self::GetUser(id),
            ["users", id, "actions", "listGroupsForUser"] => Self::ListGroupsForUser(id),
            ["organizationalUnits"] => Self::ListUnits,
            ["organizationalUnits", id] => Self::GetUnit(id),
            ["organizationalUnits", id, "parentIds"] => Self::ListParentIds(id),
            ["groups"] => Self::ListGroups,
            ["groups", id] => Self::GetGroup(id),
            ["groups", id, "actions", "listUsersForGroup"] => Self::ListUsersForGroup(id),
            _ => return None,
        })
    }

    /// Returns Alibaba's name of the call.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Scope => "GetApplicationProvisioningScope",
            Self::ListUsers => "ListUsers",
            Self::GetUser(_) => "GetUser",
            Self::ListGroupsForUser(_) => "ListGroupsForUser",
            Self::ListUnits => "ListOrganizationalUnits",
            Self::GetUnit(_) => "GetOrganizationalUnit",
            Self::ListParentIds(_) => "ListOrganizationalUnitParentIds",
            Self::ListGroups => "ListGroups",
            Self::GetGroup(_) => "GetGroup",
            Self::ListUsersForGroup(_) => "ListUsersForGroup",
        }
    }

    /// Returns the permission that the call needs.
    pub(crate) const fn permission(&self) -> Permission {
        match self {
            Self::Scope => Permission::ProvisioningScope,
            Self::ListUsers | Self::GetUser(_) => Permission::Users,
            Self::ListUnits | Self::GetUnit(_) | Self::ListParentIds(_) => Permission::Units,
            Self::ListGroups | Self::GetGroup(_) | Self::ListUsersForGroup(_) | Self::ListGroupsForUser(_) => {
                Permission::Groups
            }
        }
    }
}

/// Answers a call of an application that has the permission.
pub(crate) fn answer(directory: &Directory, call: &Call<'_>, parameters: &Parameters<'_>) -> Result<Value, ApiError> {
    match *call {
        Call::Scope => Ok(json!({
            "organizationalUnitIds": directory.scope_units, "groupIds": directory.scope_groups,
        })),
        Call::ListUsers => list_users(directory, parameters),
        Call::GetUser(id) => user(directory, id).map(|user| Value::Object(views::user_details(directory, user))),
        Call::ListGroupsForUser(id) => groups_of_user(directory, id, parameters),
        Call::ListUnits => list_units(directory, parameters),
        Call::GetUnit(id) => match directory.unit(id) {
            None => Err(ApiError::new(404, "ResourceNotFound.OrganizationalUnit", format!("Not found: {id}"))),
            Some(_) if !directory.unit_in_scope(id) => Err(not_in_scope(id)),
            Some(unit) => Ok(Value::Object(views::unit(directory, unit))),
        },
        Call::ListParentIds(id) if directory.unit_in_scope(id) => {
            let mut parents = directory.ancestors(id).split_off(1);
            parents.retain(|parent| directory.unit_in_scope(parent));
            parents.reverse();
            Ok(json!({"parentIds": parents}))
        }
        Call::ListParentIds(id) => Err(not_in_scope(id)),
        Call::ListGroups => list_groups(directory, parameters),
        Call::GetGroup(id) => group(directory, id).map(|group| Value::Object(views::group(directory, group))),
        Call::ListUsersForGroup(id) => {
            let mut members = group(directory, id)?.members.clone();
            members.sort_unstable();
            let entry = |id: &String| json!({"userId": id, "instanceId": directory.instance_id});
            after_token(&members, parameters, entry)
        }
    }
}

fn list_users(directory: &Directory, parameters: &Parameters<'_>) -> Result<Value, ApiError> {
    let view = |id: &String| directory.user(id).map(|user| views::user(directory, user));
    match parameters.get("organizationalUnitId") {
        Some(unit) if !directory.unit_in_scope(unit) => Err(not_in_scope(unit)),
        Some(unit) => page(directory.users_in(unit), parameters, view),
        None => {
            let mut ids = directory.user_ids();
            ids.retain(|id| directory.user(id).is_some_and(|user| directory.user_in_scope(user)));
            page(&ids, parameters, view)
        }
    }
}

fn list_units(directory: &Directory, parameters: &Parameters<'_>) -> Result<Value, ApiError> {
    let parent = parameters.get("parentId").ok_or_else(|| {
        ApiError::new(400, "MissingParameter.ParentId", "The specified parameter:ParentId is required!")
    })?;
    if !directory.unit_in_scope(parent) {
        return Err(not_in_scope(parent));
    }
    let view = |id: &String| directory.unit(id).map(|unit| views::unit(directory, unit));
    page(directory.children_of(parent), parameters, view)
}

fn list_groups(directory: &Directory, parameters: &Parameters<'_>) -> Result<Value, ApiError> {
    let start = parameters.get("groupNameStartWith").unwrap_or_default();
    let mut ids = directory.scope_groups.clone();
    ids.retain(|id| directory.group(id).is_some_and(|group| group.name.starts_with(start)));
    ids.sort_unstable();
    let view = |id: &String| directory.group(id).map_or(Value::Null, |group| views::group(directory, group).into());
    after_token(&ids, parameters, view)
}

fn groups_of_user(directory: &Directory, id: &str, parameters: &Parameters<'_>) -> Result<Value, ApiError> {
    let person = user(directory, id)?;
    let mut groups = directory.scope_groups.clone();
    groups.retain(|group| directory.group(group).is_some_and(|group| group.members.contains(&person.id)));
    groups.sort_unstable();
    let entry = |id: &String| {
        json!({
            "groupId": id, "groupMemberRelationSourceId": directory.instance_id,
            "groupMemberRelationSourceType": "build_in", "instanceId": directory.instance_id,
        })
    };
    after_token(&groups, parameters, entry)
}

fn user<'d>(directory: &'d Directory, id: &str) -> Result<&'d crate::User, ApiError> {
    match directory.user(id) {
        None => Err(ApiError::new(404, "ResourceNotFound.User", format!("The specified user not found: {id}"))),
        // Alibaba does not document this answer.
        Some(user) if !directory.user_in_scope(user) => {
            Err(ApiError::new(400, "UserIdNotInScopes", format!("userId : {id} not in provisioning scope!")))
        }
        Some(user) => Ok(user),
    }
}

fn group<'d>(directory: &'d Directory, id: &str) -> Result<&'d crate::Group, ApiError> {
    match directory.group(id) {
        None => Err(ApiError::new(404, "ResourceNotFound.Group", format!("The specified group not found: {id}"))),
        Some(_) if !directory.scope_groups.iter().any(|known| known == id) => {
            Err(ApiError::new(400, "GroupIdNotInScopes", format!("groupId : {id} not in provisioning scope!")))
        }
        Some(group) => Ok(group),
    }
}

fn not_in_scope(unit: &str) -> ApiError {
    let text = format!("organizationUnitId : {unit} not in provisioning scope!");
    ApiError::new(400, "OrganizationUnitIdNotInScopes", text)
}

/// Returns a numbered page. Entities that are added or removed between two requests shift the rows of later pages.
fn page(
    ids: &[String],
    parameters: &Parameters<'_>,
    view: impl Fn(&String) -> Option<Map<String, Value>>,
) -> Result<Value, ApiError> {
    let number = parameters.number("pageNumber", 1, MAX_PAGE)?;
    let size = parameters.number("pageSize", DEFAULT_SIZE, MAX_SIZE)?;
    let data: Vec<_> = ids.iter().skip((number - 1) * size).take(size).filter_map(view).collect();
    Ok(json!({"totalCount": ids.len(), "data": data}))
}

/// Returns the page after a token, which contains the last id of the previous page. The rows are sorted.
fn after_token(
    ids: &[String],
    parameters: &Parameters<'_>,
    view: impl Fn(&String) -> Value,
) -> Result<Value, ApiError> {
    let size = parameters.number("maxResults", DEFAULT_SIZE, MAX_SIZE)?;
    let last = match parameters.get("nextToken") {
        None => "",
        Some(token) => token
            .strip_prefix("NT")
            .ok_or_else(|| ApiError::new(400, "InvalidParameter.NextToken", "The specified NextToken is not valid"))?,
    };
    let mut rest = ids.iter().filter(|id| id.as_str() > last);
    let data: Vec<_> = rest.by_ref().take(size).collect();
    let mut answer = json!({
        "totalCount": ids.len(), "maxResults": size, "data": data.iter().map(|id| view(id)).collect::<Vec<_>>(),
    });
    if let (Some(last), Some(_)) = (data.last(), rest.next())
        && let Some(answer) = answer.as_object_mut()
    {
        answer.insert("nextToken".to_owned(), json!(format!("NT{last}")));
    }
    Ok(answer)
}
