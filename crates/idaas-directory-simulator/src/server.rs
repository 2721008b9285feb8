//! Serves the simulator over HTTP, on its own thread.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, Date, HttpDate, RETRY_AFTER};
use actix_web::web::{Bytes, Data, to};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt};

use crate::api::Request;
use crate::{Simulator, control};

/// A running server. Dropping it stops the server.
pub struct Server {
    address: SocketAddr,
    simulator: Arc<Simulator>,
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    /// Starts a server on a listener. The control endpoints require no token, so it should be on a loopback address.
    ///
    /// # Errors
    /// The operating system's error, if the thread or the server cannot be started.
    pub fn start(listener: TcpListener, simulator: Simulator) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let simulator = Arc::new(simulator);
        let served = Data::from(Arc::clone(&simulator));
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("directory simulator".to_owned()).spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().app_data(served.clone()).default_service(to(answer)))
                    .workers(1)
                    .disable_signals()
                    .shutdown_timeout(1)
                    .listen(listener)?
                    .run();
                // The receiver waits for it.
                let _ = sender.send(server.handle());
                server.await
            })
        })?;
        match receiver.recv() {
            Ok(handle) => Ok(Self { address, simulator, handle, thread: Some(thread) }),
            Err(_) => {
                Err(thread.join().ok().and_then(Result::err).unwrap_or_else(|| std::io::Error::other("no server")))
            }
        }
    }

    /// Returns the address of the listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL to configure as the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the simulator, which can be changed while it serves.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// Waits until the server ends, which it does only after an error.
    ///
    /// # Errors
    /// The server's error.
    pub fn wait(mut self) -> std::io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(std::io::Error::other("the server's thread has panicked")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Calling `stop` sends the command. The returned future would only wait for the end.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            // The panic has already been reported on stderr.
            let _ = thread.join();
        }
    }
}

async fn answer(simulator: Data<Simulator>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let now = simulator.now();
    let (method, path) = (request.method().as_str(), request.path());
    if path.starts_with(control::PREFIX) {
        let (status, answer) = simulator.control(method, path, &body, i64::try_from(now).unwrap_or(i64::MAX));
        return HttpResponse::build(status_of(status)).json(answer);
    }
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let request = Request { method, path, query: request.query_string(), authorization, body: &body };
    let response = simulator.answer(&request, now);
    let mut answer = HttpResponse::build(status_of(response.status));
    answer.insert_header(Date(HttpDate::from(UNIX_EPOCH + Duration::from_millis(now))));
    if let Some(seconds) = response.retry_after {
        answer.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    match response.body {
        Some(body) => answer.json(body),
        None => answer.finish(),
    }
}

fn status_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
