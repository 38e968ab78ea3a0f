//! What another charm has told us, as a fact rather than an error.

use serde::de::DeserializeOwned;

use crate::{Databag, DatabagError, Encoding};

/// Data of the other side of a relation.
///
/// Bad data of another charm must not fail a hook: it is one of the things that can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote<T> {
    /// Nothing is there (yet): no relation, no remote application, or an untouched databag.
    #[default]
    Absent,
    /// Juju does not let us look.
    Denied,
    /// Something is there that cannot be used, and why; the reason is fit for a status message.
    Invalid(String),
    /// Understood.
    Ready(T),
}

impl<T> Remote<T> {
    /// Whether there is usable data.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// The data, if usable.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Ready(value) => Some(value),
            Self::Absent | Self::Denied | Self::Invalid(_) => None,
        }
    }

    /// The same by reference.
    pub fn as_ref(&self) -> Remote<&T> {
        match self {
            Self::Absent => Remote::Absent,
            Self::Denied => Remote::Denied,
            Self::Invalid(reason) => Remote::Invalid(reason.clone()),
            Self::Ready(value) => Remote::Ready(value),
        }
    }

    /// Changes the data, if usable.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Remote<U> {
        self.and_then(|value| Remote::Ready(change(value)))
    }

    /// Looks closer at the data, if usable.
    pub fn and_then<U>(self, look: impl FnOnce(T) -> Remote<U>) -> Remote<U> {
        match self {
            Self::Absent => Remote::Absent,
            Self::Denied => Remote::Denied,
            Self::Invalid(reason) => Remote::Invalid(reason),
            Self::Ready(value) => look(value),
        }
    }

    /// Why there is no usable data, though something was written: the text of [`Remote::Invalid`].
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Invalid(reason) => Some(reason),
            Self::Absent | Self::Denied | Self::Ready(_) => None,
        }
    }
}

impl<T: DeserializeOwned> Remote<T> {
    /// Decodes a remote databag; one without any key of the other charm's is [`Remote::Absent`].
    pub fn decode(bag: Option<&Databag>, encoding: Encoding) -> Self {
        match bag {
            Some(bag) if !bag.is_unwritten() => bag.decode(encoding).into(),
            _ => Self::Absent,
        }
    }
}

impl<T> From<Result<T, DatabagError>> for Remote<T> {
    fn from(decoded: Result<T, DatabagError>) -> Self {
        match decoded {
            Ok(value) => Self::Ready(value),
            Err(error) => Self::Invalid(error.to_string()),
        }
    }
}

impl<T> From<Option<T>> for Remote<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Ready)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Ages = BTreeMap<String, u8>;

    #[test]
    fn a_databag_is_absent_invalid_or_ready() {
        let decode = |bag: &Databag| Remote::<Ages>::decode(Some(bag), Encoding::Json);
        assert_eq!(Remote::<Ages>::decode(None, Encoding::Json), Remote::Absent);
        assert_eq!(decode(&Databag::new()), Remote::Absent);
        assert_eq!(decode(&Databag::from([("private-address", "10.1.2.3")])), Remote::Absent);
        assert_eq!(decode(&Databag::from([("a", "x")])), Remote::Invalid("a: not valid JSON".into()));
        assert_eq!(decode(&Databag::from([("a", "7")])), Remote::Ready(Ages::from([("a".into(), 7)])));
    }

    #[test]
    fn helpers_keep_what_was_seen() {
        let invalid = Remote::<u8>::Invalid("why".into());
        assert_eq!(invalid.as_ref().map(|n| n + 1), Remote::Invalid("why".into()));
        assert_eq!(invalid.reason(), Some("why"));
        assert_eq!(Remote::Ready(1).map(|n| n + 1).ok(), Some(2));
        assert_eq!(Remote::Ready(1).and_then(|_| Remote::<u8>::Denied), Remote::Denied);
        assert_eq!(Remote::<u8>::from(None), Remote::Absent);
        assert_eq!(Remote::<u8>::default().ok(), None);
        assert!(Remote::Ready(()).is_ready());
    }
}
