//! Lists and maps of a document: `null` is empty, and their length is checked while they are read.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::text::shown;
use crate::store::digest::Digest;

/// Entries of any one map, and words of any one list in a config.
const ENTRIES_MAX: usize = 65_536;

/// A list of at most `MAX` elements; `null` is the empty one.
pub(super) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(List::<T, MAX>(PhantomData))
}

/// As [`list`], and says whether the field was there and not `null`.
pub(super) fn some_list<'de, D, T, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    list::<D, T, MAX>(deserializer).map(Some)
}

/// A list of strings; `null` is the empty one, and one string is a list of one, as Docker's first images have it.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Words)
}

/// A list of digests.
pub(super) fn digests<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<Digest>, D::Error> {
    let texts = list::<D, String, MAX>(deserializer)?;
    texts.iter().map(|text| Digest::parse(&shown(text)).map_err(D::Error::custom)).collect()
}

/// A map of strings; `null` is the empty one, and a `null` value the empty string.
pub(super) fn strings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let map = deserializer.deserialize_any(Map::<Option<String>>(PhantomData))?;
    Ok(map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

/// A set that JSON writes as a map of empty objects, such as ports and volumes; `null` is the empty one.
pub(super) fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let map = deserializer.deserialize_any(Map::<serde::de::IgnoredAny>(PhantomData))?;
    Ok(map.into_keys().collect())
}

/// A string; `null` is the empty one.
pub(super) fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

struct List<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} entries")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = seq.next_element()? {
            if found.len() == MAX {
                return Err(A::Error::custom(format_args!("a list of more than {MAX} entries")));
            }
            found.push(element);
        }
        Ok(found)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Vec<String>, E> {
        Ok(vec![word.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<String>, A::Error> {
        List::<String, ENTRIES_MAX>(PhantomData).visit_seq(seq)
    }
}

struct Map<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Map<V> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            if found.len() == ENTRIES_MAX {
                return Err(A::Error::custom(format_args!(
                    "a map of more than {ENTRIES_MAX} keys"
                )));
            }
            found.insert(key, value);
        }
        Ok(found)
    }
}
