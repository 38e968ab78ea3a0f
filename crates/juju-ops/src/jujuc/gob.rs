//! The part of Go's gob encoding that the agent's socket needs.
//!
//! A gob stream is a row of messages, each with its length before it. A message either defines a type, under a number
//! that the sender chose, or carries a value of a type defined before. Structs are sent as the fields that are not zero,
//! each with the distance from the field before it; what a field is called and what it holds is in the definition.
//! Decoding here goes by that: fields are found by name wherever they stand, and what nobody asked for is passed over.
//!
//! Everything read is bounded: messages by [`LIMIT`], definitions in size and number, nesting by [`DEPTH`]. No input makes
//! it panic, and memory stays in proportion to what was received.

use std::collections::BTreeMap;

use super::ProtocolError;

/// Longest message, in bytes: four times what Juju takes for the settings of one relation.
pub const LIMIT: usize = 64 << 20;

/// Longest definition of a type; the longest of the agent's has 103 bytes.
const DEFINITION_LIMIT: usize = 16 << 10;
/// Most types that one stream defines, and most fields of one struct.
const TYPES: usize = 64;
const FIELDS: usize = 256;
/// Most items of one list of texts: an empty one takes a byte on the wire and a good deal more here.
const TEXTS: usize = 1 << 16;
/// Deepest nesting of a value that is passed over.
const DEPTH: usize = 32;

/// Numbers of the types that every Go program knows.
const BOOL: i64 = 1;
const INT: i64 = 2;
const UINT: i64 = 3;
const FLOAT: i64 = 4;
const BYTES: i64 = 5;
const STRING: i64 = 6;
const COMPLEX: i64 = 7;
const INTERFACE: i64 = 8;
/// First number that a Go program gives to a type of its own.
const FIRST: i64 = 64;

type Result<T> = std::result::Result<T, ProtocolError>;

const TRUNCATED: ProtocolError = ProtocolError::Malformed("it ends inside a value");
const SURPLUS: ProtocolError = ProtocolError::Malformed("there is something after the value");

/// Reads numbers and texts off a message.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Small numbers are one byte; others have the count of their bytes, negated, before them.
    fn uint(&mut self) -> Result<u64> {
        let (value, rest) = uint(self.0)?.ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(value)
    }

    /// The lowest bit says whether the others are inverted.
    fn int(&mut self) -> Result<i64> {
        let bits = self.uint()?;
        let magnitude = (bits >> 1).cast_signed();
        Ok(if bits & 1 == 1 { !magnitude } else { magnitude })
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.uint()?).map_err(|_| TRUNCATED)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Text that Go may have left in any encoding.
    fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// Passes over the whole value, whatever it is: its message says how long it is.
    pub(super) fn discard(&mut self) {
        self.0 = &[];
    }

    /// How many items follow. Each takes a byte at least, so that more cannot be meant.
    fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.uint()?).map_err(|_| TRUNCATED)?;
        if count > self.0.len() { Err(TRUNCATED) } else { Ok(count) }
    }

    /// Calls `field` with the number of each field of a struct, the first being 0, until the struct ends.
    fn fields(&mut self, mut field: impl FnMut(usize, &mut Self) -> Result<()>) -> Result<()> {
        let mut next = 0usize;
        loop {
            let distance = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
            if distance == 0 {
                return Ok(());
            }
            let number = next.saturating_add(distance - 1);
            field(number, self)?;
            next = number.saturating_add(1);
        }
    }
}

/// A number at the beginning of `bytes`, with what follows it; `None` where more bytes have to come.
fn uint(bytes: &[u8]) -> Result<Option<(u64, &[u8])>> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some((u64::from(first), rest)));
    }
    let count = usize::from(first.wrapping_neg());
    if count > 8 {
        return Err(ProtocolError::Malformed("a number has more than eight bytes"));
    }
    let Some((digits, rest)) = rest.split_at_checked(count) else { return Ok(None) };
    Ok(Some((digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit)), rest)))
}

/// What the sender said of a type.
enum Type {
    Struct(Vec<(String, i64)>),
    /// Arrays and slices look alike.
    List(i64),
    Map(i64, i64),
    /// Encoded by the type's own code: a number of bytes.
    Opaque,
}

/// The types that a stream has defined so far.
#[derive(Default)]
pub(super) struct Types(BTreeMap<i64, Type>);

impl Types {
    fn define(&mut self, id: i64, mut definition: Reader<'_>) -> Result<()> {
        if definition.0.len() > DEFINITION_LIMIT || self.0.len() >= TYPES {
            return Err(ProtocolError::Limit("definitions of types"));
        }
        if id < FIRST || self.0.contains_key(&id) {
            return Err(ProtocolError::Malformed("a type is defined twice"));
        }
        let mut defined = None;
        definition.fields(|kind, reader| {
            defined = Some(match kind {
                // Array and slice: name and number, then the type of the items; an array's length is of no use here.
                0 | 1 => Type::List(references(reader)?[0]),
                2 => Type::Struct(struct_fields(reader)?),
                3 => {
                    let [key, item] = references(reader)?;
                    Type::Map(key, item)
                }
                4..=6 => {
                    references(reader)?;
                    Type::Opaque
                }
                _ => return Err(ProtocolError::Malformed("a definition of no known kind")),
            });
            Ok(())
        })?;
        if !definition.0.is_empty() {
            return Err(SURPLUS);
        }
        self.0.insert(id, defined.ok_or(ProtocolError::Malformed("an empty definition"))?);
        Ok(())
    }

    /// Hands the fields of a struct to `visit`, which says whether it has read the field's value.
    ///
    /// What it has not read is passed over. It must not read half a value.
    pub(super) fn visit(
        &self,
        id: i64,
        reader: &mut Reader<'_>,
        mut visit: impl FnMut(&str, Value<'_, '_, '_>) -> Result<bool>,
    ) -> Result<()> {
        let Some(Type::Struct(fields)) = self.0.get(&id) else { return Err(ProtocolError::UnknownType(id)) };
        reader.fields(|number, reader| {
            let (name, id) = fields.get(number).ok_or(ProtocolError::Malformed("no such field"))?;
            if visit(name, Value { types: self, id: *id, reader })? {
                Ok(())
            } else {
                self.skip(*id, reader, 0)
            }
        })
    }

    fn skip(&self, id: i64, reader: &mut Reader<'_>, depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Err(ProtocolError::Limit("nesting"));
        }
        match id {
            BOOL | INT | UINT | FLOAT => reader.uint().map(drop),
            BYTES | STRING => reader.bytes().map(drop),
            COMPLEX => reader.uint().and_then(|_| reader.uint()).map(drop),
            INTERFACE => {
                // The name of the type, empty for nothing; its number; the value with its length.
                if reader.bytes()?.is_empty() {
                    return Ok(());
                }
                if reader.int()? < 0 {
                    return Err(ProtocolError::Malformed("a type is defined inside a value"));
                }
                reader.bytes().map(drop)
            }
            id => match self.0.get(&id).ok_or(ProtocolError::UnknownType(id))? {
                Type::Struct(fields) => reader.fields(|number, reader| {
                    let (_, id) = fields.get(number).ok_or(ProtocolError::Malformed("no such field"))?;
                    self.skip(*id, reader, depth + 1)
                }),
                Type::List(item) => {
                    for _ in 0..reader.count()? {
                        self.skip(*item, reader, depth + 1)?;
                    }
                    Ok(())
                }
                Type::Map(key, item) => {
                    for _ in 0..reader.count()? {
                        self.skip(*key, reader, depth + 1)?;
                        self.skip(*item, reader, depth + 1)?;
                    }
                    Ok(())
                }
                Type::Opaque => reader.bytes().map(drop),
            },
        }
    }
}

/// The types that a definition other than a struct's refers to. A field that is left out is 0, which is no type.
fn references(reader: &mut Reader<'_>) -> Result<[i64; 2]> {
    let mut types = [0; 2];
    reader.fields(|field, reader| match field {
        0 => name_and_number(reader),
        1 | 2 => {
            types[field - 1] = reader.int()?;
            Ok(())
        }
        _ => Err(ProtocolError::Malformed("a definition with surplus fields")),
    })?;
    Ok(types)
}

fn struct_fields(reader: &mut Reader<'_>) -> Result<Vec<(String, i64)>> {
    let mut fields = Vec::new();
    reader.fields(|field, reader| match field {
        0 => name_and_number(reader),
        1 => {
            let count = reader.count()?;
            if count > FIELDS {
                return Err(ProtocolError::Limit("fields of a struct"));
            }
            for _ in 0..count {
                let mut described = (String::new(), 0);
                reader.fields(|part, reader| {
                    match part {
                        0 => described.0 = reader.text()?,
                        1 => described.1 = reader.int()?,
                        _ => return Err(ProtocolError::Malformed("a definition with surplus fields")),
                    }
                    Ok(())
                })?;
                fields.push(described);
            }
            Ok(())
        }
        _ => Err(ProtocolError::Malformed("a definition with surplus fields")),
    })?;
    Ok(fields)
}

/// What every definition begins with; names of types are not compared, and the number has been said already.
fn name_and_number(reader: &mut Reader<'_>) -> Result<()> {
    reader.fields(|field, reader| match field {
        0 => reader.bytes().map(drop),
        1 => reader.int().map(drop),
        _ => Err(ProtocolError::Malformed("a definition with surplus fields")),
    })
}

/// The value of one field, not read yet.
pub(super) struct Value<'t, 'r, 'b> {
    types: &'t Types,
    id: i64,
    reader: &'r mut Reader<'b>,
}

impl Value<'_, '_, '_> {
    fn is(&self, id: i64, kind: &'static str) -> Result<()> {
        if self.id == id { Ok(()) } else { Err(ProtocolError::Kind(kind)) }
    }

    pub(super) fn flag(self, into: &mut bool) -> Result<bool> {
        self.is(BOOL, "a truth value")?;
        *into = self.reader.uint()? != 0;
        Ok(true)
    }

    pub(super) fn int(self, into: &mut i64) -> Result<bool> {
        self.is(INT, "a number with a sign")?;
        *into = self.reader.int()?;
        Ok(true)
    }

    pub(super) fn uint(self, into: &mut u64) -> Result<bool> {
        self.is(UINT, "a number without a sign")?;
        *into = self.reader.uint()?;
        Ok(true)
    }

    pub(super) fn text(self, into: &mut String) -> Result<bool> {
        self.is(STRING, "text")?;
        *into = self.reader.text()?;
        Ok(true)
    }

    pub(super) fn bytes(self, into: &mut Vec<u8>) -> Result<bool> {
        self.is(BYTES, "bytes")?;
        *into = self.reader.bytes()?.to_vec();
        Ok(true)
    }

    pub(super) fn texts(self, into: &mut Vec<String>) -> Result<bool> {
        if !matches!(self.types.0.get(&self.id), Some(Type::List(STRING))) {
            return Err(ProtocolError::Kind("a list of texts"));
        }
        let count = self.reader.count()?;
        if count > TEXTS {
            return Err(ProtocolError::Limit("items of a list"));
        }
        *into = (0..count).map(|_| self.reader.text()).collect::<Result<_>>()?;
        Ok(true)
    }
}

/// One direction of a connection, as the receiver has it.
#[derive(Default)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    /// How much of the buffer has been read.
    at: usize,
    types: Types,
    failed: Option<ProtocolError>,
}

impl Incoming {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.drain(..self.at);
            self.at = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Decodes the next value, if all of it is here. Nothing more is read after an error.
    pub(super) fn next<T>(
        &mut self,
        decode: impl FnOnce(&Types, i64, &mut Reader<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance(decode);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.buffer = Vec::new();
            self.at = 0;
        }
        result
    }

    fn advance<T>(
        &mut self,
        decode: impl FnOnce(&Types, i64, &mut Reader<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        loop {
            let Some((length, rest)) = uint(&self.buffer[self.at..])? else { return Ok(None) };
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= LIMIT)
                .ok_or(ProtocolError::Limit("bytes of a message"))?;
            let Some(message) = rest.get(..length) else { return Ok(None) };
            self.at = self.buffer.len() - rest.len() + length;
            let mut reader = Reader(message);
            let id = reader.int()?;
            if id < 0 {
                self.types.define(id.saturating_neg(), reader)?;
                continue;
            }
            let value = decode(&self.types, id, &mut reader)?;
            return if reader.0.is_empty() { Ok(Some(value)) } else { Err(SURPLUS) };
        }
    }
}

fn put_uint(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    if value < 0x80 {
        out.push(bytes[7]);
        return;
    }
    let digits = &bytes[value.leading_zeros() as usize / 8..];
    let count = u8::try_from(digits.len()).unwrap_or(8);
    out.push(count.wrapping_neg());
    out.extend_from_slice(digits);
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    let bits = value.cast_unsigned() << 1;
    put_uint(out, if value < 0 { !bits } else { bits });
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a struct field by field; those that are zero are left out, as Go does.
pub(super) struct Writer {
    out: Vec<u8>,
    /// Fields written or left out since the last one that was written.
    distance: u64,
}

impl Writer {
    /// Begins a message.
    fn message(id: i64) -> Self {
        let mut out = Vec::new();
        put_int(&mut out, id);
        Self { out, distance: 0 }
    }

    fn field(&mut self, is_zero: bool) -> Option<&mut Vec<u8>> {
        self.distance += 1;
        if is_zero {
            return None;
        }
        put_uint(&mut self.out, std::mem::take(&mut self.distance));
        Some(&mut self.out)
    }

    pub(super) fn flag(mut self, value: bool) -> Self {
        if let Some(out) = self.field(!value) {
            put_uint(out, 1);
        }
        self
    }

    pub(super) fn int(mut self, value: i64) -> Self {
        if let Some(out) = self.field(value == 0) {
            put_int(out, value);
        }
        self
    }

    pub(super) fn uint(mut self, value: u64) -> Self {
        if let Some(out) = self.field(value == 0) {
            put_uint(out, value);
        }
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        if let Some(out) = self.field(value.is_empty()) {
            put_bytes(out, value);
        }
        self
    }

    pub(super) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    pub(super) fn texts(mut self, values: &[String]) -> Self {
        if let Some(out) = self.field(values.is_empty()) {
            put_uint(out, values.len() as u64);
            for value in values {
                put_bytes(out, value.as_bytes());
            }
        }
        self
    }

    /// Leaves fields out.
    fn skip(mut self, fields: u64) -> Self {
        self.distance += fields;
        self
    }

    /// A field that is a struct.
    fn nested(mut self, write: impl FnOnce(Self) -> Self) -> Self {
        self.field(false);
        let inner = Self { out: std::mem::take(&mut self.out), distance: 0 };
        self.out = write(inner).end();
        self
    }

    /// A field that is a list of structs.
    fn list<T>(mut self, items: &[T], write: impl Fn(Self, &T) -> Self) -> Self {
        if let Some(out) = self.field(items.is_empty()) {
            put_uint(out, items.len() as u64);
        }
        for item in items {
            let inner = Self { out: std::mem::take(&mut self.out), distance: 0 };
            self.out = write(inner, item).end();
        }
        self
    }

    fn end(mut self) -> Vec<u8> {
        put_uint(&mut self.out, 0);
        self.out
    }
}

/// What the types of the protocol are made of.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Int,
    Uint,
    Bytes,
    Text,
    Texts,
}

/// A struct of the protocol: its name, and its fields in order.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Kind)],
}

/// One direction of a connection, as the sender has it: which types it has defined, under which numbers.
#[derive(Default)]
pub(super) struct Outgoing {
    defined: Vec<(&'static Shape, i64)>,
    types: i64,
    bytes: Vec<u8>,
}

impl Outgoing {
    /// Adds what `add` adds, or nothing if that fails.
    pub(super) fn together(&mut self, add: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (defined, types, bytes) = (self.defined.len(), self.types, self.bytes.len());
        let added = add(self);
        if added.is_err() {
            self.defined.truncate(defined);
            self.types = types;
            self.bytes.truncate(bytes);
        }
        added
    }

    /// Adds a value, with what has to be defined first.
    pub(super) fn put(&mut self, shape: &'static Shape, write: impl FnOnce(Writer) -> Writer) -> Result<()> {
        let known = self.defined.iter().find(|(known, _)| std::ptr::eq(*known, shape));
        let id = known.map_or(FIRST + self.types, |(_, id)| *id);
        let value = write(Writer::message(id)).end();
        if value.len() > LIMIT {
            return Err(ProtocolError::Limit("bytes of a message"));
        }
        if known.is_none() {
            self.define(shape, id);
        }
        put_bytes(&mut self.bytes, &value);
        Ok(())
    }

    /// Numbers are given as Go gives them: to the struct, then to what it refers to.
    fn define(&mut self, shape: &'static Shape, id: i64) {
        let texts = id + 1;
        let number = |kind| match kind {
            Kind::Flag => BOOL,
            Kind::Int => INT,
            Kind::Uint => UINT,
            Kind::Bytes => BYTES,
            Kind::Text => STRING,
            Kind::Texts => texts,
        };
        // A definition is itself a struct, with one field for each kind of type; here those of structs and slices.
        let definition = Writer::message(-id).skip(2).nested(|structure| {
            structure
                .nested(|common| common.text(shape.name).int(id))
                .list(shape.fields, |field, (name, kind)| field.text(name).int(number(*kind)))
        });
        put_bytes(&mut self.bytes, &definition.end());
        self.types += 1;
        if shape.fields.iter().any(|(_, kind)| matches!(kind, Kind::Texts)) {
            let definition = Writer::message(-texts)
                .skip(1)
                .nested(|slice| slice.nested(|common| common.text("[]string").int(texts)).int(STRING));
            put_bytes(&mut self.bytes, &definition.end());
            self.types += 1;
        }
        self.defined.push((shape, id));
    }

    /// What has to be sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
