//! Finds members named `password` in JSON, at any depth, also inside texts that hold JSON themselves.
//!
//! Reads the bytes rather than a parsed value: of two members with one name a parsed value keeps only the last.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The paths of all members named `password`, in document order: `user/password`, `data/0/(text)/password`.
///
/// # Errors
/// The parser's message where `json` is not one JSON document.
pub(crate) fn password_members(json: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let mut found = Vec::new();
    let mut document = serde_json::Deserializer::from_slice(json);
    Search { path: String::new(), found: &mut found }.deserialize(&mut document)?;
    document.end()?;
    Ok(found)
}

struct Search<'a> {
    path: String,
    found: &'a mut Vec<String>,
}

impl Search<'_> {
    fn below(&mut self, name: &str) -> Search<'_> {
        let separator = if self.path.is_empty() { "" } else { "/" };
        Search { path: format!("{}{separator}{name}", self.path), found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let below = self.below(&name);
            if name == "password" {
                let path = below.path.clone();
                below.found.push(path);
            }
            members.next_value_seed(below)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while elements.next_element_seed(self.below(&index.to_string()))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        let text = text.trim_start();
        if text.starts_with(['{', '[', '"']) {
            let mut document = serde_json::Deserializer::from_str(text);
            let mut inside = Vec::new();
            let below = self.below("(text)");
            let search = Search { path: below.path, found: &mut inside };
            // A text that only begins like JSON has no members.
            if search.deserialize(&mut document).and_then(|()| document.end()).is_ok() {
                self.found.append(&mut inside);
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
