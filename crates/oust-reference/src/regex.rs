//! The regex subset: a parser, the limits, and matching by sets of positions.

use std::collections::BTreeSet;

use crate::canonical::{Subject, canonical, find, is_pchar};
use crate::entropy::Entropy;
use crate::pattern::schemes;
use crate::selector::Refused;

/// Most bytes behind the first `/`.
const MAX_BYTES: usize = 126;
/// Most quantifiers without an upper end.
const MAX_UNLIMITED: usize = 2;
/// Largest number in a counted quantifier.
const MAX_COUNT: u64 = 59;
/// Most positions once counted quantifiers are written out.
const MAX_POSITIONS: u64 = 10_000;
/// From here on an engine may name a budget of its own.
const SURE_POSITIONS: u64 = 1_000;
/// Places looked at after which matching gives up.
const MAX_STEPS: usize = 400_000;

#[derive(Debug, Clone)]
enum Node {
    /// One byte out of a set.
    Set(Vec<bool>),
    /// The end of the subject.
    End,
    Sequence(Vec<Self>),
    Either(Vec<Self>),
    /// Lazy or greedy makes no difference to whether it matches.
    Repeat(Box<Self>, u64, Option<u64>),
}

/// A regex selector: literal beginnings, then the tree.
#[derive(Debug, Clone)]
pub(crate) struct Regex {
    prefixes: Vec<Vec<u8>>,
    whole_key: bool,
    node: Node,
    /// Whether refusing it for a budget is as good as accepting it.
    pub(crate) may_be_refused: bool,
}

impl Regex {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refused> {
        let (schemes, rest) = schemes(text)?;
        let slash = find(rest, b"/").ok_or(Refused::Malformed)?;
        let (host, regex) = (&rest[..slash], &rest[slash + 1..]);
        if host.iter().any(|b| b"?#".contains(b)) {
            return Err(Refused::Malformed);
        }
        let prefixes = schemes
            .into_iter()
            .map(|scheme| canonical(&[scheme, b"://", host, b"/"].concat()).ok_or(Refused::Malformed))
            .collect::<Result<Vec<_>, _>>()?;
        if regex.len() > MAX_BYTES {
            return Err(Refused::OverBudget);
        }
        let mut parser = Parser { text: regex, at: 0, depth: 0 };
        let node = parser.alternation()?;
        if parser.at != regex.len() {
            return Err(Refused::Malformed);
        }
        let mut unlimited = 0;
        let mut count = 0;
        limits(&node, &mut unlimited, &mut count);
        let positions = positions(&node);
        if unlimited > MAX_UNLIMITED || count > MAX_COUNT || positions > MAX_POSITIONS {
            return Err(Refused::OverBudget);
        }
        let whole_key = find(text, b"@@").is_some();
        Ok(Self { prefixes, whole_key, node, may_be_refused: positions > SURE_POSITIONS })
    }

    /// A text that the regex takes, unless an end assertion in it says otherwise.
    pub(crate) fn sample(&self, entropy: &mut Entropy<'_>) -> Vec<u8> {
        let mut out = self.prefixes[entropy.below(self.prefixes.len())].clone();
        sample(&self.node, entropy, &mut out);
        out
    }

    pub(crate) fn matches(&self, subject: &Subject) -> Result<bool, Refused> {
        let text = if self.whole_key { subject.text() } else { subject.url.clone() };
        for prefix in &self.prefixes {
            let Some(rest) = text.strip_prefix(prefix.as_slice()) else { continue };
            let mut steps = 0;
            return Ok(!run(&self.node, rest, &[0], &mut steps)?.is_empty());
        }
        Ok(false)
    }
}

fn sample(node: &Node, entropy: &mut Entropy<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Set(set) => {
            let readable: Vec<u8> = (0x21..0x7F).filter(|&b| set[usize::from(b)] && is_pchar(b)).collect();
            let structural: Vec<u8> = b"/?".iter().copied().filter(|&b| set[usize::from(b)]).collect();
            let from =
                if readable.is_empty() || entropy.one_in(6) && !structural.is_empty() { structural } else { readable };
            if !from.is_empty() {
                out.push(entropy.pick(&from));
            }
        }
        Node::End => {}
        Node::Sequence(nodes) => nodes.iter().for_each(|node| sample(node, entropy, out)),
        Node::Either(nodes) => sample(&nodes[entropy.below(nodes.len())], entropy, out),
        Node::Repeat(node, min, max) => {
            let more = u64::try_from(entropy.below(4)).unwrap_or(0);
            let rounds = max.unwrap_or(u64::MAX).min(min.saturating_add(more));
            for _ in 0..rounds {
                // Nested counts multiply; a prefix of a match is as good a neighbour.
                if out.len() < 2000 {
                    sample(node, entropy, out);
                }
            }
        }
    }
}

fn limits(node: &Node, unlimited: &mut usize, count: &mut u64) {
    match node {
        Node::Set(_) | Node::End => {}
        Node::Sequence(nodes) | Node::Either(nodes) => nodes.iter().for_each(|node| limits(node, unlimited, count)),
        Node::Repeat(node, min, max) => {
            *unlimited += usize::from(max.is_none());
            *count = (*count).max(*min).max(max.unwrap_or(0));
            limits(node, unlimited, count);
        }
    }
}

fn positions(node: &Node) -> u64 {
    match node {
        Node::Set(_) => 1,
        Node::End => 0,
        Node::Sequence(nodes) | Node::Either(nodes) => nodes.iter().map(positions).fold(0, u64::saturating_add),
        Node::Repeat(node, min, max) => positions(node).saturating_mul(max.unwrap_or(*min).max(1)),
    }
}

/// Where `node` can end in `text` if it begins at any of `starts`; both in order.
fn run(node: &Node, text: &[u8], starts: &[usize], steps: &mut usize) -> Result<Vec<usize>, Refused> {
    *steps += starts.len() + 1;
    if *steps > MAX_STEPS {
        return Err(Refused::Unknown);
    }
    if starts.is_empty() {
        return Ok(Vec::new());
    }
    Ok(match node {
        Node::Set(set) => {
            let taken = |at: &&usize| text.get(**at).is_some_and(|&byte| set[usize::from(byte)]);
            starts.iter().filter(taken).map(|at| at + 1).collect()
        }
        Node::End => starts.iter().copied().filter(|&at| at == text.len()).collect(),
        Node::Sequence(nodes) => {
            let mut now = starts.to_vec();
            for node in nodes {
                now = run(node, text, &now, steps)?;
            }
            now
        }
        Node::Either(nodes) => {
            let mut ends = BTreeSet::new();
            for node in nodes {
                ends.extend(run(node, text, starts, steps)?);
            }
            ends.into_iter().collect()
        }
        Node::Repeat(node, min, max) => {
            let mut now = starts.to_vec();
            for _ in 0..*min {
                now = run(node, text, &now, steps)?;
            }
            let mut ends: BTreeSet<usize> = now.iter().copied().collect();
            let mut left = max.map(|max| max - min);
            // From a place that an earlier round has reached, later rounds reach nothing new.
            while left != Some(0) && !now.is_empty() {
                now = run(node, text, &now, steps)?;
                now.retain(|&end| ends.insert(end));
                left = left.map(|left| left - 1);
            }
            ends.into_iter().collect()
        }
    })
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn next(&mut self) -> Result<u8, Refused> {
        let byte = self.peek().ok_or(Refused::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn alternation(&mut self) -> Result<Node, Refused> {
        let mut branches = vec![self.sequence()?];
        while self.eat(b'|') {
            branches.push(self.sequence()?);
        }
        Ok(Node::Either(branches))
    }

    fn sequence(&mut self) -> Result<Node, Refused> {
        let mut nodes = Vec::new();
        while self.peek().is_some_and(|b| b != b'|' && b != b')') {
            let mut node = self.atom()?;
            while let Some((min, max)) = self.quantifier()? {
                // What an assertion repeated means is nobody's concern.
                if matches!(node, Node::End) {
                    return Err(Refused::Unknown);
                }
                node = Node::Repeat(Box::new(node), min, max);
            }
            nodes.push(node);
        }
        Ok(Node::Sequence(nodes))
    }

    fn quantifier(&mut self) -> Result<Option<(u64, Option<u64>)>, Refused> {
        let range = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                let min = self.number()?;
                let range = if !self.eat(b',') {
                    (min, Some(min))
                } else if self.peek() == Some(b'}') {
                    (min, None)
                } else {
                    (min, Some(self.number()?))
                };
                if self.peek() != Some(b'}') || range.1.is_some_and(|max| max < min) {
                    return Err(Refused::Malformed);
                }
                range
            }
            _ => return Ok(None),
        };
        self.at += 1;
        self.eat(b'?');
        Ok(Some(range))
    }

    fn number(&mut self) -> Result<u64, Refused> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if start == self.at || self.at - start > 6 {
            return Err(Refused::Unknown);
        }
        Ok(self.text[start..self.at].iter().fold(0, |n, &b| n * 10 + u64::from(b - b'0')))
    }

    fn atom(&mut self) -> Result<Node, Refused> {
        match self.next()? {
            b'(' => {
                if self.eat(b'?') && !self.eat(b':') {
                    return Err(Refused::Unknown);
                }
                self.depth += 1;
                if self.depth > 40 {
                    return Err(Refused::Unknown);
                }
                let node = self.alternation()?;
                self.depth -= 1;
                if self.eat(b')') { Ok(node) } else { Err(Refused::Malformed) }
            }
            b'[' => self.class(),
            b'.' => Ok(set(|b| b != b'\n')),
            b'$' => Ok(Node::End),
            b'\\' => self.escape(),
            b'*' | b'+' | b'?' | b')' => Err(Refused::Malformed),
            b'{' | b'}' | b']' | b'^' => Err(Refused::Unknown),
            byte => literal(byte),
        }
    }

    fn escape(&mut self) -> Result<Node, Refused> {
        let byte = self.next()?;
        if let Some(class) = named(byte) {
            return Ok(set(class));
        }
        // An escaped letter or digit is another thing in every dialect.
        if byte.is_ascii_punctuation() { literal(byte) } else { Err(Refused::Unknown) }
    }

    fn class(&mut self) -> Result<Node, Refused> {
        let negated = self.eat(b'^');
        let mut chosen = vec![false; 256];
        loop {
            let from = match self.next()? {
                b']' => break,
                b'\\' => {
                    let byte = self.next()?;
                    if let Some(class) = named(byte) {
                        (0..=255_u8).filter(|&b| class(b)).for_each(|b| chosen[usize::from(b)] = true);
                        continue;
                    }
                    if !byte.is_ascii_punctuation() {
                        return Err(Refused::Unknown);
                    }
                    byte
                }
                // Nested classes, set operations and the like.
                b'[' | b'&' | b'~' | b'^' | b'-' | 0x80.. => return Err(Refused::Unknown),
                byte => byte,
            };
            let mut to = from;
            if self.peek() == Some(b'-') {
                self.at += 1;
                to = self.next()?;
                if !to.is_ascii_alphanumeric() {
                    return Err(Refused::Unknown);
                }
                if to < from {
                    return Err(Refused::Malformed);
                }
            }
            chosen[usize::from(from)..=usize::from(to)].fill(true);
        }
        if !chosen.contains(&true) {
            return Err(Refused::Unknown);
        }
        chosen.iter_mut().for_each(|chosen| *chosen ^= negated);
        Ok(Node::Set(chosen))
    }
}

fn set(class: impl Fn(u8) -> bool) -> Node {
    Node::Set((0..=255).map(class).collect())
}

fn literal(byte: u8) -> Result<Node, Refused> {
    // A literal that no canonical key can hold is refused if it is certain never to match, and that is not decided here.
    if is_pchar(byte) || byte == b'/' || byte == b'?' { Ok(set(|b| b == byte)) } else { Err(Refused::Unknown) }
}

fn named(byte: u8) -> Option<fn(u8) -> bool> {
    match byte {
        b'd' => Some(|b| b.is_ascii_digit()),
        b'D' => Some(|b| !b.is_ascii_digit()),
        b'w' => Some(|b| b.is_ascii_alphanumeric() || b == b'_'),
        b'W' => Some(|b| !(b.is_ascii_alphanumeric() || b == b'_')),
        _ => None,
    }
}
