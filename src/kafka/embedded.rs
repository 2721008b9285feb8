//! A Kafka broker inside this process, for the demo and for tests: librdkafka's mock cluster.
//!
//! Clients that are built on librdkafka (kcat, confluent-kafka, rdkafka) can attach to it; Java clients cannot. It keeps
//! a few MiB per partition, forgets everything when it is dropped, and checks no sequence numbers: so it can never
//! prove that nothing was lost or doubled, and the service must never publish to it.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;

/// A running broker on a free port of the loopback interface. Ends when dropped.
pub struct EmbeddedBroker {
    bootstrap_servers: String,
    /// Nothing is ever sent: that it is gone ends the broker.
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts a broker with these topics: name and number of partitions.
    ///
    /// # Errors
    /// The reason in words.
    pub fn start(topics: &[(String, i32)]) -> Result<Self, String> {
        let (stop, stopped) = channel();
        let (tell, told) = channel();
        let topics = topics.to_owned();
        // The library's handle cannot leave its thread, so it has one of its own, and this one can go anywhere.
        let run = move || keep(&topics, &tell, &stopped);
        let thread = std::thread::Builder::new().name("embedded broker".to_owned()).spawn(run);
        let thread = thread.map_err(|error| error.to_string())?;
        let bootstrap_servers = told.recv().map_err(|_| "the embedded broker did not start".to_owned())??;
        Ok(Self { bootstrap_servers, stop: Some(stop), thread: Some(thread) })
    }

    /// `host:port`, for the clients' `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told by its own message.
            let _ = thread.join();
        }
    }
}

/// Keeps a broker until `stopped` says so; tells its address, or why there is none.
fn keep(topics: &[(String, i32)], tell: &Sender<Result<String, String>>, stopped: &Receiver<Infallible>) {
    let cluster = MockCluster::new(1).and_then(|cluster| {
        topics.iter().try_for_each(|(topic, partitions)| cluster.create_topic(topic, *partitions, 1))?;
        Ok(cluster)
    });
    match cluster {
        Err(error) => {
            // Whoever asked waits for this.
            let _ = tell.send(Err(error.to_string()));
        }
        Ok(cluster) => {
            let _ = tell.send(Ok(cluster.bootstrap_servers()));
            let _ = stopped.recv();
        }
    }
}
