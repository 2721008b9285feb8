//! Reads every example with the types that typify makes: names and plain texts as promised.

use std::{env, fs, path::Path};

use serde::de::DeserializeOwned;

macro_rules! records {
    ($($module:ident: $file:literal),*) => {
        $(#[allow(dead_code, reason = "generated, and not all of it is used")]
        mod $module { include!(concat!(env!("OUT_DIR"), "/", $file, ".rs")); })*
    };
}
records!(
    connectivity: "connectivity", credential: "credential", dead_letter: "dead-letter", group: "group",
    organizational_unit: "organizational-unit", unclassified: "unclassified", user: "user",
    group_state: "group-state", organizational_unit_state: "organizational-unit-state", user_state: "user-state"
);

fn read<T: DeserializeOwned>(entity: &str) -> Vec<T> {
    let examples = Path::new(&env::args().nth(1).expect("the directory with the examples")).join(entity);
    let files = fs::read_dir(examples).expect("examples");
    files.map(|file| serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
}

fn main() {
    read::<connectivity::ConnectivityEvent>("connectivity");
    read::<credential::CredentialEvent>("credential");
    read::<dead_letter::DeadLetterEvent>("dead-letter");
    read::<group::GroupEvent>("group");
    read::<organizational_unit::OrganizationalUnitEvent>("organizational-unit");
    read::<unclassified::UnclassifiedEvent>("unclassified");
    read::<group_state::GroupState>("group-state");
    read::<organizational_unit_state::OrganizationalUnitState>("organizational-unit-state");
    read::<user_state::UserState>("user-state");
    for event in read::<user::UserEvent>("user") {
        let user::UserEvent { user, origin, cleared, .. } = event;
        let (user, origin): (user::User, user::Origin) = (user, origin);
        let _: (String, Option<String>, String, Vec<String>) = (user.id, user.username, origin.event_id, cleared);
    }
    println!("Rust: typify");
}
