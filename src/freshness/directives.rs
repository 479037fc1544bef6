//! The `Cache-Control` field (RFC 9111 5.2).

use http::HeaderValue;

/// Largest number of seconds a directive can state; longer texts mean this many (RFC 9111 1.2.2).
pub const MAX_DELTA: u32 = 1 << 31;

/// The directives of `Cache-Control` or of a targeted field, response and request ones alike.
///
/// Reading costs no allocation. Of a number that is repeated the first counts, of a switch any; a directive that comes both bare and with field
/// names counts as bare. Unknown directives are skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Directives {
    /// `max-age`; 0 where its argument is invalid.
    pub max_age: Option<u32>,
    /// `s-maxage`; 0 where its argument is invalid.
    pub s_maxage: Option<u32>,
    /// `min-fresh`; [`MAX_DELTA`] where its argument is invalid, so that no response satisfies it.
    pub min_fresh: Option<u32>,
    /// `max-stale`: `Some(None)` accepts any staleness. 0 seconds where its argument is invalid.
    pub max_stale: Option<Option<u32>>,
    /// `stale-while-revalidate` (RFC 5861); 0 where its argument is invalid.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` (RFC 5861); 0 where its argument is invalid.
    pub stale_if_error: Option<u32>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` without field names, or with a list that cannot be read.
    pub no_cache: bool,
    /// `no-cache` with field names: these may not be used without validation.
    pub no_cache_fields: bool,
    /// `private` without field names, or with a list that cannot be read.
    pub private: bool,
    /// `private` with field names: these may not be stored by a shared cache.
    pub private_fields: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand` (RFC 9111 5.2.2.3).
    pub must_understand: bool,
    /// `no-transform`.
    pub no_transform: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// A quoted string does not end: what it swallowed is not known.
    pub malformed: bool,
}

/// What stands behind the name of a directive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument<'a> {
    /// Nothing.
    None,
    /// A number of seconds, or a text that is none.
    Delta(Option<u32>),
    /// Field names, separated by commas.
    Names(&'a [u8]),
}

impl Directives {
    /// Reads all lines of a `Cache-Control` field.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut parsed = Self::default();
        let malformed = members(lines, |name, argument| {
            let Some(directive) = Directive::named(name) else { return };
            let argument = match argument {
                None => Argument::None,
                Some(text) if directive.takes_names() => Argument::Names(unquoted(text)),
                // White space before the `=` is not in the grammar: such a number is not one.
                Some(text) => {
                    Argument::Delta(delta(unquoted(text)).filter(|_| !name.last().is_some_and(u8::is_ascii_whitespace)))
                }
            };
            parsed.apply(directive, argument);
        });
        parsed.malformed = malformed;
        parsed
    }

    pub(super) fn apply(&mut self, directive: Directive, argument: Argument<'_>) {
        let stated = match argument {
            Argument::Delta(delta) => delta,
            Argument::None | Argument::Names(_) => None,
        };
        // An argument that is no number makes the response stale rather than unlimited (RFC 9111 4.2.1).
        let or_stale = Some(stated.unwrap_or(0));
        let or_never = Some(stated.unwrap_or(MAX_DELTA));
        // A list that names nothing, or what is no name, leaves open what it meant.
        let has_names = matches!(argument, Argument::Names(list) if is_list(list));
        match directive {
            Directive::MaxAge => self.max_age = self.max_age.or(or_stale),
            Directive::SMaxage => self.s_maxage = self.s_maxage.or(or_stale),
            Directive::MinFresh => self.min_fresh = self.min_fresh.or(or_never),
            Directive::MaxStale => {
                let limit = if matches!(argument, Argument::None) { None } else { or_stale };
                self.max_stale = self.max_stale.or(Some(limit));
            }
            Directive::StaleWhileRevalidate => {
                self.stale_while_revalidate = self.stale_while_revalidate.or(or_stale);
            }
            Directive::StaleIfError => self.stale_if_error = self.stale_if_error.or(or_stale),
            Directive::NoStore => self.no_store = true,
            Directive::NoCache if has_names => self.no_cache_fields = true,
            Directive::NoCache => self.no_cache = true,
            Directive::Private if has_names => self.private_fields = true,
            Directive::Private => self.private = true,
            Directive::Public => self.public = true,
            Directive::MustRevalidate => self.must_revalidate = true,
            Directive::ProxyRevalidate => self.proxy_revalidate = true,
            Directive::MustUnderstand => self.must_understand = true,
            Directive::NoTransform => self.no_transform = true,
            Directive::Immutable => self.immutable = true,
            Directive::OnlyIfCached => self.only_if_cached = true,
        }
    }
}

/// The directives we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive {
    MaxAge,
    SMaxage,
    MinFresh,
    MaxStale,
    StaleWhileRevalidate,
    StaleIfError,
    NoStore,
    NoCache,
    Private,
    Public,
    MustRevalidate,
    ProxyRevalidate,
    MustUnderstand,
    NoTransform,
    Immutable,
    OnlyIfCached,
}

impl Directive {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        const KNOWN: [(&str, Directive); 16] = [
            ("max-age", Directive::MaxAge),
            ("s-maxage", Directive::SMaxage),
            ("min-fresh", Directive::MinFresh),
            ("max-stale", Directive::MaxStale),
            ("stale-while-revalidate", Directive::StaleWhileRevalidate),
            ("stale-if-error", Directive::StaleIfError),
            ("no-store", Directive::NoStore),
            ("no-cache", Directive::NoCache),
            ("private", Directive::Private),
            ("public", Directive::Public),
            ("must-revalidate", Directive::MustRevalidate),
            ("proxy-revalidate", Directive::ProxyRevalidate),
            ("must-understand", Directive::MustUnderstand),
            ("no-transform", Directive::NoTransform),
            ("immutable", Directive::Immutable),
            ("only-if-cached", Directive::OnlyIfCached),
        ];
        let name = name.trim_ascii();
        KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, directive)| *directive)
    }

    pub(super) fn takes_names(self) -> bool {
        matches!(self, Self::NoCache | Self::Private)
    }

    pub(super) fn takes_delta(self) -> bool {
        matches!(
            self,
            Self::MaxAge
                | Self::SMaxage
                | Self::MinFresh
                | Self::MaxStale
                | Self::StaleWhileRevalidate
                | Self::StaleIfError
        )
    }
}

/// The field names that `no-cache` and `private` list, over all lines of a `Cache-Control` field.
pub(super) fn listed<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>, mut each: impl FnMut(Directive, &'a [u8])) {
    members(lines, |name, argument| {
        let Some(directive) = Directive::named(name).filter(|directive| directive.takes_names()) else { return };
        for name in argument.map(unquoted).into_iter().flat_map(names) {
            each(directive, name);
        }
    });
}

fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
}

fn is_list(list: &[u8]) -> bool {
    names(list).next().is_some() && names(list).all(|name| name.iter().copied().all(is_token))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Hands out the members of a list of directives; the name may end in white space that stands before its `=`. Returns whether a quoted string
/// does not end.
fn members<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    mut each: impl FnMut(&'a [u8], Option<&'a [u8]>),
) -> bool {
    let mut malformed = false;
    for line in lines {
        let mut rest = line.as_bytes();
        while let Some(member) = next_member(&mut rest, &mut malformed) {
            match member.iter().position(|&byte| byte == b'=') {
                Some(at) => each(&member[..at], Some(&member[at + 1..])),
                None => each(member, None),
            }
        }
    }
    malformed
}

/// The next non-empty member of a comma-separated list; commas in quoted strings do not separate.
fn next_member<'a>(rest: &mut &'a [u8], malformed: &mut bool) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let mut quoted = false;
        let mut escaped = false;
        let end = rest.iter().position(|&byte| {
            if escaped {
                escaped = false;
            } else if quoted && byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                quoted = !quoted;
            }
            byte == b',' && !quoted
        });
        let end = end.unwrap_or_else(|| {
            *malformed |= quoted;
            rest.len()
        });
        let (member, after) = rest.split_at(end);
        *rest = after.get(1..).unwrap_or_default();
        let member = member.trim_ascii();
        if !member.is_empty() {
            return Some(member);
        }
    }
    None
}

fn unquoted(argument: &[u8]) -> &[u8] {
    argument.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(argument)
}

/// A number of seconds; too large ones are [`MAX_DELTA`], anything but digits is none.
pub(super) fn delta(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().try_fold(0u32, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')).filter(|&sum| sum <= MAX_DELTA)
    });
    Some(value.unwrap_or(MAX_DELTA))
}
