//! The `ce_id`s of a run's records.

use sha2::{Digest, Sha256};

use super::RunSettings;
use crate::fetch::client::ClientSettings;
use crate::fetch::known::ID_PREFIX;
use idaas_callback::event_type::Entity;

/// Derives the `ce_id`s of a run's records. They depend only on the run and the entity, so that duplicates can be
/// recognized.
pub(super) struct RunIds {
    run: String,
    instance_id: String,
    application_id: String,
}

impl RunIds {
    pub(super) fn of(settings: &RunSettings) -> Self {
        let ClientSettings { instance_id, application_id, .. } = &settings.client;
        Self { run: settings.run.clone(), instance_id: instance_id.clone(), application_id: application_id.clone() }
    }

    pub(super) fn of_record(&self, entity: Entity, id: &str, deleted: bool) -> String {
        let kind = [entity.name(), if deleted { ":deleted" } else { "" }].concat();
        let mut hash = Sha256::new();
        for part in [&self.run, &self.instance_id, &self.application_id, &kind, id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digits = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
        [ID_PREFIX, &digits].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_run_application_entity_and_action() {
        let ids = |run: &str, application: &str| RunIds {
            run: run.to_owned(),
            instance_id: "idaas_i".to_owned(),
            application_id: application.to_owned(),
        };
        let id = ids("a", "app_x").of_record(Entity::User, "u", false);
        assert!(id.starts_with(ID_PREFIX) && id.len() == ID_PREFIX.len() + 32, "{id}");
        assert_eq!(id, ids("a", "app_x").of_record(Entity::User, "u", false));
        for other in [
            ids("b", "app_x").of_record(Entity::User, "u", false),
            ids("a", "app_y").of_record(Entity::User, "u", false),
            ids("a", "app_x").of_record(Entity::User, "v", false),
            ids("a", "app_x").of_record(Entity::Group, "u", false),
            ids("a", "app_x").of_record(Entity::User, "u", true),
        ] {
            assert_ne!(id, other);
        }
    }
}
