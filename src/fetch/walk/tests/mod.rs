//! Walks through a simulated directory, without a socket.

use std::collections::BTreeSet;

use idaas_directory_simulator::{Directory, Options, Request, Simulator};
use serde_json::Value;

use super::*;
use crate::fetch::answers::{Meaning, meaning};

struct Environment {
    simulator: Simulator,
    authorization: String,
}

/// The result of a walk.
struct Walked {
    walk: Walk,
    found: Vec<(Entity, String, Value)>,
    calls: Vec<Call>,
    /// The call that each entity's time is that of.
    read_by: Vec<(Entity, Call)>,
}

impl Environment {
    fn new(users: usize) -> Self {
        let simulator = Simulator::new(Options::new(users));
        let Options { instance_id, application_id, client_secret, .. } = simulator.options();
        let path = format!("/v2/{instance_id}/{application_id}/oauth2/token");
        let form = format!("grant_type=client_credentials&client_id={application_id}&client_secret={client_secret}");
        let request = Request { method: "POST", path: &path, query: "", authorization: None, body: form.as_bytes() };
        let body = simulator.answer(&request, 0).body.unwrap();
        let authorization = format!("Bearer {}", body["access_token"].as_str().unwrap());
        Self { simulator, authorization }
    }

    fn answer(&self, call: &Call) -> Result<Vec<u8>, Meaning> {
        let options = self.simulator.options();
        let path = format!("/v2/{}/{}{}", options.instance_id, options.application_id, call.path());
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let authorization = Some(self.authorization.as_str());
        let response = self.simulator.answer(&Request { method: "GET", path, query, authorization, body: b"" }, 1);
        let body = response.body.unwrap().to_string().into_bytes();
        let meaning = meaning(response.status, &body, call.entity());
        if meaning == Meaning::Answered { Ok(body) } else { Err(meaning) }
    }

    /// Runs a walk to its end. `meanwhile` can change the directory before each call.
    fn walk(&self, options: WalkOptions, mut meanwhile: impl FnMut(&Call, &mut Directory)) -> Walked {
        let mut walk = Walk::new(options, |_| false);
        let (mut found, mut calls, mut read_by) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(call) = walk.next() {
            assert!(calls.len() < 10_000, "the walk does not end");
            self.simulator.with_directory(|directory| meanwhile(&call, directory));
            let time = i64::try_from(calls.len()).unwrap();
            calls.push(call.clone());
            let new = match self.answer(&call) {
                Ok(body) => walk.answered(call, &ApiResponse { body, read_at: time }).unwrap(),
                Err(_) => walk.rejected(call),
            };
            found.extend(new.into_iter().map(|object| {
                read_by.push((object.entity, calls[usize::try_from(object.read_at).unwrap()].clone()));
                let json = serde_json::from_str(object.json().unwrap().get()).unwrap();
                (object.entity, object.id, json)
            }));
        }
        Walked { walk, found, calls, read_by }
    }
}

impl Walked {
    fn ids(&self, entity: Entity) -> Vec<&str> {
        self.found.iter().filter(|(known, ..)| *known == entity).map(|(_, id, _)| id.as_str()).collect()
    }

    fn set(&self, entity: Entity) -> BTreeSet<&str> {
        let ids = self.ids(entity);
        let set: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(set.len(), ids.len(), "something was found twice");
        set
    }

    fn entity(&self, id: &str) -> &Value {
        &self.found.iter().find(|(_, known, _)| known == id).unwrap().2
    }
}

fn set(ids: &[String]) -> BTreeSet<&str> {
    ids.iter().map(String::as_str).collect()
}

fn nothing(_: &Call, _: &mut Directory) {}

#[test]
fn everything_is_found_once_and_parents_come_first() {
    let environment = Environment::new(1200);
    let walked = environment.walk(WalkOptions::default(), nothing);
    assert_eq!(walked.walk.problems(), []);
    let (units, users, groups) =
        environment.simulator.with_directory(|all| (all.unit_ids(), all.user_ids(), all.group_ids()));
    assert_eq!(walked.set(Entity::OrganizationalUnit), set(&units));
    assert_eq!(walked.set(Entity::User), set(&users));
    assert_eq!(walked.set(Entity::Group), set(&groups));
    let mut seen = BTreeSet::new();
    for id in walked.ids(Entity::OrganizationalUnit) {
        if let Some(parent) = walked.entity(id)["parentId"].as_str() {
            assert!(seen.contains(parent), "{id} comes before its parent");
        }
        seen.insert(id);
    }
    let kinds: Vec<_> = walked.found.iter().map(|(entity, ..)| *entity).collect();
    let mut once = kinds.clone();
    once.dedup();
    assert_eq!(once, [Entity::OrganizationalUnit, Entity::User, Entity::Group]);
}

#[test]
fn groups_have_all_their_members() {
    let environment = Environment::new(1000);
    let walked = environment.walk(WalkOptions::default(), nothing);
    for id in walked.ids(Entity::Group) {
        let mut members = environment.simulator.with_directory(|all| all.group(id).unwrap().members.clone());
        members.sort_unstable();
        let read: Vec<_> = walked.entity(id)["allMembers"].as_array().unwrap().iter().collect();
        let read: Vec<_> = read.iter().map(|member| member["memberId"].as_str().unwrap()).collect();
        assert_eq!(read, members);
    }
}

#[test]
fn entity_has_the_time_of_the_first_request_that_read_it() {
    let environment = Environment::new(300);
    // Members of the groups that are in no unit of the scope are requested before their group is complete.
    environment.simulator.with_directory(|all| all.scope_units = vec![all.children_of("ou_root")[1].clone()]);
    let walked = environment.walk(WalkOptions::default(), nothing);
    for (entity, call) in &walked.read_by {
        let is_first = match call {
            Call::Groups { .. } | Call::Group(_) => *entity == Entity::Group,
            Call::Users { .. } | Call::User(_) => *entity == Entity::User,
            Call::Units { .. } | Call::Unit(_) => *entity == Entity::OrganizationalUnit,
            Call::Scope | Call::ParentIds(_) | Call::Members { .. } => false,
        };
        assert!(is_first, "{entity:?} by {call:?}");
    }
    assert!(walked.read_by.iter().any(|(entity, _)| *entity == Entity::Group));
}

#[test]
fn details_are_asked_for_each_user_once() {
    let environment = Environment::new(150);
    let walked = environment.walk(WalkOptions { details: true }, nothing);
    assert_eq!(walked.set(Entity::User).len(), 150);
    assert_eq!(walked.calls.iter().filter(|call| matches!(call, Call::User(_))).count(), 150);
    let user = walked.ids(Entity::User)[0];
    assert!(walked.entity(user)["organizationalUnits"].is_array() && walked.entity(user)["groups"].is_null());
}

#[test]
fn published_users_are_not_asked_for_again() {
    let environment = Environment::new(150);
    let mut walk = Walk::new(WalkOptions { details: true }, |_| true);
    let mut found = 0;
    while let Some(call) = walk.next() {
        assert!(!matches!(call, Call::User(_)));
        let answer = ApiResponse { body: environment.answer(&call).unwrap(), read_at: 0 };
        found += walk.answered(call, &answer).unwrap().iter().filter(|found| found.entity == Entity::User).count();
    }
    assert_eq!(found, 150);
}

#[test]
fn users_in_scope_by_a_group_only_are_found() {
    let environment = Environment::new(300);
    environment.simulator.with_directory(|all| all.scope_units = vec![all.children_of("ou_root")[1].clone()]);
    let walked = environment.walk(WalkOptions::default(), nothing);
    let groups = environment.simulator.with_directory(|all| {
        all.group_ids().iter().flat_map(|id| all.group(id).unwrap().members.clone()).collect::<Vec<_>>()
    });
    assert!(set(&groups).is_subset(&walked.set(Entity::User)));
    let position = |id: &str| walked.found.iter().position(|(_, known, _)| known == id).unwrap();
    for group in walked.ids(Entity::Group) {
        for member in walked.entity(group)["allMembers"].as_array().unwrap() {
            assert!(position(member["memberId"].as_str().unwrap()) < position(group));
        }
    }
}

#[test]
fn unit_of_the_scope_below_another_one_comes_after_its_parent() {
    let environment = Environment::new(1000);
    environment.simulator.with_directory(|all| {
        let child = all.children_of("ou_root")[0].clone();
        all.scope_units = vec![all.children_of(&child)[0].clone(), child];
    });
    let walked = environment.walk(WalkOptions::default(), nothing);
    let units = walked.ids(Entity::OrganizationalUnit);
    let scope = environment.simulator.with_directory(|all| all.scope_units.clone());
    assert_eq!(units[0], scope[1]);
    assert!(walked.set(Entity::OrganizationalUnit).contains(scope[0].as_str()));
}

#[test]
fn unit_that_moves_to_a_part_that_was_read_is_found() {
    let environment = Environment::new(2000);
    let (mut moved, mut users) = (String::new(), Vec::new());
    let walked = environment.walk(WalkOptions::default(), |call, all| {
        // As soon as the second child of the root is read, a unit moves from the third to the first.
        let children = all.children_of("ou_root").to_vec();
        if moved.is_empty() && matches!(call, Call::Units { parent, .. } if *parent == children[1]) {
            moved = all.children_of(&children[2])[0].clone();
            users = all.users_in(&moved).to_vec();
            assert!(all.move_unit(&moved, &children[0], 5));
        }
    });
    assert!(!moved.is_empty() && !users.is_empty());
    assert!(walked.set(Entity::OrganizationalUnit).contains(moved.as_str()));
    assert!(set(&users).is_subset(&walked.set(Entity::User)));
}

#[test]
fn users_deleted_and_created_between_pages_hide_nobody() {
    let environment = Environment::new(2000);
    let before = environment.simulator.with_directory(|all| all.user_ids());
    let mut deleted = Vec::new();
    let walked = environment.walk(WalkOptions::default(), |call, all| {
        if let Call::Users { unit, page: 2 } = call
            && deleted.len() < 3
        {
            let first = all.users_in(unit)[0].clone();
            all.delete_user(&first);
            deleted.push(first);
        }
    });
    assert!(!deleted.is_empty());
    let remaining: Vec<_> = before.into_iter().filter(|id| !deleted.contains(id)).collect();
    assert!(set(&remaining).is_subset(&walked.set(Entity::User)));
    assert_eq!(walked.walk.problems(), []);
}

#[test]
fn user_who_vanishes_before_the_details_is_not_found() {
    let environment = Environment::new(100);
    let mut gone = String::new();
    let walked = environment.walk(WalkOptions { details: true }, |call, all| {
        if let (Call::User(id), true) = (call, gone.is_empty()) {
            gone.clone_from(id);
            all.delete_user(id);
        }
    });
    assert!(!walked.set(Entity::User).contains(gone.as_str()));
    assert_eq!((walked.walk.vanished(), walked.set(Entity::User).len()), (1, 99));
    assert!(!walked.walk.seen(Entity::User).unwrap().contains(&gone));
}

#[test]
fn user_who_can_never_be_read_does_not_keep_the_walk_going() {
    let environment = Environment::new(150);
    let mut walk = Walk::new(WalkOptions { details: true }, |_| false);
    let (mut calls, mut unreadable) = (0, None);
    while let Some(call) = walk.next() {
        calls += 1;
        assert!(calls < 1000, "the walk does not end");
        if let Call::User(id) = &call
            && unreadable.get_or_insert_with(|| id.clone()) == id
        {
            walk.rejected(call);
            continue;
        }
        let body = environment.answer(&call).unwrap();
        walk.answered(call, &ApiResponse { body, read_at: 0 }).unwrap();
    }
    assert_eq!(walk.vanished(), 1);
    assert_eq!(walk.seen(Entity::User).unwrap().len(), 149);
}

/// Answers for the scope, the list of groups, and members.
fn walk_of_a_group(members: &mut dyn FnMut() -> &'static str) -> (Walk, Vec<Object>) {
    let mut walk = Walk::new(WalkOptions::default(), |_| false);
    let mut found = Vec::new();
    let mut calls = 0;
    while let Some(call) = walk.next() {
        calls += 1;
        assert!(calls < 100, "the walk does not end");
        let body = match &call {
            Call::Scope => r#"{"organizationalUnitIds":[],"groupIds":["g"]}"#,
            Call::Groups { .. } => r#"{"data":[{"groupId":"g"}]}"#,
            Call::Members { .. } => members(),
            Call::User(_) => r#"{"userId":"u"}"#,
            Call::ParentIds(_) | Call::Unit(_) | Call::Units { .. } | Call::Users { .. } | Call::Group(_) => "{}",
        };
        found.extend(walk.answered(call, &ApiResponse { body: body.into(), read_at: 0 }).unwrap());
    }
    (walk, found)
}

#[test]
fn members_that_are_missing_once_are_read_again() {
    let mut pages = [r#"{"totalCount":1}"#, r#"{"totalCount":1,"data":[{"userId":"u"}]}"#].into_iter();
    let (walk, found) = walk_of_a_group(&mut || pages.next().unwrap());
    let group = found.iter().find(|object| object.id == "g").unwrap();
    assert_eq!(group.json().unwrap().get(), r#"{"allMembers":[{"memberId":"u"}],"groupId":"g"}"#);
    assert_eq!(walk.problems(), []);
}

#[test]
fn group_whose_members_stay_missing_is_published_without_members() {
    let (walk, found) = walk_of_a_group(&mut || r#"{"totalCount":2,"data":[{"userId":"u"}]}"#);
    let group = found.iter().find(|object| object.id == "g").unwrap();
    assert_eq!(group.json().unwrap().get(), r#"{"groupId":"g"}"#);
    assert_eq!(walk.problems(), [Problem::Unstable("g".to_owned())]);
}

#[test]
fn token_that_repeats_is_malformed() {
    let mut walk = Walk::new(WalkOptions::default(), |_| false);
    let answer = ApiResponse { body: r#"{"data":[],"nextToken":"x"}"#.into(), read_at: 0 };
    for call in [
        Call::Groups { token: Some("x".to_owned()) },
        Call::Members { group: "g".to_owned(), token: Some("x".to_owned()) },
    ] {
        assert!(walk.answered(call, &answer).is_err());
    }
}

#[test]
fn unit_that_leaves_the_scope_is_skipped() {
    let environment = Environment::new(1000);
    let mut unit = String::new();
    let walked = environment.walk(WalkOptions::default(), |call, all| {
        if let (Call::Users { unit: of, .. }, true) = (call, unit.is_empty())
            && all.children_of(of).is_empty()
        {
            unit.clone_from(of);
            for user in all.users_in(of).to_vec() {
                all.delete_user(&user);
            }
            assert!(all.delete_unit(of));
        }
    });
    assert!(walked.walk.vanished() > 0 && walked.walk.problems().is_empty());
}

#[test]
fn empty_scope_is_a_problem() {
    let environment = Environment::new(10);
    environment.simulator.with_directory(|all| {
        all.scope_units.clear();
        all.scope_groups.clear();
    });
    let walked = environment.walk(WalkOptions::default(), nothing);
    assert_eq!((walked.walk.problems(), walked.found.len()), (&[Problem::EmptyScope][..], 0));
}

#[test]
fn answer_of_another_form_is_malformed() {
    let mut walk = Walk::new(WalkOptions::default(), |_| false);
    let users = || Call::Users { unit: "u".to_owned(), page: 1 };
    for (call, body) in [
        (users(), "[]"),
        (users(), r#"{"data":[{"id":"x"}]}"#),
        (users(), "{}"),
        (Call::Scope, "<html>"),
        (Call::Scope, "[]"),
    ] {
        assert!(walk.answered(call, &ApiResponse { body: body.into(), read_at: 0 }).is_err(), "{body}");
    }
}
