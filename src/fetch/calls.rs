//! The calls of the Developer API (version 2022-02-25) that `fetch` uses.

use std::fmt::Write;

use url::form_urlencoded;

use idaas_callback::event_type::Entity;

/// Maximum number of rows in a page.
pub(super) const PAGE_SIZE: usize = 100;

/// A call with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Lists the units and groups in the application's synchronization scope.
    Scope,
    /// Gets one unit.
    Unit(String),
    /// Lists the ancestors of a unit that are in the scope.
    ParentIds(String),
    /// Lists the direct child units of a unit.
    Units {
        /// The parent unit.
        parent: String,
        /// The page, from 1.
        page: usize,
    },
    /// Lists the direct users of a unit.
    Users {
        /// The unit.
        unit: String,
        /// The page, from 1.
        page: usize,
    },
    /// Gets one user with all fields.
    User(String),
    /// Lists the groups that the application may read.
    Groups {
        /// The token of the page. `None` requests the first.
        token: Option<String>,
    },
    /// Gets one group without its members.
    Group(String),
    /// Lists the members of a group.
    Members {
        /// The group.
        group: String,
        /// The token of the page. `None` requests the first.
        token: Option<String>,
    },
}

impl Call {
    /// Returns Alibaba's name of the call.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scope => "GetApplicationProvisioningScope",
            Self::Unit(_) => "GetOrganizationalUnit",
            Self::ParentIds(_) => "ListOrganizationalUnitParentIds",
            Self::Units { .. } => "ListOrganizationalUnits",
            Self::Users { .. } => "ListUsers",
            Self::User(_) => "GetUser",
            Self::Groups { .. } => "ListGroups",
            Self::Group(_) => "GetGroup",
            Self::Members { .. } => "ListUsersForGroup",
        }
    }

    /// Returns the permission that the call needs, as far as it is known.
    #[must_use]
    pub const fn permission(&self) -> &'static str {
        match self {
            Self::Scope => "the application's API permissions",
            Self::Unit(_) | Self::ParentIds(_) | Self::Units { .. } => {
                "urn:alibaba:idaas:scope:organizational_unit:read_all"
            }
            Self::Users { .. } | Self::User(_) => "urn:alibaba:idaas:scope:user:read_all",
            Self::Groups { .. } | Self::Group(_) | Self::Members { .. } => "urn:alibaba:idaas:scope:group:read_all",
        }
    }

    /// Returns the kind of entity whose absence an answer `ResourceNotFound` reports.
    #[must_use]
    pub const fn entity(&self) -> Option<Entity> {
        match self {
            Self::Scope => None,
            Self::Unit(_) | Self::ParentIds(_) | Self::Units { .. } | Self::Users { .. } => {
                Some(Entity::OrganizationalUnit)
            }
            Self::User(_) => Some(Entity::User),
            Self::Groups { .. } => None,
            Self::Group(_) | Self::Members { .. } => Some(Entity::Group),
        }
    }

    /// Returns the call that gets one entity by its id. `None` if a directory has no such entity.
    pub(super) fn by_id(entity: Entity, id: String) -> Option<Self> {
        match entity {
            Entity::User => Some(Self::User(id)),
            Entity::OrganizationalUnit => Some(Self::Unit(id)),
            Entity::Group => Some(Self::Group(id)),
            Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => None,
        }
    }

    /// Returns path and query, relative to the application's path.
    pub(super) fn path(&self) -> String {
        let page = |number: &usize| ("pageNumber", number.to_string());
        let size = || ("pageSize", PAGE_SIZE.to_string());
        let most = || ("maxResults", PAGE_SIZE.to_string());
        let next = |token: &Option<String>| token.iter().map(|token| ("nextToken", token.clone())).collect::<Vec<_>>();
        match self {
            Self::Scope => "/provisioningScope".to_owned(),
            Self::Unit(id) => format!("/organizationalUnits/{}", segment(id)),
            Self::ParentIds(id) => format!("/organizationalUnits/{}/parentIds", segment(id)),
            Self::Units { parent, page: number } => {
                with_query("/organizationalUnits", [("parentId", parent.clone()), page(number), size()])
            }
            Self::Users { unit, page: number } => {
                with_query("/users", [("organizationalUnitId", unit.clone()), page(number), size()])
            }
            Self::User(id) => format!("/users/{}", segment(id)),
            Self::Groups { token } => with_query("/groups", std::iter::once(most()).chain(next(token))),
            Self::Group(id) => format!("/groups/{}", segment(id)),
            Self::Members { group, token } => {
                let path = format!("/groups/{}/actions/listUsersForGroup", segment(group));
                with_query(&path, std::iter::once(most()).chain(next(token)))
            }
        }
    }
}

/// Encodes a text as a path segment (RFC 3986 §3.3): everything but unreserved characters is percent-encoded.
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

fn with_query(path: &str, parameters: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{path}?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_segment_or_parameter() {
        assert_eq!(Call::User("a/../b?c=d&é".to_owned()).path(), "/users/a%2F..%2Fb%3Fc%3Dd%26%C3%A9");
        let call = Call::Users { unit: "a&pageSize=1".to_owned(), page: 2 };
        assert_eq!(call.path(), "/users?organizationalUnitId=a%26pageSize%3D1&pageNumber=2&pageSize=100");
    }

    #[test]
    fn first_page_of_a_token_list_has_no_token() {
        assert_eq!(Call::Groups { token: None }.path(), "/groups?maxResults=100");
        let call = Call::Members { group: "g".to_owned(), token: Some("NT=".to_owned()) };
        assert_eq!(call.path(), "/groups/g/actions/listUsersForGroup?maxResults=100&nextToken=NT%3D");
    }
}
