//! What each reader does with the input that the guarantees of the bridge are about.

use serde_json::Value as SerdeValue;
use serde_json::value::RawValue;
use sonic_rs::{JsonValueTrait as _, LazyValue, Value as SonicValue};

use crate::own::json::{Members, Raw, each, text};

fn row(what: &str, own: bool, serde: bool, serde_tree: bool, sonic: bool, sonic_tree: bool) {
    let [own, serde, serde_tree, sonic, sonic_tree] =
        [own, serde, serde_tree, sonic, sonic_tree].map(|kept| if kept { "yes" } else { "no" });
    println!("| {what} | {own} | {serde} | {serde_tree} | {sonic} | {sonic_tree} |");
}

pub(crate) fn print() {
    println!("| guarantee | own | serde_json, borrowed | serde_json::Value | sonic-rs, lazy | sonic_rs::Value |");
    println!("|---|---|---|---|---|---|");

    let twice = r#"{"alg":"RS256","alg":"none"}"#;
    let in_serde = serde_json::from_str::<SerdeValue>(twice).is_ok_and(|tree| tree.as_object().unwrap().len() == 2);
    let in_sonic = sonic_rs::from_str::<SonicValue>(twice).is_ok_and(|tree| tree.into_object().unwrap().len() == 2);
    let lazy = sonic_rs::to_object_iter(twice).filter(Result::is_ok).count() == 2;
    // A visitor of one's own sees each member of a map.
    row("a name that occurs twice is seen", Members::parse(twice).unwrap().ambiguous(), true, in_serde, lazy, in_sonic);

    let number = "123456789012345678901234567890.10";
    row(
        "a number keeps its digits",
        Raw::parse(number).unwrap().get() == number,
        serde_json::from_str::<&RawValue>(number).unwrap().get() == number,
        serde_json::from_str::<SerdeValue>(number).unwrap().to_string() == number,
        sonic_rs::from_str::<LazyValue<'_>>(number).unwrap().as_raw_str() == number,
        sonic_rs::to_string(&sonic_rs::from_str::<SonicValue>(number).unwrap()).unwrap() == number,
    );

    let huge = "[1e999]";
    row(
        "a number of any size is read",
        Raw::parse(huge).is_some(),
        serde_json::from_str::<&RawValue>(huge).is_ok(),
        serde_json::from_str::<SerdeValue>(huge).is_ok(),
        sonic_rs::from_str::<LazyValue<'_>>(huge).is_ok(),
        sonic_rs::from_str::<SonicValue>(huge).is_ok(),
    );

    let half = r#""a\ud83d""#;
    row(
        "half a surrogate pair costs one character, not the event",
        text(Raw::parse(half).unwrap()).as_deref() == Some("a\u{fffd}"),
        serde_json::from_str::<String>(half).is_ok(),
        serde_json::from_str::<SerdeValue>(half).is_ok(),
        sonic_rs::from_str::<LazyValue<'_>>(half).is_ok_and(|value| value.as_str().is_some()),
        sonic_rs::from_str::<SonicValue>(half).is_ok(),
    );

    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    row(
        "nesting of any depth is read without recursion",
        Raw::parse(&deep).is_some(),
        serde_json::from_str::<&RawValue>(&deep).is_ok(),
        serde_json::from_str::<SerdeValue>(&deep).is_ok(),
        sonic_rs::from_str::<LazyValue<'_>>(&deep).is_ok(),
        sonic_rs::from_str::<SonicValue>(&deep).is_ok(),
    );

    let after = r#"{"a":1} x"#;
    row(
        "text after the value is rejected",
        Members::parse(after).is_none(),
        serde_json::from_str::<&RawValue>(after).is_err(),
        serde_json::from_str::<SerdeValue>(after).is_err(),
        sonic_rs::to_object_iter(after).any(|member| member.is_err()),
        sonic_rs::from_str::<SonicValue>(after).is_err(),
    );

    let broken = ["\"\u{1}\"", r#""\x""#, r#""\u12G4""#, "01", "[1,]", "{\"a\":\"\u{1f}\"}", "[\"\\x\"]"];
    row(
        "an invalid escape, number or control character is rejected unread",
        broken.iter().all(|text| Raw::parse(text).is_none()),
        broken.iter().all(|text| serde_json::from_str::<&RawValue>(text).is_err()),
        broken.iter().all(|text| serde_json::from_str::<SerdeValue>(text).is_err()),
        broken.iter().all(|text| sonic_rs::from_str::<LazyValue<'_>>(text).is_err()),
        broken.iter().all(|text| sonic_rs::from_str::<SonicValue>(text).is_err()),
    );

    let zeros = format!("[{}0]", "0,".repeat(100_000));
    let mut made = 0;
    let stopped = each(&zeros, |bytes| 10 + bytes / 64, None, |_| made += 1).is_none() && made < 20;
    // The libraries do not say how far they have read, so only the length of the whole text can limit the list.
    row("a list too dense for its size stops at once", stopped, false, false, false, false);
}
