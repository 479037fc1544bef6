//! Purges: from a request to one purge of the engine, and the task that tells how far it is.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use oust::purge::{Layers, MAX_FIELDS, MAX_SELECTOR, PurgeErrorKind};
use oust::site::Environment;
use oust::{Action, Selector};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pattern::{self, Variant};
use super::quota::{Quota, Tokens};
use super::refusal::Refusal;
use super::webhook::Webhooks;
use super::{created, typed};
use crate::account::{Account, Hosts, canonical_host};
use crate::body::MAX_TEXTS;
use crate::call::{Call, Reply};
use crate::rate::{Limiter, Rate};
use crate::shared::{Refused, Shared};
use crate::task::{Progress, Task, Tasks, hex, random, weight};
use crate::time::rfc3339;

const MAX_DIRECTORIES: usize = 20;
const MAX_REGEXES: usize = 2;
/// Longest name, in characters.
const MAX_NAME: usize = 1000;
/// Most bytes of header fields, counted once for each file URL that they are asked with.
const MAX_VARIANT_BYTES: usize = 16 << 20;

/// A task of this dialect.
pub(super) type PurgeTask = Task<String, Asked>;

/// The purges of all accounts.
#[derive(Debug)]
pub(super) struct Purges {
    pub(super) tasks: Tasks<String, Asked>,
    /// By account.
    clients: Vec<Client>,
}

/// What an account has used.
#[derive(Debug)]
struct Client {
    rate: Rate,
    limiter: Limiter,
    staging: Quota,
    production: Quota,
}

impl Client {
    fn quota(&self, target: Target) -> &Quota {
        match target {
            Target::Staging => &self.staging,
            Target::Production => &self.production,
        }
    }
}

/// An environment in the vendor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Target {
    Staging,
    Production,
}

impl Target {
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        match text {
            "staging" => Ok(Self::Staging),
            "production" => Ok(Self::Production),
            _ => Err(Refusal::parameter("target is 'staging' or 'production'.")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    fn environment(self) -> Environment {
        match self {
            Self::Staging => Environment::Staging,
            Self::Production => Environment::Production,
        }
    }
}

/// An action in the vendor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    Delete,
    Invalidate,
}

impl Verb {
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        match text {
            "delete" => Ok(Self::Delete),
            "invalidate" => Ok(Self::Invalidate),
            _ => Err(Refusal::parameter("action is 'delete' or 'invalidate'.")),
        }
    }
}

/// A header field.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Field {
    name: String,
    value: String,
}

/// The body of a purge request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    name: Option<String>,
    file_urls: Option<Vec<String>>,
    file_headers: Option<Vec<Field>>,
    dir_urls: Option<Vec<String>>,
    dir_headers: Option<Vec<Field>>,
    regex_patterns: Option<Vec<String>>,
    action: Option<String>,
    target: Option<String>,
    webhook: Option<String>,
}

/// A purge request that was read: what a task keeps.
#[derive(Debug)]
pub(super) struct Asked {
    name: Option<String>,
    pub(super) file_urls: Vec<String>,
    file_headers: Vec<Field>,
    pub(super) dir_urls: Vec<String>,
    pub(super) regex_patterns: Vec<String>,
    pub(super) action: Verb,
    pub(super) target: Target,
    webhook: Option<String>,
    /// Identity of the request that asked.
    pub(super) request: String,
    /// Canonical, each once.
    pub(super) hostnames: Vec<String>,
}

impl Asked {
    fn read(body: &[u8], request: &str) -> Result<Self, Refusal> {
        let body: Create = serde_json::from_slice(body)
            .map_err(|error| Refusal::parameter(format!("The body is no purge request: {error}.")))?;
        if body.name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME) {
            return Err(Refusal::parameter(format!("name is longer than {MAX_NAME} characters.")));
        }
        if body.dir_headers.is_some_and(|fields| !fields.is_empty()) {
            // Left out, they would make the purge take more than was meant.
            return Err(Refusal::parameter("dirHeaders cannot be asked for: dirUrls take all variations."));
        }
        let target = body.target.ok_or_else(|| Refusal::parameter("target is missing."))?;
        let asked = Self {
            name: body.name,
            file_urls: body.file_urls.unwrap_or_default(),
            file_headers: body.file_headers.unwrap_or_default(),
            dir_urls: body.dir_urls.unwrap_or_default(),
            regex_patterns: body.regex_patterns.unwrap_or_default(),
            action: body.action.as_deref().map_or(Ok(Verb::Invalidate), Verb::read)?,
            target: Target::read(&target)?,
            webhook: body.webhook,
            request: request.to_owned(),
            hostnames: Vec::new(),
        };
        for (name, list, most) in [
            // How many the engine takes at once is less, but found out only when all of them are read.
            ("fileUrls", &asked.file_urls, MAX_TEXTS),
            ("dirUrls", &asked.dir_urls, MAX_DIRECTORIES),
            ("regexPatterns", &asked.regex_patterns, MAX_REGEXES),
        ] {
            if list.len() > most {
                return Err(Refusal::parameter(format!("{name} has {} entries, the most is {most}.", list.len())));
            }
        }
        if asked.file_urls.is_empty() && asked.dir_urls.is_empty() && asked.regex_patterns.is_empty() {
            return Err(Refusal::parameter("One of fileUrls, dirUrls and regexPatterns is needed."));
        }
        Ok(asked)
    }

    /// The header fields that select a variant, if there are any.
    fn variant(&self) -> Result<Option<Variant>, Refusal> {
        if self.file_headers.is_empty() {
            return Ok(None);
        }
        if self.file_headers.len() > MAX_FIELDS {
            return Err(Refusal::parameter(format!("fileHeaders has more than {MAX_FIELDS} entries.")));
        }
        let mut variant = Variant { headers: Vec::new(), map: HeaderMap::new() };
        let mut bytes = 0_usize;
        for Field { name, value } in &self.file_headers {
            let wrong = |what: &str| Refusal::parameter(format!("fileHeaders: '{}' {what}.", pattern::shown(name)));
            let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is no header name"))?;
            let content = HeaderValue::from_str(value).map_err(|_| wrong("has a value no header has"))?;
            variant.map.append(field, content);
            variant.headers.push((name.clone(), value.clone()));
            bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        }
        if bytes > MAX_SELECTOR {
            // They are part of what is purged, which the history keeps.
            return Err(Refusal::parameter(format!("fileHeaders are longer than {MAX_SELECTOR} bytes.")));
        }
        if bytes.saturating_mul(self.file_urls.len()) > MAX_VARIANT_BYTES {
            let message = format!("fileHeaders and fileUrls together pass the limit of {MAX_VARIANT_BYTES} bytes.");
            return Err(Refusal::parameter(message));
        }
        Ok(Some(variant))
    }

    /// What it takes: files, directories and regexes in this order. Finds the hosts, all of which are to be the account's and in the environment.
    fn selectors(&mut self, shared: &Shared, hosts: &Hosts) -> Result<Vec<Selector>, Refusal> {
        let sites = &*shared.cache.sites();
        let variant = self.variant()?;
        let mut hostnames: Vec<String> = Vec::new();
        let mut known = std::collections::HashSet::new();
        let mut deployed = |host: Option<String>, text: &str| {
            let Some(host) = host else {
                return Err(Refusal::url(pattern::invalid(text, "Its host is no host name.")));
            };
            if !known.contains(&host) {
                let own = canonical_host(&host, sites).is_ok_and(|name| hosts.contains(&name));
                if !own || sites.environment(&host) != Some(self.target.environment()) {
                    return Err(Refusal::not_deployed(&host, self.target.name()));
                }
                known.insert(host.clone());
                hostnames.push(host);
            }
            Ok(())
        };
        let mut selectors = Vec::new();
        for url in &self.file_urls {
            selectors.push(pattern::file(url, variant.as_ref(), sites).map_err(Refusal::url)?);
            deployed(pattern::host(url), url)?;
        }
        for url in &self.dir_urls {
            selectors.push(pattern::directory(url).map_err(Refusal::url)?);
            deployed(pattern::host(url), url)?;
        }
        for regex in &self.regex_patterns {
            selectors.push(Selector::Regex(regex.clone()));
            deployed(pattern::host(regex), regex)?;
        }
        self.hostnames = hostnames;
        Ok(selectors)
    }

    fn tokens(&self) -> Tokens {
        let count = |list: &[String]| u64::try_from(list.len()).unwrap_or(u64::MAX);
        Tokens {
            files: count(&self.file_urls),
            directories: count(&self.dir_urls).saturating_add(count(&self.regex_patterns)),
        }
    }

    /// About how many bytes it holds.
    fn bytes(&self) -> usize {
        let texts = self.file_urls.iter().chain(&self.dir_urls).chain(&self.regex_patterns).chain(&self.hostnames);
        let fields = self.file_headers.iter().flat_map(|field| [&field.name, &field.value]);
        weight(texts.chain(&self.name).chain(fields))
    }

    /// A refusal in the words of what was asked.
    fn refuse(&self, refused: Refused) -> Refusal {
        match refused {
            Refused::Host(_, host) => Refusal::not_deployed(&host, self.target.name()),
            Refused::Selector(index, error) => {
                let urls = self.file_urls.iter().chain(&self.dir_urls);
                let reason = format!("{}.", pattern::capital(&error.to_string()));
                match urls.chain(&self.regex_patterns).nth(index) {
                    Some(text) if index < self.file_urls.len().saturating_add(self.dir_urls.len()) => {
                        Refusal::url(pattern::invalid(text, &reason))
                    }
                    Some(text) => {
                        Refusal::parameter(format!("The regex pattern '{}' is invalid. {reason}", pattern::shown(text)))
                    }
                    None => Refusal::parameter(reason),
                }
            }
            Refused::Engine(error) => {
                let message = format!("{}.", pattern::capital(&error.to_string()));
                match error.kind() {
                    // Of all live rules together, not of this request.
                    PurgeErrorKind::TooManyRules | PurgeErrorKind::NotDurable => Refusal::busy(message),
                    PurgeErrorKind::OverBudget if error.selector().is_none() => Refusal::busy(message),
                    _ => Refusal::parameter(message),
                }
            }
        }
    }
}

impl Purges {
    pub(super) fn new(shared: &Shared, tasks: usize) -> Self {
        let client = |account: &Account| {
            let rate = account.cdnetworks.clone().unwrap_or_default().rate;
            Client { rate, limiter: Limiter::new(rate), staging: Quota::default(), production: Quota::default() }
        };
        let clients = shared.accounts.iter().map(|member| client(&member.account)).collect();
        Self { tasks: Tasks::new(tasks), clients }
    }

    fn client(&self, account: usize) -> Result<&Client, Refusal> {
        self.clients.get(account).ok_or_else(|| Refusal::unauthorized("No such account."))
    }

    /// `POST /cdn/purges`.
    pub(super) fn create(
        &self,
        shared: &Shared,
        call: &Call<'_>,
        account: usize,
        request: &str,
        webhooks: &Webhooks,
    ) -> Result<Reply, Refusal> {
        let client = self.client(account)?;
        let taken = client.limiter.take(call.now_ms);
        if !taken.admitted {
            let window = humantime::format_duration(client.rate.window);
            let message = format!("More than {} purge requests in {window}.", taken.limit);
            return Err(Refusal::too_many(message, taken.reset_ms.saturating_sub(call.now_ms)));
        }
        let mut asked = Asked::read(call.body, request)?;
        let member = shared.accounts.get(account).ok_or_else(|| Refusal::unauthorized("No such account."))?;
        let selectors = asked.selectors(shared, &member.hosts)?;
        let id = hex(&random::<12>().map_err(|_| Refusal::no_random())?);

        let callback = match &asked.webhook {
            Some(webhook) => Some(webhooks.reserve(account, webhook, &id)?),
            None => None,
        };
        let (quota, tokens) = (client.quota(asked.target), asked.tokens());
        let action = match asked.action {
            Verb::Delete => Action::Delete,
            Verb::Invalidate => Action::Invalidate,
        };
        let layers = Layers { edge: true, l2: true };
        let record = quota.take(tokens, call.now_ms).and_then(|()| {
            shared.purge(account, selectors, action, layers).map_err(|refused| {
                quota.give_back(tokens);
                asked.refuse(refused)
            })
        });
        let purge = record.as_ref().ok().map(|record| record.id);
        if record.is_ok() {
            let bytes = asked.bytes();
            self.tasks.add_weighed(Task { id: id.clone(), account, purge, created_ms: call.now_ms, asked }, bytes);
        }
        // After the task is known, which whoever is called may ask for at once.
        if let Some(callback) = callback {
            webhooks.settle(callback, purge);
        }
        record.map(|_| created(call, &format!("/cdn/purges/{id}")))
    }

    /// `GET /cdn/purges/{id}`.
    pub(super) fn status(&self, shared: &Shared, account: usize, id: &str) -> Result<Reply, Refusal> {
        let task = self.tasks.of_account(&id.to_owned(), account);
        let task = task.ok_or_else(|| Refusal::not_found("There is no such purge request."))?;
        let asked = &task.asked;
        let state = State::of(&task, shared);
        let body = json!({
            "name": asked.name,
            "fileUrls": asked.file_urls,
            "fileHeaders": asked.file_headers,
            "dirUrls": asked.dir_urls,
            "dirHeaders": [],
            "regexPatterns": asked.regex_patterns,
            "target": asked.target,
            "submissionTime": rfc3339(task.created_ms),
            "successRate": state.rate,
            "status": state.status,
            "action": asked.action,
            "finishTime": state.finished_ms.map(rfc3339),
            "apiRequestId": asked.request,
            "webhook": asked.webhook,
        });
        Ok(typed(StatusCode::OK, &body))
    }

    /// `GET /cdn/purges/purgeTokens`.
    pub(super) fn tokens(&self, call: &Call<'_>, account: usize) -> Result<Reply, Refusal> {
        let target = call.parameter("target").filter(|text| !text.is_empty());
        let target = target.map_or(Ok(Target::Production), |text| Target::read(&text))?;
        let left = self.client(account)?.quota(target).left(call.now_ms);
        let body = json!({ "filePurgeTokens": left.files, "dirPurgeTokens": left.directories });
        Ok(typed(StatusCode::OK, &body))
    }
}

/// How far a task is, in the vendor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) status: &'static str,
    /// Percent.
    pub(super) rate: u8,
    pub(super) finished_ms: Option<u64>,
}

impl State {
    pub(super) fn of(task: &PurgeTask, shared: &Shared) -> Self {
        Self::at(task.progress(&shared.cache).0)
    }

    /// There is no failure: what the engine took up it finishes.
    fn at(progress: Progress) -> Self {
        match progress {
            Progress::Waiting => Self { status: "waiting", rate: 0, finished_ms: None },
            Progress::Running(_) => Self { status: "inprogress", rate: 0, finished_ms: None },
            Progress::Done(_, at) => Self { status: "finished", rate: 100, finished_ms: Some(at) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_waits_runs_and_is_finished() {
        assert_eq!(State::at(Progress::Waiting), State { status: "waiting", rate: 0, finished_ms: None });
        assert_eq!(State::at(Progress::Running(5)), State { status: "inprogress", rate: 0, finished_ms: None });
        assert_eq!(State::at(Progress::Done(5, 9)), State { status: "finished", rate: 100, finished_ms: Some(9) });
    }
}
