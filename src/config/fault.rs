//! What is wrong with a configuration, told so that its text alone gets the operator going.

use std::fmt;

/// One fault: where, what, and what to do. Never contains a value that can be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key (`server.listen`), the environment variable that set it, or a place in the file (`line 3, column 7`).
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.problem, self.remedy)
    }
}

impl std::error::Error for Fault {}

/// Something that works and is likely not meant. Never contains a value that can be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key, as in [`Fault::key`].
    pub key: String,
    /// What may be wrong, and what to do about it.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// What is wrong with one value; it becomes a [`Fault`] where its key is known.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl Problem {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}
