//! Selectors compiled without a cache around them.

use oust::purge::{Compiled, Subject, Tags};
use oust::site::Sites;
use oust::{Key, Selector};
use oust_reference as reference;

/// A selector compiled for itself.
pub struct Single(Vec<Compiled>);

/// Compiles one selector without a cache; `None` where it is refused.
pub fn compile(selector: &Selector) -> Option<Single> {
    selector.compile(&Sites::default()).ok().map(Single)
}

impl Single {
    /// Whether it takes the key with its tags, whatever its variant.
    pub fn takes(&self, key: &Key, subject: &reference::Subject) -> bool {
        let tags = Tags::encode(subject.tags.iter().map(Vec::as_slice));
        let subject = Subject { key: key.as_ref(), vary: None, tags: tags.as_ref() };
        self.0.iter().any(|compiled| compiled.matches(&subject))
    }
}
