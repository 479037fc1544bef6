//! Webhooks: registered URLs that are called when a purge is finished.
//!
//! Invariant: a secret key goes in and is never shown again; what leaves is the password of a date.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use oust::purge::{PurgeId, PurgeState};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::auth::date_password;
use super::delivery::{Deliveries, MAX_PENDING, Outcome, Pending};
use super::refusal::Refusal;
use super::{created, page, typed};
use crate::call::{Call, Reply, empty};
use crate::shared::{Callback, Shared};
use crate::task::{hex, random};
use crate::time::{instant, rfc3339};

/// Most webhooks of an account.
const MAX_WEBHOOKS: usize = 100;
/// Longest name, URL, user and secret key, in characters.
const MAX_TEXT: usize = 250;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 500;

/// The webhooks of all accounts, and what is on its way to them.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    webhooks: BTreeMap<String, Webhook>,
    last: u64,
    deliveries: Deliveries,
}

#[derive(Debug)]
struct Webhook {
    account: usize,
    /// In order of creation.
    number: u64,
    settings: Settings,
    created_ms: u64,
    updated_ms: u64,
    called_ms: Option<u64>,
    calls: u64,
    /// Callbacks given up.
    failed: u64,
}

/// What a client sets.
#[derive(Debug, Clone, Default)]
struct Settings {
    name: String,
    url: String,
    description: String,
    credentials: Option<Credentials>,
}

#[derive(Clone, Default)]
struct Credentials {
    user: String,
    secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The body of a POST or PATCH: what is not there stays, what is null is taken away.
#[derive(Deserialize)]
struct Change {
    name: Option<String>,
    url: Option<String>,
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    credentials: Option<Option<CredentialsChange>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialsChange {
    user: Option<String>,
    secret_key: Option<String>,
}

impl Change {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        serde_json::from_slice(call.body)
            .map_err(|error| Refusal::parameter(format!("The body is no webhook: {error}.")))
    }
}

/// Tells null from absence.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Settings {
    fn apply(&mut self, change: Change) -> Result<(), Refusal> {
        if let Some(name) = change.name {
            self.name = name;
        }
        if let Some(url) = change.url {
            self.url = url;
        }
        if let Some(description) = change.description {
            self.description = description.unwrap_or_default();
        }
        match change.credentials {
            Some(Some(change)) => {
                let own = self.credentials.get_or_insert_default();
                own.user = change.user.unwrap_or_else(|| std::mem::take(&mut own.user));
                own.secret_key = change.secret_key.unwrap_or_else(|| std::mem::take(&mut own.secret_key));
            }
            Some(None) => self.credentials = None,
            None => {}
        }
        self.check()
    }

    fn check(&self) -> Result<(), Refusal> {
        let text = |name: &str, text: &str, least: usize, most: usize| {
            if !(least..=most).contains(&text.chars().count()) {
                return Err(Refusal::parameter(format!("{name} has {least} to {most} characters.")));
            }
            Ok(())
        };
        text("name", &self.name, 1, MAX_TEXT)?;
        text("url", &self.url, 1, MAX_TEXT)?;
        text("description", &self.description, 0, MAX_DESCRIPTION)?;
        if let Some(own) = &self.credentials {
            text("credentials.user", &own.user, 1, MAX_TEXT)?;
            text("credentials.secretKey", &own.secret_key, 1, MAX_TEXT)?;
            if own.user.contains(':') {
                return Err(Refusal::parameter("credentials.user holds a ':', which Basic cannot carry."));
            }
        }
        let url: Uri = self.url.parse().map_err(|_| Refusal::parameter("url is no URL."))?;
        let (scheme, authority) = (url.scheme_str(), url.authority());
        let Some(authority) = authority.filter(|_| matches!(scheme, Some("http" | "https"))) else {
            return Err(Refusal::parameter("url begins with http:// or https:// and a host."));
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Refusal::parameter("url has a host, and no user information."));
        }
        Ok(())
    }
}

impl Kept {
    fn of(&self, account: usize, id: &str) -> Result<&Webhook, Refusal> {
        self.webhooks.get(id).filter(|webhook| webhook.account == account).ok_or_else(no_such)
    }

    fn of_mut(&mut self, account: usize, id: &str) -> Result<&mut Webhook, Refusal> {
        self.webhooks.get_mut(id).filter(|webhook| webhook.account == account).ok_or_else(no_such)
    }
}

fn no_such() -> Refusal {
    Refusal::not_found("There is no such webhook.")
}

impl Webhooks {
    /// `POST /cdn/webhooks`.
    pub(super) fn create(&self, call: &Call<'_>, account: usize) -> Result<Reply, Refusal> {
        let mut settings = Settings::default();
        settings.apply(Change::read(call)?)?;
        let id = hex(&random::<12>().map_err(|_| Refusal::no_random())?);
        let mut kept = self.kept.lock();
        if kept.webhooks.values().filter(|webhook| webhook.account == account).count() >= MAX_WEBHOOKS {
            return Err(Refusal::parameter(format!("An account has at most {MAX_WEBHOOKS} webhooks.")));
        }
        kept.last += 1;
        let webhook = Webhook {
            account,
            number: kept.last,
            settings,
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
            called_ms: None,
            calls: 0,
            failed: 0,
        };
        let reply = created(call, &format!("/cdn/webhooks/{id}"));
        kept.webhooks.insert(id, webhook);
        Ok(reply)
    }

    /// `GET /cdn/webhooks`, the newest first.
    pub(super) fn list(&self, call: &Call<'_>, account: usize) -> Result<Reply, Refusal> {
        let (offset, limit) = page(call)?;
        let kept = self.kept.lock();
        let mut own: Vec<_> = kept.webhooks.iter().filter(|(_, webhook)| webhook.account == account).collect();
        own.sort_by_key(|(_, webhook)| std::cmp::Reverse(webhook.number));
        let rows: Vec<Value> = own.iter().skip(offset).take(limit).map(|(id, webhook)| webhook.row(id)).collect();
        // The first spelling is the one the vendor's client reads.
        Ok(typed(StatusCode::OK, &json!({ "count": own.len(), "webooks": rows, "webhooks": rows })))
    }

    /// `GET /cdn/webhooks/{id}`.
    pub(super) fn get(&self, account: usize, id: &str) -> Result<Reply, Refusal> {
        Ok(typed(StatusCode::OK, &self.kept.lock().of(account, id)?.view(id)))
    }

    /// `PATCH /cdn/webhooks/{id}`.
    pub(super) fn update(&self, call: &Call<'_>, account: usize, id: &str) -> Result<Reply, Refusal> {
        // Read before the lock is taken: how long that takes is up to the client. Whether there is such a webhook is told first.
        let change = Change::read(call);
        let mut kept = self.kept.lock();
        let webhook = kept.of_mut(account, id)?;
        let mut settings = webhook.settings.clone();
        settings.apply(change?)?;
        webhook.settings = settings;
        webhook.updated_ms = call.now_ms;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// `DELETE /cdn/webhooks/{id}`: what is on its way to it is dropped.
    pub(super) fn delete(&self, account: usize, id: &str) -> Result<Reply, Refusal> {
        let mut kept = self.kept.lock();
        kept.of(account, id)?;
        kept.webhooks.remove(id);
        kept.deliveries.forget(id);
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Keeps a place for the callback of a task whose purge is about to be made. To be followed by [`Webhooks::settle`].
    pub(super) fn reserve(&self, account: usize, webhook: &str, task: &str) -> Result<u64, Refusal> {
        let mut kept = self.kept.lock();
        kept.of(account, webhook).map_err(|_| Refusal::parameter("webhook is not the id of a webhook."))?;
        kept.deliveries.reserve(account, webhook, task).ok_or_else(|| {
            Refusal::too_many(format!("{MAX_PENDING} callbacks of this account are on their way."), 1000)
        })
    }

    /// The purge of a reserved callback was made, or refused.
    pub(super) fn settle(&self, callback: u64, purge: Option<PurgeId>) {
        self.kept.lock().deliveries.settle(callback, purge);
    }

    /// Callbacks that are due.
    pub(super) fn due(&self, shared: &Shared, now_ms: u64) -> Vec<Callback> {
        let mut kept = self.kept.lock();
        let Kept { webhooks, deliveries, .. } = &mut *kept;
        // What the history has forgotten was swept long ago.
        let is_swept = |id| shared.cache.purge_record(id).is_none_or(|record| record.state == PurgeState::Swept);
        let mut lost = Vec::new();
        let mut callbacks = Vec::new();
        let send = |id: u64, pending: &Pending| {
            if let Some(webhook) = webhooks.get(&pending.webhook) {
                let private = shared.accounts.get(pending.account).is_some_and(|of| of.account.webhook_private);
                callbacks.push(webhook.callback(id, &pending.task, private, now_ms));
            }
        };
        deliveries.due(now_ms, is_swept, |pending| lost.push(pending.webhook.clone()), send);
        for webhook in lost {
            if let Some(webhook) = webhooks.get_mut(&webhook) {
                webhook.failed += 1;
            }
        }
        callbacks
    }

    /// The outcome of a callback that was handed out.
    pub(super) fn done(&self, id: u64, delivered: bool, now_ms: u64) {
        let mut kept = self.kept.lock();
        let Some((outcome, webhook)) = kept.deliveries.done(id, delivered, now_ms) else { return };
        if let Some(webhook) = kept.webhooks.get_mut(&webhook) {
            webhook.calls += 1;
            webhook.called_ms = Some(now_ms);
            webhook.failed += u64::from(outcome == Outcome::GivenUp);
        }
    }
}

impl Webhook {
    fn callback(&self, id: u64, task: &str, private: bool, now_ms: u64) -> Callback {
        let body = json!({
            "subject": "purge finished",
            "taskType": "purge",
            "taskList": [{ "taskId": task, "status": "finished", "successRate": 100 }],
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(own) = &self.settings.credentials {
            let date = httpdate::fmt_http_date(instant(now_ms));
            let pair = BASE64_STANDARD.encode(format!("{}:{}", own.user, date_password(&own.secret_key, &date)));
            if let (Ok(date), Ok(mut pair)) = (date.parse(), HeaderValue::from_str(&format!("Basic {pair}"))) {
                pair.set_sensitive(true);
                headers.insert(DATE, date);
                headers.insert(AUTHORIZATION, pair);
            }
        }
        Callback { id, url: self.settings.url.clone(), headers, body: Bytes::from(body.to_string()), private }
    }

    fn view(&self, id: &str) -> Value {
        json!({
            "id": id,
            "name": self.settings.name,
            "description": self.settings.description,
            "url": self.settings.url,
            "credentials": self.settings.credentials.as_ref().map(|own| json!({ "user": own.user })),
            "metaData": {
                "creationTime": rfc3339(self.created_ms),
                "lastUpdatetime": rfc3339(self.updated_ms),
                "lastCallTime": self.called_ms.map(rfc3339),
                "totalCalls": self.calls,
                "failedTasks": self.failed,
            },
        })
    }

    /// As [`Webhook::view`], and with the times and counts where the vendor's client reads them in lists.
    fn row(&self, id: &str) -> Value {
        let mut row = self.view(id);
        let flat = json!({
            "hasCredentials": self.settings.credentials.is_some(),
            "creationTime": rfc3339(self.created_ms),
            "lastUpdateTime": rfc3339(self.updated_ms),
            "lastCallTime": self.called_ms.map(rfc3339),
            "totalCalls": self.calls,
        });
        if let (Value::Object(row), Value::Object(flat)) = (&mut row, flat) {
            row.extend(flat);
        }
        row
    }
}
