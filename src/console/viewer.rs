//! A viewer of the console, and the messages for all viewers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::Console;

/// The latest messages.
#[derive(Clone, Default)]
pub(super) struct Messages {
    pub(super) state: Numbered,
    pub(super) state_with_ids: Numbered,
    pub(super) traffic: Numbered,
    pub(super) settings: Numbered,
    /// True once the console is closed.
    pub(super) closed: bool,
}

/// A message and its sequence number.
#[derive(Clone, Default)]
pub(super) struct Numbered {
    number: u64,
    json: Arc<str>,
}

/// A viewer of the console. Dropping it frees its place.
pub struct Viewer {
    console: Arc<Console>,
    messages: watch::Receiver<Messages>,
    sees_ids: bool,
    last_sent: [u64; 3],
}

impl Numbered {
    pub(super) fn replace(&mut self, message: &impl Serialize) {
        // Cannot fail: every key is a string, and every number is finite.
        let json = serde_json::to_string(message).unwrap_or_default();
        *self = Self { number: self.number + 1, json: json.into() };
    }
}

impl Viewer {
    pub(super) fn new(console: &Arc<Console>, sees_ids: bool) -> Self {
        let messages = console.messages.subscribe();
        // Skips the current state and traffic messages, which can be hours old. New ones are created for this viewer.
        let last_sent = {
            let messages = messages.borrow();
            let state = if sees_ids { &messages.state_with_ids } else { &messages.state };
            [messages.traffic.number, state.number, 0]
        };
        Self { console: Arc::clone(console), messages, sees_ids, last_sent }
    }

    /// Returns the messages that this viewer has not received, as server-sent events. Waits up to `limit` for one, then
    /// returns a comment. Returns `None` once the console is closed.
    pub async fn next(&mut self, limit: Duration) -> Option<String> {
        loop {
            let text = self.new_messages()?;
            if !text.is_empty() {
                return Some(text);
            }
            match tokio::time::timeout(limit, self.messages.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(": nothing new\n\n".to_owned()),
            }
        }
    }

    fn new_messages(&mut self) -> Option<String> {
        let messages = self.messages.borrow_and_update();
        if messages.closed {
            return None;
        }
        let state = if self.sees_ids { &messages.state_with_ids } else { &messages.state };
        let all = [("traffic", &messages.traffic), ("state", state), ("settings", &messages.settings)];
        let shown = if self.sees_ids { 3 } else { 2 };
        let mut text = String::new();
        for ((name, message), last_sent) in all.into_iter().zip(&mut self.last_sent).take(shown) {
            if message.number > *last_sent {
                *last_sent = message.number;
                text.push_str(&format!("event: {name}\ndata: {}\n\n", message.json));
            }
        }
        Some(text)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.console.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
