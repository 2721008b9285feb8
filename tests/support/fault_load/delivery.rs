//! One delivery over HTTP, on a connection of its own, with the patience of IDaaS.
//!
//! Reads the answer as strictly as IDaaS could, without the receiver's code.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ledger::{End, EventAnswer};

/// IDaaS waits that long for an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Posts a body, and says what became of the events with these ids.
pub(super) async fn deliver(to: SocketAddr, path: &str, body: &str, ids: &[String]) -> End {
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange(to, path, body)).await {
        Err(_) => End::TooLate,
        Ok(Err(how)) => End::Cut(how),
        Ok(Ok((200, body))) => End::Answered(said(&body, ids)),
        Ok(Ok((status, body))) => {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            End::Refused(status, body["error"].as_str().unwrap_or("without a code").to_owned())
        }
    }
}

async fn exchange(to: SocketAddr, path: &str, body: &str) -> Result<(u16, Vec<u8>), &'static str> {
    let mut stream = TcpStream::connect(to).await.map_err(|_| "nobody listened")?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json;charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(|_| "cut off")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|_| "cut off")?;
    parse(&answer).ok_or("cut off")
}

/// Status and body of an answer, if it is complete.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let body = answer.get(end + 4..end + 4 + length)?;
    Some((status, body.to_vec()))
}

/// What an answer says of each id. All four lists must be there, and an id in exactly one place.
fn said(body: &[u8], ids: &[impl AsRef<str>]) -> Vec<EventAnswer> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut found: BTreeMap<&str, Vec<EventAnswer>> = BTreeMap::new();
    let mut whole = true;
    for list in ["successEvents", "skippedEvents", "failedEvents", "retriedEvents"] {
        let Some(elements) = answer[list].as_array() else {
            whole = false;
            continue;
        };
        for element in elements {
            let code = element["eventCode"].as_str().unwrap_or_default();
            let said = match (list, code) {
                ("successEvents", _) => EventAnswer::Success,
                ("skippedEvents", _) => EventAnswer::Skipped,
                ("failedEvents", code) => EventAnswer::Failed(code.to_owned()),
                (_, "not_confirmed") => EventAnswer::NotConfirmed,
                (_, "overloaded") => EventAnswer::Overloaded,
                (_, code) => EventAnswer::Retried(code.to_owned()),
            };
            found.entry(element["eventId"].as_str().unwrap_or_default()).or_default().push(said);
        }
    }
    whole &= found.len() == ids.len();
    ids.iter()
        .map(|id| match found.get(id.as_ref()).map(Vec::as_slice) {
            Some([said]) if whole => said.clone(),
            _ => EventAnswer::Nonsense,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"successEvents":[{"eventId":"a","eventCode":"SUCCESS"}],"skippedEvents":[],
        "failedEvents":[{"eventId":"b","eventCode":"malformed_data"}],
        "retriedEvents":[{"eventId":"c","eventCode":"not_confirmed"},{"eventId":"d","eventCode":"overloaded"}]}"#;

    #[test]
    fn each_list_and_code_is_read() {
        let expected = [
            EventAnswer::Success,
            EventAnswer::Failed("malformed_data".to_owned()),
            EventAnswer::NotConfirmed,
            EventAnswer::Overloaded,
        ];
        assert_eq!(said(ANSWER.as_bytes(), &["a", "b", "c", "d"]), expected);
    }

    #[test]
    fn an_inconsistent_answer_is_detected() {
        assert_eq!(said(ANSWER.as_bytes(), &["a", "b", "c"]), vec![EventAnswer::Nonsense; 3]);
        assert_eq!(said(ANSWER.as_bytes(), &["a", "b", "c", "d", "e"]), vec![EventAnswer::Nonsense; 5]);
        let twice = ANSWER.replace("\"d\"", "\"c\"");
        assert_eq!(said(twice.as_bytes(), &["a", "b", "c"])[2], EventAnswer::Nonsense);
        let without_a_list = ANSWER.replace("skippedEvents", "others");
        assert_eq!(said(without_a_list.as_bytes(), &["a", "b", "c", "d"]), vec![EventAnswer::Nonsense; 4]);
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = b"HTTP/1.1 503 x\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(whole), Some((503, b"{}".to_vec())));
        assert_eq!(parse(&whole[..whole.len() - 1]), None);
    }
}
