//! A disk on which each sync takes ten seconds, for the program: a library that is loaded before the system's.

use std::path::PathBuf;
use std::process::Command;

/// Waits before each sync as long as the file exists that the variable names.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void wait_if_slow(void) {
    const char *file = getenv("SLOW_DISK");
    if (file && access(file, F_OK) == 0) sleep(10);
}
int fsync(int file) { wait_if_slow(); return syscall(SYS_fsync, file); }
int fdatasync(int file) { wait_if_slow(); return syscall(SYS_fdatasync, file); }
"#;

/// The library, and the switch.
pub(crate) struct SlowDisk {
    directory: tempfile::TempDir,
}

impl SlowDisk {
    /// Builds the library. The disk is as fast as it is.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("slow.c");
        std::fs::write(&source, SOURCE).unwrap();
        let library = directory.path().join("slow.so");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
        assert!(built.success(), "{built}");
        Self { directory }
    }

    /// The variables of the program's environment.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let file = |name| self.directory.path().join(name);
        [("LD_PRELOAD", file("slow.so")), ("SLOW_DISK", file("slow"))]
    }

    pub(crate) fn set_slow(&self, slow: bool) {
        let switch = self.directory.path().join("slow");
        if slow { std::fs::write(switch, "") } else { std::fs::remove_file(switch) }.unwrap();
    }
}
