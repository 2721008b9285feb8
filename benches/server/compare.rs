//! Compares the processor time of two builds of the program for the same callbacks.
//!
//! Both servers run at the same time, on the same Kafka, and take turns: what slows the machine down slows down both.

use std::path::Path;

use idaas_simulator::tenant_keys::TenantKeys;

use crate::load::{self, Expected};
use crate::process::Server;
use crate::support::real_kafka::RealKafka;
use crate::{Batches, CONNECTIONS};

const ROUNDS: usize = 48;

/// Prints, for each size of callback, the processor time for an event of both programs, and the ratio.
pub(crate) fn run(kafka: &RealKafka, other: &Path, only: Option<usize>) {
    let (other, other_material) = Server::start_other(other, kafka.bootstrap_servers());
    let material = TenantKeys::generate().expect("keys");
    let this = Server::start(kafka.bootstrap_servers(), &material);
    let mut sides = [side(&other, &other_material), side(&this, &material)];
    for side in &mut sides {
        side.cost(3_000, 1, CONNECTIONS);
        side.cost(20, 1000, 4);
    }
    for (callbacks, size, connections) in [(4_000, 1, CONNECTIONS), (120, 100, 16), (16, 1000, 4)] {
        if only.is_some_and(|only| only != size) {
            continue;
        }
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let mut costs = [0.0; 2];
            for turn in 0..2 {
                let which = (round + turn) % 2;
                costs[which] = sides[which].cost(callbacks, size, connections);
            }
            rounds.push(costs);
        }
        print(size, &rounds);
    }
}

struct Side<'a> {
    server: &'a Server,
    batches: Batches<'a>,
}

fn side<'a>(server: &'a Server, material: &'a TenantKeys) -> Side<'a> {
    Side { server, batches: Batches { material, next: 0 } }
}

impl Side<'_> {
    /// Processor time for an event, in microseconds.
    fn cost(&mut self, callbacks: usize, size: usize, connections: usize) -> f64 {
        let bodies = self.batches.bodies(callbacks, size);
        let before = self.server.cpu();
        load::saturate(self.server.callbacks, &bodies, connections, Expected::Success);
        (self.server.cpu() - before).as_secs_f64() * 1e6 / (callbacks * size) as f64
    }
}

fn print(size: usize, rounds: &[[f64; 2]]) {
    let mean = |which: usize| rounds.iter().map(|costs| costs[which]).sum::<f64>() / rounds.len() as f64;
    let mut ratios: Vec<f64> = rounds.iter().map(|[other, this]| this / other).collect();
    ratios.sort_by(f64::total_cmp);
    let [low, median, high] = [1, 2, 3].map(|quarter| ratios[(ratios.len() - 1) * quarter / 4]);
    println!(
        "callbacks of {size}: {:.2} us CPU per event of the other, {:.2} us of this: {:.3} times; \
         quartiles of {} rounds {low:.3}, {median:.3}, {high:.3}",
        mean(0),
        mean(1),
        mean(1) / mean(0),
        rounds.len(),
    );
}
