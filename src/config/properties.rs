//! librdkafka properties that must not be set, each with the reason.
//!
//! The guarantees of the service depend on these values. All other properties are passed to librdkafka.

use crate::diagnosis::{Diagnosis, misconfigured};

const LEAVE_OUT: &str = "remove it";

/// Returns the fault if this property must not be set.
pub(super) fn refusal(name: &str) -> Option<Diagnosis> {
    let (problem, remedy) = match name {
        "bootstrap.servers" | "metadata.broker.list" => {
            ("the brokers have a key of their own", "set kafka.bootstrap_servers")
        }
        "acks" | "request.required.acks" => {
            ("is fixed to all: an event counts as delivered only when every in-sync replica has it", LEAVE_OUT)
        }
        "enable.idempotence" => ("is fixed to true: without it, a retry can write an event twice", LEAVE_OUT),
        "partitioner" => (
            "is fixed to murmur2_random: events of one entity must be in the partition that Java clients compute",
            LEAVE_OUT,
        ),
        "max.in.flight" | "max.in.flight.requests.per.connection" => {
            ("is fixed to 5: with more, retries can change the order", LEAVE_OUT)
        }
        "retries" | "message.send.max.retries" => {
            ("is fixed: a record is retried until its timeout, not a number of times", LEAVE_OUT)
        }
        "message.timeout.ms" | "delivery.timeout.ms" => (
            "is fixed: a record stays with the producer longer than its callback waits",
            "set server.response_deadline for the time until the answer",
        ),
        "transactional.id" | "transaction.timeout.ms" => {
            ("would make records wait for a transaction that nobody commits", LEAVE_OUT)
        }
        "allow.auto.create.topics" => (
            "is fixed to false: a topic that is created by accident has the broker's default settings",
            "use topics.create = true, or `idaas-bridge topics --create`",
        ),
        "delivery.report.only.error" => ("would suppress the delivery reports that answers depend on", LEAVE_OUT),
        "enable.gapless.guarantee" => ("would stop the producer permanently once a record expires", LEAVE_OUT),
        "queuing.strategy" => ("is fixed to fifo: another one changes the order", LEAVE_OUT),
        "statistics.interval.ms" => ("is fixed: metrics and health are taken from these statistics", LEAVE_OUT),
        "plugin.library.paths" => ("would load foreign code into the process that holds the keys", LEAVE_OUT),
        "enabled_events" | "opaque" | "default_topic_conf" => ("cannot be set as text", LEAVE_OUT),
        callback if callback.ends_with("_cb") => ("cannot be set as text", LEAVE_OUT),
        test if test.starts_with("test.mock.") => (
            "is for tests: a mock cluster loses every record when it stops",
            "use `idaas-bridge demo` to try without Kafka",
        ),
        _ => return None,
    };
    Some(misconfigured(problem, remedy))
}

/// Returns true if a property is a path. A relative one starts at the configuration file's directory.
pub(super) fn is_path(name: &str) -> bool {
    matches!(
        name,
        "ssl.ca.location"
            | "ssl.certificate.location"
            | "ssl.key.location"
            | "ssl.keystore.location"
            | "ssl.crl.location"
            | "https.ca.location"
            | "sasl.kerberos.keytab"
            | "sasl.oauthbearer.assertion.private.key.file"
            | "sasl.oauthbearer.assertion.file"
            | "sasl.oauthbearer.assertion.jwt.template.file"
    )
}
