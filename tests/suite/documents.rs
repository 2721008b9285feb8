//! The documents say what is: links lead somewhere, tests that are named exist, and examples are the shipped ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idaas_bridge::telemetry::log_code::LogCode;

pub(super) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(super) fn text(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources(directory: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.push_str(&sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&entry).unwrap());
        }
    }
    all
}

#[test]
fn the_readme_s_configuration_is_the_shipped_minimal_one() {
    let readme = text("README.md");
    let shown = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(shown, text("deploy/bridge.minimal.toml"));
}

/// The documents, with the pages of `docs/`.
pub(super) fn documents() -> Vec<String> {
    let pages_at_root =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "asyncapi/README.md"];
    let pages = std::fs::read_dir(repository("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let pages = pages.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".md"));
    pages_at_root.map(str::to_owned).into_iter().chain(pages).collect()
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.trim_start_matches('#').trim().to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")
}

#[test]
fn readme_shows_a_record_of_the_documented_examples() {
    let readme = text("README.md");
    let record = readme.split("```text\n").find(|block| block.starts_with("topic ")).unwrap();
    let record = record.split("```").next().unwrap();
    let example = text("asyncapi/examples/user/updated.json");
    // Shortened values end with an ellipsis. Every second piece is between quotation marks.
    let values: Vec<_> = record.split('"').skip(1).step_by(2).map(|value| value.trim_end_matches('…')).collect();
    assert!(values.len() > 10, "{record}");
    let foreign: Vec<_> = values.into_iter().filter(|value| !example.contains(&format!("\"{value}"))).collect();
    assert!(foreign.is_empty(), "{foreign:?} are not in the example");
}

#[test]
fn every_link_of_a_document_leads_to_a_file_or_heading() {
    for document in documents() {
        let all = text(&document);
        for link in all.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = repository(&document).parent().unwrap().join(file);
            assert!(file.is_empty() || target.exists(), "{document}: {link}");
            if !heading.is_empty() {
                let there = if file.is_empty() { all.clone() } else { std::fs::read_to_string(target).unwrap() };
                let found = there.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(found, "{document}: {link}");
            }
        }
    }
}

/// The definitions of references in a text: label and destination.
fn definitions(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().map(|line| line.trim_start_matches("/// "));
    lines.filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).collect()
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let all = text("ARCHITECTURE.md");
    let named = all.split('`').skip(1).step_by(2).filter(|word| {
        let root = word.split('/').next().unwrap_or_default();
        word.contains('/') && !root.is_empty() && repository(root).is_dir() && !word.contains(' ')
    });
    let defined = definitions(&all);
    let named: Vec<_> = named.chain(defined.values().copied()).collect();
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !repository(name).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn references_of_the_architecture_lead_to_files_and_items() {
    let (map, library) = (text("ARCHITECTURE.md"), text("src/lib.rs"));
    let (files, items) = (definitions(&map), definitions(&library));
    assert!(files.len() > 5, "{files:?}");
    assert!(files.keys().eq(items.keys()), "the definitions in ARCHITECTURE.md and src/lib.rs differ");
    let unused: Vec<_> = files.keys().filter(|label| map.matches(&format!("[{label}]")).count() < 2).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn every_page_is_in_the_index_of_the_documentation() {
    let index = text("docs/README.md");
    for page in documents().iter().filter_map(|name| name.strip_prefix("docs/")).filter(|name| *name != "README.md") {
        assert!(index.contains(&format!("]({page})")), "{page}");
    }
    assert!(text("README.md").contains("](docs/README.md)"));
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let tests = sources(&repository("tests"));
    let readme = text("README.md");
    let guarantees = readme.split("## Guarantees").nth(1).and_then(|rest| rest.split("\n\n").nth(1)).unwrap();
    let named = guarantees.split('`').filter(|word| word.matches('_').count() > 4 && !word.contains(' '));
    let named: Vec<_> = named.collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "no test is called {name}");
    }
}

#[test]
fn architecture_names_every_module() {
    let map = text("ARCHITECTURE.md");
    for entry in std::fs::read_dir(repository("src")).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if !["lib.rs", "main.rs"].contains(&name.as_str()) {
            assert!(map.contains(&format!("`src/{name}`")), "src/{name} is not on the map");
        }
    }
    for entry in std::fs::read_dir(repository("crates")).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(map.contains(&format!("`crates/{name}`")), "crates/{name} is not on the map");
    }
}

#[test]
fn every_command_of_the_program_is_in_the_readme() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_idaas-bridge")).arg("--help").output().unwrap();
    let help = String::from_utf8(program.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let readme = text("README.md");
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(readme.contains(&format!("| `{name}")), "{name} is not in the README's table");
    }
}

#[test]
fn every_refusal_is_in_the_readme_with_its_status() {
    let readme = text("README.md");
    for refusal in idaas_callback::Refusal::ALL {
        let (status, code) = (refusal.status().to_string(), format!("`{}`", refusal.code()));
        let row = readme.lines().find(|line| line.starts_with("| ") && line.contains(&code));
        assert!(row.is_some_and(|row| row.split('|').nth(1).unwrap().contains(&status)), "{status} {code}");
    }
}

#[test]
fn documents_stay_short_enough_to_be_read() {
    for (document, most) in [("README.md", 250), ("ARCHITECTURE.md", 235)] {
        assert!(text(document).lines().count() <= most, "{document}");
    }
}

#[test]
fn every_log_code_is_in_the_runbook_and_only_those() {
    let page = text("docs/operations.md");
    let codes = page.split("\n## Log codes\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let rows = codes.split("\n\nLines with a code of another list").next().unwrap().lines();
    let listed: Vec<_> = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
    let existing: Vec<_> = LogCode::ALL.iter().map(|code| code.as_str()).collect();
    for code in &existing {
        assert!(listed.contains(code), "docs/operations.md does not explain the log code {code}");
    }
    for code in &listed {
        assert!(existing.contains(code), "docs/operations.md explains {code}, which is not a log code");
    }
    assert_eq!(listed.len(), existing.len(), "a log code is explained twice");
    for row in codes.lines().filter(|row| row.starts_with("| `")) {
        assert!(row.split(" | ").count() == 3 && row.split(" | ").all(|cell| !cell.trim().is_empty()), "{row}");
    }
}
