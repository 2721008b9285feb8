//! Gets Apache Kafka's jars, once per machine, and tells what a machine lacks for running them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const VERSION: &str = "4.1.1";
const JAVA: u32 = 17;
const POM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/pom.xml");

/// The build directory (`target/`).
pub(super) fn target() -> &'static Path {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch)
}

/// Whether brokers can be started on this machine; else what it lacks.
fn available() -> Result<(), String> {
    let version = output("java", &["-version"]).and_then(|text| java_version(&text));
    if version.is_none_or(|version| version < JAVA) {
        return Err(format!("it takes Java {JAVA} or newer (Debian: apt-get install default-jre-headless)"));
    }
    if !is_complete(&home()) && output("mvn", &["-version"]).is_none() {
        return Err("it takes Maven for the first run (Debian: apt-get install maven)".to_owned());
    }
    Ok(())
}

/// Reports on standard error that the running test is skipped, and why. With `CI=true`, fails it instead.
pub(super) fn available_or_left_out() -> bool {
    let Err(lack) = available() else { return true };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs real Apache Kafka: {lack}");
    // Past the test runner's capture of `eprintln!`, so that it is seen though the test passes.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs real Apache Kafka: {lack}");
    false
}

/// The directory of the jars; fetches them where they are not there yet. Two processes at once do no harm.
pub(super) fn libraries() -> Result<PathBuf, String> {
    let home = home();
    let libraries = home.join("libs");
    std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let lock = File::create(home.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if is_complete(&home) {
        return Ok(libraries);
    }
    let mut last = String::new();
    for attempt in 0..3 {
        // A registry that refuses for a moment is asked again a little later.
        std::thread::sleep(Duration::from_secs(attempt * 5));
        let _ = std::fs::remove_dir_all(&libraries);
        let fetched = Command::new("mvn")
            .args(["-q", "-B", "-f", POM, "dependency:copy-dependencies"])
            .arg(format!("-DoutputDirectory={}", libraries.display()))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("mvn: {error}"))?;
        if fetched.status.success() {
            std::fs::copy(POM, home.join("complete")).map_err(|error| error.to_string())?;
            return Ok(libraries);
        }
        last = String::from_utf8_lossy(&fetched.stdout).into_owned();
    }
    Err(format!("Maven could not fetch Apache Kafka {VERSION}:\n{last}"))
}

/// The marker holds the pom by which the jars were fetched: another pom, other jars.
fn is_complete(home: &Path) -> bool {
    matches!((std::fs::read(home.join("complete")), std::fs::read(POM)), (Ok(marker), Ok(pom)) if marker == pom)
}

fn home() -> PathBuf {
    target().join(format!("kafka-{VERSION}"))
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    // Java prints its version to standard error.
    let text = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

/// The feature version out of `openjdk version "17.0.15" 2025-04-15`; of "1.8.0" that is 1, old enough.
fn java_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}
