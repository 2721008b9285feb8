//! The commands of the binary: arguments, and what each does with the library.

pub mod simulate;
