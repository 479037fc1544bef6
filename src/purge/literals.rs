//! What an expression says in plain bytes: literals that every match holds, and expressions that are nothing else.
//!
//! Expressions are anchored at the start of the text and open at its end. Texts are keys, which hold no line feed: `.` is any byte.
//! Recursion is as deep as the expression, which its parser bounds.

use regex_syntax::hir::{Class, ClassBytesRange, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

/// Longest literal looked for: of a longer one its beginning and its end.
const MAX_LITERAL: usize = 256;
/// Most literals of an expression that is a set of them.
pub(super) const MAX_LITERALS: usize = 32;

/// An expression that needs no automaton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Simple {
    /// Literals with any bytes between them. The text begins with `first` and holds `rest` behind it, in this order and not overlapping; if
    /// `closed`, the last of them all ends the text. No literal of `rest` is empty.
    Runs { first: Vec<u8>, rest: Vec<Vec<u8>>, closed: bool },
    /// The text begins with one of two or more literals; if `closed`, it is one of them. Sorted; if open, none begins with another.
    Literals { literals: Vec<Vec<u8>>, closed: bool },
}

/// The longest literal that is in whatever matches; of several the last.
pub(super) fn required(hir: &Hir) -> Option<Vec<u8>> {
    Some(Facts::of(hir).best).filter(|literal| !literal.is_empty())
}

/// The literal that ends whatever matches, if that is always all of the text.
pub(super) fn suffix(hir: &Hir) -> Option<Vec<u8>> {
    closing(hir).map(|(literal, _)| literal).filter(|literal| !literal.is_empty())
}

/// Recognises literals with `.*` between them and small sets of literals.
pub(super) fn simplify(hir: &Hir) -> Option<Simple> {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let mut parts = parts.as_slice();
    while let [Part::Other(first), rest @ ..] = parts
        && matches!(first.kind(), HirKind::Look(Look::Start))
    {
        parts = rest;
    }
    let mut closed = false;
    while let [rest @ .., Part::Other(last)] = parts
        && matches!(last.kind(), HirKind::Look(Look::End))
    {
        (parts, closed) = (rest, true);
    }
    if parts.iter().any(|part| matches!(part, Part::Other(hir) if !hir.properties().look_set().is_empty())) {
        return None;
    }
    if !parts.iter().any(|part| matches!(part, Part::Any)) {
        return literals(parts, closed);
    }
    let mut runs = vec![Vec::new()];
    for part in parts {
        match part {
            Part::Any if runs.len() > 1 && runs.last().is_some_and(Vec::is_empty) => {}
            Part::Any => runs.push(Vec::new()),
            Part::Other(hir) => {
                let facts = Facts::of(hir);
                runs.last_mut().filter(|_| facts.exact)?.extend(facts.best);
            }
        }
    }
    // What ends in any bytes is open whether or not they are the last.
    if runs.len() > 1 && runs.last().is_some_and(Vec::is_empty) {
        runs.pop();
        closed = false;
    }
    let first = runs.remove(0);
    Some(Simple::Runs { first, rest: runs, closed })
}

/// A part of a sequence.
enum Part<'a> {
    /// Any bytes.
    Any,
    Other(&'a Hir),
}

fn flatten<'a>(hir: &'a Hir, parts: &mut Vec<Part<'a>>) {
    match hir.kind() {
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        HirKind::Concat(all) => all.iter().for_each(|part| flatten(part, parts)),
        HirKind::Repetition(Repetition { min: 0, max: None, sub, .. }) if is_dot(sub) => parts.push(Part::Any),
        HirKind::Empty => {}
        _ => parts.push(Part::Other(hir)),
    }
}

/// Whether it is any byte, with or without the line feed.
fn is_dot(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_dot(&capture.sub),
        HirKind::Class(Class::Bytes(class)) => {
            let ranges: Vec<(u8, u8)> = class.ranges().iter().map(|range| (range.start(), range.end())).collect();
            matches!(*ranges, [(0, 0xff)] | [(0, 0x09), (0x0b, 0xff)])
        }
        _ => false,
    }
}

fn literals(parts: &[Part<'_>], closed: bool) -> Option<Simple> {
    let mut literals = vec![Vec::new()];
    for part in parts {
        let Part::Other(hir) = part else { return None };
        literals = product(&literals, &finite(hir)?)?;
    }
    literals.sort();
    // One that begins with another follows it.
    literals.dedup_by(|next, kept| if closed { next == kept } else { next.starts_with(kept) });
    match &mut *literals {
        [] => None,
        [only] => Some(Simple::Runs { first: std::mem::take(only), rest: Vec::new(), closed }),
        _ => Some(Simple::Literals { literals, closed }),
    }
}

/// All that an expression without anchors matches, if that is no more than [`MAX_LITERALS`].
fn finite(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => few(vec![literal.0.to_vec()]),
        HirKind::Class(Class::Bytes(class)) => {
            let count: usize = class.ranges().iter().map(ClassBytesRange::len).sum();
            (count <= MAX_LITERALS).then(|| {
                class.ranges().iter().flat_map(|range| range.start()..=range.end()).map(|byte| vec![byte]).collect()
            })
        }
        // The parser makes one of `a|b` as well.
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(ClassUnicodeRange::len).sum();
            (count <= MAX_LITERALS).then(|| {
                let chars = class.ranges().iter().flat_map(|range| range.start()..=range.end());
                chars.map(|char| char.to_string().into_bytes()).collect()
            })
        }
        HirKind::Capture(capture) => finite(&capture.sub),
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Vec::new()], |all, part| product(&all, &finite(part)?)),
        HirKind::Alternation(parts) => parts.iter().try_fold(Vec::new(), |mut all, part| {
            all.extend(finite(part)?);
            few(all)
        }),
        HirKind::Repetition(repetition) => {
            let (sub, max) = (finite(&repetition.sub)?, repetition.max?);
            let mut power = vec![Vec::new()];
            let mut all = if repetition.min == 0 { power.clone() } else { Vec::new() };
            for count in 1..=max {
                let next = product(&power, &sub)?;
                if next == power {
                    return few([all, next].concat());
                }
                power = next;
                if count >= repetition.min {
                    all.extend_from_slice(&power);
                    all = few(all)?;
                }
            }
            Some(all)
        }
        HirKind::Look(_) => None,
    }
}

/// Every literal of `left` with each of `right` behind it.
fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if left.len().saturating_mul(right.len()) > MAX_LITERALS * MAX_LITERALS {
        return None;
    }
    few(left.iter().flat_map(|left| right.iter().map(move |right| [&**left, right].concat())).collect())
}

/// The set without doubles, if it is small.
fn few(mut literals: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    literals.sort();
    literals.dedup();
    (literals.len() <= MAX_LITERALS && literals.iter().all(|literal| literal.len() <= MAX_LITERAL)).then_some(literals)
}

/// The literal before a final `$` and whether the expression is nothing but the two.
fn closing(hir: &Hir) -> Option<(Vec<u8>, bool)> {
    match hir.kind() {
        HirKind::Look(Look::End) => Some((Vec::new(), true)),
        HirKind::Capture(capture) => closing(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            closing(&repetition.sub).map(|(literal, _)| (literal, false))
        }
        HirKind::Concat(parts) => {
            let (last, before) = parts.split_last()?;
            let (literal, whole) = closing(last)?;
            if !whole {
                return Some((literal, false));
            }
            let before = Facts::all(before);
            let exact = before.exact;
            Some(([before.suffix, literal].concat(), exact))
        }
        HirKind::Alternation(parts) => {
            let endings = parts.iter().map(closing).collect::<Option<Vec<_>>>()?;
            let (literal, _) = endings.into_iter().reduce(|(a, _), (b, _)| (common_suffix(&a, &b), false))?;
            Some((literal, false))
        }
        _ => None,
    }
}

/// Literals of whatever matches an expression.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// What matches is just `prefix`, which then is `suffix` and `best` as well.
    exact: bool,
    /// It begins with this.
    prefix: Vec<u8>,
    /// It ends with this.
    suffix: Vec<u8>,
    /// It contains this.
    best: Vec<u8>,
}

impl Facts {
    fn exact(literal: &[u8]) -> Self {
        let head = literal.get(..MAX_LITERAL).unwrap_or(literal).to_vec();
        let tail = literal.get(literal.len().saturating_sub(MAX_LITERAL)..).unwrap_or(literal).to_vec();
        Self { exact: literal.len() <= MAX_LITERAL, best: head.clone(), prefix: head, suffix: tail }
    }

    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exact(b""),
            HirKind::Literal(literal) => Self::exact(&literal.0),
            HirKind::Class(_) => Self::default(),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => Self::all(parts),
            HirKind::Alternation(parts) => parts.iter().map(Self::of).reduce(Self::or).unwrap_or_default(),
            HirKind::Repetition(Repetition { max: Some(0), .. }) => Self::exact(b""),
            HirKind::Repetition(Repetition { min: 0, .. }) => Self::default(),
            HirKind::Repetition(repetition) => Self::of(&repetition.sub).repeat(repetition.min, repetition.max),
        }
    }

    fn all(parts: &[Hir]) -> Self {
        parts.iter().map(Self::of).fold(Self::exact(b""), Self::then)
    }

    fn then(self, next: Self) -> Self {
        if self.exact && next.exact {
            return Self::exact(&[self.best, next.best].concat());
        }
        let joined = [&*self.suffix, &*next.prefix].concat();
        let prefix = if self.exact { Self::exact(&joined).prefix } else { self.prefix };
        let suffix = if next.exact { Self::exact(&joined).suffix } else { next.suffix };
        let best = longest([self.best, next.best, Self::exact(&joined).best]);
        Self { exact: false, prefix, suffix, best }
    }

    fn or(self, other: Self) -> Self {
        if self.exact && other.exact && self.best == other.best {
            return self;
        }
        let prefix = common_prefix(&self.prefix, &other.prefix);
        let suffix = common_suffix(&self.suffix, &other.suffix);
        let equal = if self.best == other.best { self.best } else { Vec::new() };
        let best = longest([equal, prefix.clone(), suffix.clone()]);
        Self { exact: false, prefix, suffix, best }
    }

    /// At least `min` times, which is not 0.
    fn repeat(self, min: u32, max: Option<u32>) -> Self {
        if self.exact {
            let enough = MAX_LITERAL / self.best.len().max(1) + 1;
            let copies = usize::try_from(min).unwrap_or(usize::MAX).min(enough);
            let mut facts = Self::exact(&self.best.repeat(copies));
            facts.exact &= max == Some(min) || self.best.is_empty();
            return facts;
        }
        if min > 1 { self.clone().then(self) } else { self }
    }
}

fn longest<const N: usize>(literals: [Vec<u8>; N]) -> Vec<u8> {
    literals.into_iter().max_by_key(Vec::len).unwrap_or_default()
}

fn common_prefix(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).take_while(|(a, b)| a == b).map(|(a, _)| *a).collect()
}

fn common_suffix(a: &[u8], b: &[u8]) -> Vec<u8> {
    let length = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    a.get(a.len() - length..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Simple, required, simplify, suffix};
    use crate::purge::glushkov::Automaton;
    use crate::purge::glushkov::tests::{Random, parse};

    fn text(literal: Option<Vec<u8>>) -> String {
        literal.map_or_else(|| "-".into(), |literal| literal.escape_ascii().to_string())
    }

    #[test]
    fn required_and_suffix() {
        for (pattern, contained, ending) in [
            ("", "-", "-"),
            ("foo", "foo", "-"),
            ("foo$", "foo", "foo"),
            ("(f(oo))$", "foo", "foo"),
            ("a.*bcd.*e$", "bcd", "e"),
            ("ab[0-9]cde", "cde", "-"),
            ("a(b)c+d", "abc", "-"),
            ("a(bc){3}d$", "abcbcbcd", "abcbcbcd"),
            ("a(bc){2,}d$", "bcbcd", "bcbcd"),
            ("(bc.){2,3}$", "bc", "-"),
            ("(bc.d){2,3}$", "dbc", "d"),
            ("a(bc)*d$", "d", "d"),
            ("a(bc)?d", "d", "-"),
            ("(jpg|png)$", "g", "g"),
            (r"/img/.*\.(jpe?g|svg)$", "/img/", "g"),
            (r"x(a\.js|b\.js|c\.js)$", ".js", ".js"),
            ("(aXa|bXb)", "-", "-"),
            ("a$|b", "-", "-"),
            ("(xa|ya)$|ba$", "a", "a"),
            ("xa$|ya$", "a", "a"),
            ("$", "-", "-"),
            ("^abc$$", "abc", "abc"),
            ("abc($)?", "abc", "-"),
            ("(a|b)c", "c", "-"),
            ("a{0}b", "b", "-"),
            ("(?i)ab1", "1", "-"),
            ("[a]b[c]", "abc", "-"),
            (r"\xff\xfe$", r"\xff\xfe", r"\xff\xfe"),
        ] {
            let hir = parse(pattern);
            assert_eq!((text(required(&hir)), text(suffix(&hir))), (contained.into(), ending.into()), "{pattern}");
        }
    }

    #[test]
    fn literals_are_bounded() {
        let nest = parse("((((abc){59}){59}){59}){59}$");
        assert_eq!(required(&nest).map(|literal| literal.len()), Some(256));
        assert_eq!(suffix(&nest).map(|literal| literal.ends_with(b"abcabc")), Some(true));
        assert_eq!(simplify(&nest), None);
        assert_eq!(simplify(&parse("((a|b){59}){59}")), None);
        assert_eq!(simplify(&parse("((|){59}){59}")), simplify(&parse("")));
        assert_eq!(simplify(&parse("[a-z]{2}")), None);
        assert_eq!(simplify(&parse("a{0,59}")), None);
    }

    #[test]
    fn simple_expressions() {
        let bytes = |literals: &[&str]| literals.iter().map(|literal| literal.as_bytes().to_vec()).collect::<Vec<_>>();
        for (pattern, first, rest, closed) in [
            ("", "", &[][..], false),
            ("$", "", &[], true),
            ("foo", "foo", &[], false),
            ("^foo$", "foo", &[], true),
            ("foo.*", "foo", &[], false),
            ("foo.*$", "foo", &[], false),
            (".*", "", &[], false),
            ("a.*b", "a", &["b"], false),
            ("a.*?b.*c$", "a", &["b", "c"], true),
            ("(a)(.*)(.)*(bc){2}.*.*", "a", &["bcbc"], false),
            (".*.*a$", "", &["a"], true),
            ("(?s).*a$", "", &["a"], true),
            ("a{2}.{0,}", "aa", &[], false),
            ("(foo|foobar)", "foo", &[], false),
            ("a|", "", &[], false),
        ] {
            let expected = Simple::Runs { first: first.into(), rest: bytes(rest), closed };
            assert_eq!(simplify(&parse(pattern)), Some(expected), "{pattern}");
        }
        for (pattern, literals, closed) in [
            (r"(a|b)\.(js|css)$", &["a.css", "a.js", "b.css", "b.js"][..], true),
            ("foo(bar)?$", &["foo", "foobar"], true),
            ("x[0-2]", &["x0", "x1", "x2"], false),
            ("(ab){1,3}$", &["ab", "abab", "ababab"], true),
            ("(a|ab|b)", &["a", "b"], false),
        ] {
            let expected = Simple::Literals { literals: bytes(literals), closed };
            assert_eq!(simplify(&parse(pattern)), Some(expected), "{pattern}");
        }
        for pattern in ["a.+b", "a.b", "a$b", "$.*", "a$|b", "[^a]", "a*", ".*(a|b)", "a^", "[a&&b]"] {
            assert_eq!(simplify(&parse(pattern)), None, "{pattern}");
        }
    }

    fn find(text: &[u8], literal: &[u8]) -> Option<usize> {
        (0..=text.len()).find(|&at| text[at..].starts_with(literal))
    }

    fn matches(simple: &Simple, text: &[u8]) -> bool {
        match simple {
            Simple::Literals { literals, closed: true } => literals.iter().any(|literal| literal == text),
            Simple::Literals { literals, closed: false } => literals.iter().any(|literal| text.starts_with(literal)),
            Simple::Runs { first, rest, closed } => {
                let Some(mut left) = text.strip_prefix(&**first) else { return false };
                let (inner, last) = match rest.split_last().filter(|_| *closed) {
                    Some((last, inner)) => (inner, Some(last)),
                    None => (&**rest, None),
                };
                for literal in inner {
                    let Some(at) = find(left, literal) else { return false };
                    left = &left[at + literal.len()..];
                }
                last.map_or_else(|| !closed || left.is_empty(), |last| left.ends_with(last))
            }
        }
    }

    #[test]
    fn all_that_matches_holds_them() {
        let mut random = Random(0xfeed_beef);
        let (mut hits, mut endings, mut simple) = (0, 0, 0);
        for round in 0..6_000 {
            let pattern = random.regex(1 + round % 3, 3);
            let hir = parse(&pattern);
            let (contained, ending, plain) = (required(&hir), suffix(&hir), simplify(&hir));
            simple += usize::from(plain.is_some());
            let Ok(automaton) = Automaton::new(&hir) else { continue };
            for _ in 0..24 {
                let text: Vec<u8> = random.text(9).into_iter().filter(|&byte| byte != b'\n').collect();
                let hit = automaton.matches(&text);
                if let Some(plain) = &plain {
                    assert_eq!(matches(plain, &text), hit, "{pattern} {plain:?} {text:?}");
                }
                if let Some(contained) = contained.as_ref().filter(|_| hit) {
                    hits += 1;
                    assert!(find(&text, contained).is_some(), "{pattern} {contained:?} {text:?}");
                }
                if let Some(ending) = ending.as_ref().filter(|_| hit) {
                    endings += 1;
                    assert!(text.ends_with(ending), "{pattern} {ending:?} {text:?}");
                }
            }
        }
        assert!(hits > 4_000 && endings > 50 && simple > 1_000, "{hits} {endings} {simple}");
    }
}
