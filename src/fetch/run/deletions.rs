//! Requests the known entities that the walk did not see, and publishes proven deletions.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::verify::{Suspect, is_mass_deletion, missing};
use super::super::walk::TokenPage;
use super::{ApiFault, ByEntity, Call, Cause, Client, Entity, Known, Object, Rejection, Run, RunFault, Walk};
use serde_json::value::RawValue;

/// The API's answer about an entity.
enum Existence {
    Exists(Object),
    /// The entity does not exist. Contains the time of the request in milliseconds since 1970.
    Gone(i64),
    /// The answer is inconclusive.
    Unclear,
}

/// An entity kind with too many deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MassDeletion {
    /// The kind of entity.
    pub entity: Entity,
    /// The number of entities that do not exist. Verification stopped there, so there can be more.
    pub gone: usize,
    /// The number of entities in the state topics.
    pub known: usize,
}

impl Run<'_> {
    pub(super) async fn verify_deletions(&mut self, walk: &Walk) -> Result<(), RunFault> {
        let mut suspects = Vec::new();
        let mut refused = Vec::new();
        for entity in ByEntity::<()>::ENTITIES {
            let ids = self.known.as_ref().map(|known| missing(known.ids(entity), walk.seen(entity)));
            let ids = ids.unwrap_or_default();
            self.summary.count(entity, |counts| counts.missing = ids.len() as u64);
            let known = self.known.as_ref().map_or(0, |known: &Known| known.len(entity));
            let before = suspects.len();
            for id in ids {
                match self.ask(entity, &id).await? {
                    Existence::Exists(object) => self.publish(vec![object]).await?,
                    Existence::Gone(_) => suspects.push(Suspect { entity, id, answered_at: Instant::now() }),
                    Existence::Unclear => self.summary.count(entity, |counts| counts.unclear += 1),
                }
                let gone = suspects.len() - before;
                if is_mass_deletion(gone, known) && !self.settings.allow_mass_deletion {
                    refused.push(MassDeletion { entity, gone, known });
                    break;
                }
                self.report(walk.progress());
            }
        }
        if !refused.is_empty() {
            return Err(RunFault::MassDeletion(refused));
        }
        // Children are deleted before their parents.
        suspects.reverse();
        for suspect in suspects {
            self.confirm_deletion(suspect).await?;
            self.report(walk.progress());
        }
        Ok(())
    }

    /// Requests the entity a second time, and publishes the deletion if it still does not exist.
    async fn confirm_deletion(&mut self, suspect: Suspect) -> Result<(), RunFault> {
        tokio::time::sleep(suspect.wait(Instant::now())).await;
        let Suspect { entity, id, .. } = suspect;
        match self.ask(entity, &id).await? {
            Existence::Exists(object) => self.publish(vec![object]).await,
            Existence::Unclear => {
                self.summary.count(entity, |counts| counts.unclear += 1);
                Ok(())
            }
            Existence::Gone(read_at) => {
                let Some(object) = Object::with_id(entity, &id, read_at) else { return Ok(()) };
                let Some(item) = self.item(&object, true) else { return Ok(()) };
                if self.published.contains(item.id.text()) {
                    self.summary.count(entity, |counts| counts.resumed += 1);
                    return Ok(());
                }
                self.publish_items(vec![(entity, item)], |counts| counts.deleted += 1).await
            }
        }
    }

    async fn ask(&mut self, entity: Entity, id: &str) -> Result<Existence, RunFault> {
        let Some(call) = Call::by_id(entity, id.to_owned()) else { return Ok(Existence::Unclear) };
        let answer = match self.client.call(&call).await {
            Ok(answer) => answer,
            Err(ApiFault { cause: Cause::Rejected(rejection), .. }) => match rejection {
                Rejection::NotFound => return Ok(Existence::Gone(self.client.read_at())),
                Rejection::NotInScope | Rejection::Other(_, _) | Rejection::PermissionDenied(_) => {
                    return Ok(Existence::Unclear);
                }
                rejection @ (Rejection::InvalidClient
                | Rejection::GrantNotAllowed
                | Rejection::OtherApplication
                | Rejection::ApplicationDisabled
                | Rejection::ApiDisabled
                | Rejection::ApplicationNotFound
                | Rejection::InstanceNotFound) => {
                    return Err(RunFault::Api(fault(&call, Cause::Rejected(rejection))));
                }
            },
            Err(fault) => return Err(RunFault::Api(fault)),
        };
        let malformed = || RunFault::Api(fault(&call, Cause::Malformed));
        let json: Box<RawValue> = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        // An answer about another entity proves nothing.
        let object =
            Object::parse(entity, &json, answer.read_at).filter(|object| object.id == id).ok_or_else(malformed)?;
        let object = if entity == Entity::Group {
            match members(&mut self.client, id).await? {
                Some(members) => object.with_members(&members),
                None => return Ok(Existence::Unclear),
            }
        } else {
            object
        };
        Ok(Existence::Exists(object))
    }
}

/// Returns the members of a group. `None` if it no longer exists, or if the list has fewer members than its total.
async fn members(client: &mut Client, group: &str) -> Result<Option<Vec<String>>, RunFault> {
    let (mut members, mut token) = (BTreeSet::new(), None);
    loop {
        let call = Call::Members { group: group.to_owned(), token: token.clone() };
        let answer = match client.call(&call).await {
            Ok(answer) => answer,
            Err(ApiFault { cause: Cause::Rejected(rejection), .. }) if rejection.is_about_the_entity() => {
                return Ok(None);
            }
            Err(fault) => return Err(RunFault::Api(fault)),
        };
        let page = TokenPage::parse(Entity::User, token.as_deref(), &answer)
            .map_err(|_| RunFault::Api(fault(&call, Cause::Malformed)))?;
        members.extend(page.rows.into_iter().map(|user| user.id));
        token = page.next;
        if token.is_none() {
            let is_complete = page.total.is_none_or(|total| members.len() as u64 >= total);
            return Ok(is_complete.then(|| members.into_iter().collect()));
        }
    }
}

fn fault(call: &Call, cause: Cause) -> ApiFault {
    ApiFault { call: call.name(), permission: call.permission(), cause }
}
