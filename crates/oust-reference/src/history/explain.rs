//! A violation, told so that a reader sees it.

use std::fmt;

use super::{Fetch, Outcome, Purge, Request, Time};
use crate::model::Act;

/// What was violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clause {
    /// G1: a body that was fetched before a delete.
    Deleted,
    /// G1: current by an exchange from before an invalidate.
    NotValidated,
    /// G1: softly purged, and given out as if fresh.
    SoftAsFresh,
    /// Softly purged, and given to another cache.
    SoftToPeer,
    /// Softly purged, and given out beyond its windows.
    SoftTooLong,
    /// Softly purged, without a window for use while it is revalidated, and no fetch had failed.
    SoftWithoutError,
    /// Softly purged and given out, and the origin was never asked.
    SoftNotRevalidated,
    /// G2, G3: an exchange was under way at the purge, and what it brought was used later.
    NotFenced,
    /// G4, G5: purged in the second tier, and back from there when nothing else held it.
    BackFromL2,
    /// A conditional request with the validator of a body that a delete had taken.
    ValidatorOfDeleted,
    /// G5 without a second tier: stored before a stop and there after it.
    OutlastedMemory,
    /// A body with pieces of several responses, or not the one its head names.
    Mixed,
    /// A complete answer of another length, or of bytes that the origin never sent.
    WrongLength,
    /// An answer that breaks off though the origin's did not.
    CutOff,
    /// An answer of another URL, variation or variant.
    OfAnother,
    /// A 304 made a body current that it was not about.
    WrongValidation,
    /// What must not be stored was given to somebody else.
    Shared,
    /// It names a fetch that never was, or that gave no response.
    Unheard,
    /// An error, or no answer, that neither the origin nor a stop explains.
    ServerError,
}

/// Something that must not be, with what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was violated.
    pub clause: Clause,
    /// The request that saw it.
    pub request: Request,
    /// Purges it is about, without their selectors if they were long ago.
    pub purges: Vec<Purge>,
    /// Fetches it is about.
    pub fetches: Vec<Fetch>,
}

impl Clause {
    /// A sentence.
    pub fn says(self) -> &'static str {
        match self {
            Self::Deleted => "a body from before a delete was served to a request from after its acknowledgement",
            Self::NotValidated => "an invalidated body was served without an exchange that began after the purge",
            Self::SoftAsFresh => "a softly purged response was served as if it were fresh",
            Self::SoftToPeer => "a softly purged response was given to another cache",
            Self::SoftTooLong => "a softly purged response was served beyond its windows",
            Self::SoftWithoutError => "a softly purged response without a window was served though no fetch failed",
            Self::SoftNotRevalidated => {
                "a softly purged response was served and the origin was not asked for a newer one"
            }
            Self::NotFenced => "what an exchange brought that was under way at the purge was used after the purge",
            Self::BackFromL2 => "what had been purged in the second tier came back from it",
            Self::ValidatorOfDeleted => "the origin was sent the validator of a deleted body",
            Self::OutlastedMemory => "a cache without a second tier served what a stopped process had held",
            Self::Mixed => "an answer is made of more than one response",
            Self::WrongLength => "a complete answer has not the length of the response it is of",
            Self::CutOff => "an answer breaks off though the response it is of did not",
            Self::OfAnother => "an answer is of another URL, variation or variant",
            Self::WrongValidation => "a validation made another body current",
            Self::Shared => "a response that must not be stored was given to somebody else",
            Self::Unheard => "an answer names a response that the origin never gave",
            Self::ServerError => "a request failed, and neither the origin nor a stop is why",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        writeln!(f, "{:?}: {}", self.clause, self.clause.says())?;
        let mut lines: Vec<(Time, String)> = Vec::new();
        let who = format!("request {}", request.id);
        let asked = format!(
            "{who} starts: {} {} variation {:?} variant {:?}{}",
            request.method,
            request.url,
            request.variation,
            request.variant,
            if request.peer { ", from another cache" } else { "" }
        );
        lines.push((request.start, asked));
        let got = format!(
            "{who} ends: status {}, body of fetch {:?}, current by exchange {:?}, pieces of {:?}, {} bytes from {}, {}{}{}",
            request.status,
            request.body,
            request.exchange,
            request.parts,
            request.bytes,
            request.from,
            if request.whole { "complete" } else { "cut off" },
            if request.hit { ", a hit" } else { "" },
            if request.stale { ", said to be stale" } else { "" }
        );
        lines.push((request.end, got));
        for purge in &self.purges {
            let act = match purge.act {
                Act::Delete => "delete",
                Act::Invalidate => "invalidate",
                Act::Soft => "soft",
            };
            let layers = match (purge.edge, purge.l2) {
                (true, true) => "of both tiers",
                (true, false) => "of the memory tier",
                _ => "of the second tier",
            };
            let taken: Vec<_> = purge.selectors.iter().map(super::text::selector).collect();
            let durable = if purge.durable { "" } else { ", not durable" };
            let text = format!("purge {} is sent: {act} {layers}{durable}: {}", purge.id, taken.join(" "));
            lines.push((purge.start, text));
            if let Some(ack) = purge.ack {
                lines.push((ack, format!("purge {} is acknowledged", purge.id)));
            }
        }
        for fetch in &self.fetches {
            let base = fetch.base.map(|base| format!(" if not as fetch {base}")).unwrap_or_default();
            let by = fetch.asked_by.map(|by| format!(" for request {by}")).unwrap_or_default();
            let text = format!(
                "fetch {} reaches the origin{by}: {} variation {:?} variant {:?}{base}",
                fetch.id, fetch.url, fetch.variation, fetch.variant
            );
            lines.push((fetch.start, text));
            let outcome = match fetch.outcome {
                Outcome::Whole => format!("status {}, {} bytes", fetch.status, fetch.length),
                Outcome::Cut(bytes) => {
                    format!("status {}, cut off behind {bytes} of {} bytes", fetch.status, fetch.length)
                }
                Outcome::NotModified(base) => format!("304: fetch {base} is current"),
                Outcome::Failed => "no response".to_owned(),
            };
            if let Some(end) = fetch.end {
                lines.push((end, format!("fetch {} ends: {outcome}", fetch.id)));
            }
        }
        lines.sort();
        for (time, line) in lines {
            writeln!(f, "  {:>12.3} ms  {line}", time as f64 / 1000.0)?;
        }
        Ok(())
    }
}
