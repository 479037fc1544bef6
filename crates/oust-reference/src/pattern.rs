//! The native pattern grammar, `*` and `**`.

use crate::canonical::{Subject, canonical, find, is_pchar, is_unreserved, percent, split_key, split_port};
use crate::selector::Refused;

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// A run without `/` of the path.
    Star,
    /// Any run.
    Stars,
}

/// What of the URL part the pattern is matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Path,
    Url,
}

/// Which runs of `*` are wildcards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stars {
    /// All of them, `*` for a level and `**` for any depth.
    Levels,
    /// All of them, each for anything.
    Anything,
    /// The last one, `*` for a level and more for any depth.
    Last,
}

/// What stands before the path.
#[derive(Debug, Clone)]
enum Root {
    /// This, whole: `http://h:81`.
    One(Vec<u8>),
    /// Every host that ends so, at one port or at all of them.
    Below { scheme: &'static [u8], suffix: Vec<u8>, port: Option<u32> },
}

/// A pattern of one scheme.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    root: Root,
    /// From the first `/` on.
    tokens: Vec<Token>,
    /// A key is a pair: what stands behind the pattern's `@@` is matched against the variation, so that `/p@@*` is nothing to the URL `/p@`.
    variation: Option<Vec<Token>>,
    /// Of the URL part.
    scope: Scope,
}

/// The schemes a selector text names and what follows `://`.
pub(crate) fn schemes(text: &[u8]) -> Result<(Vec<&'static [u8]>, &[u8]), Refused> {
    let colon = find(text, b"://").ok_or(Refused::Malformed)?;
    let schemes: Vec<&'static [u8]> = match text[..colon].to_ascii_lowercase().as_slice() {
        b"http" => vec![b"http"],
        b"https" => vec![b"https"],
        b"any" => vec![b"http", b"https"],
        _ => return Err(Refused::Malformed),
    };
    Ok((schemes, &text[colon + 3..]))
}

impl Root {
    fn parse(scheme: &'static [u8], authority: &[u8], stars: Stars) -> Result<Self, Refused> {
        let Some(below) = authority.strip_prefix(b"*.").filter(|_| stars == Stars::Levels) else {
            if authority.contains(&b'*') {
                return Err(Refused::Malformed);
            }
            let root = canonical(&[scheme, b"://", authority, b"/"].concat()).ok_or(Refused::Malformed)?;
            return Ok(Self::One(root[..root.len() - 1].to_vec()));
        };
        // Nothing is below an address, and an empty port is no port to speak of.
        if below.contains(&b'[') || below.ends_with(b":") {
            return Err(Refused::Unknown);
        }
        let root = canonical(&[scheme, b"://", below, b"/"].concat()).ok_or(Refused::Malformed)?;
        let below_it = Subject { url: root, ..Subject::default() };
        let (host, number) = below_it.host_port();
        let port = split_port(below).1.map(|_| number);
        Ok(Self::Below { scheme, suffix: [b".", host].concat(), port })
    }

    fn takes(&self, subject: &Subject) -> bool {
        match self {
            Self::One(root) => subject.url[..subject.path().0] == **root,
            Self::Below { scheme, suffix, port } => {
                let (host, number) = subject.host_port();
                subject.scheme() == *scheme && host.ends_with(suffix) && port.is_none_or(|port| port == number)
            }
        }
    }
}

impl Pattern {
    /// The patterns of a text, one for each scheme it names.
    pub(crate) fn parse(text: &[u8], stars: Stars) -> Result<Vec<Self>, Refused> {
        let (schemes, rest) = schemes(text)?;
        schemes.into_iter().map(|scheme| Self::parse_one(scheme, rest, stars)).collect()
    }

    fn parse_one(scheme: &'static [u8], rest: &[u8], stars: Stars) -> Result<Self, Refused> {
        let (url, variation) = split_key(rest);
        // Whether wildcards in a fragment are dropped with it is left open.
        if url.contains(&b'#') {
            return Err(Refused::Unknown);
        }
        if variation.is_some_and(<[u8]>::is_empty) {
            return Err(Refused::Malformed);
        }
        let authority_end = url.iter().position(|b| b"/?".contains(b)).unwrap_or(url.len());
        let (authority, tail) = url.split_at(authority_end);
        let root = Root::parse(scheme, authority, stars)?;

        // Of the last run, where it stands: in the variation if there is one there.
        let in_variation = variation.is_some_and(|variation| variation.contains(&b'*'));
        let tail = lex(tail, stars, false, stars != Stars::Last || !in_variation)?;
        let query_at = tail.iter().position(|&t| t == Token::Byte(b'?')).unwrap_or(tail.len());
        let mut url_tokens = remove_dot_segments(&tail[..query_at])?;
        url_tokens.extend_from_slice(&tail[query_at..]);
        let tokens = encode_touching_at(&url_tokens);
        let variation = variation.map(|variation| lex(variation, stars, true, true)).transpose()?;
        let wild = tokens.iter().any(|t| !matches!(t, Token::Byte(_)));
        let path_only = variation.is_none() && stars == Stars::Levels && wild && query_at == tail.len();
        let scope = if path_only { Scope::Path } else { Scope::Url };
        Ok(Self { root, tokens, variation, scope })
    }

    pub(crate) fn matches(&self, subject: &Subject) -> bool {
        let (start, end) = subject.path();
        let text = match self.scope {
            Scope::Path => &subject.url[start..end],
            Scope::Url => &subject.url[start..],
        };
        let variation = match (&self.variation, &subject.variation) {
            (None, _) => true,
            // A pattern with a variation takes no key without one.
            (Some(_), None) => false,
            (Some(tokens), Some(variation)) => run(tokens, variation, 0),
        };
        variation && self.root.takes(subject) && run(&self.tokens, text, end - start)
    }
}

/// Whether the tokens take all of the text, of which so many bytes are path.
fn run(tokens: &[Token], text: &[u8], path: usize) -> bool {
    // All positions of the text that the tokens so far can end at, in order.
    let mut ends = vec![0];
    for token in tokens {
        let mut next = Vec::new();
        for from in ends {
            match token {
                Token::Byte(byte) => {
                    if text.get(from) == Some(byte) {
                        next.push(from + 1);
                    }
                }
                Token::Star | Token::Stars => {
                    let mut to = from;
                    // Where an earlier start has been, it went on under the same condition.
                    while to <= text.len() && next.last().is_none_or(|&last| last < to) {
                        next.push(to);
                        if *token == Token::Star && to < path && text[to] == b'/' {
                            break;
                        }
                        to += 1;
                    }
                }
            }
        }
        ends = next;
    }
    ends.last() == Some(&text.len())
}

/// Bytes in canonical spelling and wildcards; a variation is taken as it stands. `wild`: whether there may be wildcards at all.
fn lex(text: &[u8], stars: Stars, variation: bool, wild: bool) -> Result<Vec<Token>, Refused> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if byte == b'*' {
            let run = text[at..].iter().take_while(|&&b| b == b'*').count();
            at += run;
            if !wild || stars == Stars::Last && text[at..].contains(&b'*') {
                tokens.extend(vec![Token::Byte(b'*'); run]);
            } else {
                tokens.push(if stars == Stars::Anything || run > 1 { Token::Stars } else { Token::Star });
            }
        } else if variation {
            tokens.push(Token::Byte(byte));
            at += 1;
        } else if byte == b'%' {
            // Neither two digits nor a wildcard in their place: refused in a purge.
            let byte = percent(text, at).ok_or(Refused::Malformed)?;
            if is_unreserved(byte) {
                tokens.push(Token::Byte(byte));
            } else {
                tokens.extend(format!("%{byte:02X}").bytes().map(Token::Byte));
            }
            at += 3;
        } else if is_pchar(byte) || byte == b'/' || byte == b'?' {
            tokens.push(Token::Byte(byte));
            at += 1;
        } else {
            tokens.extend(format!("%{byte:02X}").bytes().map(Token::Byte));
            at += 1;
        }
    }
    Ok(tokens)
}

/// Dot segments before the first wildcard are removed, one behind it is refused.
fn remove_dot_segments(path: &[Token]) -> Result<Vec<Token>, Refused> {
    const SLASH: Token = Token::Byte(b'/');
    const DOT: Token = Token::Byte(b'.');
    if path.is_empty() {
        return Ok(vec![SLASH]);
    }
    let mut kept: Vec<&[Token]> = Vec::new();
    let mut wild = false;
    let segments: Vec<&[Token]> = path[1..].split(|&t| t == SLASH).collect();
    for (at, segment) in segments.iter().enumerate() {
        let dots = *segment == [DOT] || *segment == [DOT, DOT];
        if dots && wild {
            return Err(Refused::Malformed);
        }
        if dots {
            if segment.len() == 2 {
                kept.pop();
            }
            if at + 1 == segments.len() {
                kept.push(&[]);
            }
        } else {
            kept.push(segment);
        }
        wild |= segment.iter().any(|t| !matches!(t, Token::Byte(_)));
    }
    let mut out = Vec::new();
    for segment in kept {
        out.push(SLASH);
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(SLASH);
    }
    Ok(out)
}

fn encode_touching_at(tokens: &[Token]) -> Vec<Token> {
    const AT: Token = Token::Byte(b'@');
    let mut out = Vec::new();
    for (at, &token) in tokens.iter().enumerate() {
        let touched = (at > 0 && tokens[at - 1] == AT) || tokens.get(at + 1) == Some(&AT);
        if token == AT && touched {
            out.extend(b"%40".map(Token::Byte));
        } else {
            out.push(token);
        }
    }
    out
}
