//! A serde deserializer over the tree, and the passes that find every problem.
//!
//! A failure belongs to the innermost node that it concerns. That node is masked: the next pass does as if it were not there. A key that
//! is missing because its value is masked is no problem of its own; its mapping is masked in turn, in silence.

mod failure;

use std::collections::HashSet;

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use failure::{About, Failure, list, shown};

use super::placed::{ENTRIES, ONE_OR_MANY, PLACED, TEXT_OR};
use super::tree::{At, Kind, Node, Places};
use super::{PROBLEMS_MAX, Problem};

pub(super) fn deserialize<T: DeserializeOwned>(tree: &Node, places: &Places, problems: &mut Vec<Problem>) -> Option<T> {
    let mut masked: HashSet<At> = HashSet::new();
    loop {
        let failure = match T::deserialize(Reader { node: tree, masked: &masked }) {
            Ok(value) => return Some(value),
            Err(failure) => failure,
        };
        let at = failure.at.unwrap_or(tree.at);
        if !failure.follows {
            problems.push(failure.problem(at, places));
        }
        if problems.len() >= PROBLEMS_MAX {
            problems.push(Problem::of_text(format!("has more than {PROBLEMS_MAX} problems; these are the first")));
            return None;
        }
        if at == tree.at || !masked.insert(at) {
            return None;
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    masked: &'a HashSet<At>,
}

impl<'a> Reader<'a> {
    fn over(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn hides(self, node: &Node) -> bool {
        self.masked.contains(&node.at)
    }

    fn located<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| failure.at(self.node, self.masked))
    }

    fn wrong<T>(self, wanted: &str) -> Result<T, Failure> {
        let failure = match &self.node.kind {
            _ if self.node.is_empty() => Failure::new("is empty").hint(Some("give it a value or leave it out".to_owned())),
            Kind::Scalar { text, .. } => Failure::new(format!("must be {wanted}: got `{}`", shown(text))),
            Kind::Sequence(_) => Failure::new(format!("must be {wanted}, not a list")),
            Kind::Mapping(_) => Failure::new(format!("must be {wanted}, not a mapping")),
        };
        self.located(Err(failure))
    }

    fn text(self, wanted: &str) -> Result<&'a str, Failure> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if !self.node.is_empty() => Ok(text),
            _ => self.wrong(wanted),
        }
    }

    fn parsed<T: std::str::FromStr>(self, wanted: &str) -> Result<T, Failure> {
        match &self.node.kind {
            // Rust also reads `+5`, which is no number of ours.
            Kind::Scalar { text, plain: true } if !text.starts_with('+') => text.parse().or_else(|_| self.wrong(wanted)),
            _ => self.wrong(wanted),
        }
    }

    fn items(self) -> Result<&'a [Node], Failure> {
        match &self.node.kind {
            Kind::Sequence(items) => Ok(items),
            _ => self.wrong("a list"),
        }
    }

    fn entries(self) -> Result<&'a [(String, Node)], Failure> {
        match &self.node.kind {
            Kind::Mapping(entries) => Ok(entries),
            _ => self.wrong("a mapping"),
        }
    }

    fn visit_items<'de, V: Visitor<'de>>(self, items: &'a [Node], visitor: V) -> Result<V::Value, Failure> {
        self.located(visitor.visit_seq(Items { reader: self, rest: items.iter() }))
    }

    fn visit_entries<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let entries = self.entries()?;
        self.located(visitor.visit_map(Fields { reader: self, rest: entries.iter(), value: None }))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $wanted:literal;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            let value: $type = self.parsed($wanted)?;
            self.located(visitor.$visit(value))
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let visited = match &self.node.kind {
            Kind::Sequence(items) => return self.visit_items(items, visitor),
            Kind::Mapping(_) => return self.visit_entries(visitor),
            Kind::Scalar { .. } if self.node.is_empty() => visitor.visit_unit(),
            Kind::Scalar { text, plain: true } => match &**text {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => match text.parse::<i64>() {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => visitor.visit_str(text),
                },
            },
            Kind::Scalar { text, .. } => visitor.visit_str(text),
        };
        self.located(visited)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = self.parsed("`true` or `false`")?;
        self.located(visitor.visit_bool(value))
    }

    numbers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, not negative";
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Failure> {
        self.located(Err(Failure::new("cannot be read: numbers are decimals, never floats")))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f32(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let text = self.text("a single value")?;
        self.located(visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    /// What is written is there: an empty value is a problem of its own, never "none".
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.located(visitor.visit_some(self))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_empty() { visitor.visit_unit() } else { self.wrong("empty") }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        match (name, &self.node.kind) {
            (PLACED, _) => self.located(visitor.visit_seq(PlaceAndValue { reader: self, place_told: false })),
            (ENTRIES, _) => {
                let parts = |(name, node)| {
                    let value = if self.hides(node) { Part::Hidden } else { Part::Shown(self.over(node)) };
                    [Part::Name(name), Part::Place(node.at), value]
                };
                let entries = self.entries()?.iter().map(|(name, node)| (&**name, node));
                self.located(visitor.visit_seq(Parts(entries.flat_map(parts))))
            }
            (ONE_OR_MANY, Kind::Sequence(items)) if items.is_empty() => {
                self.located(Err(Failure::new("is an empty list").hint(Some("name at least one, or leave it out".to_owned()))))
            }
            (ONE_OR_MANY, Kind::Sequence(items)) => self.visit_items(items, visitor),
            (ONE_OR_MANY, _) => self.visit_items(std::slice::from_ref(self.node), visitor),
            (TEXT_OR, Kind::Scalar { .. }) => self.deserialize_str(visitor),
            _ => self.located(visitor.visit_newtype_struct(self)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let items = self.items()?;
        self.visit_items(items, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _name: &'static str, _len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_entries(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit_entries(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let choice = match &self.node.kind {
            Kind::Scalar { .. } => Choice { reader: self, name: self.text(&format!("one of {}", list(variants)))?, value: None },
            Kind::Mapping(entries) => match &entries[..] {
                [(name, value)] => Choice { reader: self, name, value: Some(self.over(value)) },
                _ => return self.located(Err(Failure::new(format!("must have exactly one of the keys {}", list(variants))))),
            },
            Kind::Sequence(_) => return self.wrong(&format!("one of {}", list(variants))),
        };
        self.located(visitor.visit_enum(choice))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let reader = self.reader;
        self.rest.find(|node| !reader.hides(node)).map(|node| seed.deserialize(reader.over(node))).transpose()
    }
}

struct Fields<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let reader = self.reader;
        let Some((name, value)) = self.rest.find(|(_, value)| !reader.hides(value)) else { return Ok(None) };
        self.value = Some(value);
        let key: StrDeserializer<'_, Failure> = name.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|failure| Failure { about: About::Name, ..failure }.at(value, reader.masked))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let value = self.value.take().ok_or_else(|| Failure::new("was asked for before its key"))?;
        seed.deserialize(self.reader.over(value))
    }
}

/// What a `Placed` is told.
struct PlaceAndValue<'a> {
    reader: Reader<'a>,
    place_told: bool,
}

impl<'de> SeqAccess<'de> for PlaceAndValue<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        if std::mem::replace(&mut self.place_told, true) {
            seed.deserialize(self.reader).map(Some)
        } else {
            seed.deserialize(U32Deserializer::new(self.reader.node.at.0)).map(Some)
        }
    }
}

/// What `Entries` are told.
#[derive(Clone, Copy)]
enum Part<'a> {
    Name(&'a str),
    Place(At),
    Shown(Reader<'a>),
    Hidden,
}

struct Parts<I>(I);

impl<'a, 'de, I: Iterator<Item = Part<'a>>> SeqAccess<'de> for Parts<I> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        self.0.next().map(|part| seed.deserialize(part)).transpose()
    }
}

impl<'de> Deserializer<'de> for Part<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self {
            Self::Name(name) => visitor.visit_str(name),
            Self::Place(at) => U32Deserializer::new(at.0).deserialize_any(visitor),
            Self::Shown(reader) => visitor.visit_some(reader),
            Self::Hidden => visitor.visit_none(),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// One variant of an enum: a name alone, or a name with a value.
struct Choice<'a> {
    reader: Reader<'a>,
    name: &'a str,
    value: Option<Reader<'a>>,
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name: StrDeserializer<'_, Failure> = self.name.into_deserializer();
        let variant = self.reader.located(seed.deserialize(name))?;
        Ok((variant, self))
    }
}

impl Choice<'_> {
    fn without_value(&self) -> Failure {
        Failure::new(format!("`{0}` needs a value: `{{{0}: ...}}`", self.name)).at(self.reader.node, self.reader.masked)
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.value {
            None => Ok(()),
            Some(_) => self.reader.located(Err(Failure::new(format!("`{0}` takes no value: write `{0}` alone", self.name)))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        let value = self.value.ok_or_else(|| self.without_value())?;
        seed.deserialize(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Failure> {
        let value = self.value.ok_or_else(|| self.without_value())?;
        value.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        let value = self.value.ok_or_else(|| self.without_value())?;
        value.visit_entries(visitor)
    }
}
