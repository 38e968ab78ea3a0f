//! Ending the charm's function early, without failing.
//!
//! An error fails the hook: the agent drops what the hook planned and runs it again. Often that is too much. Where only
//! a person can help, or where there is nothing more to do, the function should end here, and what was planned so far
//! should be sent. [`Stop`] is the error that says so; `?` carries it to [`run`](crate::run), which then commits and
//! ends with success.
//!
//! ```
//! use juju_ops::{Hook, OrBlocked as _, OrFail as _, Stop};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Config { port: u16 }
//!
//! #[derive(Deserialize)]
//! struct Backup { bucket: String }
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     // A value that does not fit: the unit is blocked with the option's name in its message, and the hook is over.
//!     let config: Config = hook.config().await.or_blocked(&hook).await?;
//!
//!     if let Some(action) = hook.action() {
//!         // A parameter that does not fit: the action fails with the parameter's name in its message.
//!         let backup: Backup = action.params().await.or_fail(&action).await?;
//!         action.log(&format!("writing to {}", backup.bucket)).await?;
//!     }
//!
//!     if hook.relations("database").await?.is_empty() {
//!         hook.blocked("needs a relation to a database").await?;
//!         return Err(Stop::new("no database").into());
//!     }
//!     # let _ = config.port;
//!     Ok(())
//! }
//! ```

use std::{error::Error as StdError, fmt, future::Future};

use crate::{
    Action, ConfigError, Error, Hook, ParamsError,
    security::{self, Severity},
    tools::ToolError,
};

/// The charm's function ends here, though nothing failed: planned writes are sent and the hook succeeds.
///
/// It is found wherever it is among an error's causes, so a charm may wrap it into an error type of its own.
#[derive(Debug)]
pub struct Stop {
    why: String,
    mark: Mark,
}

impl Stop {
    /// An early end; `why` appears in the log at level `DEBUG`.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), mark: Mark }
    }

    /// Whether an error is an early end, or was caused by one.
    pub fn is_in(error: &(dyn StdError + 'static)) -> bool {
        let mut here = Some(error);
        while let Some(error) = here {
            if error.is::<Mark>() {
                return true;
            }
            here = error.source();
        }
        false
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended early: {}", self.why)
    }
}

impl StdError for Stop {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.mark)
    }
}

/// A wrapper that passes on the causes of what it wraps hides the [`Stop`] itself, but never its cause.
#[derive(Debug)]
struct Mark;

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing failed")
    }
}

impl StdError for Mark {}

/// What the end of a charm's function comes to: sends what was planned after success and after a [`Stop`], and drops it
/// after any other error.
///
/// [`run`](crate::run) and simulators call this with what the charm's function returned; a charm does not.
///
/// # Errors
/// The charm's own error, unless it is a [`Stop`]; or why the planned writes could not be sent.
pub async fn finish(hook: &Hook, result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Ok(()) => {}
        Err(stop) if Stop::is_in(&*stop) => tracing::debug!("{stop}"),
        Err(error) => return failed(hook, error),
    }
    match hook.commit().await {
        Ok(_) => Ok(()),
        Err(error) => failed(hook, error.into()),
    }
}

fn failed(hook: &Hook, error: Error) -> Result<(), Error> {
    hook.discard();
    let event = hook.event().name();
    security::log(Severity::Warn, "sys_crash", &event, &format!("{event}: {error}"));
    Err(error)
}

/// An error that may be a user's to put right.
///
/// Implement it for an error type of the charm's own, to use [`OrBlocked`] and [`OrFail`] with it.
pub trait UserError: Into<Error> {
    /// What the user has to know, if it is: it names what to change. `None` if the hook has to fail.
    fn for_user(&self) -> Option<String>;
}

impl UserError for ConfigError {
    fn for_user(&self) -> Option<String> {
        match self {
            Self::Tool(_) => None,
            Self::Option { .. } => Some(self.to_string()),
        }
    }
}

impl UserError for ParamsError {
    fn for_user(&self) -> Option<String> {
        match self {
            Self::Tool(_) => None,
            Self::Parameter { .. } => Some(self.to_string()),
        }
    }
}

/// Shows a user's mistake in the unit's status and ends the hook early.
pub trait OrBlocked<T> {
    /// The value; or, for a mistake of the user's, sets the unit to *blocked* with its text.
    ///
    /// # Errors
    /// A [`Stop`] for a mistake of the user's; any other error as it is.
    fn or_blocked(self, hook: &Hook) -> impl Future<Output = Result<T, Error>> + Send;
}

impl<T: Send, E: UserError + Send> OrBlocked<T> for Result<T, E> {
    async fn or_blocked(self, hook: &Hook) -> Result<T, Error> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => match error.for_user() {
                Some(text) => stop(hook.blocked(text.as_str()).await, text),
                None => Err(error.into()),
            },
        }
    }
}

/// Fails the running action for a user's mistake and ends it early.
pub trait OrFail<T> {
    /// The value; or, for a mistake of the user's, fails the action with its text. Results that were set before stay.
    ///
    /// # Errors
    /// A [`Stop`] for a mistake of the user's; any other error as it is.
    fn or_fail(self, action: &Action<'_>) -> impl Future<Output = Result<T, Error>> + Send;
}

impl<T: Send, E: UserError + Send> OrFail<T> for Result<T, E> {
    async fn or_fail(self, action: &Action<'_>) -> Result<T, Error> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => match error.for_user() {
                Some(text) => stop(action.fail(&text).await, text),
                None => Err(error.into()),
            },
        }
    }
}

fn stop<T>(shown: Result<(), ToolError>, why: String) -> Result<T, Error> {
    shown?;
    Err(Stop::new(why).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Own {
        #[error(transparent)]
        Bare(#[from] Stop),
        #[error("while starting")]
        Wrapped(#[source] Error),
        #[error("broken")]
        Broken,
    }

    #[test]
    fn an_early_end_is_known_in_every_wrapping() {
        let boxed: Error = Stop::new("enough").into();
        assert!(Stop::is_in(&*boxed));
        assert_eq!(boxed.to_string(), "ended early: enough");
        assert!(Stop::is_in(&Own::from(Stop::new("enough"))));
        assert!(Stop::is_in(&Own::Wrapped(Own::Bare(Stop::new("enough")).into())));
        assert!(!Stop::is_in(&Own::Broken));
        assert!(!Stop::is_in(&Own::Wrapped("broken".into())));
    }
}
