//! Origins: which one a request is sent to, and sending it.
//!
//! 1. What may have reached an origin is sent again only if it is safe and has no body; what certainly has not, always.
//! 2. Besides the one fresh attempt after a pooled connection that turned out dead, attempts beyond the first are paid for from the site's
//!    [`Retries`].
//! 3. An origin that is out is asked only if all of a site's are.
//! 4. Tasks of a set of origins end with it; its connections end when they are idle, or nobody is left who uses them.
//!
//! Connections belong to the runtime that made them (see [`pool`]), so that one set of origins serves any number of runtimes.

mod budget;
mod dial;
mod failure;
mod health;
mod meter;
mod pool;
mod roots;
mod stream;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::budget::{Gate, Retries};
use self::failure::{Cause, Chain};
use self::roots::SystemRoots;
use self::upstream::{Call, Patience, Spec, Upstream};
use crate::config::{Server, Site};
use crate::engine::{self, Target};
use crate::proxy::Seldom;

pub(crate) use self::failure::Failure;
pub(crate) use self::meter::OriginFigures;
pub(crate) use self::stream::Stream;

/// The origins of all sites.
#[derive(Debug)]
pub(crate) struct Origins {
    by_host: HashMap<String, usize>,
    any: Option<usize>,
    groups: Vec<Group>,
    roots: SystemRoots,
    tasks: Vec<AbortHandle>,
    warned: Seldom,
}

/// The origins of one site.
#[derive(Debug)]
struct Group {
    /// Its first host.
    site: String,
    upstreams: Vec<Arc<Upstream>>,
    next: AtomicUsize,
    retries: usize,
    saved: Retries,
    gate: Arc<Gate>,
    patience: Patience,
}

impl Origins {
    /// The origins of a configuration. Needs a runtime that lives as long as they are used: their upkeep runs there.
    pub(crate) fn new(server: &Server, sites: &[Site], engine: &oust::site::Sites) -> Self {
        Self::build(server, sites, engine, None)
    }

    /// Those of a new configuration. What is the same keeps its connections, health, figures and place in the queue; requests under way with these
    /// end as they would. Needs a runtime, as [`new`](Self::new) does. The tasks of `self` end when it is dropped.
    pub(crate) fn renewed(&self, server: &Server, sites: &[Site], engine: &oust::site::Sites) -> Self {
        Self::build(server, sites, engine, Some(self))
    }

    fn build(server: &Server, sites: &[Site], engine: &oust::site::Sites, old: Option<&Self>) -> Self {
        let roots = old.map(|old| old.roots.clone()).unwrap_or_default();
        let mut made = Self {
            by_host: HashMap::new(),
            any: None,
            groups: Vec::new(),
            roots,
            tasks: Vec::new(),
            warned: Seldom::default(),
        };
        for (index, site) in sites.iter().enumerate() {
            for host in &site.hosts {
                if host == "*" {
                    made.any = Some(index);
                } else if let Ok((key, _)) = engine::key(engine, "http", host, "/", &HeaderMap::new()) {
                    // The engine's spelling of the host, so that keys find it.
                    made.by_host.insert(engine::target(&key).host.to_owned(), index);
                }
            }
            let group = made.group(server, site, old);
            made.groups.push(group);
        }
        let all: Vec<_> = made.upstreams().map(|(_, upstream)| Arc::downgrade(upstream)).collect();
        made.tasks.push(
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(pool::IDLE / 3);
                loop {
                    ticks.tick().await;
                    for upstream in all.iter().filter_map(std::sync::Weak::upgrade) {
                        upstream.pool.prune();
                    }
                }
            })
            .abort_handle(),
        );
        made
    }

    fn group(&mut self, server: &Server, site: &Site, old: Option<&Self>) -> Group {
        let rules = &site.fetching;
        let name = site.hosts.first().cloned().unwrap_or_default();
        let mut upstreams = Vec::new();
        for origin in &site.origins {
            let spec = Spec {
                site: name.clone(),
                origin: origin.clone(),
                tls: rules.tls.clone(),
                http2: rules.http2,
                connect_timeout: rules.connect_timeout,
            };
            let same = old.and_then(|old| old.upstreams().find(|(_, upstream)| upstream.spec == spec));
            let upstream = match same {
                Some((_, upstream)) => upstream.clone(),
                None => Arc::new(Upstream::new(spec, &self.roots)),
            };
            match &rules.health {
                Some(check) => {
                    let host = if name == "*" { origin.authority.clone() } else { name.clone() };
                    let task = tokio::spawn(upstream.clone().watch(check.clone(), host));
                    self.tasks.push(task.abort_handle());
                }
                None => upstream.health.unchecked(),
            }
            upstreams.push(upstream);
        }
        let same_gate = old
            .and_then(|old| old.groups.iter().find(|group| group.site == name))
            .filter(|group| group.gate.most() == rules.max_fetches);
        let gate = same_gate.map_or_else(|| Arc::new(Gate::new(rules.max_fetches)), |group| group.gate.clone());
        let first_byte = rules.first_byte_timeout.unwrap_or(server.body_timeout);
        Group {
            site: name,
            upstreams,
            next: AtomicUsize::new(0),
            retries: rules.retries,
            saved: Retries::default(),
            gate,
            patience: Patience { first_byte, body: server.body_timeout },
        }
    }

    /// Asks an origin of the target's host. Origins take turns; invariants 1 to 3 say when another is asked, or the same one again.
    ///
    /// Waits for a turn where the site has a cap on its fetches, and gives it back when the answer's body ends or is dropped. Dropping the future
    /// ends the attempt and its connection.
    pub(crate) async fn send<B>(
        &self,
        target: &Target<'_>,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: B,
    ) -> Result<Response<Stream>, Failure>
    where
        B: Body<Data = Bytes, Error: Into<Cause>> + Send + 'static,
    {
        let index = self.by_host.get(target.host).copied().or(self.any);
        let group = index.and_then(|index| self.groups.get(index)).ok_or(Failure::Nobody)?;
        let permit = group.gate.enter(group.patience.first_byte).await?;
        let safe = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_end_stream();
        let mut body =
            Some(if body.is_end_stream() { upstream::nothing() } else { body.map_err(Into::into).boxed_unsync() });
        let call = Call { method, authority: target.authority, path_and_query, headers };
        group.saved.earn();

        let mut turn = Turn::new(group);
        let mut upstream = turn.next(None).ok_or(Failure::Nobody)?;
        let (mut fresh, mut left) = (false, group.retries);
        loop {
            let sending = body.take().unwrap_or_else(upstream::nothing);
            let refused = match upstream.ask(&call, sending, fresh, group.patience).await {
                Ok(response) => return Ok(response.map(|stream| stream.holding(permit))),
                Err(refused) => refused,
            };
            if !refused.by_client {
                self.warn(upstream, &refused.cause);
            }
            let failure = refused.failure;
            body = match refused.unsent {
                Some(unsent) => Some(unsent),
                None if safe && failure == Failure::Reset => None,
                None => return Err(if refused.by_client { Failure::Unasked } else { failure }),
            };
            if refused.reused && failure == Failure::Reset && !fresh {
                // An origin may close an idle connection in the moment it is used again.
                fresh = true;
                continue;
            }
            // Whether another attempt at the same origin could end otherwise.
            let again = (failure == Failure::Reset).then_some(upstream);
            let Some(next) = turn.next(again).filter(|_| left > 0 && group.saved.spend()) else { return Err(failure) };
            (upstream, fresh, left) = (next, false, left - 1);
            upstream.meters.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is known of each origin, in the order of the configuration.
    pub(crate) fn figures(&self) -> Vec<OriginFigures> {
        self.upstreams()
            .map(|(group, upstream)| OriginFigures {
                site: group.site.clone(),
                origin: upstream.spec.origin.to_string(),
                up: upstream.health.is_up(),
                outcomes: upstream.meters.outcomes(),
                retries: upstream.meters.retries.load(Ordering::Relaxed),
                connect: upstream.meters.connect.read(),
                first_byte: upstream.meters.first_byte.read(),
            })
            .collect()
    }

    /// The figures as text for Prometheus, whole families.
    pub(crate) fn exposition(&self) -> String {
        let waiting: Vec<_> = self.groups.iter().map(|group| (group.site.clone(), group.gate.waiting())).collect();
        meter::exposition(&self.figures(), &waiting)
    }

    fn upstreams(&self) -> impl Iterator<Item = (&Group, &Arc<Upstream>)> {
        self.groups.iter().flat_map(|group| group.upstreams.iter().map(move |upstream| (group, upstream)))
    }

    fn warn(&self, upstream: &Upstream, cause: &Cause) {
        let error = Chain(cause.as_ref());
        if self.warned.now() {
            tracing::warn!(origin = %upstream.spec.origin, %error, "origin failed");
        } else {
            tracing::debug!(origin = %upstream.spec.origin, %error, "origin failed");
        }
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The order in which one request goes to a site's origins.
struct Turn<'a> {
    group: &'a Group,
    first: usize,
    tried: Vec<usize>,
}

impl<'a> Turn<'a> {
    fn new(group: &'a Group) -> Self {
        Self { group, first: group.next.fetch_add(1, Ordering::Relaxed), tried: Vec::new() }
    }

    /// The next one that is not out and was not asked yet; else one that was not asked, out or not; else `again`.
    fn next(&mut self, again: Option<&'a Arc<Upstream>>) -> Option<&'a Arc<Upstream>> {
        let all = &self.group.upstreams;
        let now = Instant::now();
        let order: Vec<_> = (0..all.len())
            .map(|turn| self.first.wrapping_add(turn) % all.len())
            .filter(|at| !self.tried.contains(at))
            .collect();
        let healthy = order.iter().copied().find(|&at| all.get(at).is_some_and(|upstream| upstream.health.admit(now)));
        // All are out: any is better than none. But not as a second try while another may answer.
        let any_up = all.iter().any(|upstream| upstream.health.is_up());
        match healthy.or_else(|| order.first().copied().filter(|_| !any_up)) {
            Some(at) => {
                self.tried.push(at);
                all.get(at)
            }
            None => again,
        }
    }
}
