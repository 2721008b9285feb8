//! The rules of the source tree that the compiler does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of a file of the program before its tests.
const LONGEST_FILE: usize = 300;

struct Source {
    /// From the top of the repository, with `/`.
    name: String,
    /// Without comments, and without what follows the first `#[cfg(test)]` at the start of a line.
    text: String,
    /// The same without the content of its texts.
    code: String,
    /// Lines before that `#[cfg(test)]`, comments and all.
    lines: usize,
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    for package in std::fs::read_dir(root.join("crates")).unwrap() {
        collect(&package.unwrap().path().join("src"), &mut files);
    }
    let source = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut own: Vec<&str> = text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
        // A module of tests that stands alone is announced before the rest, not after it.
        if own.len() < 60 && text.lines().any(|line| line.ends_with("mod tests;")) {
            own = text.lines().collect();
        }
        let lines = own.len();
        let text: Vec<_> = own.into_iter().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let text = text.join("\n");
        Source { name, code: without_texts(&text), text, lines }
    };
    let mut sources: Vec<_> = files.into_iter().map(source).filter(|source| !is_test(&source.name)).collect();
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

/// Leaves out what stands between quotation marks; an escaped one, or one as a character, ends nothing.
fn without_texts(text: &str) -> String {
    let plain = text.replace("\\\\", "").replace("\\\"", "").replace("'\"'", "''").replace("b'\"'", "''");
    plain.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// Files that are compiled for tests only.
fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/test_bridge.rs")
}

/// Returns true if the code contains the whole word.
fn names(code: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut parts = code.split(word);
    let mut before = parts.next().and_then(|part| part.chars().next_back());
    parts.any(|part| {
        let whole = !is_part(before) && !is_part(part.chars().next());
        before = part.chars().next_back();
        whole
    })
}

/// Fails for every file of the service outside of `paths` whose code has one of `words`. The other crates are limited
/// by what their manifests name.
fn only_in(paths: &[&str], words: &[&str]) {
    let violations: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.name.starts_with("src/") && !paths.iter().any(|path| source.name.starts_with(path)))
        .flat_map(|source| {
            words
                .iter()
                .filter(move |word| names(&source.code, word))
                .map(move |w| format!("{}: {w}", source.name))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(violations.is_empty(), "only {paths:?} may:\n{}", violations.join("\n"));
}

/// The modules at the top of `src/`, each with the modules that its code names in paths that begin with `crate::`.
fn module_imports() -> BTreeMap<String, BTreeSet<String>> {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(path) = source.name.strip_prefix("src/") else { continue };
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let imported = imports.entry(module.to_owned()).or_default();
        for path in source.code.split("crate::").skip(1) {
            let name = path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            assert!(!name.is_empty(), "{}: each module that is imported has its own `use crate::`", source.name);
            if name != module {
                imported.insert(name.to_owned());
            }
        }
    }
    imports
}

/// Returns the modules of one cycle, each of which imports the next one, and the last one the first.
fn cycle(mut imports: BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    // A module that imports nothing of what is left is in no cycle.
    while let Some(lowest) = imports
        .iter()
        .find(|(_, imported)| !imported.iter().any(|name| imports.contains_key(name)))
        .map(|(module, _)| module.clone())
    {
        imports.remove(&lowest);
    }
    let mut path: Vec<String> = Vec::new();
    let mut module = imports.keys().next()?;
    while !path.contains(module) {
        path.push(module.clone());
        module = imports[module].iter().find(|name| imports.contains_key(*name))?;
    }
    Some(path.split_off(path.iter().position(|name| name == module)?))
}

/// The crates that neither know the time nor reach outside of the process. That nothing of the service is in them, and
/// no library that does so, is for their manifests to say.
const PURE: [(&str, &[&str]); 3] = [
    (
        "crates/idaas-callback",
        &[
            "aes-gcm",
            "base64",
            "base64-simd",
            "hkdf",
            "openssl",
            "parking_lot",
            "serde",
            "serde_json",
            "sha2",
            "strum",
            "time",
            "uuid",
            "zeroize",
        ],
    ),
    ("crates/state", &["serde", "serde_json", "strum", "time"]),
    ("crates/outbox", &["hashbrown", "idaas-callback", "serde", "serde_json", "sha2", "slab", "strum"]),
];

#[test]
fn pure_crates_touch_neither_clock_nor_system() {
    let impure = [
        "std::env",
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "now_utc",
        "async fn",
    ];
    let is_pure = |name: &str| {
        PURE.iter().any(|(path, _)| name.strip_prefix(path).is_some_and(|rest| rest.starts_with("/src/")))
            && !name.contains("/simulation/")
    };
    let faults: Vec<_> = sources()
        .iter()
        .filter(|source| is_pure(&source.name))
        .flat_map(|source| {
            impure
                .iter()
                .filter(|word| names(&source.code, word))
                .map(|w| format!("{}: {w}", source.name))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for (path, allowed) in PURE {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).join("Cargo.toml");
        let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
        let found: Vec<_> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, allowed, "{path}");
    }
}

#[test]
fn each_foreign_library_is_met_in_one_place() {
    only_in(&["src/kafka/"], &["rdkafka"]);
    only_in(&["src/http/"], &["actix_web"]);
    // The store and its parts.
    only_in(&["src/journal/store", "src/materialize/store"], &["redb"]);
    only_in(&["src/http_client.rs", "src/cli/journal/access/service.rs"], &["reqwest"]);
    only_in(&["src/telemetry/"], &["prometheus"]);
    only_in(&["src/terminal/"], &["anstream", "anstyle", "indicatif", "terminal_size", "textwrap"]);
    only_in(&["src/telemetry/spans/"], &["opentelemetry", "opentelemetry_sdk", "opentelemetry_proto", "prost"]);
}

#[test]
fn modules_import_in_one_direction() {
    let of = |module: &str, imported: &[&str]| {
        (module.to_owned(), imported.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
    };
    let imports = BTreeMap::from([of("a", &["b"]), of("b", &["c", "d"]), of("c", &["b"]), of("d", &[])]);
    assert_eq!(cycle(imports), Some(vec!["b".to_owned(), "c".to_owned()]));

    let imports = module_imports();
    assert!(imports["service"].contains("kafka"), "the imports were not found");
    let cycle = cycle(imports).map(|modules| modules.join(" -> "));
    assert_eq!(cycle, None, "these modules import each other in a cycle");
}

#[test]
fn the_service_does_not_use_what_only_plays_idaas() {
    only_in(&["src/demo/", "src/cli/"], &["idaas_simulator"]);
}

#[test]
fn metrics_are_named_in_the_telemetry_alone() {
    let families = sources().into_iter().filter(|source| source.name.starts_with("src/telemetry/"));
    let named: Vec<String> = families
        .flat_map(|source| {
            let texts: Vec<_> = source.text.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            texts
        })
        .filter(|text| ["_total", "_seconds", "_bytes", "_events"].iter().any(|end| text.ends_with(end)))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    let quoted: Vec<_> = named.iter().map(|name| format!("\"{name}\"")).collect();
    for source in sources().into_iter().filter(|source| !source.name.starts_with("src/telemetry/")) {
        assert!(!source.text.contains("idaas_bridge_"), "{} names a metric", source.name);
        for name in &quoted {
            assert!(!source.text.contains(name.as_str()), "{} names the metric {name}", source.name);
        }
    }
}

#[test]
fn no_file_is_long() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.lines > LONGEST_FILE)
        .map(|source| format!("{}: {} lines", source.name, source.lines))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Elsewhere it would accept requests that crash it; `mock_cluster` says which.
#[test]
fn mock_clusters_are_made_in_one_place() {
    let makes = |path: &Path| std::fs::read_to_string(path).unwrap().contains(concat!("MockCluster", "::new("));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("tests"), &mut files);
    let makers: Vec<_> = files.into_iter().filter(|path| makes(path)).collect();
    assert_eq!(makers, [root.join("src/kafka/embedded.rs")]);
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources() {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&source.name)).unwrap();
        let described = text.starts_with("//!") || text.starts_with("#![doc");
        assert!(described, "{} does not begin with a description", source.name);
    }
}

#[test]
fn log_codes_are_named_in_one_place() {
    for source in sources().into_iter().filter(|source| source.name.starts_with("src/")) {
        assert!(!source.text.contains("code = \""), "{} logs a code that is not a LogCode", source.name);
    }
}
