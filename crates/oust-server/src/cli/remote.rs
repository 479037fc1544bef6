//! `purge`, `explain` and `stats`: commands that ask a running server.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Exit;
use super::client::AdminClient;

/// Where the server is.
#[derive(Debug, Args)]
struct Server {
    /// URL of the admin API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    admin: String,
    /// Bearer token of the admin API.
    #[arg(long, value_name = "T", env = "OUST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the answer as it is.
    #[arg(long)]
    json: bool,
}

/// What to take. Each may be given several times; all of them take effect together.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Selectors {
    /// One URL, with all its variations and variants.
    #[arg(long, value_name = "U")]
    url: Vec<String>,
    /// One cache key.
    #[arg(long, value_name = "K")]
    key: Vec<String>,
    /// A pattern with `*` and `**`.
    #[arg(long, value_name = "P")]
    pattern: Vec<String>,
    /// A pattern whose `*` crosses everything.
    #[arg(long, value_name = "G")]
    glob: Vec<String>,
    /// A regex.
    #[arg(long, value_name = "R")]
    regex: Vec<String>,
    /// A host, host:port, or *.host.
    #[arg(long, value_name = "H")]
    host: Vec<String>,
    /// A tag.
    #[arg(long, value_name = "T")]
    tag: Vec<String>,
    /// Everything.
    #[arg(long)]
    all: bool,
}

impl Selectors {
    fn json(&self) -> Vec<Value> {
        let kinds = [
            ("url", &self.url),
            ("key", &self.key),
            ("pattern", &self.pattern),
            ("glob", &self.glob),
            ("regex", &self.regex),
            ("host", &self.host),
            ("tag", &self.tag),
        ];
        let mut selectors: Vec<Value> =
            kinds.iter().flat_map(|(kind, texts)| texts.iter().map(move |text| json!({ *kind: text }))).collect();
        if self.all {
            selectors.push(json!({ "all": true }));
        }
        selectors
    }
}

/// Action and layers of a purge.
#[derive(Debug, Args)]
struct Effect {
    /// What becomes of the objects: delete, invalidate or soft.
    #[arg(long, value_name = "A", value_parser = ["delete", "invalidate", "soft"])]
    action: Option<String>,
    /// Layer to purge: edge or l2; may be given several times. Default: every layer there is.
    #[arg(long, value_name = "L", value_parser = ["edge", "l2"])]
    layer: Vec<String>,
}

impl Effect {
    fn body(&self, selectors: &Selectors) -> Value {
        let mut body = json!({ "selectors": selectors.json() });
        if let Some(members) = body.as_object_mut() {
            if let Some(action) = &self.action {
                members.insert("action".to_owned(), json!(action));
            }
            if !self.layer.is_empty() {
                members.insert("layers".to_owned(), json!(self.layer));
            }
        }
        body
    }
}

/// `oust purge`.
#[derive(Debug, Args)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    selectors: Selectors,
    #[command(flatten)]
    effect: Effect,
    /// Wait until what the purge takes is reclaimed, with a progress bar. (It is effective before that.)
    #[arg(long)]
    wait: bool,
}

impl PurgeArgs {
    pub(super) fn run(self) -> Result<(), Exit> {
        block_on(async {
            let client = AdminClient::new(&self.server.admin, self.server.token)?;
            let body = self.effect.body(&self.selectors);
            // Only the bar needs a total, and a total that cannot be had is no reason not to purge.
            let total = if self.wait {
                let explained = client.call(Method::POST, "/v1/explain", Some(&body)).await.ok();
                explained.as_ref().map(objects_of)
            } else {
                None
            };
            let mut answer = client.call(Method::POST, "/v1/purges", Some(&body)).await?;
            if self.wait {
                answer = wait(&client, &answer, total).await?;
            }
            if self.server.json {
                return print(&answer.to_string());
            }
            let rules = answer.get("rules").and_then(Value::as_u64).unwrap_or(0);
            let state = text(&answer, "state");
            let durable = if answer.get("durable").and_then(Value::as_bool) == Some(true) { ", durable" } else { "" };
            let ended = match answer.get("edge") {
                Some(_) => format!(", {} objects ended", objects_of(&answer)),
                None => String::new(),
            };
            let plural = if rules == 1 { "" } else { "s" };
            print(&format!("{} {state}{durable}, {rules} rule{plural}{ended}", text(&answer, "id")))
        })
    }
}

/// Objects of both layers.
fn objects_of(answer: &Value) -> u64 {
    let of = |layer: &str| answer.pointer(layer).and_then(Value::as_u64).unwrap_or(0);
    of("/edge/objects").saturating_add(of("/l2/objects"))
}

/// Polls a purge until it is swept.
async fn wait(client: &AdminClient, ack: &Value, total: Option<u64>) -> Result<Value, Exit> {
    let path = format!("/v1/purges/{}", text(ack, "id"));
    // Draws to stderr, and only if that is a terminal.
    let bar = match total {
        Some(total) => ProgressBar::new(total).with_style(
            ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} objects {elapsed}").map_err(Exit::failed)?,
        ),
        None => ProgressBar::new_spinner(),
    };
    bar.set_message("sweeping");
    let mut pause = Duration::from_millis(5);
    loop {
        let record = client.call(Method::GET, &path, None).await?;
        bar.set_position(objects_of(&record));
        if text(&record, "state") == "swept" {
            bar.finish_and_clear();
            return Ok(record);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// `oust explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    selectors: Selectors,
    #[command(flatten)]
    effect: Effect,
}

impl ExplainArgs {
    pub(super) fn run(self) -> Result<(), Exit> {
        block_on(async {
            let client = AdminClient::new(&self.server.admin, self.server.token)?;
            let body = self.effect.body(&self.selectors);
            let answer = client.call(Method::POST, "/v1/explain", Some(&body)).await?;
            if self.server.json {
                return print(&answer.to_string());
            }
            let number = |pointer: &str| answer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            let partial = answer.get("partial").and_then(Value::as_bool).unwrap_or(false);
            let more = if partial { " at least (the time to look ran out)" } else { "" };
            print(&format!("edge: {} objects, {} bytes{more}", number("/edge/objects"), number("/edge/bytes")))?;
            if answer.pointer("/l2/objects").and_then(Value::as_u64).is_some() {
                print(&format!("l2: {} objects, {} bytes{more}", number("/l2/objects"), number("/l2/bytes")))?;
            }
            for key in answer.pointer("/edge/sample").and_then(Value::as_array).into_iter().flatten() {
                print(&format!("  {}", key.as_str().unwrap_or_default()))?;
            }
            for (index, cost) in answer.get("costs").and_then(Value::as_array).into_iter().flatten().enumerate() {
                print(&format!("selector {index}: {}", described(cost)))?;
            }
            Ok(())
        })
    }
}

/// What a selector costs as a live rule, in words.
fn described(cost: &Value) -> String {
    let number = |name: &str| cost.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut words = format!("class {}, {} places", text(cost, "class"), number("places"));
    if number("memory") > 0 {
        words += &format!(", work {} a byte, {} bytes", number("work"), number("memory"));
    }
    if let Some(budget) = cost.get("budget").filter(|budget| budget.is_object()) {
        let limit = budget.get("limit").and_then(Value::as_u64).unwrap_or(0);
        words += &format!("; counts against {limit} {}", text(budget, "name"));
    }
    words
}

/// `oust stats`.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    server: Server,
}

impl StatsArgs {
    pub(super) fn run(self) -> Result<(), Exit> {
        block_on(async {
            let client = AdminClient::new(&self.server.admin, self.server.token)?;
            let answer = client.call(Method::GET, "/v1/stats", None).await?;
            if self.server.json {
                return print(&answer.to_string());
            }
            let mut lines = Vec::new();
            flatten("", &answer, &mut lines);
            let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            lines.iter().try_for_each(|(name, value)| print(&format!("{name:width$}  {value}")))
        })
    }
}

fn flatten(prefix: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, lines);
            }
        }
        Value::String(text) => lines.push((prefix.to_owned(), text.clone())),
        other => lines.push((prefix.to_owned(), other.to_string())),
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn print(line: &str) -> Result<(), Exit> {
    writeln!(std::io::stdout(), "{line}").map_err(Exit::failed)
}

fn block_on(work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::failed)?;
    runtime.block_on(work)
}
