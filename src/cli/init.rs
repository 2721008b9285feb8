//! `init`: writes the configuration and the keys of a new production service.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use idaas_callback::jose::jwe::ContentKey;
use idaas_simulator::key_files::{
    self, ADMIN_TOKEN, CONFIGURATION, DirectoryFault, ENCRYPTION_KEY, JOURNAL_KEY, NewFile,
};
use zeroize::Zeroizing;

use super::{Exit, output};
use crate::terminal;

/// Write a configuration for production, a journal key and an admin token; overwrite nothing
#[derive(Args)]
#[command(after_help = "Example:\n  \
    idaas-bridge init /etc/idaas-bridge --region cn-hangzhou \\\n    \
    --instance-id idaas_ue2jvisn35ea5lmthk267xxxx --application-id app_mkv7rgt4d7i4u7zqtzev2mxxxx\n\n\
    The IDaaS console shows the ids and the region; docs/idaas-console.md explains where. On a terminal, the command \
    asks for missing values.")]
pub struct InitArguments {
    /// Directory; created if it does not exist
    directory: PathBuf,
    /// Id of the IDaaS instance (idaas_…)
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// Id of the application in IDaaS (app_…)
    #[arg(long, value_name = "ID")]
    application_id: Option<String>,
    /// Region of the instance
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Name of the application: the label in metrics, and the last part of the callback URL
    #[arg(long, default_value = "workforce")]
    name: String,
    /// Kafka brokers to connect to first
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', default_value = "kafka-1:9093")]
    bootstrap_servers: Vec<String>,
}

/// The input for the configuration.
struct Answers<'a> {
    instance_id: String,
    application_id: String,
    region: String,
    name: &'a str,
    bootstrap_servers: &'a [String],
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &InitArguments) -> Exit {
    let mut ask = Ask { terminal: io::stdin().is_terminal() };
    let answers = match answers(arguments, &mut |what, flag| ask.for_value(what, flag)) {
        Ok(answers) => answers,
        Err(problem) => {
            output::print_error(problem);
            return Exit::Misconfigured;
        }
    };
    match write(&arguments.directory, &answers) {
        Ok(files) => {
            output::end(told(&files, &arguments.directory, &answers, &mut terminal::stdout()).map(|()| Exit::Success))
        }
        Err(fault) => output::print_error(fault),
    }
}

/// Asks for missing values on a terminal.
struct Ask {
    terminal: bool,
}

impl Ask {
    fn for_value(&mut self, what: &str, flag: &str) -> Result<String, String> {
        if !self.terminal {
            return Err(format!("{what} is missing; set it with {flag}"));
        }
        // If stderr is closed, the question is not visible, but the answer is still read.
        let _ = write!(io::stderr(), "{what}: ");
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(|error| format!("{what} cannot be read: {error}"))?;
        Ok(line.trim().to_owned())
    }
}

fn answers<'a>(
    arguments: &'a InitArguments,
    ask: &mut dyn FnMut(&str, &str) -> Result<String, String>,
) -> Result<Answers<'a>, String> {
    let mut value = |given: &Option<String>, what: &str, flag: &str| match given {
        Some(given) => Ok(given.clone()),
        None => ask(what, flag),
    };
    let instance_id = value(&arguments.instance_id, "the instance id (idaas_…)", "--instance-id")?;
    let application_id = value(&arguments.application_id, "the application id (app_…)", "--application-id")?;
    let region = value(&arguments.region, "the region (for example cn-hangzhou)", "--region")?;
    let word = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    for (text, prefix, flag, like) in [
        (&instance_id, "idaas_", "--instance-id", "idaas_ue2jvisn35ea5lmthk267xxxx"),
        (&application_id, "app_", "--application-id", "app_mkv7rgt4d7i4u7zqtzev2mxxxx"),
        (&region, "", "--region", "cn-hangzhou"),
        (&arguments.name, "", "--name", "workforce"),
    ] {
        if !word(text) || !text.starts_with(prefix) || text.len() == prefix.len() {
            return Err(format!("{flag} is {text:?}; use a value like {like}"));
        }
    }
    let broker = |text: &&String| !text.contains(':') || text.contains(['"', '\\', ' ']);
    if let Some(broker) = arguments.bootstrap_servers.iter().find(broker) {
        return Err(format!("--bootstrap-servers has {broker:?}; use HOST:PORT, separated by commas"));
    }
    let (name, bootstrap_servers) = (arguments.name.as_str(), arguments.bootstrap_servers.as_slice());
    Ok(Answers { instance_id, application_id, region, name, bootstrap_servers })
}

fn write(directory: &Path, answers: &Answers<'_>) -> Result<Vec<PathBuf>, DirectoryFault> {
    let secret = || {
        let mut line = ContentKey::generate_hex().as_bytes().to_vec();
        line.push(b'\n');
        Zeroizing::new(line)
    };
    let configuration = Zeroizing::new(configuration(answers).into_bytes());
    let files: [NewFile; 3] =
        [(CONFIGURATION, 0o644, configuration), (JOURNAL_KEY, 0o600, secret()), (ADMIN_TOKEN, 0o600, secret())];
    key_files::write_new(directory, &files)
}

fn configuration(answers: &Answers<'_>) -> String {
    let Answers { instance_id, application_id, region, name, bootstrap_servers } = answers;
    format!(
        r#"# Written by `idaas-bridge init`. Every other key has its default: see deploy/bridge.example.toml.
# Check it, with a fix for each problem:   idaas-bridge check --config bridge.toml

[server]
listen = "0.0.0.0:8080"
# The proxy that terminates TLS in front of the service; or set tls = {{ certificate = "tls.crt", key = "tls.key" }}.
# trusted_proxies = ["10.0.0.1"]
admin_token = {{ file = "{ADMIN_TOKEN}" }}

[kafka]
bootstrap_servers = {bootstrap_servers:?}

[kafka.properties]
"security.protocol" = "ssl"
# "ssl.ca.location" = "kafka-ca.pem"
# With a user and a password: "security.protocol" = "sasl_ssl", and
# "sasl.mechanism" = "SCRAM-SHA-512"
# "sasl.username" = "idaas-bridge"
# "sasl.password" = {{ file = "kafka.password" }}

[journal]
directory = "/var/lib/idaas-bridge"
keys = [{{ file = "{JOURNAL_KEY}" }}]

[dedupe]
replicas = 2

[[application]]
name = "{name}"
id = "{application_id}"
instance_id = "{instance_id}"
# Compare it with the "Public Key Endpoint" in the IDaaS console.
jwks = "https://eiam-api-{region}.aliyuncs.com/v2/{instance_id}/{application_id}/provisioning/jwks"
# The "Encryption Key" of the console, 64 hex digits.
decryption_keys = [{{ file = "{ENCRYPTION_KEY}" }}]
# The "Outbound IP Address" list of the console. Until it is set, callbacks from any address are processed.
# allowed_networks = ["47.96.0.0/16"]
"#
    )
}

fn told(files: &[PathBuf], directory: &Path, answers: &Answers<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (program, within) = (output::program(), directory.display());
    let config = output::shell_word(&directory.join(CONFIGURATION).to_string_lossy());
    for file in files {
        writeln!(out, "{}", file.display())?;
    }
    writeln!(out, "\nNext:")?;
    writeln!(out, "  1. Write the Encryption Key that the IDaaS console shows into {within}/{ENCRYPTION_KEY}.")?;
    writeln!(out, "  2. Enter your brokers and their credentials in {config}.")?;
    writeln!(out, "  3. {program} topics --config {config} --create")?;
    writeln!(out, "  4. {program} check --config {config}")?;
    writeln!(out, "  5. {program} serve --config {config}")?;
    writeln!(
        out,
        "  6. Register https://YOUR-NAME/callbacks/{} in the console, and press Test Connectivity.",
        answers.name
    )?;
    writeln!(out, "\nThe console is at http://127.0.0.1:9464/; it asks for the token in {within}/{ADMIN_TOKEN}.")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Config, Sources};

    fn arguments(directory: &Path, instance_id: Option<&str>) -> InitArguments {
        InitArguments {
            directory: directory.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            application_id: Some("app_mkv7rgt4d7i4u7zqtzev2mxxxx".to_owned()),
            region: Some("cn-hangzhou".to_owned()),
            name: "workforce".to_owned(),
            bootstrap_servers: vec!["kafka-1:9093".to_owned(), "kafka-2:9093".to_owned()],
        }
    }

    #[test]
    fn what_is_written_loads_and_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = arguments(directory.path(), None);
        let mut ask = |_: &str, _: &str| Ok("idaas_ue2jvisn35ea5lmthk267xxxx".to_owned());
        let answers = answers(&arguments, &mut ask).unwrap();
        assert_eq!(write(directory.path(), &answers).unwrap().len(), 3);
        assert!(matches!(write(directory.path(), &answers), Err(DirectoryFault::InTheWay(files)) if files.len() == 3));
        std::fs::write(directory.path().join(ENCRYPTION_KEY), "ab".repeat(32)).unwrap();
        let text = std::fs::read_to_string(directory.path().join(CONFIGURATION)).unwrap();
        assert!(text.contains("admin_token = { file = \"admin.token\" }"));
        let read = |path: &Path| std::fs::read(path).map_err(|error| error.kind().into());
        let around = Sources { directory: directory.path(), variables: BTreeMap::new(), read: &read };
        let config = Config::parse(&text, &around).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(config.kafka.bootstrap_servers.len(), 2);
        assert_eq!(config.applications[0].instance_id.as_deref(), Some("idaas_ue2jvisn35ea5lmthk267xxxx"));
    }

    #[test]
    fn the_next_steps_create_topics_before_they_are_checked() {
        let directory = Path::new("/etc/idaas-bridge");
        let arguments = arguments(directory, Some("idaas_ue2jvisn35ea5lmthk267xxxx"));
        let answers = answers(&arguments, &mut |_, _| Err(String::new())).unwrap();
        let mut out = Vec::new();
        told(&[], directory, &answers, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let steps = [" topics --config", " check --config", " serve --config"].map(|step| shown.find(step).unwrap());
        assert!(steps.is_sorted(), "{shown}");
    }

    #[test]
    fn a_value_that_cannot_be_an_id_is_refused_with_an_example() {
        let directory = Path::new("unused");
        let mut ask = |what: &str, flag: &str| Err(format!("{what} is missing; set it with {flag}"));
        for (id, told) in
            [(Some("app_x"), "idaas_ue2j"), (Some("idaas_x\"y"), "--instance-id"), (None, "--instance-id")]
        {
            let fault = answers(&arguments(directory, id), &mut ask).err().unwrap();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
