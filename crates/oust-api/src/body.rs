//! JSON bodies, as much of them as is wanted.
//!
//! Invariant: what is held of a body is a small multiple of its texts. Members nobody asked for, what is nested in those that were, and texts
//! of a list beyond [`MAX_TEXTS`] are read over: `{"":0}` repeated would take a hundred times its length as a tree.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Most texts of a list that are kept.
pub(crate) const MAX_TEXTS: usize = 100_000;

/// A member of a body.
#[derive(Debug, Default)]
pub(crate) enum Member {
    /// Not there, or null.
    #[default]
    Absent,
    Text(String),
    Number(u64),
    List(List),
    /// Anything else.
    Other,
}

impl Member {
    pub(crate) fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// A list.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// How long it is.
    pub(crate) len: usize,
    /// Its items, the first [`MAX_TEXTS`]. None is a list itself.
    pub(crate) items: Vec<Member>,
}

impl List {
    /// Its texts, if it is not empty, holds nothing else, and has no more than `most` of them.
    pub(crate) fn texts(self, most: usize) -> Option<Vec<String>> {
        let few = (1..=most.min(MAX_TEXTS)).contains(&self.len);
        if few { self.items.into_iter().map(Member::text).collect() } else { None }
    }
}

/// The members of these names of the object a body is; of two of one name the last.
///
/// # Errors
///
/// If the body is no JSON object.
pub(crate) fn members<const N: usize>(body: &[u8], names: [&str; N]) -> Result<[Member; N], String> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let members = reader.deserialize_map(Wanted(names)).and_then(|members| reader.end().map(|()| members));
    members.map_err(|error| match error.is_data() {
        true => "the body is no JSON object".to_owned(),
        false => format!("the body is not JSON: {error}"),
    })
}

struct Wanted<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Wanted<'_, N> {
    type Value = [Member; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = std::array::from_fn(|_| Member::Absent);
        while let Some(key) = map.next_key::<String>()? {
            let wanted = self.0.iter().zip(&mut members).find(|(name, _)| **name == key);
            match wanted {
                Some((_, member)) => *member = map.next_value_seed(AnyMember { in_list: false })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

/// Reads a member; or, in a list, an item: a list there is read over.
#[derive(Clone, Copy)]
struct AnyMember {
    in_list: bool,
}

impl<'de> DeserializeSeed<'de> for AnyMember {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyMember {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Member, E> {
        Ok(Member::Number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        if self.in_list {
            return IgnoredAny.visit_seq(seq).map(|_| Member::Other);
        }
        let mut list = List::default();
        while list.items.len() < MAX_TEXTS {
            let Some(item) = seq.next_element_seed(Self { in_list: true })? else { return Ok(Member::List(list)) };
            list.items.push(item);
            list.len += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.len += 1;
        }
        Ok(Member::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Member::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_asked_for() {
        let body =
            br#" {"a":1,"x":[{"":[]}],"b":"t","a":"u","c":["v",1,[["w"]],null,{"":{}}],"d":-1,"e":null,"f":{"a":9}} "#;
        let [a, b, c, d, e, f, g] = members(body, ["a", "b", "c", "d", "e", "f", "g"]).unwrap();
        assert!(matches!(a, Member::Text(text) if text == "u"), "the last of its name");
        assert!(matches!(b, Member::Text(text) if text == "t"));
        let Member::List(List { len: 5, items }) = c else { panic!("{c:?}") };
        let [Member::Text(_), Member::Number(1), Member::Other, Member::Absent, Member::Other] = &items[..] else {
            panic!("{items:?}")
        };
        assert!(matches!((d, e, f, g), (Member::Other, Member::Absent, Member::Other, Member::Absent)));
    }

    #[test]
    fn what_is_no_object() {
        for body in ["[]", "1", "null", "\"a\""] {
            assert_eq!(members(body.as_bytes(), ["a"]).unwrap_err(), "the body is no JSON object", "{body}");
        }
        let deep = "[".repeat(1 << 20);
        for body in
            ["", "{", "{}{}", "{\"a\":1e999}", "{\"a\":01}", "{a:1}", "\u{ff}", &format!("{{\"a\":{deep}"), &deep]
        {
            let error = members(body.as_bytes(), ["a"]).unwrap_err();
            assert!(error.starts_with("the body is "), "{error}");
        }
    }

    #[test]
    fn lists_are_counted_and_kept_up_to_a_limit() {
        let texts = |count: usize, most| {
            let body = format!("{{\"a\":[{}]}}", vec!["\"\""; count].join(","));
            let [Member::List(list)] = members(body.as_bytes(), ["a"]).unwrap() else { panic!("no list") };
            assert_eq!((list.len, list.items.len()), (count, count.min(MAX_TEXTS)));
            list.texts(most).map(|texts| texts.len())
        };
        assert_eq!([texts(0, 5), texts(1, 5), texts(5, 5), texts(6, 5)], [None, Some(1), Some(5), None]);
        assert_eq!([texts(MAX_TEXTS, MAX_TEXTS), texts(MAX_TEXTS + 1, usize::MAX)], [Some(MAX_TEXTS), None]);
    }
}
