//! Histories as text: a line an event, its fields apart by tabs.

use super::{Event, Fetch, History, Outcome, Purge, Request, Stop};
use crate::model::Act;
use crate::selector::Selector;

impl History {
    /// All of it, for a file.
    pub fn to_text(&self) -> String {
        let mut text = format!("history\t{}\t{}\t{}\n", self.l2, self.vary, self.quiet);
        for event in &self.events {
            text.push_str(&line(event));
            text.push('\n');
        }
        text
    }

    /// What [`to_text`](Self::to_text) wrote; else the number of the first line that it did not.
    pub fn from_text(text: &str) -> Result<Self, usize> {
        let mut lines = text.lines().enumerate();
        let head: Vec<&str> = lines.next().ok_or(0usize)?.1.split('\t').collect();
        let ["history", l2, vary, quiet] = head[..] else { return Err(1) };
        let events = lines.map(|(at, line)| event(line).ok_or(at + 1)).collect::<Result<_, _>>()?;
        Ok(Self { l2: l2 == "true", vary: vary.to_owned(), quiet: quiet == "true", events })
    }
}

/// A selector in a line.
pub(super) fn selector(selector: &Selector) -> String {
    let text = String::from_utf8_lossy(selector.text()).into_owned();
    match selector {
        Selector::Url(_) => format!("url={text}"),
        Selector::Key(_) => format!("key={text}"),
        Selector::Variant(_, fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            format!("variant={}={text}", fields.join(","))
        }
        Selector::Pattern(_) => format!("pattern={text}"),
        Selector::Glob(_) => format!("glob={text}"),
        Selector::LastWildcard(_) => format!("last={text}"),
        Selector::Regex(_) => format!("regex={text}"),
        Selector::Host(_) => format!("host={text}"),
        Selector::Tag(_) => format!("tag={text}"),
        Selector::All => "all=".to_owned(),
    }
}

fn read_selector(text: &str) -> Option<Selector> {
    let (kind, text) = text.split_once('=')?;
    let bytes = text.as_bytes().to_vec();
    Some(match kind {
        "url" => Selector::Url(bytes),
        "key" => Selector::Key(bytes),
        "variant" => {
            let (fields, key) = text.split_once('=')?;
            let fields = fields.split(',').filter_map(|field| field.split_once(':'));
            Selector::Variant(key.into(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        }
        "pattern" => Selector::Pattern(bytes),
        "glob" => Selector::Glob(bytes),
        "last" => Selector::LastWildcard(bytes),
        "regex" => Selector::Regex(bytes),
        "host" => Selector::Host(bytes),
        "tag" => Selector::Tag(bytes),
        "all" => Selector::All,
        _ => return None,
    })
}

fn maybe(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn line(event: &Event) -> String {
    let fields: Vec<String> = match event {
        Event::Fetch(f) => {
            let (how, what) = match f.outcome {
                Outcome::Whole => ("whole", 0),
                Outcome::Cut(bytes) => ("cut", bytes),
                Outcome::NotModified(base) => ("304", base),
                Outcome::Failed => ("failed", 0),
            };
            vec![
                "fetch".to_owned(),
                f.id.to_string(),
                maybe(f.asked_by),
                f.url.clone(),
                f.variation.clone(),
                f.variant.clone(),
                f.tags.join(","),
                f.start.to_string(),
                maybe(f.end),
                f.status.to_string(),
                how.to_owned(),
                what.to_string(),
                f.length.to_string(),
                f.storable.to_string(),
                f.while_revalidate.to_string(),
                f.if_error.to_string(),
                maybe(f.base),
            ]
        }
        Event::Request(r) => vec![
            "request".to_owned(),
            r.id.to_string(),
            r.method.clone(),
            r.url.clone(),
            r.variation.clone(),
            r.variant.clone(),
            r.peer.to_string(),
            r.start.to_string(),
            r.end.to_string(),
            r.status.to_string(),
            maybe(r.body),
            maybe(r.exchange),
            r.parts.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
            r.from.to_string(),
            r.bytes.to_string(),
            r.whole.to_string(),
            r.hit.to_string(),
            r.stale.to_string(),
        ],
        Event::Purge(p) => {
            let mut fields = vec![
                "purge".to_owned(),
                p.id.to_string(),
                match p.act {
                    Act::Soft => "soft",
                    Act::Invalidate => "invalidate",
                    Act::Delete => "delete",
                }
                .to_owned(),
                p.edge.to_string(),
                p.l2.to_string(),
                p.start.to_string(),
                maybe(p.ack),
                p.durable.to_string(),
            ];
            fields.extend(p.selectors.iter().map(selector));
            fields
        }
        Event::Stop(s) => vec!["stop".to_owned(), s.start.to_string(), s.end.to_string(), s.kill.to_string()],
    };
    fields.join("\t")
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn perhaps(text: &str) -> Option<Option<u64>> {
    if text == "-" { Some(None) } else { number(text).map(Some) }
}

fn event(line: &str) -> Option<Event> {
    let fields: Vec<&str> = line.split('\t').collect();
    Some(match fields[..] {
        [
            "fetch",
            id,
            by,
            url,
            variation,
            variant,
            tags,
            start,
            end,
            status,
            how,
            what,
            length,
            storable,
            swr,
            sie,
            base,
        ] => {
            let outcome = match how {
                "whole" => Outcome::Whole,
                "cut" => Outcome::Cut(number(what)?),
                "304" => Outcome::NotModified(number(what)?),
                "failed" => Outcome::Failed,
                _ => return None,
            };
            Event::Fetch(Fetch {
                id: number(id)?,
                asked_by: perhaps(by)?,
                url: url.to_owned(),
                variation: variation.to_owned(),
                variant: variant.to_owned(),
                tags: tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
                start: number(start)?,
                end: perhaps(end)?,
                status: status.parse().ok()?,
                outcome,
                length: number(length)?,
                storable: storable == "true",
                while_revalidate: number(swr)?,
                if_error: number(sie)?,
                base: perhaps(base)?,
            })
        }
        [
            "request",
            id,
            method,
            url,
            variation,
            variant,
            peer,
            start,
            end,
            status,
            body,
            exchange,
            parts,
            from,
            bytes,
            whole,
            hit,
            stale,
        ] => Event::Request(Request {
            id: number(id)?,
            method: method.to_owned(),
            url: url.to_owned(),
            variation: variation.to_owned(),
            variant: variant.to_owned(),
            peer: peer == "true",
            start: number(start)?,
            end: number(end)?,
            status: status.parse().ok()?,
            body: perhaps(body)?,
            exchange: perhaps(exchange)?,
            parts: parts.split(',').filter(|part| !part.is_empty()).map(number).collect::<Option<_>>()?,
            from: number(from)?,
            bytes: number(bytes)?,
            whole: whole == "true",
            hit: hit == "true",
            stale: stale == "true",
        }),
        ["purge", id, act, edge, l2, start, ack, durable, ref selectors @ ..] => Event::Purge(Purge {
            id: number(id)?,
            selectors: selectors.iter().map(|text| read_selector(text)).collect::<Option<_>>()?,
            act: match act {
                "soft" => Act::Soft,
                "invalidate" => Act::Invalidate,
                "delete" => Act::Delete,
                _ => return None,
            },
            edge: edge == "true",
            l2: l2 == "true",
            start: number(start)?,
            ack: perhaps(ack)?,
            durable: durable == "true",
        }),
        ["stop", start, end, kill] => {
            Event::Stop(Stop { start: number(start)?, end: number(end)?, kill: kill == "true" })
        }
        _ => return None,
    })
}
