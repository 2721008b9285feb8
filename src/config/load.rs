//! Reads the configuration file, the files that it names, and the environment. The only module of `config` with I/O.

use std::io::ErrorKind;
use std::path::Path;

use super::{Config, NamedFile, Sources};
use crate::diagnosis::{Diagnosis, misconfigured};

/// The key of the configuration file itself in [`NamedFile`].
const CONFIG_FILE_KEY: &str = "--config";

impl Config {
    /// Reads the configuration file at `path`, with the process's environment.
    ///
    /// # Errors
    /// All faults, or a single one if the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, Vec<Diagnosis>> {
        Self::load_with_files(path).0
    }

    /// Like [`Config::load`]. Also returns the files that determine the result, including the configuration file. If
    /// there are faults, a change of one of these files can fix them.
    pub fn load_with_files(path: &Path) -> (Result<Self, Vec<Diagnosis>>, Vec<NamedFile>) {
        let own = |content: Option<&[u8]>| NamedFile::new(CONFIG_FILE_KEY.to_owned(), path.to_owned(), content);
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => return (Err(vec![unreadable(path, error.kind())]), vec![own(None)]),
        };
        let own = own(Some(&text));
        let Ok(text) = String::from_utf8(text) else {
            return (Err(vec![unreadable(path, ErrorKind::InvalidData)]), vec![own]);
        };
        // A value that is not UTF-8 counts as set, with U+FFFD: without its token, the admin listener would be open.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        let sources = Sources {
            directory: path.parent().unwrap_or(Path::new("")),
            variables: variables.collect(),
            read: &|path| std::fs::read(path),
        };
        let (mut parsed, mut files) = Self::parse_with_files(&text, &sources);
        files.push(own);
        if let Ok(config) = &mut parsed {
            config.files.clone_from(&files);
        }
        (parsed, files)
    }
}

fn unreadable(path: &Path, kind: ErrorKind) -> Diagnosis {
    let problem = if kind == ErrorKind::NotFound {
        "the file does not exist".to_owned()
    } else if kind == ErrorKind::InvalidData {
        "is not text in UTF-8".to_owned()
    } else {
        format!("the configuration cannot be read ({kind})")
    };
    let remedy = "name a readable file with --config; `idaas-bridge simulate init DIR` writes one for a trial";
    misconfigured(problem, remedy).at(path.display().to_string())
}
