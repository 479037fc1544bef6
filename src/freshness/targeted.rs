//! Cache directives for us in particular (RFC 9213).

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::directives::{Argument, Directive, Directives, MAX_DELTA};
use super::sf::{self, Bare};

impl Directives {
    /// Those of the first field of `names` that is there, readable and not empty (RFC 9213 2.2): they replace `Cache-Control` and `Expires`.
    ///
    /// A value of the wrong type is like an invalid argument in `Cache-Control`: a number is 0, a switch is on, unless it is `?0`. A list of field
    /// names counts as the bare directive, which is stricter. Of a directive that is repeated the last counts, as in any structured field.
    pub fn targeted(response: &HeaderMap, names: &[HeaderName]) -> Option<Self> {
        names.iter().find_map(|name| {
            // Most responses have none.
            response.get(name)?;
            read(response.get_all(name).iter().map(HeaderValue::as_bytes))
        })
    }
}

fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Directives> {
    let mut read = Directives::default();
    let members = sf::dictionary(lines, |key, value| {
        let Some(directive) = Directive::named(key.as_bytes()) else { return };
        read.forget(directive);
        let argument = match value {
            Bare::Integer(seconds) => Argument::Delta(u32::try_from(seconds.min(MAX_DELTA.into())).ok()),
            Bare::Boolean(false) if !directive.takes_delta() => return,
            Bare::Boolean(true) => Argument::None,
            _ => Argument::Delta(None),
        };
        read.apply(directive, argument);
    });
    members.is_ok_and(|count| count > 0).then_some(read)
}

impl Directives {
    /// As if it had not been there.
    fn forget(&mut self, directive: Directive) {
        match directive {
            Directive::MaxAge => self.max_age = None,
            Directive::SMaxage => self.s_maxage = None,
            Directive::MinFresh => self.min_fresh = None,
            Directive::MaxStale => self.max_stale = None,
            Directive::StaleWhileRevalidate => self.stale_while_revalidate = None,
            Directive::StaleIfError => self.stale_if_error = None,
            Directive::NoStore => self.no_store = false,
            Directive::NoCache => self.no_cache = false,
            Directive::Private => self.private = false,
            Directive::Public => self.public = false,
            Directive::MustRevalidate => self.must_revalidate = false,
            Directive::ProxyRevalidate => self.proxy_revalidate = false,
            Directive::MustUnderstand => self.must_understand = false,
            Directive::NoTransform => self.no_transform = false,
            Directive::Immutable => self.immutable = false,
            Directive::OnlyIfCached => self.only_if_cached = false,
        }
    }
}
