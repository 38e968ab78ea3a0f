//! Errors of Pebble calls.

/// Why a Pebble call did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon does not answer: the container is not up (yet).
    #[error("cannot connect to Pebble: {0}")]
    Connection(String),
    /// The daemon refused.
    #[error("Pebble answered {status}: {message}")]
    Api {
        /// HTTP status.
        status: u16,
        /// Pebble's word for the kind of error, often empty.
        kind: String,
        /// Pebble's message.
        message: String,
    },
    /// A change ended in error.
    #[error("Pebble change failed: {message}")]
    Change {
        /// Pebble's message, with the task log's tail.
        message: String,
    },
    /// A file operation failed.
    #[error("{path}: {message}")]
    Path {
        /// File or directory.
        path: String,
        /// Pebble's kind: `not-found`, `permission-denied`, `generic-file-error`.
        kind: String,
        /// Pebble's message.
        message: String,
    },
    /// A call took longer than allowed.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The daemon's answer could not be understood.
    #[error("unexpected answer from Pebble: {0}")]
    Protocol(String),
}

impl Error {
    /// Whether nobody answers: the container is not up (yet). A later hook may find it there.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Connection(_))
    }

    /// One word for what went wrong, without any text that others wrote.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Connection(_) => "no connection",
            Self::Api { .. } => "refused",
            Self::Change { .. } => "change failed",
            Self::Path { .. } => "file",
            Self::Timeout(_) => "timeout",
            Self::Protocol(_) => "not understood",
        }
    }

    /// Whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Api { status, kind, .. } => *status == 404 || kind == "not-found",
            Self::Path { kind, .. } => kind == "not-found",
            _ => false,
        }
    }
}
