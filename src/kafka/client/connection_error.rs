//! The reasons why a cluster cannot be reached: librdkafka's errors, classified, each with a fix.
//!
//! librdkafka's texts name brokers and errors, never the value of a property.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::log;
use crate::diagnosis::Diagnosis;

/// The cause of a connection error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The host name cannot be resolved.
    Dns,
    /// The connection was refused, because nothing listens on the port.
    Refused,
    /// There was no answer in time.
    Timeout,
    /// TLS failed.
    Tls,
    /// Authentication failed.
    Authentication,
    /// The broker disconnected. Usually one side uses TLS or SASL, and the other does not.
    Disconnected,
    /// Anything else.
    Other,
}

impl Cause {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Authentication => "authentication",
            Self::Disconnected => "closed",
            Self::Other => "other",
        }
    }

    /// Returns the fix.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Dns => "correct the name in kafka.bootstrap_servers, or in the brokers' advertised.listeners",
            Self::Refused => {
                "check that a broker runs there and listens on that port, and that no firewall rejects \
                the connection"
            }
            Self::Timeout => {
                "check that address and port are correct, and that firewalls and security groups allow the connection"
            }
            Self::Tls => {
                "set \"ssl.ca.location\" to the authority that signed the brokers' certificates, and check that the \
                port is a TLS listener and that the certificates are for these names and have not expired"
            }
            Self::Authentication => {
                "correct \"sasl.mechanisms\", \"sasl.username\" and \"sasl.password\" in [kafka.properties], and \
                check that the user exists on the brokers"
            }
            Self::Disconnected => {
                "check that \"security.protocol\" in [kafka.properties] matches the listener: plaintext, ssl, \
                sasl_plaintext or sasl_ssl"
            }
            Self::Other => "check the brokers' logs, the address, and the security settings",
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
    fn of(code: RDKafkaErrorCode, reason: &str) -> Self {
        const LOGIN: [RDKafkaErrorCode; 4] = [
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::SaslAuthenticationFailed,
            RDKafkaErrorCode::UnsupportedSASLMechanism,
            RDKafkaErrorCode::IllegalSASLState,
        ];
        const SILENCE: [RDKafkaErrorCode; 3] =
            [RDKafkaErrorCode::OperationTimedOut, RDKafkaErrorCode::RequestTimedOut, RDKafkaErrorCode::MessageTimedOut];
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        match code {
            RDKafkaErrorCode::Resolve => Self::Dns,
            RDKafkaErrorCode::SSL => Self::Tls,
            code if LOGIN.contains(&code) => Self::Authentication,
            code if SILENCE.contains(&code) => Self::Timeout,
            _ if says(&["Connection refused"]) => Self::Refused,
            _ if says(&["SSL handshake", "certificate"]) => Self::Tls,
            _ if says(&["timed out", "timeout"]) => Self::Timeout,
            _ if says(&["isconnected", "Connection reset", "Broken pipe"]) => Self::Disconnected,
            _ => Self::Other,
        }
    }
}

/// A connection error with librdkafka's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionError {
    /// The cause.
    pub cause: Cause,
    /// librdkafka's message, which names the broker.
    pub text: String,
}

/// The cluster did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// The distinct errors. Empty if librdkafka reports none.
    pub errors: Vec<ConnectionError>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kafka does not answer")?;
        for (index, error) in self.errors.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { ": " } else { "; " }, error.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Unreachable {}

impl From<&Unreachable> for Diagnosis {
    fn from(unreachable: &Unreachable) -> Self {
        let mut remedies: Vec<_> = unreachable.errors.iter().map(|error| error.cause.remedy()).collect();
        let mut seen = HashSet::new();
        remedies.retain(|remedy| seen.insert(*remedy));
        if remedies.is_empty() {
            remedies =
                vec!["start the brokers, or correct kafka.bootstrap_servers; `idaas-bridge check` names the cause"];
        }
        Self::new("kafka_unreachable", unreachable.to_string(), remedies.join("; or "))
    }
}

/// A client context that collects librdkafka's connection errors.
#[derive(Clone, Default)]
pub(in crate::kafka) struct ErrorCollector {
    collected: Arc<Mutex<Collected>>,
}

#[derive(Default)]
struct Collected {
    errors: Vec<ConnectionError>,
    all_down: bool,
}

impl ErrorCollector {
    /// Returns true if waiting longer is useless: all brokers are down, or one rejected the login or the TLS
    /// handshake.
    pub(in crate::kafka) fn is_decided(&self) -> bool {
        let collected = self.collected.lock();
        let refused = |error: &ConnectionError| matches!(error.cause, Cause::Authentication | Cause::Tls);
        collected.all_down || collected.errors.iter().any(refused)
    }

    /// Returns the errors collected so far.
    pub(in crate::kafka) fn unreachable(&self) -> Unreachable {
        Unreachable { errors: self.collected.lock().errors.clone() }
    }

    pub(in crate::kafka) fn record(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut collected = self.collected.lock();
        if code == RDKafkaErrorCode::AllBrokersDown {
            collected.all_down = true;
            return;
        }
        let error = ConnectionError { cause: Cause::of(code, reason), text: shortened(reason) };
        if !collected.errors.contains(&error) {
            collected.errors.push(error);
        }
    }
}

/// Removes the duration and the number of repetitions, which vary.
fn shortened(reason: &str) -> String {
    let end = reason.rfind(" (after ").or_else(|| reason.rfind(" (connect")).unwrap_or(reason.len());
    reason.get(..end).unwrap_or(reason).replace("/bootstrap", "")
}

impl ClientContext for ErrorCollector {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
        // A disconnect is not reported as an error, only logged: "[thrd:…]: broker: Disconnected …".
        let text = message.split_once("]: ").map_or(message, |(_, text)| text);
        let code = RDKafkaErrorCode::BrokerTransportFailure;
        if facility == "FAIL" && Cause::of(code, text) == Cause::Disconnected {
            self.record(code, text);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
        if let Some(code) = error.rdkafka_error_code() {
            self.record(code, reason);
        }
    }
}

impl ConsumerContext for ErrorCollector {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_sorted_by_what_stands_in_the_way() {
        let transport = RDKafkaErrorCode::BrokerTransportFailure;
        for (code, reason, cause) in [
            (RDKafkaErrorCode::Resolve, "nowhere:9092/bootstrap: Failed to resolve 'nowhere:9092'", Cause::Dns),
            (transport, "a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused", Cause::Refused),
            (transport, "a:1/bootstrap: Connection setup timed out in state CONNECT", Cause::Timeout),
            (transport, "a:1/bootstrap: Disconnected while requesting ApiVersion", Cause::Disconnected),
            (RDKafkaErrorCode::SSL, "a:1/bootstrap: SSL handshake failed", Cause::Tls),
            (RDKafkaErrorCode::Authentication, "a:1/bootstrap: SASL authentication error", Cause::Authentication),
            (transport, "something new", Cause::Other),
        ] {
            assert_eq!(Cause::of(code, reason), cause, "{reason}");
        }
    }

    #[test]
    fn the_same_complaint_is_remembered_once() {
        let listener = ErrorCollector::default();
        for seconds in 0..3 {
            let reason = format!("a:1/bootstrap: refused (after {seconds}ms in state CONNECT)");
            listener.record(RDKafkaErrorCode::BrokerTransportFailure, &reason);
        }
        assert!(!listener.is_decided());
        listener.record(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(listener.is_decided());
        let unreachable = listener.unreachable();
        assert_eq!(unreachable.to_string(), "Kafka does not answer: a:1: refused");
    }
}
