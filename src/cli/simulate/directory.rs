//! `simulate directory`: serves a simulated directory over the Developer API of IDaaS.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use clap::Args;
use idaas_directory_simulator::{Options, Server, Simulator};

use crate::text::without_line_ending;

/// Serve a simulated directory over IDaaS' Developer API, for tests and staging
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    A directory of 1000 users, with the ids of the application in bridge.toml:\n    \
    idaas-bridge simulate directory --application-id app_… --instance-id idaas_…\n  \
    Throttled, with tokens of one minute, and a change after every 50 requests:\n    \
    idaas-bridge simulate directory --users 50000 --requests-per-second 5 --token-lifetime 60 --drift 50\n  \
    Delete a user while it runs:\n    \
    curl -d '{\"do\":\"deleteUser\",\"id\":\"user_…\"}' http://127.0.0.1:PORT/_control/order\n\n\
    Other orders: createUser, moveUser, renameUser, moveUnit, deleteUnit, deleteGroup, scope, tokenLifetime, \
    expireTokens, fail, limit, deny, permitAll. GET /_control/state shows ids and counts. Runs until it is stopped.")]
pub(super) struct DirectoryArguments {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Number of users
    #[arg(long, value_name = "N", default_value_t = 1000)]
    users: usize,
    /// Number of organizational units in addition to the root [default: one per 50 users]
    #[arg(long, value_name = "N")]
    units: Option<usize>,
    /// Number of groups [default: one per 200 users]
    #[arg(long, value_name = "N")]
    groups: Option<usize>,
    /// The same seed generates the same directory
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Id of the instance [default: generated]
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// Id of the application, which is also the client id [default: generated]
    #[arg(long, value_name = "ID")]
    application_id: Option<String>,
    /// File with the client secret; written if it is missing [default: a new file in the temporary directory]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Lifetime of an access token, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1200, value_parser = clap::value_parser!(u64).range(1..))]
    token_lifetime: u64,
    /// Throttle above this number of requests per second [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Change something at random after every N requests: users appear, disappear and move, units move
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    drift: Option<u64>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command until it is stopped.
pub(super) fn run(arguments: &DirectoryArguments, out: &mut dyn Write) -> Result<bool, String> {
    let mut options = Options::new(arguments.users);
    options.size.units = arguments.units.unwrap_or(options.size.units);
    options.size.groups = arguments.groups.unwrap_or(options.size.groups);
    options.seed = arguments.seed;
    options.token_lifetime = arguments.token_lifetime;
    options.requests_per_second = arguments.requests_per_second;
    options.drift = arguments.drift;
    if let Some(id) = &arguments.instance_id {
        options.instance_id.clone_from(id);
    }
    if let Some(id) = &arguments.application_id {
        options.application_id.clone_from(id);
    }
    let file = arguments.secret_file.clone().unwrap_or_else(|| {
        let directory = format!("idaas-directory-{}", std::process::id());
        std::env::temp_dir().join(directory).join("client.secret")
    });
    options.client_secret = secret(&file, &options.client_secret)
        .map_err(|error| format!("{} cannot be used as the secret's file: {error}", file.display()))?;
    let listener = TcpListener::bind(arguments.listen)
        .map_err(|error| format!("cannot listen on {} ({})", arguments.listen, error.kind()))?;
    let server = Server::start(listener, Simulator::new(options))
        .map_err(|error| format!("the server cannot be started: {error}"))?;
    let shown = if arguments.json { write_json(&server, &file, out) } else { write_text(&server, &file, out) };
    // If the output cannot be written, nobody knows the server's address.
    if shown.and_then(|()| out.flush()).is_err() {
        return Ok(false);
    }
    Ok(server.wait().is_ok())
}

/// Reads the secret from the file, or writes a new one to it.
fn secret(file: &Path, new: &str) -> std::io::Result<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => return Ok(without_line_ending(&text).to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(format!("{new}\n").as_bytes())?;
    Ok(new.to_owned())
}

fn write_text(server: &Server, file: &Path, out: &mut dyn Write) -> std::io::Result<()> {
    let options = server.simulator().options();
    let counts = server.simulator().with_directory(|directory| {
        let (users, units) = (directory.user_ids().len(), directory.unit_ids().len());
        format!("{users} users, {units} organizational units, {} groups", directory.group_ids().len())
    });
    write!(
        out,
        "Developer API  {endpoint}\n\
         instance       {instance}\n\
         application    {application} (also the client id)\n\
         client secret  {file}\n\
         directory      {counts}\n\n\
         Below the [[application]] with this id and instance_id:\n\n\
         [application.fetch]\nendpoint = \"{endpoint}\"\nclient_secret = {{ file = {file:?} }}\n",
        endpoint = server.endpoint(),
        instance = options.instance_id,
        application = options.application_id,
        file = file.display().to_string(),
    )
}

fn write_json(server: &Server, file: &Path, out: &mut dyn Write) -> std::io::Result<()> {
    let options = server.simulator().options();
    let line = serde_json::json!({
        "endpoint": server.endpoint(),
        "instanceId": options.instance_id,
        "applicationId": options.application_id,
        "clientId": options.application_id,
        "clientSecretFile": file,
    });
    writeln!(out, "{line}")
}
