//! What the targets may ask of the server.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Request, StatusCode};
use oust::Cache;
use oust::site::Sites;
use tower_service::Service as _;

use crate::admin::{Admin, Guards};
use crate::config::{self, Config, Role, Server, Token};
use crate::framing::Framing;
use crate::front::{AccessLog, Front};
use crate::listen::{Figures, Limits};
use crate::proxy::{self, Proxy};
use crate::reload::{Parts, Reload, Source};

/// Something wrong with a configuration.
#[derive(Debug)]
pub struct Fault {
    /// Line and column, from 1.
    pub at: Option<(usize, usize)>,
    pub message: String,
}

/// An accepted configuration.
#[derive(Debug)]
pub struct Checked {
    config: Config,
    sites: Sites,
}

/// What `oust check` does with the text of a file: all that is wrong, or the configuration. The rules that ask for the whole are `None` where
/// there is no site, as there.
pub fn check(text: &str) -> Result<(Checked, Option<String>), Vec<Fault>> {
    match Config::parse("t", text) {
        Err(errors) => {
            // What `oust check` prints.
            assert!(errors.to_string().starts_with("t:"), "an error names its file");
            Err(errors.errors.into_iter().map(|error| Fault { at: error.at, message: error.message }).collect())
        }
        Ok(config) => {
            let whole = if config.sites.is_empty() { None } else { config.check_whole().err() };
            let sites = crate::engine::sites(&config.sites).expect("an accepted configuration has good sites");
            Ok((Checked { config, sites }, whole))
        }
    }
}

impl Checked {
    /// All it says, for comparing.
    pub fn text(&self) -> String {
        format!("{:?}", self.config)
    }

    /// Numbers of sites and accounts.
    pub fn counts(&self) -> (usize, usize) {
        (self.config.sites.len(), self.config.accounts.len())
    }

    /// The sites, each with its hosts.
    pub fn hosts(&self) -> Vec<Vec<String>> {
        self.config.sites.iter().map(|site| site.hosts.clone()).collect()
    }

    /// Builds the cache that the server would run on, without a second tier and its directory; then the purge APIs of its accounts.
    pub fn build(mut self) -> Result<Cache, String> {
        self.config.l2 = None;
        let cache = crate::serve::cache(&self.config, self.sites).map_err(|error| error.to_string())?;
        crate::api::PurgeApis::new(&self.config, cache.clone()).map_err(|error| error.to_string())?;
        Ok(cache)
    }
}

/// Follows the requests of one HTTP/1 connection as the listener does.
#[derive(Debug, Default)]
pub struct Follower(Framing);

impl Follower {
    /// Takes note of the bytes that come next and overwrites what is not to be parsed; the name of the violation, if it is one.
    pub fn feed(&mut self, bytes: &mut [u8]) -> Option<&'static str> {
        self.0.feed(bytes).err().map(|violation| violation.as_str())
    }

    /// Whether a head has begun and not ended.
    pub fn in_head(&self) -> bool {
        self.0.in_head()
    }

    /// How many heads have ended.
    pub fn heads(&self) -> u32 {
        self.0.heads()
    }

    /// Whether nothing more is to be read.
    pub fn is_refused(&self) -> bool {
        self.0.is_refused()
    }
}

/// The admin API of a server without listeners. Needs a runtime.
#[derive(Debug)]
pub struct AdminApi {
    router: Router,
}

impl AdminApi {
    /// Of this cache; `tokens` are (name, token, role from 0 to 2).
    pub fn new(cache: Cache, tokens: &[(&str, &str, u8)], max_batch: usize) -> Self {
        let config = Config::default();
        let server: &Server = &config.server;
        let proxy_figures = Arc::new(proxy::Figures::default());
        let figures = Arc::new(Figures::new(1));
        let proxy = Proxy::new(&config, Sites::default(), cache.clone(), proxy_figures.clone());
        let log = AccessLog::open(&config::AccessLog::Off).expect("no log");
        let front = Arc::new(Front::new(proxy, server, figures.clone(), log));
        let limits = Arc::new(Limits::new(server));
        let tokens = tokens.iter().map(|&(name, token, role)| Token {
            name: name.to_owned(),
            token: token.to_owned(),
            role: [Role::Read, Role::Purge, Role::Admin][usize::from(role % 3)],
        });
        let guards = Arc::new(Guards::new(tokens.collect()));
        let parts = Parts {
            cache: cache.clone(),
            front: front.clone(),
            guards: guards.clone(),
            limits,
            figures,
            certificates: None,
            apis: None,
            runtime: tokio::runtime::Handle::current(),
        };
        let reload = Arc::new(Reload::new(Source::none(), config, parts));
        let admin = Arc::new(Admin::new(cache, proxy_figures, front, guards, reload, max_batch));
        admin.set_open();
        Self { router: admin.router() }
    }

    /// The answer to a request: status, content type and body.
    pub async fn call(&self, request: Request<Bytes>) -> (StatusCode, Option<String>, Bytes) {
        let request = request.map(Body::from);
        let response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let body = to_bytes(body, usize::MAX).await.expect("a body that is there");
        (parts.status, kind.map(str::to_owned), body)
    }
}
