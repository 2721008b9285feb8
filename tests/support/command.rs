//! The program as a command: what it printed, and how to deal with it while it runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What the program printed, and how it ended.
pub(crate) struct Shown {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shown {
    /// What a program that has ended has printed.
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The output with all white space as single blanks, as if it was not wrapped.
    pub(crate) fn flat(&self) -> String {
        self.out.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The output as [`Shown::flat`], also without the signs that continue a line of a command.
    pub(crate) fn unbroken(&self) -> String {
        self.flat().replace(" \\ ", " ")
    }

    /// The same of what it said on stderr.
    pub(crate) fn flat_err(&self) -> String {
        self.err.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A running program. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    notes: BufReader<ChildStderr>,
}

impl Running {
    /// Starts a program.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let notes = BufReader::new(child.stderr.take().unwrap());
        Self { child, notes }
    }

    /// Waits until a line on stderr contains that text.
    pub(crate) fn wait_for_note(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.notes.read_line(&mut line).unwrap() > 0, "stderr ended without {text:?}");
        }
    }

    /// Ends it as SIGKILL does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Interrupts it as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Makes it read its configuration again.
    pub(crate) fn reload(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Returns true if it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end, but not longer than that.
    pub(crate) fn end_within(mut self, limit: Duration) -> Shown {
        let end = Instant::now() + limit;
        while self.is_running() {
            assert!(Instant::now() < end, "the program did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Shown {
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.notes.read_to_string(&mut err).unwrap();
        Shown { code: self.child.wait().unwrap().code().unwrap_or(-1), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
