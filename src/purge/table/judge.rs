//! One question to one generation: what its rules say of a key.
//!
//! Cheap literals first, programs that no literal leads to last: what an earlier rule has said need not be asked of a later one.

use std::sync::atomic::Ordering;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::place::{
    beginning_of, below, bucket, directory, ending_of, host_and_port, host_below, occurring, variants, variations,
    window,
};
use super::scan::{Endings, Lengths};
use super::{EDGE, Form, Generation, L2, More, Newest, Node, Run, Taps, flat_hash, host_hash, seed, tapped};
use crate::key::{ByteChain, Windows};
use crate::purge::selector::{Shape, Subject};
use crate::purge::{Action, Layers, Verdict};

impl Generation {
    /// Adds to `verdict` what the rules in (after, upto] say of `subject`. O(key), and for each beginning of it that rules are filed under once
    /// more: with its lengths of endings in use, a pass over the key if literals are looked for behind it, and the programs they lead to.
    pub(crate) fn judge(&self, taps: &Taps, subject: &Subject<'_>, after: u64, upto: u64, verdict: &mut Verdict) {
        let key = subject.key;
        let path_end = usize::from(key.layout().path_end);
        // Large and mostly unused: they stay where they are.
        let mut path = Endings::new(key.text().get(..path_end).unwrap_or_default());
        let mut url = Endings::new(key.url());
        let mut last = SmallVec::new();
        let (path, url, last) = (&mut path, &mut url, &mut last);
        let asked = HashTable::new();
        Question { generation: self, subject, after, upto, verdict, path, url, last, asked }.ask(taps);
    }
}

struct Question<'a, 'b> {
    generation: &'a Generation,
    subject: &'a Subject<'a>,
    after: u64,
    upto: u64,
    verdict: &'b mut Verdict,
    path: &'b mut Endings<'a>,
    url: &'b mut Endings<'a>,
    /// Nodes with something to be asked last.
    last: &'b mut SmallVec<[&'a Node; 4]>,
    /// Buckets that occurrences led to: a literal may occur at every byte of a key, and is asked about once.
    asked: HashTable<u64>,
}

impl<'a> Question<'a, '_> {
    fn ask(&mut self, taps: &Taps) {
        let generation = self.generation;
        let key = self.subject.key;
        if generation.uses(Form::All) {
            self.exact(seed(Form::All), |shape| matches!(shape, Shape::All));
        }
        if generation.uses(Form::Url) {
            let same = |shape: &Shape| matches!(shape, Shape::Url(url) if **url == *key.url());
            self.exact(tapped(Form::Url, taps.url), same);
        }
        if generation.uses(Form::Key) {
            let same = |shape: &Shape| matches!(shape, Shape::Key(text) if **text == *key.text());
            self.exact(tapped(Form::Key, taps.key), same);
        }
        if generation.uses(Form::Variant) && self.subject.vary.is_some() {
            self.bucket(variants(taps.key));
        }
        if generation.uses(Form::Variation) && key.variation().is_some() {
            self.bucket(variations(taps.url));
        }
        if generation.uses(Form::Directory) {
            for &(end, hash) in &taps.directories {
                let hash = directory(hash);
                if let Some(node) = self.node(hash, usize::from(end)) {
                    self.under(node, usize::from(end), true);
                    if self.verdict.is_final() {
                        return;
                    }
                }
            }
        }
        self.hosts();
        if generation.uses(Form::Tag) {
            for tag in self.subject.tags.iter() {
                let same = |shape: &Shape| matches!(shape, Shape::Tag(text) if **text == *tag);
                self.exact(tapped(Form::Tag, flat_hash(tag)), same);
            }
        }
        for node in std::mem::take(self.last) {
            if self.verdict.is_final() {
                return;
            }
            if let Some(more) = node.more.get() {
                self.windows(node, more);
            }
            self.bucket(bucket(node.hash));
        }
    }

    /// What is filed under a hash for a text of its own.
    #[inline]
    fn exact(&mut self, hash: u64, same: impl Fn(&Shape) -> bool) {
        let cells = &self.generation.cells;
        let found = self
            .generation
            .store
            .find(hash, |at| cells.get(at as usize).is_some_and(|cell| cell.hash == hash && same(cell.shape())));
        if let Some(at) = found {
            self.chain(at + 1);
        }
    }

    /// What the newest cell in range of a chain says; `head` is its index plus one.
    #[inline]
    fn chain(&mut self, head: u32) {
        if let Some(newest) = self.newest(head) {
            self.add(newest);
        }
    }

    fn newest(&self, mut head: u32) -> Option<&'a Newest> {
        loop {
            let cell = self.generation.cells.get(head.checked_sub(1)? as usize)?;
            if cell.rule.seq <= self.after {
                return None;
            }
            if cell.rule.seq <= self.upto {
                return Some(&cell.newest);
            }
            head = cell.older;
        }
    }

    /// Per tier every action with a number in range.
    fn said<'n>(&self, newest: &'n Newest) -> impl Iterator<Item = (Action, Layers, u64)> + use<'n> {
        let after = self.after;
        [Action::Soft, Action::Invalidate, Action::Delete].into_iter().zip(newest).flat_map(move |(action, tiers)| {
            let tiers = tiers.iter().enumerate().filter(move |&(_, &seq)| seq > after);
            tiers.map(move |(tier, &seq)| (action, Layers { edge: tier == EDGE, l2: tier == L2 }, seq))
        })
    }

    fn add(&mut self, newest: &Newest) {
        for (action, layers, seq) in self.said(newest) {
            self.verdict.add(action, layers, seq);
        }
    }

    /// Asks the programs of a bucket.
    fn bucket(&mut self, hash: u64) {
        for text in self.generation.texts_in(hash) {
            let Some(newest) = self.newest(text.newest.load(Ordering::Acquire)) else { continue };
            let news = self.said(newest).any(|(action, layers, _)| !self.verdict.covers(action, layers));
            #[cfg(test)]
            super::tests::count(news);
            if news && text.compiled().is_some_and(|compiled| compiled.matches(self.subject)) {
                self.add(newest);
            }
        }
    }

    /// The node of the first `end` bytes of the key.
    #[inline]
    fn node(&self, hash: u64, end: usize) -> Option<&'a Node> {
        let nodes = &self.generation.nodes;
        let text = self.subject.key.text().get(..end)?;
        let found = self
            .generation
            .store
            .find(hash, |at| nodes.get(at as usize).is_some_and(|node| node.hash == hash && *node.text == *text));
        nodes.get(found? as usize)
    }

    /// What is filed under a node that is the first `end` bytes of the key.
    fn under(&mut self, node: &'a Node, end: usize, is_directory: bool) {
        let layout = self.subject.key.layout();
        let (path_end, url_end) = (usize::from(layout.path_end), usize::from(layout.url_end));
        let all = node.all.load(Ordering::Acquire);
        if all != 0 {
            self.chain(all);
        }
        let one = node.one.load(Ordering::Acquire);
        if one != 0 && !self.holds_slash(end, path_end) {
            self.chain(one);
        }
        let Some(more) = node.more.get() else { return };
        let runs = more.runs.load(Ordering::Acquire);
        if runs != 0 {
            more.path.each(path_end.saturating_sub(end), |len| self.ending(node, end, len, runs, true));
            more.url.each(url_end.saturating_sub(end), |len| self.ending(node, end, len, runs, false));
        }
        if more.scales.load(Ordering::Acquire) | more.unanchored.load(Ordering::Acquire) != 0 {
            self.last.push(node);
        }
        if is_directory {
            let text = self.subject.key.url();
            let (mut chain, mut at) = (ByteChain::new(), end);
            let mut hash = 0;
            more.beginnings.each(url_end.saturating_sub(end), |len| {
                for &byte in text.get(at..end + len).unwrap_or_default() {
                    hash = chain.push(byte);
                }
                at = end + len;
                if let Some(node) = self.node(beginning_of(node.hash, len, hash), at) {
                    self.under(node, at, false);
                }
            });
        }
    }

    /// Whether there is a slash of the path in a range of the key.
    fn holds_slash(&self, from: usize, to: usize) -> bool {
        let path = to.min(usize::from(self.subject.key.layout().path_end));
        self.subject.key.text().get(from..path).is_some_and(|run| memchr::memchr(b'/', run).is_some())
    }

    /// What is filed under a node and the last `len` bytes of the path or of the URL part.
    fn ending(&mut self, node: &'a Node, end: usize, len: usize, runs: u32, by_path: bool) {
        let layout = self.subject.key.layout();
        let (kinds, hash, stop) = if by_path {
            let stop = usize::from(layout.path_end);
            ([Run::PathAll, Run::PathOne, Run::PathProgram], self.path.hash(len), stop)
        } else {
            ([Run::UrlAll, Run::UrlOne, Run::UrlProgram], self.url.hash(len), usize::from(layout.url_end))
        };
        for run in kinds.into_iter().filter(|&run| runs & (1 << run as u8) != 0) {
            let filed = ending_of(node.hash, run, len, hash);
            match run {
                Run::PathProgram | Run::UrlProgram => self.bucket(bucket(filed)),
                Run::PathOne | Run::UrlOne if self.holds_slash(end, stop - len) => {}
                _ => {
                    let key = self.subject.key;
                    let same = |shape: &Shape| matches!(shape, Shape::Span(span) if span.matches(key));
                    self.exact(filed, same);
                }
            }
        }
    }

    /// Asks the programs whose literal occurs behind a node.
    fn windows(&mut self, node: &'a Node, more: &More) {
        let Some(offsets) = more.windows.get() else { return };
        let text = self.subject.key.text().get(node.text.len()..).unwrap_or_default();
        let mut scales = more.scales.load(Ordering::Acquire);
        let mut hashes: SmallVec<[u64; 128]> = SmallVec::new();
        while scales != 0 {
            let scale = scales.trailing_zeros();
            scales &= scales - 1;
            let Some(offsets) = offsets.get(scale as usize) else { return };
            hashes.clear();
            Windows::roll(text, 1 << scale, &mut hashes);
            for (at, &first) in hashes.iter().enumerate() {
                let filed = window(node.hash, scale, first);
                if self.generation.store.may_hold(filed) {
                    self.occurrences(filed, offsets, hashes.get(at..).unwrap_or_default());
                    if self.verdict.is_final() {
                        return;
                    }
                }
            }
        }
    }

    /// Asks the programs whose literal begins with the first window and ends with another.
    #[inline(never)]
    fn occurrences(&mut self, filed: u64, offsets: &Lengths, windows: &[u64]) {
        offsets.each(windows.len(), |offset| {
            if let Some(&last) = windows.get(offset - 1) {
                let hash = bucket(occurring(filed, offset - 1, last));
                if self.generation.store.may_hold(hash) && self.is_new(hash) {
                    self.bucket(hash);
                }
            }
        });
    }

    /// Whether no occurrence led to a bucket before.
    fn is_new(&mut self, bucket: u64) -> bool {
        let new = self.asked.find(bucket, |&asked| asked == bucket).is_none();
        if new {
            self.asked.insert_unique(bucket, bucket, |&asked| asked);
        }
        new
    }

    fn hosts(&mut self) {
        let generation = self.generation;
        let key = self.subject.key;
        let host = key.host();
        if generation.uses(Form::Host) {
            let same =
                |shape: &Shape| matches!(shape, Shape::Host { name, port: None, below: false } if **name == *host);
            self.exact(host_hash(host), same);
        }
        if generation.uses(Form::HostPort) {
            let here = key.port();
            let same = |shape: &Shape| matches!(shape, Shape::Host { name, port: Some(port), below: false } if **name == *host && *port == here);
            self.exact(host_and_port(host, here), same);
        }
        let (any, patterns) = (generation.uses(Form::HostBelow), generation.uses(Form::Below));
        if patterns {
            self.bucket(below(host));
        }
        if any || patterns {
            let mut rest = host;
            while let Some(dot) = memchr::memchr(b'.', rest) {
                rest = rest.get(dot + 1..).unwrap_or_default();
                if any {
                    let subject = self.subject;
                    self.below(rest, subject);
                }
                if patterns {
                    self.bucket(below(rest));
                }
            }
        }
    }

    /// Rules for everything below a name: those of every port, and those of this key's.
    fn below(&mut self, name: &[u8], subject: &Subject<'_>) {
        let here = subject.key.port();
        for wanted in [None, Some(here)] {
            let same = |shape: &Shape| matches!(shape, Shape::Host { name: own, port, below: true } if **own == *name && *port == wanted);
            self.exact(host_below(name, wanted), same);
        }
    }
}
