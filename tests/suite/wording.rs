//! What users read is plain English: documents, command help, error texts, log lines, and descriptions in schemas.

use std::path::Path;

use serde_json::Value;

use super::documents::{documents, repository, text};

/// Wording that is not plain English.
const AVOIDED: &[&str] = &[
    "absent where",
    "anew",
    "as it should be",
    "as they should be",
    "beside those",
    "by order",
    "can be had",
    "cannot be had",
    "come to stand",
    "comes to stand",
    "dear",
    "does not take",
    "for ever",
    "for good",
    "gives it up",
    "goes on",
    "in earnest",
    "kept in mind",
    "leads from here",
    "lead from here",
    "let through",
    "lets it through",
    "likewise",
    "mend",
    "mends",
    "out where",
    "say whether",
    "says whether",
    "see that",
    "see to",
    "stands in",
    "take no",
    "take records",
    "takes callbacks",
    "takes no",
    "takes records",
    "tell whether",
    "tells whether",
    "time-out",
    "time-outs",
    "told so",
    "where idaas did",
    "where idaas does",
    "where idaas sends",
    "where idaas sent",
    "where it sent",
    "where it was",
    "where jwks",
    "where that is meant",
    "where there is",
    "where there are",
];

/// The words after which "no" is right: "there is no", "is no longer".
fn is_wrong_no(words: &[&str], at: usize) -> bool {
    let is_verb = at > 0 && ["is", "are", "was", "were"].contains(&words[at - 1]);
    let after_there = at > 1 && ["there", "where"].contains(&words[at - 2]);
    let counts = words.get(at + 1).is_some_and(|next| ["longer", "more", "less", "fewer", "other"].contains(next));
    words[at] == "no" && is_verb && !after_there && !counts
}

/// The avoided wording in a text, with the words around it. Code and links do not count.
fn avoided_wording(text: &str) -> Vec<String> {
    let mut prose = String::new();
    for (number, part) in text.split("```").enumerate() {
        let outside = if number % 2 == 0 { part } else { "" };
        prose.extend(outside.split('`').step_by(2).flat_map(|part| [part, " "]));
    }
    let prose = prose.to_lowercase();
    let words: Vec<_> =
        prose.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '\'').filter(|word| !word.is_empty()).collect();
    let around = |at: usize| words[at.saturating_sub(3)..words.len().min(at + 5)].join(" ");
    let is_avoided = |at: usize| {
        let starts = |phrase: &&str| phrase.split(' ').zip(words[at..].iter()).all(|(one, other)| one == *other);
        AVOIDED.iter().any(|phrase| starts(phrase) && at + phrase.split(' ').count() <= words.len())
    };
    (0..words.len()).filter(|at| is_avoided(*at) || is_wrong_no(&words, *at)).map(around).collect()
}

#[test]
fn avoided_wording_is_found_and_nothing_else() {
    for (wrong, count) in [
        ("A user is no group. Likewise for units.", 2),
        ("The time-out was no error, and is read anew.", 3),
        ("There is no group; it is no longer there, and are there no more than two?", 0),
        ("`mend` and\n```sh\nlikewise\n```\nare code; a timeout is fine; no event is lost.", 0),
        ("Says whether it stands in the topic.", 2),
        ("Kafka takes no records, and the keys cannot be had.", 2),
        ("Left out where IDaaS sent none; see that it is right.", 3),
        ("It continues where it stopped; the reason is where it runs.", 0),
    ] {
        let found = avoided_wording(wrong);
        assert_eq!(found.len(), count, "{wrong}: {found:?}");
    }
}

/// The string literals of a Rust source, each with its line. Comments, and a module of tests at the end, do not count.
fn string_literals(source: &str) -> Vec<(usize, String)> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut literals = Vec::new();
    let mut rest = source;
    while let Some(next) = rest.find(['"', '\'', '/', 'r']) {
        let from = &rest[next..];
        let is_word = rest[..next].ends_with(|c: char| c.is_alphanumeric() || c == '_') && !rest[..next].ends_with('b');
        let raw = from.strip_prefix('r').map(|text| (text, text.len() - text.trim_start_matches('#').len()));
        let raw = raw.filter(|(text, hashes)| !is_word && text[*hashes..].starts_with('"'));
        if let Some(comment) = from.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some((text, hashes)) = raw {
            let (text, end) = (&text[hashes + 1..], format!("\"{}", "#".repeat(hashes)));
            let length = text.find(&end).expect("a raw string ends");
            literals.push((line_of(source, text), text[..length].to_owned()));
            rest = &text[length + end.len()..];
        } else if let Some(text) = from.strip_prefix('"') {
            let length = quoted_length(text);
            literals.push((line_of(source, text), unescaped(&text[..length])));
            rest = &text[length + 1..];
        } else if let Some(character) = from.strip_prefix('\'') {
            // A lifetime has no closing quotation mark after one character.
            let mut characters = character.char_indices().skip(1);
            let (end, _) = characters.next().unwrap_or_default();
            rest = match character.strip_prefix('\\') {
                Some(escaped) => escaped.get(1..).and_then(|text| text.split_once('\'')).map_or("", |(_, after)| after),
                None => character[end..].strip_prefix('\'').unwrap_or(character),
            };
        } else {
            rest = &from[1..];
        }
    }
    literals
}

/// The number of the line of `source` on which its end `rest` begins.
fn line_of(source: &str, rest: &str) -> usize {
    source[..source.len() - rest.len()].matches('\n').count() + 1
}

/// The length of a string up to its closing quotation mark.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    let is_end = |(_, byte): &(usize, u8)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    text.bytes().enumerate().find(is_end).map(|(at, _)| at).expect("a string ends")
}

/// The text of a literal: lines that a backslash continues are joined, and line breaks are spaces.
fn unescaped(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start()).replace("\\n", " ").replace("\\\"", "\"")
}

/// The Rust sources below `directory` that are not only compiled for tests.
fn sources(directory: &Path, all: &mut Vec<(String, String)>) {
    const TESTS: [&str; 4] = ["tests", "tests.rs", "simulation", "test_bridge.rs"];
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        let (path, name) = (entry.path(), entry.file_name());
        if TESTS.iter().any(|test| name == *test) {
            continue;
        }
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn texts_in_sources_are_found_and_nothing_else() {
    let source = r###"
        // Kafka takes no records.
        fn a<'a>(text: &'a str) -> char { if text == "" { '"' } else { '\'' } }
        const ONE: &str = "Kafka \"takes \
            no\" records";
        const TWO: &str = r#"is "no" group"#;
        #[cfg(test)]
mod tests {
        const THREE: &str = "anew";
    "###;
    let literals: Vec<_> = string_literals(&source.replace("        #[cfg", "#[cfg")).into_iter().collect();
    let texts: Vec<_> = literals.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["", "Kafka \"takes no\" records", "is \"no\" group"]);
    assert_eq!(literals[1].0, 4);
    assert_eq!(literals.iter().flat_map(|(_, text)| avoided_wording(text)).count(), 2);
}

#[test]
fn texts_in_sources_are_plain_english() {
    let mut all = Vec::new();
    sources(&repository("src"), &mut all);
    for package in std::fs::read_dir(repository("crates")).unwrap() {
        sources(&package.unwrap().path().join("src"), &mut all);
    }
    assert!(all.len() > 200, "{}", all.len());
    let mut faults = Vec::new();
    for (name, source) in &all {
        for (line, text) in string_literals(source) {
            faults.extend(avoided_wording(&text).into_iter().map(|words| format!("{name}:{line}: … {words} …")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The descriptions and titles in a JSON Schema.
fn descriptions<'a>(schema: &'a Value, all: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if ["description", "title"].contains(&name.as_str()) => all.push(text),
                    _ => descriptions(value, all),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| descriptions(element, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn descriptions_in_schemas_are_plain_english() {
    let mut faults = avoided_wording(&text("asyncapi/asyncapi.yaml"));
    let mut files = 0;
    for entry in std::fs::read_dir(repository("schemas")).unwrap().map(|entry| entry.unwrap().path()) {
        let schema: Value = serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
        let mut texts = Vec::new();
        descriptions(&schema, &mut texts);
        assert!(texts.len() > 10, "{}", entry.display());
        faults.extend(texts.into_iter().flat_map(avoided_wording));
        files += 1;
    }
    assert!(files > 5, "{files}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Runs the program with `--help` for each command and the commands of that command.
fn help_texts(command: &[&str], all: &mut Vec<(String, String)>) {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_idaas-bridge")).args(command).arg("--help").output();
    let help = String::from_utf8(program.unwrap().stdout).unwrap();
    let rest = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let names = rest.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        help_texts(&[command, &[name]].concat(), all);
    }
    all.push((command.join(" "), help));
}

#[test]
fn texts_for_users_are_plain_english() {
    let mut texts: Vec<_> = documents().into_iter().map(|name| (name.clone(), text(&name))).collect();
    for file in ["deploy/prometheus/alerts.yml", "deploy/bridge.example.toml", "deploy/grafana/idaas-bridge.json"] {
        texts.push((file.to_owned(), text(file)));
    }
    let documents = texts.len();
    help_texts(&[], &mut texts);
    assert!(texts.len() > documents + 15, "{}", texts.len());
    let faults: Vec<_> = texts
        .iter()
        .flat_map(|(name, text)| avoided_wording(text).into_iter().map(move |words| format!("{name}: … {words} …")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
