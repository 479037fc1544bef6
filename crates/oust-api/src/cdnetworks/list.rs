//! Lists and sums of purge requests.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::StatusCode;
use serde_json::{Value, json};

use super::purge::{PurgeTask, Purges, State, Target, Verb};
use super::refusal::Refusal;
use super::{page, typed};
use crate::call::{Call, Reply};
use crate::shared::Shared;
use crate::time::rfc3339;

/// How far back lists go, in seconds: 15 days.
const BACK: u64 = 15 * 24 * 3600;

/// Which tasks are asked for by when they were submitted, in whole seconds as times are shown; both ends are in it.
#[derive(Debug, Clone, Copy)]
struct Period {
    from: u64,
    to: u64,
}

impl Period {
    /// `startdate` and `enddate`, as far back as lists go.
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let earliest = (call.now_ms / 1000).saturating_sub(BACK);
        let from = date(call, "startdate")?.unwrap_or(0);
        let to = date(call, "enddate")?.unwrap_or(u64::MAX);
        if from > to {
            return Err(Refusal::parameter("startdate is after enddate."));
        }
        Ok(Self { from: from.max(earliest), to })
    }

    fn holds(self, task: &PurgeTask) -> bool {
        (self.from..=self.to).contains(&(task.created_ms / 1000))
    }
}

/// A time of the query, in seconds; `None` if it is not there or empty.
fn date(call: &Call<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = call.parameter(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let at = humantime::parse_rfc3339(&text).ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let at = at.ok_or_else(|| Refusal::parameter(format!("{name} is an RFC 3339 time in UTC, ending in Z.")))?;
    Ok(Some(at.as_secs()))
}

/// One of two words; whether it is the first. `default` if it is not there.
fn either(call: &Call<'_>, name: &str, words: [&str; 2], default: bool) -> Result<bool, Refusal> {
    match call.parameter(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) if text == words[0] => Ok(true),
        Some(text) if text == words[1] => Ok(false),
        Some(_) => Err(Refusal::parameter(format!("{name} is '{}' or '{}'.", words[0], words[1]))),
    }
}

/// What a list is asked for.
#[derive(Debug)]
struct Filter {
    period: Period,
    search: Option<String>,
    target: Option<Target>,
    action: Option<Verb>,
    most_success: Option<usize>,
}

impl Filter {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let text = |name: &str| call.parameter(name).filter(|text| !text.is_empty());
        let most = super::number(call, "maxSuccessRate", 100, 0, 100)?;
        Ok(Self {
            period: Period::read(call)?,
            search: text("search").map(|text| text.to_lowercase()),
            target: text("target").map(|text| Target::read(&text)).transpose()?,
            action: text("action").map(|text| Verb::read(&text)).transpose()?,
            most_success: (most < 100).then_some(most),
        })
    }

    fn takes(&self, task: &PurgeTask, shared: &Shared) -> bool {
        let asked = &task.asked;
        self.period.holds(task)
            && self.target.is_none_or(|target| target == asked.target)
            && self.action.is_none_or(|action| action == asked.action)
            && self
                .search
                .as_ref()
                .is_none_or(|text| task.id == *text || asked.hostnames.iter().any(|host| host.contains(text.as_str())))
            && self.most_success.is_none_or(|most| usize::from(State::of(task, shared).rate) <= most)
    }
}

impl Purges {
    /// `GET /cdn/purges`.
    pub(super) fn list(&self, shared: &Shared, call: &Call<'_>, account: usize) -> Result<Reply, Refusal> {
        let filter = Filter::read(call)?;
        let (offset, limit) = page(call)?;
        let by_finish = !either(call, "sortBy", ["submissionTime", "finishTime"], true)?;
        let newest_first = either(call, "sortOrder", ["desc", "asc"], true)?;

        // Newest first as they come.
        let mut tasks: Vec<Arc<PurgeTask>> = self.tasks.list(account);
        tasks.retain(|task| filter.takes(task, shared));
        if by_finish {
            // What is not finished will be later than what is.
            let finished = |task: &Arc<PurgeTask>| State::of(task, shared).finished_ms.unwrap_or(u64::MAX);
            tasks.sort_by_cached_key(|task| std::cmp::Reverse(finished(task)));
        }
        if !newest_first {
            tasks.reverse();
        }
        let shown = tasks.iter().skip(offset).take(limit);
        let rows: Vec<Value> = shown.map(|task| row(task, shared)).collect();
        Ok(typed(StatusCode::OK, &json!({ "count": tasks.len(), "purgeRequests": rows })))
    }

    /// `GET /cdn/purges/purgeSummary`.
    pub(super) fn summary(&self, call: &Call<'_>, account: usize) -> Result<Reply, Refusal> {
        for name in ["startdate", "enddate"] {
            if date(call, name)?.is_none() {
                return Err(Refusal::parameter(format!("{name} is missing.")));
            }
        }
        let period = Period::read(call)?;
        let target = call.parameter("target").filter(|text| !text.is_empty());
        let target = target.map(|text| Target::read(&text)).transpose()?;

        let mut tasks = self.tasks.list(account);
        tasks.retain(|task| period.holds(task) && target.is_none_or(|target| target == task.asked.target));
        let count = |entries: fn(&PurgeTask) -> usize| {
            let requests = tasks.iter().filter(|task| entries(task) > 0).count();
            (requests, tasks.iter().fold(0_usize, |sum, task| sum.saturating_add(entries(task))))
        };
        let (file_requests, file_entries) = count(|task| task.asked.file_urls.len());
        let (dir_requests, dir_entries) = count(|task| task.asked.dir_urls.len());
        let (regex_requests, regex_entries) = count(|task| task.asked.regex_patterns.len());
        let body = json!({
            "requests": tasks.len(),
            "fileRequests": file_requests,
            "dirRequests": dir_requests,
            "regexRequests": regex_requests,
            "fileEntries": file_entries,
            "dirEntries": dir_entries,
            "regexEntries": regex_entries,
        });
        Ok(typed(StatusCode::OK, &body))
    }
}

fn row(task: &PurgeTask, shared: &Shared) -> Value {
    let asked = &task.asked;
    let state = State::of(task, shared);
    json!({
        "id": task.id,
        "submissionTime": rfc3339(task.created_ms),
        "hostnames": asked.hostnames,
        "fileEntries": asked.file_urls.len(),
        "dirEntries": asked.dir_urls.len(),
        "regexEntries": asked.regex_patterns.len(),
        "target": asked.target,
        "successRate": state.rate,
        "status": state.status,
        "finishTime": state.finished_ms.map(rfc3339),
        "apiRequestId": asked.request,
    })
}
