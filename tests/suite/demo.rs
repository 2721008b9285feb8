//! The demo, as its users run it: the program's own judgement, and what it shows.

use std::process::{Command, Output};

use idaas_bridge::demo::{self, Options};
use idaas_bridge::terminal::{width, without_styles};
use idaas_simulator::kind::Kind;

use crate::support::real_kafka::shared_one_node;

fn demo(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"));
    command.arg("demo").args(arguments).env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn the_demo_shows_every_event_type_and_is_content_with_itself() {
    let (output, text) = demo(&[], &[]);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for kind in Kind::ALL {
        assert!(text.contains(kind.name()), "{} is not shown", kind.name());
    }
    for code in ["bad_signature", "expired", "wrong_audience", "not_encrypted", "malformed_data"] {
        assert!(text.contains(code), "{code} is not shown");
    }
    assert!(text.contains("kcat -b 127.0.0.1:"), "{text}");
    assert!(text.contains("All results are as expected"), "{text}");
    // What it does not say is as important: an invented password is a password.
    assert!(!text.contains("Pä55-") && !text.contains("Not-for-anybody"), "{text}");
}

#[test]
fn what_is_no_terminal_gets_no_color_unless_it_asks_for_it() {
    let (_, plain) = demo(&["--brief"], &[]);
    assert!(!plain.contains('\x1b'), "{plain}");
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
    let (output, colored) = demo(&["--brief"], &[("CLICOLOR_FORCE", "1")]);
    assert!(output.status.success() && colored.contains("\x1b[32m"), "{colored}");
}

#[test]
fn on_a_narrow_terminal_no_line_is_longer_than_it() {
    for brief in [false, true] {
        let options = Options {
            bootstrap_servers: None,
            topic_prefix: "idaas".to_owned(),
            brief,
            stay: false,
            width: 80,
            program: "target/release/idaas-bridge".to_owned(),
        };
        let mut out = Vec::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        assert!(runtime.block_on(demo::run(&options, &mut out)).unwrap());
        let text = without_styles(std::str::from_utf8(&out).unwrap());
        let long: Vec<_> = text.lines().filter(|line| width(line) > 80).collect();
        assert!(long.is_empty(), "{}", long.join("\n"));
    }
}

#[test]
fn every_shell_gets_completions_that_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_idaas-bridge")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("simulate") && script.contains("topics"), "{shell}");
    }
}

#[test]
fn a_cluster_that_does_not_answer_fails_the_demo_in_words() {
    let (output, _) = demo(&["--bootstrap-servers", "127.0.0.1:1"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("Kafka does not answer"), "{stderr}");
}

#[test]
fn the_demo_runs_on_a_real_kafka() {
    let Some(kafka) = shared_one_node() else { return };
    let servers = kafka.bootstrap_servers();
    let (output, text) = demo(&["--brief", "--bootstrap-servers", servers, "--topic-prefix", "shop-window"], &[]);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("shop-window.user.v1"), "{text}");
}
