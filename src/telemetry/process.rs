//! The metrics of the process, under the names that all Prometheus clients use.
//!
//! Read from `/proc` on Linux. Other systems have none of them.

use std::fs;

use prometheus::{Counter, Gauge, Opts, Registry};

use super::metrics::register;

/// Clock ticks per second in `/proc` (`USER_HZ`): part of the kernel's interface, 100 on every supported processor.
const TICKS: f64 = 100.0;

/// Processor time, memory and file descriptors.
pub(super) struct ProcessMetrics {
    cpu: Counter,
    resident: Gauge,
    open_files: Gauge,
    max_files: Gauge,
}

/// The values used from `/proc/self/stat`, in seconds.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu: f64,
    /// Since the machine was booted.
    started: f64,
}

impl ProcessMetrics {
    /// Registers the metrics of this process, if the system provides them.
    pub(super) fn new(registry: &Registry) -> Result<Option<Self>, prometheus::Error> {
        let Some(started) = start_time() else { return Ok(None) };
        let gauge = |name: &str, help: &str| register(registry, Gauge::with_opts(Opts::new(name, help))?);
        gauge("process_start_time_seconds", "Start time of the process, in seconds since 1970.")?.set(started);
        let cpu = Opts::new("process_cpu_seconds_total", "User and system CPU time of the process, in seconds.");
        let metrics = Self {
            cpu: register(registry, Counter::with_opts(cpu)?)?,
            resident: gauge("process_resident_memory_bytes", "Resident memory of the process, in bytes.")?,
            open_files: gauge("process_open_fds", "Open file descriptors of the process.")?,
            max_files: gauge("process_max_fds", "Limit of open file descriptors of the process.")?,
        };
        metrics.update();
        Ok(Some(metrics))
    }

    /// Updates the values. A value that cannot be read is unchanged.
    pub(super) fn update(&self) {
        if let Some(stat) = stat() {
            self.cpu.inc_by((stat.cpu - self.cpu.get()).max(0.0));
        }
        let kibibytes = fs::read_to_string("/proc/self/status").ok().and_then(|text| number_after(&text, "VmRSS:"));
        if let Some(kibibytes) = kibibytes {
            self.resident.set(kibibytes * 1024.0);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the descriptor of this directory.
            self.open_files.set(files.count().saturating_sub(1) as f64);
        }
        let limit = fs::read_to_string("/proc/self/limits").ok().and_then(|text| number_after(&text, "Max open files"));
        if let Some(limit) = limit {
            self.max_files.set(limit);
        }
    }
}

fn stat() -> Option<Stat> {
    parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Parses `/proc/self/stat`. The program's name, in parentheses, can contain spaces and parentheses, so the fields
/// are counted from its end.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat { cpu: (ticks(14)? + ticks(15)?) / TICKS, started: ticks(22)? / TICKS })
}

fn start_time() -> Option<f64> {
    let boot = number_after(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    Some(boot + stat()?.started)
}

/// Returns the first number on the line that starts with `name`.
fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_shifts_no_field() {
        let text = "7 (a b) c) S 1 7 7 0 -1 4194560 155 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(parse_stat(text), Some(Stat { cpu: 3.0, started: 123.45 }));
        assert_eq!(parse_stat("7 (name) S 1"), None);
    }

    #[test]
    fn a_limit_that_is_unlimited_is_no_number() {
        let limits = "Max open files            1024                 524288               files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024.0));
        assert_eq!(number_after("Max open files            unlimited", "Max open files"), None);
    }
}
