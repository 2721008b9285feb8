//! The schemas of published records, embedded in the binary: one JSON Schema per topic, and the AsyncAPI document.
//!
//! Nothing here validates records. `idaas_callback` creates records that match, and tests verify that.

use idaas_callback::event_type::Entity;

/// A document that describes the topics for consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// Events of user accounts.
    User,
    /// Events of organizational units.
    OrganizationalUnit,
    /// Events of groups.
    Group,
    /// The console's connection test.
    Connectivity,
    /// Authentic events of a type that this version does not know.
    Unclassified,
    /// Authentic events that could not be converted to a record.
    DeadLetter,
    /// Sealed passwords.
    Credential,
    /// All topics, headers and payloads, as AsyncAPI 3 in YAML.
    Asyncapi,
}

impl Schema {
    /// All documents, in display order.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::OrganizationalUnit,
        Self::Group,
        Self::Connectivity,
        Self::Unclassified,
        Self::DeadLetter,
        Self::Credential,
        Self::Asyncapi,
    ];

    /// Returns the entity of the records. `None` for [`Schema::Asyncapi`], which describes all of them.
    const fn entity(self) -> Option<Entity> {
        match self {
            Self::User => Some(Entity::User),
            Self::OrganizationalUnit => Some(Entity::OrganizationalUnit),
            Self::Group => Some(Entity::Group),
            Self::Connectivity => Some(Entity::Connectivity),
            Self::Unclassified => Some(Entity::Unclassified),
            Self::DeadLetter => Some(Entity::DeadLetter),
            Self::Credential => Some(Entity::Credential),
            Self::Asyncapi => None,
        }
    }

    /// Returns the document's name: the entity as in topic names and in `ce_type`, or `asyncapi`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.entity() {
            Some(entity) => entity.name(),
            None => "asyncapi",
        }
    }

    /// Returns the document: JSON Schema 2020-12, or YAML for [`Schema::Asyncapi`]. Ends with a line feed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::User => include_str!("../schemas/user.schema.json"),
            Self::OrganizationalUnit => include_str!("../schemas/organizational-unit.schema.json"),
            Self::Group => include_str!("../schemas/group.schema.json"),
            Self::Connectivity => include_str!("../schemas/connectivity.schema.json"),
            Self::Unclassified => include_str!("../schemas/unclassified.schema.json"),
            Self::DeadLetter => include_str!("../schemas/dead-letter.schema.json"),
            Self::Credential => include_str!("../schemas/credential.schema.json"),
            Self::Asyncapi => include_str!("../asyncapi/asyncapi.yaml"),
        }
    }

    /// Returns all names, in the order of [`Schema::ALL`].
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name)
    }

    /// Returns the document with this name, or `None` if there is none.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.name() == name)
    }
}

/// The schema of the records of a state topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateSchema {
    /// The current state of user accounts.
    User,
    /// The current state of organizational units.
    OrganizationalUnit,
    /// The current state of groups.
    Group,
}

impl StateSchema {
    /// All schemas, in display order.
    pub const ALL: [Self; 3] = [Self::User, Self::OrganizationalUnit, Self::Group];

    /// Returns the schema's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user-state",
            Self::OrganizationalUnit => "organizational-unit-state",
            Self::Group => "group-state",
        }
    }

    /// Returns the JSON Schema 2020-12. Ends with a line feed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::User => include_str!("../schemas/user-state.schema.json"),
            Self::OrganizationalUnit => include_str!("../schemas/organizational-unit-state.schema.json"),
            Self::Group => include_str!("../schemas/group-state.schema.json"),
        }
    }
}

/// Returns all documents by name: events, states, and the AsyncAPI document last.
pub fn documents() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |schema: Schema| (schema.name(), schema.text());
    let events = Schema::ALL.into_iter().filter(|schema| *schema != Schema::Asyncapi).map(of);
    let states = StateSchema::ALL.into_iter().map(|schema| (schema.name(), schema.text()));
    events.chain(states).chain([of(Schema::Asyncapi)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_document() {
        for schema in Schema::ALL {
            assert_eq!(Schema::find(schema.name()), Some(schema));
        }
        assert_eq!(Schema::names().count(), Schema::ALL.len());
    }

    #[test]
    fn each_entity_has_a_document() {
        let described: Vec<_> = Schema::ALL.into_iter().filter_map(Schema::entity).collect();
        assert_eq!(described, Entity::ALL);
    }

    #[test]
    fn a_state_schema_identifies_itself_by_its_name() {
        for schema in StateSchema::ALL {
            let document: serde_json::Value = serde_json::from_str(schema.text()).unwrap();
            assert_eq!(document["$id"], format!("urn:idaas-bridge:schema:{}:v1", schema.name()));
        }
    }

    #[test]
    fn an_unknown_name_finds_nothing() {
        assert_eq!(Schema::find("users"), None);
        assert_eq!(Schema::find(""), None);
    }

    #[test]
    fn a_schema_identifies_itself_by_its_name() {
        for schema in Schema::ALL.into_iter().filter(|schema| *schema != Schema::Asyncapi) {
            let document: serde_json::Value = serde_json::from_str(schema.text()).unwrap();
            assert_eq!(document["$id"], format!("urn:idaas-bridge:schema:{}:v1", schema.name()));
        }
    }
}
