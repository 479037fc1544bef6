//! The purge APIs of the accounts there are now, and the webhooks of those and of the ones before.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PurgeApis;
use crate::listen::{Answer, Peer};

/// Purge APIs whose accounts may change.
#[derive(Debug)]
pub(crate) struct Serving {
    now: ArcSwap<PurgeApis>,
    webhooks: Mutex<Vec<Calling>>,
}

/// Webhooks of some accounts.
#[derive(Debug)]
struct Calling {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Begins with these, whose webhooks run on `runtime`.
    pub(crate) fn new(apis: PurgeApis, runtime: &Handle) -> Self {
        let first = Calling::begin(&apis, runtime);
        Self { now: ArcSwap::from_pointee(apis), webhooks: Mutex::new(vec![first]) }
    }

    /// Goes on with these. The tasks and quotas of those before are forgotten; their webhooks that are due are called.
    pub(crate) fn set(&self, apis: PurgeApis, runtime: &Handle) {
        let next = Calling::begin(&apis, runtime);
        self.now.store(Arc::new(apis));
        let mut webhooks = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        webhooks.retain(|calling| !calling.task.is_finished());
        for calling in webhooks.iter() {
            calling.stop.send_replace(true);
        }
        webhooks.push(next);
    }

    /// Calls what is due, and ends.
    pub(crate) async fn end(&self) {
        let all = std::mem::take(&mut *self.webhooks.lock().unwrap_or_else(PoisonError::into_inner));
        for calling in all {
            calling.stop.send_replace(true);
            // Whether it ended well is told where it ended.
            drop(calling.task.await);
        }
    }
}

impl Calling {
    fn begin(apis: &PurgeApis, runtime: &Handle) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: runtime.spawn(apis.webhooks().serve(stopped)) }
    }
}

impl Answer for Serving {
    type Body = Full<Bytes>;

    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.now.load_full().answer(peer, request).await
    }
}
