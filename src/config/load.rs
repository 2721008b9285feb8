//! The edge: reads the configuration's file, the files that it names, and the environment. Nothing else here does.

use std::io::ErrorKind;
use std::path::Path;

use super::{Config, Fault, Surroundings};

impl Config {
    /// Reads the configuration file at `path`, with the process's environment.
    ///
    /// # Errors
    /// All [`Fault`]s; one where the file cannot be read at all.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Fault {
                key: path.display().to_string(),
                problem: if error.kind() == ErrorKind::NotFound {
                    "there is no such file".to_owned()
                } else if error.kind() == ErrorKind::InvalidData {
                    "is no text in UTF-8".to_owned()
                } else {
                    format!("the configuration cannot be read ({})", error.kind())
                },
                remedy: "name a readable file behind --config; `idaas-bridge simulate init DIR` writes one to try with"
                    .to_owned(),
            }]
        })?;
        // Variables that are no text can set nothing and hold no secret of ours.
        let variables =
            std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        let around = Surroundings {
            directory: path.parent().unwrap_or(Path::new("")),
            variables: variables.collect(),
            read: &|path| std::fs::read(path),
        };
        Self::parse(&text, &around)
    }
}
