//! What each reader makes of the input that the guarantees of the bridge are about.

/// Prints a row: what each reader, as `json`, answers to the question.
macro_rules! row {
    ($what:literal, $question:expr) => {{
        let own = {
            use crate::own as json;
            $question
        };
        let serde = {
            use callback_on_serde_json::json;
            $question
        };
        let sonic = {
            use callback_on_sonic_rs::json;
            $question
        };
        println!("| {} | {own} | {serde} | {sonic} |", $what);
    }};
}

const READERS: [&str; 3] = ["own", "serde_json", "sonic-rs"];

/// Reads a value 100,000 levels deep, in a process of its own because it can exhaust the stack.
pub(crate) fn read_deep(reader: &str) {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    match reader {
        "own" => drop(crate::own::Members::parse(&deep)),
        "serde_json" => drop(callback_on_serde_json::json::Members::parse(&deep)),
        _ => drop(callback_on_sonic_rs::json::Members::parse(&deep)),
    }
}

pub(crate) fn print() {
    println!("| input | own | serde_json | sonic-rs |\n|---|---|---|---|");
    let twice = r#"{"alg":"RS256","\u0061lg":"none"}"#;
    row!("a name that occurs twice is seen", json::Members::parse(twice).is_some_and(|members| members.ambiguous()));

    let numbers = ["123456789012345678901234567890.10", "1e999", "-0", "1.0E+2"];
    row!(
        "the text of a number is exact",
        numbers.iter().all(|number| json::Raw::parse(number).is_some_and(|raw| raw.get() == *number))
    );

    let spaced = r#"{ "a" : [1, {"b": "\u4e2d"}] , "c" : "\n" }"#;
    row!("a value knows its place in the text", {
        let place = |raw: json::Raw<'_>| json::place(spaced, raw.get());
        json::Members::parse(spaced).and_then(|members| place(members.get("c")?)) == Some(37..41)
    });

    row!(
        "half a surrogate pair in a value becomes one U+FFFD",
        json::Raw::parse(r#""a\ud83dz""#).and_then(json::text).as_deref() == Some("a\u{fffd}z")
    );
    row!(
        "half a surrogate pair in a name becomes one U+FFFD",
        json::Members::parse(r#"{"\ud83d":1}"#).is_some_and(|members| members.get("\u{fffd}").is_some())
    );

    let [own, serde, sonic] = READERS.map(|reader| {
        let program = std::env::current_exe().expect("a path");
        std::process::Command::new(program).arg(reader).output().expect("a process").status.success()
    });
    println!("| a value 100,000 levels deep does not crash the process | {own} | {serde} | {sonic} |");

    let invalid =
        ["\"\u{1}\"", r#""\x""#, r#""\u12G4""#, "01", "[1,]", "[01]", "{\"a\":\"\u{1f}\"}", r#"["\x"]"#, "1 1"];
    row!("invalid values that are accepted unread", {
        let accepted = invalid.iter().filter(|text| json::Raw::parse(text).is_some());
        format!("{:?}", accepted.collect::<Vec<_>>())
    });

    let dense = format!("[{}0]", "0,".repeat(1_000_000));
    row!("elements made of a list of a million zeros before it is rejected", {
        let mut made = 0;
        let read = json::map_elements(&dense, |bytes| 10 + bytes / 64, None, |_| made += 1);
        assert!(read.is_none());
        made
    });
}
