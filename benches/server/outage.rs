//! What an outage of Kafka costs: how fast the journal takes events, how fast it gives them back, and how long a start
//! with a million of them takes.

use std::time::{Duration, Instant};

use crate::load::{self, Expected};
use crate::process::Server;
use crate::support::real_kafka::RealKafka;
use crate::{Batches, CONNECTIONS};

/// Events that are journaled before the start that is measured.
const MANY: usize = 1_000_000;

/// Measures, and prints what it finds. `many` is whether to journal a million events, which takes minutes.
pub(crate) fn measure(kafka: &RealKafka, server: &mut Server, events: &mut Batches<'_>, many: bool) {
    kafka.kill_all();
    server.wait_metric("kafka_available", |value| value == 0.0);
    for (callbacks, size, connections) in [(20_000, 1, 64), (600, 100, 16), (60, 1000, 4)] {
        let bodies = events.bodies(callbacks, size);
        let began = Instant::now();
        let latencies = load::saturate(server.callbacks, &bodies, connections, Expected::Kept);
        let count = (callbacks * size) as f64;
        println!(
            "Kafka away: {callbacks} callbacks of {size} events, {connections} connections: {:.0} events/s; \
            {latencies}",
            count / began.elapsed().as_secs_f64()
        );
    }
    let mut journaled = 20_000 + 60_000 + 60_000;
    while many && journaled < MANY {
        let bodies = events.bodies(40, 1000);
        load::saturate(server.callbacks, &bodies, 4, Expected::Kept);
        journaled += 40_000;
    }
    println!(
        "journaled: {:.0} events, {:.0} MiB on the disk",
        server.metric("journal_events"),
        server.metric("journal_bytes") / 1048576.0
    );
    let took = server.start_again();
    println!(
        "ready {:.1} s after a kill, with them in the journal; {:.0} MiB resident",
        took.as_secs_f64(),
        server.resident_mib()
    );
    kafka.restart_all();
    server.wait_metric("kafka_available", |value| value == 1.0);
    server.wait_metric("journal_replayed_total", |value| value > 0.0);
    // The broker has to come to itself first.
    let all = server.metric("journal_events");
    server.wait_metric("journal_events", |value| value < all * 0.95);
    let (began, before) = (Instant::now(), server.metric("journal_events"));
    if !many {
        // Of new users: an event of a user who has an older one in the journal waits for it, as it must.
        let bodies = events.bodies_of("user:create", 500 * 3, 1);
        println!("live at 500/s beside the replay: {}", load::at_rate(server.callbacks, &bodies, 500));
    }
    server.wait_metric("journal_events", |value| value == 0.0);
    let took = began.elapsed().max(Duration::from_millis(1));
    println!("replayed {before:.0} events in {:.1} s: {:.0} events/s", took.as_secs_f64(), before / took.as_secs_f64());
    println!("resident afterwards: {:.0} MiB ({CONNECTIONS} connections were open before)", server.resident_mib());
}
