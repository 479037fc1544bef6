//! `oust inspect`: an L2 directory, offline.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use oust::inspect::{self, Inspection, Journal, JournalState, LiveRules, Segment};
use serde_json::{Value, json};

use super::Exit;
use crate::admin;

/// `oust inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Accept a directory that was moved on purpose, with its journal, after its server had stopped; without this all it holds would be discarded.
    #[arg(long)]
    adopt: bool,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
    /// The directory.
    dir: PathBuf,
}

impl InspectArgs {
    pub(super) fn run(self) -> Result<(), Exit> {
        if !self.dir.is_dir() {
            return Err(Exit::usage(format!("{}: no such directory", self.dir.display())));
        }
        if self.adopt {
            let unmended = inspect::adopt(&self.dir).map_err(|error| failed(&error))?;
            if let Some(reason) = unmended {
                return Err(Exit::failed(format!("cannot be adopted: {reason}")));
            }
        }
        let found = inspect::directory(&self.dir).map_err(|error| failed(&error))?;
        if found.journal.is_empty() && found.segments.is_empty() {
            return Err(Exit::failed(format!("{}: holds no L2 tier", self.dir.display())));
        }
        let text = if self.json { document(&found).to_string() + "\n" } else { report(&found) };
        std::io::stdout().write_all(text.as_bytes()).map_err(Exit::failed)?;
        match wrong(&found) {
            None => Ok(()),
            Some(reason) => Err(Exit::failed(reason)),
        }
    }
}

fn failed(error: &dyn Error) -> Exit {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    Exit::failed(message)
}

/// What is not as it should be, if anything.
fn wrong(found: &Inspection) -> Option<String> {
    if let Some(reason) = &found.distrust {
        return Some(format!("a server would discard all that is stored: {reason}"));
    }
    let damaged = found.segments.iter().filter(|segment| !segment.sound).count();
    if damaged > 0 {
        return Some(format!("{damaged} damaged segments, {} damaged records", found.totals.damaged));
    }
    if let Some(reason) = found.history.as_ref().and_then(|history| history.damaged.as_ref()) {
        return Some(format!("the history: {reason}"));
    }
    let file = found.kept.iter().find(|file| !file.sound)?;
    Some(format!("{} is damaged", file.name))
}

fn report(found: &Inspection) -> String {
    let mut lines = Vec::new();
    for file in &found.journal {
        let state = match &file.state {
            JournalState::Whole(journal) => format!(
                "whole, epoch {}, {} of {} bytes used, {} purges in force, {} marks, swept up to {}{}{}",
                journal.epoch,
                journal.used,
                file.size,
                journal.purges.len(),
                journal.marks,
                journal.swept_upto,
                journal.closed.map(|last| format!(", closed at {last}")).unwrap_or_default(),
                if journal.torn { ", torn at its end" } else { "" },
            ),
            JournalState::HalfMade => "half made, does not count".to_owned(),
            JournalState::Damaged(reason) => format!("damaged: {reason}"),
            _ => "unknown".to_owned(),
        };
        lines.push(format!("{}  {state}", file.name));
    }
    for segment in &found.segments {
        let mut state = match (segment.sound, segment.sealed) {
            (true, true) => "sound".to_owned(),
            (true, false) => "sound, not sealed".to_owned(),
            (false, _) => format!("DAMAGED, {} records", segment.damaged),
        };
        if !segment.used {
            state += ", would not be used";
        }
        lines.push(format!(
            "segment {}  {} records, {} dead, {} of {} bytes, {state}",
            segment.id, segment.records, segment.dead, segment.fill, segment.size
        ));
    }
    if let Some(history) = &found.history {
        let state = history.damaged.as_ref().map_or_else(|| "sound".to_owned(), |reason| format!("DAMAGED: {reason}"));
        lines.push(format!("history  {} purges, {} bytes, {state}", history.purges, history.size));
    }
    for file in &found.kept {
        lines.push(format!("{}  {} bytes, {}", file.name, file.size, if file.sound { "sound" } else { "DAMAGED" }));
    }
    let totals = &found.totals;
    lines.push(format!(
        "{} segments, {} records, {} dead, {} damaged, {} rules in force, {} bytes",
        totals.segments, totals.records, totals.dead, totals.damaged, totals.rules, totals.bytes
    ));
    lines.join("\n") + "\n"
}

fn document(found: &Inspection) -> Value {
    let journal: Vec<Value> = found
        .journal
        .iter()
        .map(|file| {
            let state = match &file.state {
                JournalState::Whole(journal) => whole(journal),
                JournalState::HalfMade => json!({ "state": "half-made" }),
                JournalState::Damaged(reason) => json!({ "state": "damaged", "reason": reason }),
                _ => json!({ "state": "unknown" }),
            };
            json!({ "name": file.name, "size": file.size, "counts": file.counts, "content": state })
        })
        .collect();
    let history = found.history.as_ref().map(|history| {
        json!({ "size": history.size, "epoch": history.epoch, "purges": history.purges, "damaged": history.damaged })
    });
    let kept: Vec<Value> =
        found.kept.iter().map(|file| json!({ "name": file.name, "size": file.size, "sound": file.sound })).collect();
    let totals = &found.totals;
    json!({
        "sound": wrong(found).is_none(),
        "wrong": wrong(found),
        "distrust": found.distrust,
        "journal": journal,
        "segments": found.segments.iter().map(segment).collect::<Vec<_>>(),
        "history": history,
        "kept": kept,
        "totals": {
            "bytes": totals.bytes,
            "rules": totals.rules,
            "segments": totals.segments,
            "records": totals.records,
            "dead": totals.dead,
            "damaged": totals.damaged,
        },
    })
}

fn whole(journal: &Journal) -> Value {
    let rules = |rules: &LiveRules| {
        let asked = rules.purge.as_ref().map(|asked| {
            json!({
                "selectors": asked.selectors.iter().map(admin::selector).collect::<Vec<_>>(),
                "action": admin::action(asked.action),
                "layers": admin::layers(asked.layers),
                "by": asked.by,
                "created": admin::instant(asked.created_ms),
            })
        });
        json!({ "first": rules.first, "last": rules.last, "purge": asked })
    };
    json!({
        "state": "whole",
        "epoch": journal.epoch,
        "used": journal.used,
        "records": journal.records,
        "purges": journal.purges.iter().map(rules).collect::<Vec<_>>(),
        "marks": journal.marks,
        "swept_upto": journal.swept_upto,
        "reserved_upto": journal.reserved_upto,
        "closed": journal.closed,
        "torn": journal.torn,
    })
}

fn segment(segment: &Segment) -> Value {
    json!({
        "id": segment.id,
        "sealed": segment.sealed,
        "epoch": segment.epoch,
        "size": segment.size,
        "fill": segment.fill,
        "records": segment.records,
        "dead": segment.dead,
        "damaged": segment.damaged,
        "sound": segment.sound,
        "failed": segment.failed,
        "used": segment.used,
    })
}
