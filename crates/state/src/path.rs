//! Paths of fields.

use std::borrow::Cow;

use crate::json::SharedStr;

/// The path of a leaf field in an object: `["phone", "number"]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    first: SharedStr,
    rest: Vec<SharedStr>,
}

impl Path {
    /// Returns the names from the outermost to the innermost.
    pub fn names(&self) -> impl Iterator<Item = &SharedStr> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Returns the outermost name.
    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    /// Returns the innermost name, and the names of the objects around it.
    pub(crate) fn split(&self) -> (&SharedStr, impl Iterator<Item = &SharedStr>) {
        (self.rest.last().unwrap_or(&self.first), self.names().take(self.rest.len()))
    }

    /// Returns the names, separated by dots.
    pub(crate) fn dotted(&self) -> Cow<'_, str> {
        if self.rest.is_empty() {
            return Cow::Borrowed(&self.first);
        }
        Cow::Owned(self.names().map(SharedStr::as_str).collect::<Vec<_>>().join("."))
    }

    pub(crate) fn child(&self, name: SharedStr) -> Self {
        let mut rest = Vec::with_capacity(self.rest.len() + 1);
        rest.extend(self.rest.iter().cloned());
        rest.push(name);
        Self { first: self.first.clone(), rest }
    }

    /// Returns the paths of the objects around it, the innermost first.
    pub(crate) fn parents(&self) -> impl Iterator<Item = Self> {
        let parent =
            |length| Self { first: self.first.clone(), rest: self.rest.iter().take(length).cloned().collect() };
        (0..self.rest.len()).rev().map(parent)
    }

    /// Returns true if this path is `other` or below it.
    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.first == other.first && self.rest.starts_with(&other.rest)
    }
}

impl From<SharedStr> for Path {
    fn from(name: SharedStr) -> Self {
        Self { first: name, rest: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_ordered_before_what_is_below_it() {
        let path = |names: &[&str]| {
            let mut names = names.iter().map(|name| SharedStr::from(*name));
            let first = Path::from(names.next().unwrap());
            names.fold(first, |path, name| path.child(name))
        };
        let (a, ab, b) = (path(&["a"]), path(&["a", "b"]), path(&["a-"]));
        assert!(a < ab && ab < b);
        assert!(ab.starts_with(&a) && !b.starts_with(&a));
        assert_eq!(path(&["a", "b", "c"]).parents().collect::<Vec<_>>(), [ab, a]);
    }
}
