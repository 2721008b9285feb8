//! The brokers' configuration.

use std::path::Path;

use super::tls;

/// What differs from a plain cluster.
#[derive(Default)]
pub(crate) struct Options {
    pub(super) login: Option<Login>,
    /// For each further plain listener, what each node advertises.
    pub(super) advertised: Vec<Vec<Advertised>>,
    properties: Vec<(String, String)>,
}

/// What a node advertises for a listener.
#[derive(Clone)]
pub(crate) enum Advertised {
    /// Where it listens.
    Itself,
    /// This `host:port`.
    Elsewhere(String),
}

pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Options {
    /// Adds a listener that takes TLS and SCRAM-SHA-512 only, and that user.
    pub(crate) fn scram(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login { user: user.to_owned(), password: password.to_owned() });
        self
    }

    /// Adds a plain listener for which the nodes advertise these addresses, in the nodes' order.
    pub(crate) fn advertised(mut self, addresses: &[Advertised]) -> Self {
        self.advertised.push(addresses.to_vec());
        self
    }

    /// `min.insync.replicas` of topics that do not set their own (2 on three nodes, 1 on one, where not given).
    pub(crate) fn min_insync_replicas(self, count: usize) -> Self {
        self.property("min.insync.replicas", &count.to_string())
    }

    /// `message.max.bytes`: the largest batch of records that brokers take.
    pub(crate) fn message_max_bytes(self, bytes: usize) -> Self {
        self.property("message.max.bytes", &bytes.to_string())
    }

    /// Lets the cluster give a dead node up after 3 s instead of 9 s: for tests that are not about how long that takes.
    pub(crate) fn fast_failover(self) -> Self {
        self.property("broker.session.timeout.ms", "3000").property("broker.heartbeat.interval.ms", "500")
    }

    /// Any broker property; overrides the harness's own.
    pub(crate) fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The whole configuration of one node, its data directory aside.
    pub(super) fn properties_of(&self, id: usize, ports: &Ports<'_>, directory: &Path) -> Vec<(String, String)> {
        let count = ports.plain.len();
        let voters: Vec<_> =
            ports.controllers.iter().zip(1..).map(|(port, id): (_, usize)| format!("{id}@127.0.0.1:{port}")).collect();
        let (plain, controller) = (ports.plain[id - 1], ports.controllers[id - 1]);
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}");
        let mut properties: Vec<(String, String)> = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", id.to_string()),
            ("controller.quorum.voters", voters.join(",")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
            ("default.replication.factor", count.to_string()),
            ("min.insync.replicas", count.min(2).to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
            ("auto.create.topics.enable", "false".to_owned()),
            ("offsets.topic.replication.factor", count.to_string()),
            ("offsets.topic.num.partitions", "1".to_owned()),
            ("transaction.state.log.replication.factor", count.to_string()),
            ("transaction.state.log.min.isr", count.min(2).to_string()),
            ("transaction.state.log.num.partitions", "1".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(port) = ports.secure.get(id - 1) {
            listeners.push_str(&format!(",SECURE://127.0.0.1:{port}"));
            let store = directory.join(tls::BROKER).display().to_string();
            properties.extend(
                [
                    ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
                    (
                        "listener.name.secure.scram-sha-512.sasl.jaas.config",
                        "org.apache.kafka.common.security.scram.ScramLoginModule required;",
                    ),
                    ("listener.name.secure.ssl.keystore.type", "PEM"),
                    ("listener.name.secure.ssl.keystore.location", &store),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL".to_owned();
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{plain}");
        for (number, (addresses, ports)) in self.advertised.iter().zip(ports.advertised).enumerate() {
            let (name, port) = (format!("ELSEWHERE{number}"), ports[id - 1]);
            protocols.push_str(&format!(",{name}:PLAINTEXT"));
            listeners.push_str(&format!(",{name}://127.0.0.1:{port}"));
            match &addresses[id - 1] {
                Advertised::Itself => advertised.push_str(&format!(",{name}://127.0.0.1:{port}")),
                Advertised::Elsewhere(address) => advertised.push_str(&format!(",{name}://{address}")),
            }
        }
        if !self.advertised.is_empty() {
            properties.push(("advertised.listeners".to_owned(), advertised));
        }
        properties.push(("listener.security.protocol.map".to_owned(), protocols));
        properties.push(("listeners".to_owned(), listeners));
        properties.extend(self.properties.iter().cloned());
        properties
    }
}

/// The ports of all nodes, in their order.
pub(super) struct Ports<'a> {
    pub(super) plain: &'a [u16],
    pub(super) controllers: &'a [u16],
    /// Empty without a login.
    pub(super) secure: &'a [u16],
    /// For each listener of [`Options::advertised`].
    pub(super) advertised: &'a [Vec<u16>],
}
