//! The control messages of a running service, and the signals that send them.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::telemetry::log_code::LogCode;

/// A control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlMessage {
    /// Take a changed configuration over.
    Reload,
    /// Drain and end; a second time: do not wait any longer.
    End,
}

/// Where orders come from.
pub type ControlMessages = mpsc::UnboundedReceiver<ControlMessage>;

/// The process's signals as orders: SIGTERM and SIGINT end, SIGHUP reloads. From now on they do nothing else.
///
/// # Errors
/// The operating system's.
pub fn signals() -> std::io::Result<ControlMessages> {
    let (give, control_messages) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::terminate(), ControlMessage::End),
        (SignalKind::interrupt(), ControlMessage::End),
        (SignalKind::hangup(), ControlMessage::Reload),
    ];
    for (kind, order) in kinds {
        let (mut caught, give): (Signal, _) = (signal(kind)?, give.clone());
        tokio::spawn(async move { while caught.recv().await.is_some() && give.send(order).is_ok() {} });
    }
    Ok(control_messages)
}

/// Waits until the end is ordered again; for ever where it is not.
pub(super) async fn second_shutdown(control_messages: &mut ControlMessages) {
    while let Some(order) = control_messages.recv().await {
        if order == ControlMessage::End {
            return tracing::warn!(code = LogCode::SecondSignal.as_str(), "not waiting any longer");
        }
    }
    std::future::pending().await
}
