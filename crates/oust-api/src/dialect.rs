//! The vendors' pattern languages by name, for trying patterns without a server.

use std::fmt;
use std::str::FromStr;

use oust::Selector;
use oust::site::Sites;

use crate::account::canonical_host;
use crate::{azion, cdnetworks, imagekit, medianova, naver};

/// A vendor's pattern language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// `/purge/url` of Azion.
    AzionUrl,
    /// `/purge/cachekey` of Azion.
    AzionCachekey,
    /// `/purge/wildcard` of Azion.
    AzionWildcard,
    /// `DIRECTORY` of Naver.
    NaverDirectory,
    /// `PATTERN` of Naver.
    NaverPattern,
    /// `URL` of Naver.
    NaverUrl,
    /// `file_path` of Medianova.
    Medianova,
    /// `fileUrls` of CDNetworks.
    CdnetworksFile,
    /// `dirUrls` of CDNetworks.
    CdnetworksDir,
    /// `regexPatterns` of CDNetworks.
    CdnetworksRegex,
    /// `url` of ImageKit, a trailing `*` admitted.
    ImageKit,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::AzionUrl,
        Self::AzionCachekey,
        Self::AzionWildcard,
        Self::NaverDirectory,
        Self::NaverPattern,
        Self::NaverUrl,
        Self::Medianova,
        Self::CdnetworksFile,
        Self::CdnetworksDir,
        Self::CdnetworksRegex,
        Self::ImageKit,
    ];

    /// Its name: `azion-url` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Self::AzionUrl => "azion-url",
            Self::AzionCachekey => "azion-cachekey",
            Self::AzionWildcard => "azion-wildcard",
            Self::NaverDirectory => "naver-directory",
            Self::NaverPattern => "naver-pattern",
            Self::NaverUrl => "naver-url",
            Self::Medianova => "medianova",
            Self::CdnetworksFile => "cdnetworks-file",
            Self::CdnetworksDir => "cdnetworks-dir",
            Self::CdnetworksRegex => "cdnetworks-regex",
            Self::ImageKit => "imagekit",
        }
    }

    /// What a pattern takes, for any account. A language without hosts is read as being of `host`: see [`Dialect::is_hostless`].
    ///
    /// # Errors
    ///
    /// In the vendor's words where it has any. What only the engine checks (a stray `%`, a budget) is left to it.
    pub fn selectors(self, pattern: &str, host: &str) -> Result<Vec<Selector>, String> {
        // Whatever can be a host counts as configured.
        let configured = |host: &str| canonical_host(host, &Sites::default()).is_ok();
        match self {
            Self::AzionUrl => azion::pattern::url(pattern, &configured),
            Self::AzionCachekey => azion::pattern::cachekey(pattern, &configured),
            Self::AzionWildcard => azion::pattern::wildcard(pattern, &configured),
            Self::NaverDirectory => naver::pattern::directory(pattern, host),
            Self::NaverPattern => naver::pattern::extension(pattern, host),
            Self::NaverUrl => naver::pattern::url(pattern, host),
            Self::Medianova => medianova::pattern::file_path(pattern, host),
            Self::CdnetworksFile => cdnetworks::pattern::file_url(pattern),
            Self::CdnetworksDir => cdnetworks::pattern::dir_url(pattern),
            Self::CdnetworksRegex => cdnetworks::pattern::regex(pattern),
            Self::ImageKit => imagekit::pattern::url(pattern, true),
        }
    }

    /// Whether its patterns are paths, of whatever host the account has.
    pub fn is_hostless(self) -> bool {
        matches!(self, Self::NaverDirectory | Self::NaverPattern | Self::NaverUrl | Self::Medianova)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == text).ok_or_else(|| format!("'{text}' is no dialect"))
    }
}

/// A text in which every `@` next to another is escaped: of a language without variations, where `@@` is part of a URL as any other text.
pub(crate) fn without_variation(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = '\0';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '@' if before == '@' || rest.peek() == Some(&'@') => out.push_str("%40"),
            _ => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert!("azion".parse::<Dialect>().is_err());
    }

    #[test]
    fn a_scheme_is_read_off_what_is_a_host_then() {
        for (item, key) in [
            ("http.example/a", "https://http.example/a"),
            ("httphttps.example/a", "http://https.example/a"),
            ("httpsh/a", "https://h/a"),
        ] {
            let selectors = Dialect::AzionUrl.selectors(item, "").expect(item);
            assert_eq!(selectors.last(), Some(&Selector::Key(key.to_owned())), "{item}");
        }
    }

    #[test]
    fn no_variation_is_left() {
        for (text, escaped) in
            [("/a@b@", "/a@b@"), ("/@@", "/%40%40"), ("/a@@@b@c", "/a%40%40%40b@c"), ("/%40@", "/%40@")]
        {
            assert_eq!(without_variation(text), escaped);
        }
    }
}
