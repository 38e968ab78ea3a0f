//! Text that must not be seen.

use std::fmt;

use serde::{Serialize, Serializer};

/// What stands for a secret wherever people look.
pub const REDACTED: &str = "[redacted]";

/// A text that is secret, or that has secrets in it.
///
/// `Debug` and `Serialize` show a harmless form, so that logs, errors and the `plan` action cannot leak it by
/// accident. The text itself takes a call of [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret {
    text: String,
    shown: String,
}

impl Secret {
    /// A text that is secret as a whole.
    pub fn new(text: impl Into<String>) -> Self {
        Self::with_shown(text, REDACTED)
    }

    /// A text with secrets in it, and the same text without them.
    pub fn with_shown(text: impl Into<String>, shown: impl Into<String>) -> Self {
        Self { text: text.into(), shown: shown.into() }
    }

    /// The text, for the one place that it is meant for.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The harmless form.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expose_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), r#""[redacted]""#);
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""[redacted]""#);
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{:?}", Secret::with_shown("key: hunter2", "key: …")), r#""key: …""#);
    }
}
