//! The state of `materialize`, which runs in another process. Read from its metrics listener if that is configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::http_client::{HttpClient, Proxy, Settings};
use crate::telemetry::materialize::Progress;

/// Limit for the request to `materialize`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of bytes read.
const LIMIT: usize = 1 << 20;

/// The state at the last request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MaterializeState {
    address: String,
    answers: bool,
    #[serde(flatten)]
    progress: Progress,
}

#[derive(Default)]
pub(super) struct Materialize {
    address: ArcSwapOption<SocketAddr>,
    client: OnceCell<Option<HttpClient>>,
    last_state: Mutex<Option<MaterializeState>>,
}

impl Materialize {
    /// Watches the listener that this configuration names from now on. Without `state.admin_listen`, the listener has
    /// the address of this process, so that it cannot be known where `materialize` runs, or whether.
    pub(super) fn configure(&self, config: &Config) {
        let other = |address: &SocketAddr| *address != config.server.admin_listen && address.port() != 0;
        let address = config.state.as_ref().map(|state| state.admin_listen).filter(other);
        self.address.store(address.map(|address| std::sync::Arc::new(reachable(address))));
    }

    pub(super) fn last_state(&self) -> Option<MaterializeState> {
        self.last_state.lock().clone()
    }

    /// Requests the state and stores it.
    pub(super) async fn refresh(&self) {
        let address = self.address.load_full();
        let state = match &address {
            Some(address) => Some(self.request(**address).await),
            None => None,
        };
        *self.last_state.lock() = state;
    }

    async fn request(&self, address: SocketAddr) -> MaterializeState {
        let nothing = MaterializeState { address: address.to_string(), answers: false, progress: Progress::default() };
        let Some(client) = self.client.get_or_init(client).await else { return nothing };
        match client.get(&format!("http://{address}/metrics"), &[], LIMIT).await {
            Ok(response) if response.status == 200 => {
                let progress = Progress::parse(&String::from_utf8_lossy(&response.body));
                MaterializeState { answers: true, progress, ..nothing }
            }
            Ok(_) | Err(_) => nothing,
        }
    }
}

/// Creates the client on the blocking pool, because it reads the system's certificates.
async fn client() -> Option<HttpClient> {
    let make = || {
        HttpClient::new(&Settings {
            proxy: Proxy::Direct,
            ca: None,
            follow_redirects: false,
            connect_timeout: TIMEOUT,
            total_timeout: TIMEOUT,
            idle_connections: 1,
            idle_timeout: Duration::from_secs(30),
        })
    };
    tokio::task::spawn_blocking(make).await.ok()?.ok()
}

/// Replaces an unspecified listen address with the loopback address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
