//! Throttling, failures and missing permissions.

use std::collections::{BTreeSet, VecDeque};

/// A permission of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Reading the provisioning scope, which every application may do unless a test denies it.
    ProvisioningScope,
    /// Reading users.
    Users,
    /// Reading organizational units.
    Units,
    /// Reading groups and their members.
    Groups,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 4] = [Self::ProvisioningScope, Self::Users, Self::Units, Self::Groups];

    /// Returns the permission's URN.
    #[must_use]
    pub const fn urn(self) -> &'static str {
        match self {
            Self::ProvisioningScope => "urn:alibaba:idaas:scope:provisioning_scope:read_all",
            Self::Users => "urn:alibaba:idaas:scope:user:read_all",
            Self::Units => "urn:alibaba:idaas:scope:organizational_unit:read_all",
            Self::Groups => "urn:alibaba:idaas:scope:group:read_all",
        }
    }
}

/// A failure to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// The code in the body. An empty one leaves the body empty.
    pub code: String,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Only requests whose path contains this text fail. If it is empty, all fail.
    pub path: String,
}

impl Failure {
    /// Creates a failure with this status and code for any request.
    #[must_use]
    pub fn of(status: u16, code: &str) -> Self {
        Self { status, code: code.to_owned(), retry_after: None, path: String::new() }
    }
}

/// The faults that tests have requested, and the requests of the last second.
pub(crate) struct Faults {
    requests_per_second: Option<u32>,
    recent: VecDeque<u64>,
    ordered: VecDeque<Failure>,
    denied: BTreeSet<Permission>,
}

impl Faults {
    pub(crate) fn new(requests_per_second: Option<u32>) -> Self {
        Self { requests_per_second, recent: VecDeque::new(), ordered: VecDeque::new(), denied: BTreeSet::new() }
    }

    pub(crate) fn fail_next(&mut self, count: u64, failure: Failure) {
        self.ordered.extend((0..count).map(|_| failure.clone()));
    }

    pub(crate) fn deny(&mut self, permission: Permission) {
        self.denied.insert(permission);
    }

    pub(crate) fn permit_all(&mut self) {
        self.denied.clear();
    }

    pub(crate) const fn set_limit(&mut self, requests_per_second: Option<u32>) {
        self.requests_per_second = requests_per_second;
    }

    pub(crate) fn is_denied(&self, permission: Permission) -> bool {
        self.denied.contains(&permission)
    }

    /// Returns the requested failure for this request, or `Throttling` if there are too many requests.
    pub(crate) fn next(&mut self, path: &str, now: u64) -> Option<Failure> {
        if self.ordered.front().is_some_and(|failure| path.contains(&failure.path)) {
            return self.ordered.pop_front();
        }
        let limit = self.requests_per_second?;
        while self.recent.front().is_some_and(|at| at + 1000 <= now) {
            self.recent.pop_front();
        }
        if self.recent.len() >= limit as usize {
            return Some(Failure { retry_after: Some(1), ..Failure::of(429, "Throttling.User") });
        }
        self.recent.push_back(now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_above_the_limit_are_throttled() {
        let mut faults = Faults::new(Some(2));
        let throttled = |faults: &mut Faults, now| faults.next("/users", now).map(|failure| failure.status);
        assert_eq!([0, 1, 2].map(|now| throttled(&mut faults, now)), [None, None, Some(429)]);
        assert_eq!(throttled(&mut faults, 1000), None);
    }

    #[test]
    fn ordered_failure_waits_for_its_path() {
        let mut faults = Faults::new(None);
        faults.fail_next(1, Failure { path: "/groups".to_owned(), ..Failure::of(500, "Internal Server Error") });
        assert_eq!(faults.next("/users", 0), None);
        assert_eq!(faults.next("/v2/i/a/groups", 0).unwrap().status, 500);
        assert_eq!(faults.next("/v2/i/a/groups", 0), None);
    }
}
