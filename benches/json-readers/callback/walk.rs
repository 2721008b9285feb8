//! Reads a whole payload as `decode` and `normalize` do, and makes nothing of it.

use super::json::{self, Element, LargeMember, Members, Raw};

/// The lengths of all names and texts of a payload. `None` if it is not one.
pub fn payload(payload: &str) -> Option<usize> {
    let data = LargeMember { name: "eventData", room: payload.len() };
    let mut frame = Members::parse_with(payload, data)?;
    let events = frame.take_large()?;
    let mut sum = members(frame);
    let data = LargeMember { name: "bizData", room: 2048 };
    let read = json::each(&events, json::ANY, Some(data), |Element(event)| {
        let mut event = event?;
        let data = event.take_large()?;
        Some(members(event) + members(Members::parse(&data)?))
    })?;
    for event in read {
        sum += event?;
    }
    Some(sum)
}

fn members(members: Members<'_>) -> usize {
    members.into_iter().map(|(name, value)| name.len() + length(&name, value)).sum()
}

fn length(name: &str, value: Raw<'_>) -> usize {
    // These have been read already.
    if ["eventData", "bizData"].contains(&name) {
        return 0;
    }
    if value.get().starts_with('[') {
        let element = |Element(object)| object.map_or(0, members);
        return json::each(value.get(), json::ANY, None, element).map_or(0, |read| read.into_iter().sum());
    }
    json::text(value).map_or(0, |text| text.len())
}
