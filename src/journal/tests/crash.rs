//! Crash test: the process is killed while it writes. Everything that was reported as written must be there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Environment variable for the child process: the directory to write to.
const DIRECTORY: &str = "JOURNAL_CRASH_DIRECTORY";

/// Not a test, but the process that is killed: writes, deletes and reports what is durable, in an endless loop.
#[test]
fn a_process_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let mut store = open(Path::new(&directory)).store;
    let mut next = open_next(&mut store);
    loop {
        let batch = entries(next..next + 20);
        let deletes: Vec<_> = (next..next + 10).filter_map(|seq| seq.checked_sub(100).map(Seq)).collect();
        let committed = store.commit(&Batch { puts: &batch, deletes: &deletes, ..Batch::default() });
        assert_eq!(committed.written.len(), 20);
        #[allow(clippy::print_stdout, reason = "the parent listens")]
        {
            println!("written {next}");
        }
        next += 20;
    }
}

fn open_next(store: &mut Store) -> u64 {
    let last = store.list(Seq(0), usize::MAX).unwrap().last().map(|row| row.seq.0 + 1);
    last.unwrap_or_default().next_multiple_of(20)
}

#[test]
fn written_entries_survive_a_kill_at_any_instant() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut reported = None;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::tests::crash::a_process_that_writes_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = random.usize(1..40);
        let numbers = |line: String| line.split("written ").nth(1).and_then(|rest| rest.trim().parse::<u64>().ok());
        let mut seen = 0;
        while seen < enough {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(number) = numbers(line) {
                (reported, seen) = (Some(number), seen + 1);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Reports that were still in the pipe count as well.
        for number in lines.map_while(Result::ok).filter_map(numbers) {
            reported = Some(number);
        }
        let last = reported.unwrap();
        let held = held(directory.path());
        // Each batch deletes ten entries of an earlier one; the batch after the last report can have done so too.
        let expected = (0..last + 20).filter(|seq| seq % 20 >= 10 || seq + 80 >= last + 20);
        let missing: Vec<_> = expected.filter(|seq| !held.contains(seq)).collect();
        assert!(missing.is_empty(), "round {round}, last reported {last}: {missing:?} are missing");
    }
}
