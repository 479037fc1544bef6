//! `oust serve`: from a configuration to open listeners, and down again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oust::Cache;
use oust::disk::media::{Access, install_sigbus_handler};
use oust::site::Sites;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{Admin, Guards};
use crate::api::{PurgeApis, Serving};
use crate::config::{Config, Media};
use crate::engine;
use crate::front::{AccessLog, Front};
use crate::listen::tls::Certificates;
use crate::listen::{Figures, Greeter, Limits, Listeners, Workers, bind};
use crate::proxy::{self, Proxy};
use crate::reload::{Parts, Reload, Source};

/// Why the server does not run.
#[derive(Debug)]
pub(crate) enum ServeError {
    Bind(&'static str, SocketAddr, io::Error),
    /// The configuration asks for what the engine cannot be.
    Build(String),
    /// The directory of the second tier cannot be used.
    L2(String),
    Runtime(io::Error),
    /// A thread that serves has ended.
    Thread(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(what, addr, error) => write!(f, "cannot open {what} {addr}: {error}"),
            Self::Build(message) | Self::L2(message) => f.write_str(message),
            Self::Thread(error) => write!(f, "a thread that serves has failed: {error}"),
            Self::Runtime(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Runs a server until a signal ends it. The configuration is the one `source` gives.
pub(crate) fn run(config: Config, source: Source) -> Result<(), ServeError> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        // Before the first line of the log says that we are there to be signalled.
        let signals = Signals::new().map_err(ServeError::Runtime)?;
        let mut running = Running::start(config, source)?;
        let reload = running.reload.clone();
        tokio::select! {
            () = signals.stop(&reload) => {
                running.drain().await;
                Ok(())
            }
            error = running.workers.failed() => {
                // What its sockets took is lost, and half a server is worse than one that is started again.
                tracing::error!(error, "a thread that serves has failed: draining");
                running.drain().await;
                Err(ServeError::Thread(error))
            }
        }
    });
    // Fills nobody waits for do not keep the process.
    runtime.shutdown_background();
    result
}

/// What the admin API, the purge APIs and webhooks run on. Requests to `listen` are served by threads of their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, ServeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("oust-admin")
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
    pub(crate) reload: Arc<Reload>,
    cache: Cache,
    state: Arc<Admin>,
    front: Arc<Front>,
    stop_requests: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    workers: Workers,
    apis: Option<(Arc<Serving>, JoinHandle<()>)>,
    admin_task: JoinHandle<()>,
    drain_timeout: Duration,
}

impl Running {
    /// Opens everything, or nothing. Needs a runtime.
    pub(crate) fn start(config: Config, source: Source) -> Result<Self, ServeError> {
        let build = |error: &dyn fmt::Display| ServeError::Build(error.to_string());
        let sites = engine::sites(&config.sites).map_err(|(_, message)| ServeError::Build(message))?;
        let cache = cache(&config, sites.clone())?;
        let threads = config.server.threads;
        let figures = Arc::new(Figures::new(threads));
        let proxy_figures = Arc::new(proxy::Figures::default());
        let proxy = Proxy::new(&config, sites, cache.clone(), proxy_figures.clone());
        let certificates = match config.server.tls_listen.is_empty() {
            true => None,
            false => Some(Arc::new(Certificates::load(&config.certificates).map_err(ServeError::Build)?)),
        };
        let tls = certificates.clone().map(Certificates::acceptor).transpose().map_err(ServeError::Build)?;

        let mut sockets: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
        let mut open = |what, addr, greeter: &Greeter| {
            let opened = bind(addr, threads).map_err(|error| ServeError::Bind(what, addr, error))?;
            let real = opened.first().map_or(Ok(addr), std::net::TcpListener::local_addr);
            for (thread, socket) in sockets.iter_mut().zip(opened) {
                thread.push((socket, greeter.clone()));
            }
            real.map_err(|error| ServeError::Bind(what, addr, error))
        };
        let mut listen = Vec::new();
        for addr in &config.server.listen {
            listen.push(open("listener", *addr, &Greeter(None))?);
        }
        let mut tls_listen = Vec::new();
        for addr in &config.server.tls_listen {
            tls_listen.push(open("TLS listener", *addr, &Greeter(tls.clone()))?);
        }
        let one = |what, addr| -> Result<(std::net::TcpListener, SocketAddr), ServeError> {
            let failed = |error| ServeError::Bind(what, addr, error);
            let socket = bind(addr, 1).map_err(failed)?.pop().ok_or_else(|| failed(io::ErrorKind::Other.into()))?;
            let real = socket.local_addr().map_err(failed)?;
            Ok((socket, real))
        };
        let (admin_socket, admin) = one("admin listener", config.server.admin)?;
        let admin_listener = TcpListener::from_std(admin_socket).map_err(ServeError::Runtime)?;
        let api_socket = config.server.api.map(|addr| one("purge API listener", addr)).transpose()?;
        if api_socket.is_none() && !config.accounts.is_empty() {
            tracing::warn!("there are accounts, but no `api` address to use them at");
        }
        let log = AccessLog::open(&config.server.access_log)
            .map_err(|error| ServeError::Build(format!("access_log: {error}")))?;

        let front = Arc::new(Front::new(proxy, &config.server, figures.clone(), log));
        let limits = Arc::new(Limits::new(&config.server));
        let (stop_requests, requests_stop) = watch::channel(false);
        let (stop_admin, mut admin_stop) = watch::channel(false);
        let runtime = Handle::current();

        let mut api = None;
        let mut apis = None;
        let mut api_limits = None;
        if let Some((socket, real)) = api_socket {
            api = Some(real);
            let first = PurgeApis::new(&config, cache.clone()).map_err(|error| build(&error))?;
            let serving = Arc::new(Serving::new(first, &runtime));
            let limits = Arc::new(Limits::new(&config.server));
            api_limits = Some((serving.clone(), limits.clone()));
            // Its connections are none of those that are counted.
            let figures = Arc::new(Figures::new(1));
            let listeners = Listeners::new(vec![(socket, Greeter(None))], serving.clone(), limits, figures);
            let stop = requests_stop.clone();
            let task = tokio::spawn(async move {
                if let Err(error) = listeners.serve(stop).await {
                    tracing::error!(error, "the purge APIs failed");
                }
            });
            apis = Some((serving, task));
        }
        let drain_timeout = config.server.drain_timeout;
        let guards = Arc::new(Guards::new(config.server.admin_tokens.clone()));
        let max_batch = config.purge.max_batch;
        let parts = Parts {
            cache: cache.clone(),
            front: front.clone(),
            guards: guards.clone(),
            limits: limits.clone(),
            figures: figures.clone(),
            certificates,
            apis: api_limits,
            runtime,
        };
        let reload = Arc::new(Reload::new(source, config, parts));
        let state =
            Arc::new(Admin::new(cache.clone(), proxy_figures, front.clone(), guards, reload.clone(), max_batch));
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
        let threads = sockets
            .into_iter()
            .map(|sockets| Listeners::new(sockets, front.clone(), limits.clone(), figures.clone()))
            .collect();
        let workers = Workers::start(threads, &requests_stop).map_err(ServeError::Runtime)?;
        // Before the log says so: whoever waits for its line may ask at once.
        state.set_open();
        for addr in &listen {
            tracing::info!(%addr, "listening");
        }
        for addr in &tls_listen {
            tracing::info!(%addr, "tls");
        }
        if let Some(addr) = api {
            tracing::info!(%addr, "api");
        }
        tracing::info!(addr = %admin, "admin");
        Ok(Self {
            listen,
            admin,
            api,
            reload,
            cache,
            state,
            front,
            stop_requests,
            stop_admin,
            workers,
            apis,
            admin_task,
            drain_timeout,
        })
    }

    /// Takes no new connections, lets requests in flight end for as long as configured, and stops.
    pub(crate) async fn drain(mut self) {
        tracing::info!("draining");
        self.state.set_draining();
        self.stop_requests.send_replace(true);
        let ended = async {
            self.workers.ended().await;
            if let Some((serving, task)) = self.apis {
                // Whether it ended well is told where it ended.
                drop(task.await);
                // After the purges that may still want one called.
                serving.end().await;
            }
        };
        match tokio::time::timeout(self.drain_timeout, ended).await {
            Ok(()) => tracing::info!("drained"),
            Err(_) => tracing::warn!("drain timeout: connections are cut"),
        }
        let front = self.front;
        drop(tokio::task::spawn_blocking(move || front.log.flush()).await);
        if self.cache.has_l2() {
            let cache = self.cache;
            // What waits for the disk is written, so that the next start finds it.
            let flushed = tokio::task::spawn_blocking(move || cache.flush()).await;
            if let Ok(Err(error)) = flushed {
                tracing::warn!(%error, "the second tier could not be written to its end");
            }
        }
        // Last, so that readiness and figures can be asked for until the end.
        self.stop_admin.send_replace(true);
        if tokio::time::timeout(Duration::from_secs(1), self.admin_task).await.is_err() {
            tracing::debug!("admin connections are cut");
        }
    }
}

/// The cache of a configuration.
pub(crate) fn cache(config: &Config, sites: Sites) -> Result<Cache, ServeError> {
    let mut built = oust::Config::new()
        .edge_size(config.edge.size)
        .max_object(config.edge.max_object)
        .max_rules(config.purge.max_rules)
        .max_batch(config.purge.max_batch)
        .history(config.purge.history)
        .sites(sites);
    if let Some(l2) = &config.l2 {
        let access = match l2.media {
            Media::Mmap => Access::Mmap,
            Media::Pread => Access::Pread,
        };
        if access == Access::Mmap {
            // A page that the device does not give back would end the process.
            install_sigbus_handler().map_err(|error| ServeError::L2(format!("no handler of SIGBUS: {error}")))?;
        }
        let mut tier = oust::L2Config::directory(&l2.dir, l2.size).access(access).distrust(l2.distrust);
        if let Some(segment) = l2.segment {
            tier = tier.segment_size(segment);
        }
        built = built.l2(tier);
    }
    let cache = built.build().map_err(|error| match error.is_storage() {
        true => ServeError::L2(error.to_string()),
        false => ServeError::Build(error.to_string()),
    })?;
    if let (Some(l2), Some(notice)) = (&config.l2, cache.l2_notice()) {
        tracing::warn!(dir = %l2.dir.display(), reason = notice, "what the second tier held was discarded");
    }
    Ok(cache)
}

/// Waits for a signal that ends the process.
pub(crate) async fn stop_signal() -> io::Result<()> {
    let Signals { mut term, mut int, .. } = Signals::new()?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
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

    /// Returns when one says so; those that ask for a reload are followed.
    async fn stop(mut self, reload: &Arc<Reload>) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => {
                    let reload = reload.clone();
                    // What comes of it is in the log.
                    drop(tokio::task::spawn_blocking(move || drop(reload.reload())).await);
                }
            }
        }
    }
}
