//! `oust serve`: from a configuration to open listeners, and down again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::Admin;
use crate::api::PurgeApis;
use crate::config::Config;
use crate::engine;
use crate::listen::{Listeners, bind};
use crate::proxy::Proxy;

/// Why the server does not run.
#[derive(Debug)]
pub(crate) enum ServeError {
    Bind(&'static str, SocketAddr, io::Error),
    /// The configuration asks for what the engine cannot be.
    Build(String),
    Runtime(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(what, addr, error) => write!(f, "cannot open {what} {addr}: {error}"),
            Self::Build(message) => f.write_str(message),
            Self::Runtime(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Runs a server until a signal ends it.
pub(crate) fn run(config: Config) -> Result<(), ServeError> {
    let runtime = runtime(config.server.threads)?;
    let result = runtime.block_on(async {
        // Before the first line of the log says that we are there to be signalled.
        let signals = Signals::new().map_err(ServeError::Runtime)?;
        let running = Running::start(&config)?;
        signals.stop().await;
        running.drain().await;
        Ok(())
    });
    // Fills nobody waits for do not keep the process.
    runtime.shutdown_background();
    result
}

/// A runtime with as many threads as the configuration says.
pub(crate) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, ServeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("oust")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)
}

/// A server with open listeners.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it serves.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where its admin API is.
    pub(crate) admin: SocketAddr,
    /// Where its purge APIs are.
    pub(crate) api: Option<SocketAddr>,
    state: Arc<Admin>,
    stop_requests: watch::Sender<bool>,
    stop_webhooks: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    /// Those that take requests.
    serving: Vec<JoinHandle<()>>,
    webhooks: Option<JoinHandle<()>>,
    admin_task: JoinHandle<()>,
    drain_timeout: Duration,
}

impl Running {
    /// Opens everything, or nothing. Needs a runtime.
    pub(crate) fn start(config: &Config) -> Result<Self, ServeError> {
        let open = |what, addr| -> Result<(TcpListener, SocketAddr), ServeError> {
            let listener = bind(addr).map_err(|error| ServeError::Bind(what, addr, error))?;
            let real = listener.local_addr().map_err(|error| ServeError::Bind(what, addr, error))?;
            Ok((listener, real))
        };
        let sites = engine::sites(&config.sites).map_err(|(_, message)| ServeError::Build(message))?;
        let cache = oust::Config::new()
            .edge_size(config.edge.size)
            .max_object(config.edge.max_object)
            .max_rules(config.purge.max_rules)
            .max_batch(config.purge.max_batch)
            .history(config.purge.history)
            .sites(sites.clone())
            .build()
            .map_err(|error| ServeError::Build(error.to_string()))?;
        let apis = PurgeApis::new(config, cache.clone()).map_err(|error| ServeError::Build(error.to_string()))?;
        let proxy = Arc::new(Proxy::new(config, sites, cache));
        let state = Arc::new(Admin::new(config, proxy.clone()));

        let mut listeners = Vec::new();
        let mut listen = Vec::new();
        for addr in &config.server.listen {
            let (listener, real) = open("listener", *addr)?;
            listeners.push(listener);
            listen.push(real);
        }
        let (admin_listener, admin) = open("admin listener", config.server.admin)?;

        let api_listener = config.server.api.map(|addr| open("purge API listener", addr)).transpose()?;
        if api_listener.is_none() && !config.accounts.is_empty() {
            tracing::warn!("there are accounts, but no `api` address to use them at");
        }

        let (stop_requests, requests_stop) = watch::channel(false);
        let (stop_webhooks, webhooks_stop) = watch::channel(false);
        let (stop_admin, mut admin_stop) = watch::channel(false);
        let router = state.clone().router();
        let admin_task = tokio::spawn(async move {
            let stopped = async move {
                // A sender that is gone is as good as one that says stop.
                drop(admin_stop.wait_for(|&stop| stop).await);
            };
            if let Err(error) = axum::serve(admin_listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "admin API failed");
            }
        });
        let listeners = Listeners::new(listeners, proxy, &config.server);
        let mut serving = vec![tokio::spawn(listeners.serve(requests_stop.clone()))];
        let mut webhooks = None;
        let api = api_listener.map(|(listener, real)| {
            webhooks = Some(tokio::spawn(apis.webhooks().serve(webhooks_stop)));
            let listeners = Listeners::new(vec![listener], Arc::new(apis), &config.server);
            serving.push(tokio::spawn(listeners.serve(requests_stop)));
            real
        });
        // Before the log says so: whoever waits for its line may ask at once.
        state.set_open();
        for addr in &listen {
            tracing::info!(%addr, "listening");
        }
        if let Some(addr) = api {
            tracing::info!(%addr, "api");
        }
        tracing::info!(addr = %admin, "admin");
        let drain_timeout = config.server.drain_timeout;
        Ok(Self {
            listen,
            admin,
            api,
            state,
            stop_requests,
            stop_webhooks,
            stop_admin,
            serving,
            webhooks,
            admin_task,
            drain_timeout,
        })
    }

    /// Takes no new connections, lets requests in flight end for as long as configured, and stops.
    pub(crate) async fn drain(self) {
        tracing::info!("draining");
        self.state.set_draining();
        self.stop_requests.send_replace(true);
        let ended = async {
            for task in self.serving {
                // Whether it ended well is told where it ended.
                drop(task.await);
            }
            // After the purges that may still want one called.
            self.stop_webhooks.send_replace(true);
            if let Some(webhooks) = self.webhooks {
                drop(webhooks.await);
            }
        };
        match tokio::time::timeout(self.drain_timeout, ended).await {
            Ok(()) => tracing::info!("drained"),
            Err(_) => tracing::warn!("drain timeout: connections are cut"),
        }
        // Last, so that readiness and figures can be asked for until the end.
        self.stop_admin.send_replace(true);
        if tokio::time::timeout(Duration::from_secs(1), self.admin_task).await.is_err() {
            tracing::debug!("admin connections are cut");
        }
    }
}

/// Waits for a signal that ends the process.
pub(crate) async fn stop_signal() -> io::Result<()> {
    Signals::new()?.stop().await;
    Ok(())
}

/// What ends the server.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                // Its default is to end the process, which nobody who sends it here means.
                _ = self.hup.recv() => tracing::warn!("reloading the configuration is not built yet: SIGHUP ignored"),
            }
        }
    }
}
