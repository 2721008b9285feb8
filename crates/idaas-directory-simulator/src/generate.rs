//! Generates a directory from a seed.

use fastrand::Rng;

use crate::directory::{Directory, Group, ROOT, Unit, User};

const NAMES: [(&str, &str); 8] = [
    ("zhangsan", "Zhang San"),
    ("wangwei", "王伟"),
    ("lina", "李娜"),
    ("jose.nunez", "José Ñúñez"),
    ("zoe.mueller", "Zoë Müller"),
    ("anna", "Анна Иванова"),
    ("sato", "佐藤 健"),
    ("o.brien", "Conan O'Brien \"CB\""),
];
const DEPARTMENTS: [&str; 6] = ["R&D Department", "研发部", "Sales <EMEA>", "Qualité", "Vertrieb/Süd", "HR"];
/// Creation time of the oldest entity, in milliseconds since 1970.
const BEGINNING: i64 = 1_648_625_692_578;
/// Number of child units per unit.
const FAN_OUT: usize = 8;
/// Maximum number of members of a generated group.
const MAX_MEMBERS: usize = 250;

/// The size of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of users.
    pub users: usize,
    /// The number of units, without the root.
    pub units: usize,
    /// The number of groups.
    pub groups: usize,
}

impl Size {
    /// Returns a size with this many users, and a typical number of units and groups.
    #[must_use]
    pub const fn of(users: usize) -> Self {
        let units = if users / 50 > 3 { users / 50 } else { 3 };
        let groups = if users / 200 > 2 { users / 200 } else { 2 };
        Self { users, units, groups }
    }
}

/// Generates an id in the form of IDaaS's ids.
pub(crate) fn id(prefix: &str, random: &mut Rng) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |_| DIGITS.get(random.usize(..DIGITS.len())).copied().map_or('a', char::from);
    prefix.chars().chain((0..26).map(digit)).collect()
}

/// Generates a directory that is completely in the application's scope.
pub(crate) fn directory(instance_id: &str, size: &Size, seed: u64) -> Directory {
    let mut random = Rng::with_seed(seed);
    let mut directory = Directory { instance_id: instance_id.to_owned(), ..Directory::default() };
    let mut units = vec![ROOT.to_owned()];
    directory.add_unit(unit(ROOT.to_owned(), None, 0));
    for number in 1..=size.units {
        let parent = units.get((number - 1) / FAN_OUT).cloned();
        let id = id("ou_", &mut random);
        units.push(id.clone());
        directory.add_unit(unit(id, parent, number));
    }
    let mut users = Vec::with_capacity(size.users);
    for number in 0..size.users {
        let user = user(number as u64, &units, &mut random);
        users.push(user.id.clone());
        directory.add_user(user);
    }
    for number in 0..size.groups {
        let most = users.len().min(MAX_MEMBERS);
        let members = if most == 0 {
            Vec::new()
        } else {
            random.choose_multiple(users.iter().cloned(), random_size(number, most))
        };
        let (id, time) = (id("group_", &mut random), BEGINNING + number as i64);
        directory.add_group(Group { id, name: format!("Group {number}"), members, created: time, updated: time });
    }
    directory.scope_units = vec![ROOT.to_owned()];
    directory.scope_groups = directory.group_ids();
    directory
}

/// Returns the size of a group: the first has the maximum, the second is empty, and the others vary.
const fn random_size(number: usize, most: usize) -> usize {
    match number {
        0 => most,
        1 => 0,
        _ => 1 + number * 37 % most,
    }
}

fn unit(id: String, parent: Option<String>, number: usize) -> Unit {
    let department = DEPARTMENTS.get(number % DEPARTMENTS.len()).copied().unwrap_or_default();
    let time = BEGINNING + number as i64 * 1000;
    Unit { id, parent, name: format!("{department} {number}"), created: time, updated: time }
}

/// Generates a user. A third of all users are in the first unit below the root, so that it has many pages. Every
/// tenth can have a second unit.
pub(crate) fn user(number: u64, units: &[String], random: &mut Rng) -> User {
    let (login, display_name) =
        NAMES.get(usize::try_from(number).unwrap_or_default() % NAMES.len()).copied().unwrap_or_default();
    let mut any = || if random.u8(..3) == 0 { 1 } else { random.usize(..units.len().max(1)) };
    let mut own: Vec<String> = units.get(any().min(units.len().saturating_sub(1))).cloned().into_iter().collect();
    if number % 10 == 9
        && let Some(second) = units.get(any().min(units.len().saturating_sub(1)))
        && !own.contains(second)
    {
        own.push(second.clone());
    }
    let time = BEGINNING + i64::try_from(number).unwrap_or_default() * 1000;
    User {
        id: id("user_", random),
        number,
        username: format!("{login}.{number}"),
        display_name: display_name.to_owned(),
        units: own,
        enabled: number % 25 != 24,
        created: time,
        updated: time,
    }
}
