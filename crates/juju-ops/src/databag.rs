//! Relation databags and their typed form.
//!
//! A databag is a flat map of text to text. Interfaces put values into it in one of three ways, see
//! [`Encoding`]; [`Databag::decode`] and [`Databag::encode`] translate between a databag and any type that
//! implements serde's traits.
//!
//! ```
//! use juju_ops::{Databag, Encoding};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Request {
//!     receivers: Vec<String>,
//!     comment: Option<String>,
//! }
//!
//! let wanted = Request { receivers: vec!["zipkin".into(), "otlp_http".into()], comment: None };
//! let bag = Databag::encode(&wanted, Encoding::Json)?;
//! assert_eq!(bag.get("receivers").map(String::as_str), Some(r#"["zipkin", "otlp_http"]"#));
//! assert_eq!(bag.get("comment"), None);
//! assert_eq!(bag.decode::<Request>(Encoding::Json)?, wanted);
//! # Ok::<(), juju_ops::DatabagError>(())
//! ```

use std::collections::{BTreeMap, btree_map};
use std::fmt::{self, Display};
use std::ops::Deref;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::ser::{self, Impossible};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::one_line;

/// Keys that Juju itself keeps in every unit databag. They are plain text whatever the interface.
const JUJU_KEYS: [&str; 3] = ["egress-subnets", "ingress-address", "private-address"];

/// The longest text of a [`DatabagError::reason`], in characters: it ends up in status messages.
const REASON_LIMIT: usize = 160;

/// One side's data of one relation, as text.
///
/// Juju stores no empty values: writing one deletes its key. Some interfaces put credentials into databags, so
/// `Debug` shows the keys and how long their texts are.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Databag(BTreeMap<String, String>);

/// How an interface puts one value into the text of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Every value is a JSON document, so texts carry quotes.
    Json,
    /// Texts, numbers, truth values and names of enum variants are plain text; lists and maps, which have no
    /// plain form, are JSON documents.
    Raw,
    /// Read as JSON where that gives what the type asks for, else as [`Encoding::Raw`]. Written as raw, save
    /// for texts that a reader would take for JSON: those are quoted.
    Auto,
}

/// A databag that does not hold what the type asks for, or a value that does not fit into a databag.
///
/// The reason never repeats the data: it may be secret, and it is as long as the other side likes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabagError {
    /// The key at fault; empty if the databag as a whole is.
    pub key: String,
    /// What is wrong with it, in a few words.
    pub reason: String,
}

impl Databag {
    /// An empty databag.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// True if there is nothing in it but keys of Juju's own (`private-address` and its like).
    pub fn is_unwritten(&self) -> bool {
        self.0.keys().all(|key| is_juju_key(key))
    }

    /// Sets one key and returns what it held before.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.0.insert(key.into(), value.into())
    }

    /// Removes one key and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Reads a type from the databag.
    ///
    /// Of a struct only the declared fields are decoded: any other key may hold anything. A missing key is a
    /// missing field, so `Option` and `#[serde(default)]` do what they say. A map takes every key except
    /// those of Juju's own, which are plain text in every encoding.
    ///
    /// # Errors
    /// Names the key that is missing, is not valid in this encoding, or holds something of another type.
    pub fn decode<T: DeserializeOwned>(&self, encoding: Encoding) -> Result<T, DatabagError> {
        T::deserialize(BagReader { bag: self, encoding })
    }

    /// Writes a type (a struct, or a map with texts as keys) into a new databag.
    ///
    /// Fields that are `None` are left out, and in [`Encoding::Raw`] and [`Encoding::Auto`] empty texts too,
    /// since Juju has no empty values. JSON is spaced as by [`json_text`].
    ///
    /// # Errors
    /// For a type that is neither a struct nor a map, and for values that JSON cannot express.
    pub fn encode<T: Serialize + ?Sized>(value: &T, encoding: Encoding) -> Result<Self, DatabagError> {
        Ok(value.serialize(BagWriter { encoding })?.bag)
    }

    /// What makes a databag hold a struct: the fields with their texts, and `None` for those without a value, whose keys
    /// are to be deleted. Keys that the struct does not declare are not touched.
    ///
    /// ```
    /// use juju_ops::{Databag, Encoding};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Endpoint {
    ///     host: &'static str,
    ///     path: Option<&'static str>,
    /// }
    ///
    /// let changes = Databag::changes(&Endpoint { host: "db", path: None }, Encoding::Raw)?;
    /// assert_eq!(changes["host"].as_deref(), Some("db"));
    /// assert_eq!(changes["path"], None);
    /// # Ok::<(), juju_ops::DatabagError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Databag::encode`].
    pub fn changes<T: Serialize + ?Sized>(
        value: &T,
        encoding: Encoding,
    ) -> Result<BTreeMap<String, Option<String>>, DatabagError> {
        let Written { bag, absent } = value.serialize(BagWriter { encoding })?;
        let mut changes: BTreeMap<String, Option<String>> =
            absent.into_iter().map(|key| (key, None)).collect();
        changes.extend(bag.0.into_iter().map(|(key, text)| (key, Some(text))));
        Ok(changes)
    }

    /// The map inside.
    pub fn into_inner(self) -> BTreeMap<String, String> {
        self.0
    }
}

/// A value as JSON on one line, spaced as most charms do it (`", "` and `": "`), with text as raw UTF-8.
///
/// # Errors
/// If the value has no JSON form, such as a map whose keys are lists.
pub fn json_text<T: Serialize + ?Sized>(value: &T) -> Result<String, DatabagError> {
    let mut text = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, Spaced))
        .map_err(|error| DatabagError::whole(json_reason(&error)))?;
    String::from_utf8(text).map_err(|_| DatabagError::whole("is not text"))
}

pub(crate) fn is_juju_key(key: &str) -> bool {
    JUJU_KEYS.contains(&key)
}

impl fmt::Debug for Databag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, value): (&'_ String, &'_ String)| (key.clone(), format!("{} bytes", value.len()));
        f.debug_map().entries(self.0.iter().map(shown)).finish()
    }
}

impl Deref for Databag {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<BTreeMap<String, String>> for Databag {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Databag {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Databag {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for Databag {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        self.0.extend(pairs.into_iter().map(|(key, value)| (key.into(), value.into())));
    }
}

impl IntoIterator for Databag {
    type Item = (String, String);
    type IntoIter = btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Databag {
    type Item = (&'a String, &'a String);
    type IntoIter = btree_map::Iter<'a, String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

// --- errors -----------------------------------------------------------------------------------------------

impl DatabagError {
    /// An error of one key. The reason is cut to a length fit for a status message.
    pub fn new(key: impl Into<String>, reason: impl AsRef<str>) -> Self {
        Self { key: key.into(), reason: one_line(reason.as_ref(), REASON_LIMIT) }
    }

    /// An error of the databag as a whole.
    fn whole(reason: impl AsRef<str>) -> Self {
        Self::new("", reason)
    }

    /// Names the key, unless a more exact place is known already.
    fn at(mut self, key: &str) -> Self {
        if self.key.is_empty() {
            key.clone_into(&mut self.key);
        }
        self
    }
}

impl Display for DatabagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.key, self.reason)
        }
    }
}

impl std::error::Error for DatabagError {}

impl de::Error for DatabagError {
    fn custom<T: Display>(message: T) -> Self {
        Self::whole(without_data(&message.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(field, "missing")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(field, "given twice, in two spellings")
    }
}

impl ser::Error for DatabagError {
    fn custom<T: Display>(message: T) -> Self {
        Self::whole(message.to_string())
    }
}

/// A JSON error in words that do not repeat the data.
fn json_reason(error: &serde_json::Error) -> String {
    if error.is_data() { without_data(&error.to_string()) } else { "not valid JSON".to_owned() }
}

/// Serde says `invalid type: string "what was there", expected …`; keeps the kind and drops the value.
pub(crate) fn without_data(message: &str) -> String {
    let message = message.rfind(" at line ").map_or(message, |end| &message[..end]);
    for start in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = message.strip_prefix(start)
            && let Some((found, expected)) = rest.rsplit_once(", expected ")
        {
            let kind: String = found.chars().take_while(|c| c.is_ascii_lowercase() || *c == ' ').collect();
            return format!("expected {expected}, found {}", kind.trim());
        }
    }
    message.to_owned()
}

// --- reading ----------------------------------------------------------------------------------------------

/// The databag as a whole: a struct or a map.
#[derive(Clone, Copy)]
struct BagReader<'de> {
    bag: &'de Databag,
    encoding: Encoding,
}

impl<'de> Deserializer<'de> for BagReader<'de> {
    type Error = DatabagError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let foreign = self.bag.iter().filter(|(key, _)| !is_juju_key(key));
        let pairs = foreign.map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>();
        visitor.visit_map(Pairs { rest: pairs.into_iter(), current: None, encoding: self.encoding })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let declared = fields.iter().filter_map(|key| self.bag.get(*key).map(|value| (*key, value.as_str())));
        let pairs = declared.collect::<Vec<_>>();
        visitor.visit_map(Pairs { rest: pairs.into_iter(), current: None, encoding: self.encoding })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.bag.is_unwritten() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq tuple
        tuple_struct map enum identifier
    }
}

/// Keys with their texts, handed out one by one.
struct Pairs<'de> {
    rest: std::vec::IntoIter<(&'de str, &'de str)>,
    current: Option<(&'de str, &'de str)>,
    encoding: Encoding,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = DatabagError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.current = self.rest.next();
        let Some((key, _)) = self.current else { return Ok(None) };
        let named = IntoDeserializer::<DatabagError>::into_deserializer(key);
        seed.deserialize(named).map(Some).map_err(|error| error.at(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Self::Error> {
        let Some((key, text)) = self.current.take() else {
            return Err(DatabagError::whole("a value was asked for before its key"));
        };
        let value = match self.encoding {
            _ if is_juju_key(key) => seed.deserialize(Text { text, json_first: false }),
            Encoding::Json => Text { text, json_first: false }.json(|reader| seed.deserialize(reader)),
            Encoding::Raw => seed.deserialize(Text { text, json_first: false }),
            Encoding::Auto => seed.deserialize(Text { text, json_first: true }),
        };
        value.map_err(|error| error.at(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

type Json<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

/// The text of one key in the raw encoding, or in the automatic one if `json_first`.
#[derive(Clone, Copy)]
struct Text<'de> {
    text: &'de str,
    json_first: bool,
}

impl<'de> Text<'de> {
    fn json<T>(self, read: impl FnOnce(&mut Json<'de>) -> serde_json::Result<T>) -> Result<T, DatabagError> {
        let mut reader = serde_json::Deserializer::from_str(self.text);
        read(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| {
            // The type may be wrong at the start of something that is no JSON at all: say the simpler thing.
            if serde_json::from_str::<de::IgnoredAny>(self.text).is_err() {
                DatabagError::whole("not valid JSON")
            } else {
                DatabagError::whole(json_reason(&error))
            }
        })
    }

    /// The text inside the quotes, where the automatic encoding sees a quoted one.
    fn unquoted(self) -> Option<String> {
        if self.json_first { serde_json::from_str(self.text).ok() } else { None }
    }

    fn parse<N: std::str::FromStr>(self, kind: &'static str) -> Result<N, DatabagError> {
        self.text.trim().parse().map_err(|_| DatabagError::whole(format!("expected {kind}")))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $kind:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            visitor.$visit(self.parse($kind)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = DatabagError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.json_first && serde_json::from_str::<de::IgnoredAny>(self.text).is_ok() {
            return self.json(|reader| reader.deserialize_any(visitor));
        }
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.unquoted() {
            Some(text) => visitor.visit_string(text),
            None => visitor.visit_borrowed_str(self.text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_bytes(self.text.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        // Charms in Python write truth values with a capital letter when they do not think of JSON.
        match self.text.trim() {
            "true" | "True" => visitor.visit_bool(true),
            "false" | "False" => visitor.visit_bool(false),
            _ => Err(DatabagError::whole("expected true or false")),
        }
    }

    numbers! {
        deserialize_i8 visit_i8 "a whole number";
        deserialize_i16 visit_i16 "a whole number";
        deserialize_i32 visit_i32 "a whole number";
        deserialize_i64 visit_i64 "a whole number";
        deserialize_i128 visit_i128 "a whole number";
        deserialize_u8 visit_u8 "a whole number";
        deserialize_u16 visit_u16 "a whole number";
        deserialize_u32 visit_u32 "a whole number";
        deserialize_u64 visit_u64 "a whole number";
        deserialize_u128 visit_u128 "a whole number";
        deserialize_f32 visit_f32 "a number";
        deserialize_f64 visit_f64 "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.json_first && self.text.trim() == "null" {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.json(|reader| reader.deserialize_seq(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.json(|reader| reader.deserialize_tuple(len, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.json(|reader| reader.deserialize_tuple_struct(name, len, visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.json(|reader| reader.deserialize_map(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.json(|reader| reader.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        // A variant without content is its plain name; one with content can only be JSON.
        if self.text.trim_start().starts_with('{') {
            return self.json(|reader| reader.deserialize_enum(name, variants, visitor));
        }
        match self.unquoted() {
            Some(text) => visitor.visit_enum(IntoDeserializer::<DatabagError>::into_deserializer(text)),
            None => visitor.visit_enum(IntoDeserializer::<DatabagError>::into_deserializer(self.text)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }
}

// --- writing ----------------------------------------------------------------------------------------------

/// JSON on one line with a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The text of one value; `None` if there is nothing to write.
fn value_text<T: Serialize + ?Sized>(value: &T, encoding: Encoding) -> Result<Option<String>, DatabagError> {
    let json = json_text(value)?;
    if json == "null" {
        return Ok(None);
    }
    if encoding == Encoding::Json {
        return Ok(Some(json));
    }
    // Only a text differs between JSON and raw: it loses its quotes.
    let Ok(plain) = serde_json::from_str::<String>(&json) else { return Ok(Some(json)) };
    let taken_for_json = || serde_json::from_str::<de::IgnoredAny>(&plain).is_ok();
    if plain.is_empty() {
        Ok(None)
    } else if encoding == Encoding::Auto && taken_for_json() {
        Ok(Some(json))
    } else {
        Ok(Some(plain))
    }
}

/// What was written, and which declared fields had nothing to write.
#[derive(Default)]
struct Written {
    bag: Databag,
    absent: Vec<String>,
}

struct BagWriter {
    encoding: Encoding,
}

const NOT_A_BAG: &str = "only a struct or a map can be written to a databag";

macro_rules! refused {
    ($($method:ident($($arg:ty),*);)*) => {$(
        fn $method(self, $(_: $arg),*) -> Result<Self::Ok, Self::Error> {
            Err(DatabagError::whole(NOT_A_BAG))
        }
    )*};
}

impl Serializer for BagWriter {
    type Ok = Written;
    type Error = DatabagError;
    type SerializeSeq = Impossible<Written, DatabagError>;
    type SerializeTuple = Impossible<Written, DatabagError>;
    type SerializeTupleStruct = Impossible<Written, DatabagError>;
    type SerializeTupleVariant = Impossible<Written, DatabagError>;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Impossible<Written, DatabagError>;

    refused! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64);
        serialize_i128(i128); serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64);
        serialize_u128(u128); serialize_f32(f32); serialize_f64(f64); serialize_char(char); serialize_str(&str);
        serialize_bytes(&[u8]); serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_none(self) -> Result<Written, DatabagError> {
        Ok(Written::default())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Written, DatabagError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Written, DatabagError> {
        Ok(Written::default())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Written, DatabagError> {
        Ok(Written::default())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Written, DatabagError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Written, DatabagError> {
        Err(DatabagError::whole(NOT_A_BAG))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self::SerializeSeq, DatabagError> {
        Err(DatabagError::whole(NOT_A_BAG))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self::SerializeTuple, DatabagError> {
        Err(DatabagError::whole(NOT_A_BAG))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct, DatabagError> {
        Err(DatabagError::whole(NOT_A_BAG))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, DatabagError> {
        Err(DatabagError::whole(NOT_A_BAG))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields, DatabagError> {
        Ok(Fields { written: Written::default(), key: None, encoding: self.encoding })
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields, DatabagError> {
        Ok(Fields { written: Written::default(), key: None, encoding: self.encoding })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, DatabagError> {
        Err(DatabagError::whole(NOT_A_BAG))
    }
}

/// Collects the fields of a struct or the entries of a map.
struct Fields {
    written: Written,
    key: Option<String>,
    encoding: Encoding,
}

impl Fields {
    fn put<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), DatabagError> {
        match value_text(value, self.encoding).map_err(|error| error.at(key))? {
            Some(text) => drop(self.written.bag.insert(key, text)),
            None => self.written.absent.push(key.to_owned()),
        }
        Ok(())
    }
}

impl ser::SerializeStruct for Fields {
    type Ok = Written;
    type Error = DatabagError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), DatabagError> {
        self.put(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), DatabagError> {
        self.written.absent.push(key.to_owned());
        Ok(())
    }

    fn end(self) -> Result<Written, DatabagError> {
        Ok(self.written)
    }
}

impl ser::SerializeMap for Fields {
    type Ok = Written;
    type Error = DatabagError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), DatabagError> {
        match serde_json::to_value(key) {
            Ok(serde_json::Value::String(text)) => {
                self.key = Some(text);
                Ok(())
            }
            _ => Err(DatabagError::whole("the keys of a databag are texts")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DatabagError> {
        match self.key.take() {
            Some(key) => self.put(&key, value),
            None => Err(DatabagError::whole("a value was written before its key")),
        }
    }

    fn end(self) -> Result<Written, DatabagError> {
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        PlainText,
        Other,
    }

    #[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    struct Sample {
        plain_text: String,
        number: i64,
        flag: bool,
        mode: Mode,
        list: Vec<String>,
        map: BTreeMap<String, Vec<u16>>,
        maybe: Option<String>,
        #[serde(default)]
        defaulted: BTreeSet<u8>,
    }

    fn sample() -> Sample {
        Sample {
            plain_text: "a \"b\"".into(),
            number: -7,
            flag: true,
            mode: Mode::PlainText,
            list: vec!["ä".into(), "🐱".into()],
            map: BTreeMap::from([("x".into(), vec![1, 2]), ("y".into(), vec![])]),
            maybe: None,
            defaulted: BTreeSet::new(),
        }
    }

    fn pairs(bag: &Databag) -> Vec<(&str, &str)> {
        bag.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
    }

    #[test]
    fn json_is_spaced_raw_utf8_and_leaves_none_out() {
        let bag = Databag::encode(&sample(), Encoding::Json).unwrap();
        assert_eq!(
            pairs(&bag),
            [
                ("defaulted", "[]"),
                ("flag", "true"),
                ("list", r#"["ä", "🐱"]"#),
                ("map", r#"{"x": [1, 2], "y": []}"#),
                ("mode", r#""plain-text""#),
                ("number", "-7"),
                ("plain-text", r#""a \"b\"""#),
            ]
        );
    }

    #[test]
    fn raw_scalars_are_plain_and_lists_are_json() {
        let bag = Databag::encode(&sample(), Encoding::Raw).unwrap();
        assert_eq!(bag["plain-text"], r#"a "b""#);
        assert_eq!(bag["mode"], "plain-text");
        assert_eq!(bag["number"], "-7");
        assert_eq!(bag["list"], r#"["ä", "🐱"]"#);
        assert_eq!(bag.decode::<Sample>(Encoding::Raw).unwrap(), sample());
    }

    #[test]
    fn raw_reads_what_looks_like_json_as_it_stands() {
        #[derive(Deserialize)]
        struct Key {
            key: String,
        }
        for text in ["12345", "1e3", "null", "true", "\"quoted\"", "[", "{}"] {
            let bag = Databag::from([("key", text)]);
            assert_eq!(bag.decode::<Key>(Encoding::Raw).unwrap().key, text);
        }
    }

    #[test]
    fn auto_takes_json_where_it_fits_the_type() {
        #[derive(Serialize, Deserialize, Debug, PartialEq)]
        struct Key {
            key: String,
        }
        let read = |text: &str| Databag::from([("key", text)]).decode::<Key>(Encoding::Auto).unwrap().key;
        assert_eq!(read("\"quoted\""), "quoted");
        assert_eq!(read("plain"), "plain");
        assert_eq!(read("12345"), "12345");
        // What a reader would take for JSON is written so that it is read as the text that it is.
        for text in ["12345", "null", "\"x\"", "plain"] {
            let bag = Databag::encode(&Key { key: text.into() }, Encoding::Auto).unwrap();
            assert_eq!(read(&bag["key"]), text);
        }
    }

    #[test]
    fn only_declared_fields_are_looked_at() {
        #[derive(Deserialize, Debug, PartialEq)]
        struct One {
            one: u8,
        }
        let bag = Databag::from([("one", "1"), ("rubbish", "{{{"), ("private-address", "10.1.2.3")]);
        assert_eq!(bag.decode::<One>(Encoding::Json), Ok(One { one: 1 }));
    }

    #[test]
    fn maps_take_every_key_but_jujus_own() {
        let bag = Databag::from([("a", "1"), ("b", "2"), ("ingress-address", "10.1.2.3")]);
        let map: BTreeMap<String, u8> = bag.decode(Encoding::Json).unwrap();
        assert_eq!(map, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        assert!(Databag::from([("egress-subnets", "10.1.2.3/32")]).is_unwritten());
        assert!(!bag.is_unwritten());
    }

    #[test]
    fn a_struct_may_declare_jujus_keys_and_gets_them_as_text() {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Address {
            ingress_address: String,
        }
        let bag = Databag::from([("ingress-address", "10.1.2.3")]);
        assert_eq!(bag.decode::<Address>(Encoding::Json).unwrap().ingress_address, "10.1.2.3");
    }

    #[test]
    fn errors_name_the_key_and_never_repeat_the_data() {
        #[derive(Deserialize, Debug)]
        struct Inner {
            #[allow(dead_code)]
            name: String,
        }
        #[derive(Deserialize, Debug)]
        struct Outer {
            #[allow(dead_code)]
            list: Vec<Inner>,
        }
        let reason = |text: &str| {
            let error = Databag::from([("list", text)]).decode::<Outer>(Encoding::Json).unwrap_err();
            assert_eq!(error.key, "list");
            error.to_string()
        };
        assert_eq!(reason("s3cr3t, expected"), "list: not valid JSON");
        assert_eq!(reason(r#""s3cr3t, expected a lot""#), "list: expected a sequence, found string");
        assert_eq!(reason(r#"[{"name": 99887766}]"#), "list: expected a string, found integer");
        assert_eq!(reason(r"[{}]"), "list: missing field `name`");
        assert_eq!(reason(r#"[{"name": "x"}] trailing"#), "list: not valid JSON");
        let missing = Databag::new().decode::<Outer>(Encoding::Json).unwrap_err();
        assert_eq!(missing.to_string(), "list: missing");
        let long = DatabagError::new("k", "é\n".repeat(500));
        assert_eq!(long.reason.chars().count(), REASON_LIMIT + 1);
        assert!(!long.reason.contains('\n'));
    }

    #[test]
    fn debug_shows_no_values() {
        let bag = Databag::from([("secret-key", "hunter22")]);
        assert_eq!(format!("{bag:?}"), r#"{"secret-key": "8 bytes"}"#);
    }

    #[test]
    fn only_structs_and_maps_can_be_written() {
        assert!(Databag::encode(&7, Encoding::Json).is_err());
        assert!(Databag::encode(&["x"], Encoding::Json).is_err());
        assert!(Databag::encode("x", Encoding::Raw).is_err());
        assert!(Databag::encode(&BTreeMap::from([(1, 2)]), Encoding::Json).is_err());
        assert_eq!(Databag::encode(&None::<Sample>, Encoding::Json), Ok(Databag::new()));
    }

    #[test]
    fn flattened_and_nested_options_work() {
        #[derive(Serialize, Deserialize, Debug, PartialEq)]
        struct Whole {
            name: String,
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        }
        let whole = Whole { name: "n".into(), rest: BTreeMap::from([("a".into(), 1)]) };
        let bag = Databag::encode(&whole, Encoding::Json).unwrap();
        assert_eq!(pairs(&bag), [("a", "1"), ("name", "\"n\"")]);
        assert_eq!(bag.decode::<Whole>(Encoding::Json).unwrap(), whole);
        assert_eq!(Databag::new().decode::<Option<Whole>>(Encoding::Json), Ok(None));
        assert_eq!(bag.decode::<Option<Whole>>(Encoding::Json), Ok(Some(whole)));
    }

    fn encodings() -> impl Strategy<Value = Encoding> {
        prop_oneof![Just(Encoding::Json), Just(Encoding::Raw), Just(Encoding::Auto)]
    }

    /// Text that is often almost right.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\\[\\]{}\",:0-9a-z ]{0,12}",
            Just("[[".repeat(500)),
            prop::sample::select(vec![
                "null",
                "[]",
                "{}",
                "[\"a\"]",
                "\"plain-text\"",
                "1",
                "true",
                "{\"x\": [1]}"
            ])
            .prop_map(str::to_owned),
        ]
    }

    #[test]
    fn a_field_without_value_is_deleted_however_it_is_left_out() {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Absences {
            there: u8,
            not_there: Option<u8>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            left_out: Vec<u8>,
            #[serde(skip)]
            #[allow(dead_code)]
            of_no_concern: u8,
            empty: &'static str,
        }
        let value = Absences { there: 1, not_there: None, left_out: vec![], of_no_concern: 2, empty: "" };
        let deleted = |encoding| {
            let changes = Databag::changes(&value, encoding).unwrap();
            let deleted = changes.iter().filter(|(_, text)| text.is_none()).map(|(key, _)| key.clone());
            (changes.len(), deleted.collect::<Vec<_>>())
        };
        assert_eq!(deleted(Encoding::Json), (4, vec!["left-out".to_owned(), "not-there".into()]));
        assert_eq!(
            deleted(Encoding::Raw),
            (4, vec!["empty".to_owned(), "left-out".into(), "not-there".into()])
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn arbitrary_text_never_panics(
            values in prop::collection::vec(texts(), 8),
            foreign in prop::collection::btree_map(any::<String>(), any::<String>(), 0..3),
            encoding in encodings(),
        ) {
            let keys = ["plain-text", "number", "flag", "mode", "list", "map", "maybe", "defaulted"];
            let mut bag: Databag = keys.into_iter().zip(values).collect();
            bag.extend(foreign);
            if let Err(error) = bag.decode::<Sample>(encoding) {
                prop_assert!(keys.contains(&error.key.as_str()), "{error}");
                prop_assert!(error.reason.chars().count() <= REASON_LIMIT + 1);
            }
            let _ = bag.decode::<BTreeMap<String, serde_json::Value>>(encoding);
        }

        #[test]
        fn what_is_written_is_read_back(
            plain_text in any::<String>(), number in any::<i64>(), flag in any::<bool>(),
            mode in prop_oneof![Just(Mode::PlainText), Just(Mode::Other)],
            list in prop::collection::vec(any::<String>(), 0..4),
            map in prop::collection::btree_map(any::<String>(), prop::collection::vec(any::<u16>(), 0..3), 0..3),
            maybe in prop::option::of(any::<String>()),
            defaulted in prop::collection::btree_set(any::<u8>(), 0..4),
            encoding in encodings(),
        ) {
            // There are no empty plain values in Juju.
            let empty = |text: &str| encoding != Encoding::Json && text.is_empty();
            prop_assume!(!empty(&plain_text) && !maybe.as_deref().is_some_and(empty));
            let value = Sample { plain_text, number, flag, mode, list, map, maybe, defaulted };
            let bag = Databag::encode(&value, encoding).unwrap();
            prop_assert_eq!(bag.decode::<Sample>(encoding).unwrap(), value);
        }
    }
}
