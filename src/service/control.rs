//! The control messages of a running service, and the signals that send them.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::telemetry::log_code::LogCode;

/// A control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlMessage {
    /// Reload the configuration.
    Reload,
    /// Drain and exit. A second one ends the waiting.
    Shutdown,
}

/// The receiving end of the control channel.
pub type ControlMessages = mpsc::UnboundedReceiver<ControlMessage>;

/// Translates signals into control messages: SIGTERM and SIGINT end the service, SIGHUP reloads the configuration.
/// Replaces the default action of these signals for the rest of the process.
///
/// # Errors
/// The operating system rejects a signal handler.
pub fn signals() -> std::io::Result<ControlMessages> {
    let (sender, control_messages) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::terminate(), ControlMessage::Shutdown),
        (SignalKind::interrupt(), ControlMessage::Shutdown),
        (SignalKind::hangup(), ControlMessage::Reload),
    ];
    for (kind, message) in kinds {
        let (mut caught, sender): (Signal, _) = (signal(kind)?, sender.clone());
        tokio::spawn(async move { while caught.recv().await.is_some() && sender.send(message).is_ok() {} });
    }
    Ok(control_messages)
}

/// Waits for another [`ControlMessage::Shutdown`]. Never returns if the channel is closed.
pub(crate) async fn wait_for_second_shutdown(control_messages: &mut ControlMessages) {
    while let Some(message) = control_messages.recv().await {
        if message == ControlMessage::Shutdown {
            return tracing::warn!(code = LogCode::SecondSignal.as_str(), "no longer waiting");
        }
    }
    std::future::pending().await
}
