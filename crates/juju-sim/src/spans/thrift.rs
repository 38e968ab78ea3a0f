//! Thrift's binary encoding, as far as structs need it: no messages, no services.
//!
//! The reader borrows from the payload and trusts nothing in it: lengths are compared with what is left before
//! anything is taken, and nesting has a limit.

use super::DecodeError;

/// How deep unknown fields may nest. The messages read here need four levels.
const MAX_DEPTH: u8 = 32;

/// The type of a value, with its number in the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool = 2,
    Byte = 3,
    Double = 4,
    I16 = 6,
    I32 = 8,
    I64 = 10,
    Bytes = 11,
    Struct = 12,
    Map = 13,
    Set = 14,
    List = 15,
}

impl Kind {
    fn from_number(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            2 => Self::Bool,
            3 => Self::Byte,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::Bytes,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            other => return Err(DecodeError(format!("unknown Thrift type {other}"))),
        })
    }

    /// The fewest bytes that a value of this type can have.
    const fn least_size(self) -> usize {
        match self {
            Self::Bool | Self::Byte | Self::Struct => 1,
            Self::I16 => 2,
            Self::I32 | Self::Bytes => 4,
            Self::Set | Self::List => 5,
            Self::Map => 6,
            Self::I64 | Self::Double => 8,
        }
    }
}

/// Reads values from the front of a payload.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field of a struct: its type and number; `None` at the end of the struct.
    pub(crate) fn field(&mut self) -> Result<Option<(Kind, i16)>, DecodeError> {
        let [kind] = self.take()?;
        if kind == 0 {
            return Ok(None);
        }
        Ok(Some((Kind::from_number(kind)?, i16::from_be_bytes(self.take()?))))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        self.take().map(|[byte]| byte != 0)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.take().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.take().map(i64::from_be_bytes)
    }

    pub(crate) fn double(&mut self) -> Result<f64, DecodeError> {
        self.take().map(f64::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length(1)?;
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(bytes)
    }

    /// Text; what is no UTF-8 in it is replaced, as the encoding promises none.
    pub(crate) fn string(&mut self) -> Result<String, DecodeError> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The elements of a list of structs.
    pub(crate) fn structs<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let [kind] = self.take()?;
        let count = self.length(1)?;
        if count > 0 && kind != Kind::Struct as u8 {
            return Err(DecodeError(format!("expected a list of structs, got Thrift type {kind}")));
        }
        // No capacity in advance: the count may be a lie, which the first missing element shows.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self, kind: Kind) -> Result<(), DecodeError> {
        self.skip_nested(kind, MAX_DEPTH)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError(format!("{left} bytes left after the Thrift struct"))),
        }
    }

    fn skip_nested(&mut self, kind: Kind, depth: u8) -> Result<(), DecodeError> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(DecodeError("Thrift values are nested too deeply".to_owned()));
        };
        match kind {
            Kind::Bool | Kind::Byte => self.take().map(|[_]| ()),
            Kind::I16 => self.take().map(|[_, _]| ()),
            Kind::I32 => self.i32().map(drop),
            Kind::I64 | Kind::Double => self.i64().map(drop),
            Kind::Bytes => self.bytes().map(drop),
            Kind::Struct => {
                while let Some((kind, _)) = self.field()? {
                    self.skip_nested(kind, deeper)?;
                }
                Ok(())
            }
            Kind::Set | Kind::List => {
                let [kind] = self.take()?;
                let kind = Kind::from_number(kind);
                let count = self.length(kind.as_ref().map_or(1, |kind| kind.least_size()))?;
                for _ in 0..count {
                    self.skip_nested(kind.clone()?, deeper)?;
                }
                Ok(())
            }
            Kind::Map => {
                let [key, value] = self.take()?;
                let (key, value) = (Kind::from_number(key), Kind::from_number(value));
                let count = self.length(2)?;
                for _ in 0..count {
                    self.skip_nested(key.clone()?, deeper)?;
                    self.skip_nested(value.clone()?, deeper)?;
                }
                Ok(())
            }
        }
    }

    /// A length, of elements that have at least `element` bytes each: never more than can still come.
    fn length(&mut self, element: usize) -> Result<usize, DecodeError> {
        let length = self.i32()?;
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= self.rest.len() / element)
            .ok_or_else(|| DecodeError(format!("Thrift length {length} with {} bytes left", self.rest.len())))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError("the Thrift struct ends too early".to_owned()))?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// Writes fields of structs.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn i32(&mut self, id: i16, value: i32) {
        self.field(Kind::I32, id);
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, id: i16, value: i64) {
        self.field(Kind::I64, id);
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn string(&mut self, id: i16, value: &str) {
        self.field(Kind::Bytes, id);
        self.length(value.len());
        self.bytes.extend(value.as_bytes());
    }

    /// A field that is itself a struct.
    pub(crate) fn nested(&mut self, id: i16, fields: impl FnOnce(&mut Self)) {
        self.field(Kind::Struct, id);
        fields(self);
        self.end();
    }

    /// A field that is a list of structs.
    pub(crate) fn structs<T>(&mut self, id: i16, elements: &[T], mut fields: impl FnMut(&mut Self, &T)) {
        self.field(Kind::List, id);
        self.bytes.push(Kind::Struct as u8);
        self.length(elements.len());
        for element in elements {
            fields(self, element);
            self.end();
        }
    }

    /// The bytes of the outermost struct.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end();
        self.bytes
    }

    fn field(&mut self, kind: Kind, id: i16) {
        self.bytes.push(kind as u8);
        self.bytes.extend(id.to_be_bytes());
    }

    fn end(&mut self) {
        self.bytes.push(0);
    }

    fn length(&mut self, length: usize) {
        // Nothing here comes near 2 GiB; a receiver would refuse what follows from a length cut short.
        self.bytes.extend(i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_every_kind_can_be_passed_over() {
        let mut writer = Writer::default();
        writer.i32(1, 1);
        writer.i64(2, -1);
        writer.string(3, "text");
        writer.nested(4, |writer| writer.string(1, "deeper"));
        writer.structs(5, &[1, 2], |writer, n| writer.i32(1, *n));
        let mut bytes = writer.finish();
        bytes.pop();
        // A set of two 16-bit numbers, a map of a byte to a boolean, an empty map without types, a double.
        bytes.extend([14, 0, 6, 6, 0, 0, 0, 2, 0, 1, 0, 2]);
        bytes.extend([13, 0, 7, 3, 2, 0, 0, 0, 1, 9, 1]);
        bytes.extend([13, 0, 8, 0, 0, 0, 0, 0, 0]);
        bytes.extend([4, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.push(0);
        let mut reader = Reader::new(&bytes);
        reader.skip(Kind::Struct).unwrap();
        reader.end().unwrap();
        for cut in 0..bytes.len() {
            assert!(Reader::new(&bytes[..cut]).skip(Kind::Struct).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn lengths_and_depths_are_not_believed() {
        let long_string = [11, 0, 1, 0x7f, 0xff, 0xff, 0xff, b'x', 0];
        assert!(Reader::new(&long_string).skip(Kind::Struct).is_err());
        let negative_list = [15, 0, 1, 12, 0xff, 0xff, 0xff, 0xff, 0];
        assert!(Reader::new(&negative_list).skip(Kind::Struct).is_err());
        let deep = [12, 0, 1].repeat(100_000);
        let error = Reader::new(&deep).skip(Kind::Struct).unwrap_err().to_string();
        assert!(error.contains("too deeply"), "{error}");
    }

    proptest! {
        #[test]
        fn hostile_bytes_end_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Reader::new(&bytes).skip(Kind::Struct);
            let mut reader = Reader::new(&bytes);
            let _ = reader.structs(Reader::string);
        }
    }
}
