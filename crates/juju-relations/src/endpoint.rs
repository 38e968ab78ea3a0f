//! What a charm's metadata says about one of its endpoints.

use std::borrow::Cow;
use std::fmt;

/// One endpoint as the charm's metadata declares it.
///
/// ```
/// use juju_relations::{EndpointMeta, tracing};
///
/// const TRACING: EndpointMeta = EndpointMeta::requires("tracing", tracing::INTERFACE).limited(1);
/// assert!(TRACING.is_single());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointMeta {
    /// Name of the endpoint.
    pub name: Cow<'static, str>,
    /// Which side of the interface the charm is.
    pub role: EndpointRole,
    /// Name of the interface.
    pub interface: Cow<'static, str>,
    /// How many relations the endpoint may have; `None` is any number.
    pub limit: Option<u32>,
}

/// Which side of an interface a charm is, by the section of the metadata that names the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointRole {
    /// `provides`.
    Provides,
    /// `requires`.
    Requires,
    /// `peers`.
    Peer,
}

/// The code uses an endpoint as something that the metadata does not make of it: a mistake in the charm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The metadata has no such endpoint.
    #[error("no endpoint named {name:?} in the charm's metadata")]
    RelationNotFound {
        /// The name that was asked for.
        name: String,
    },
    /// The endpoint speaks another interface.
    #[error("endpoint {name:?} has interface {actual:?} in the charm's metadata, {expected:?} is needed")]
    RelationInterfaceMismatch {
        /// The endpoint.
        name: String,
        /// Interface that the code speaks.
        expected: String,
        /// Interface in the metadata.
        actual: String,
    },
    /// The endpoint is on the other side of the interface.
    #[error("endpoint {name:?} is under {actual} in the charm's metadata, {expected} is needed")]
    RelationRoleMismatch {
        /// The endpoint.
        name: String,
        /// Side that the code plays.
        expected: EndpointRole,
        /// Side in the metadata.
        actual: EndpointRole,
    },
}

impl EndpointMeta {
    /// An endpoint without limit.
    pub const fn new(role: EndpointRole, name: &'static str, interface: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), role, interface: Cow::Borrowed(interface), limit: None }
    }

    /// One under `provides`, without limit.
    pub const fn provides(name: &'static str, interface: &'static str) -> Self {
        Self::new(EndpointRole::Provides, name, interface)
    }

    /// One under `requires`, without limit.
    pub const fn requires(name: &'static str, interface: &'static str) -> Self {
        Self::new(EndpointRole::Requires, name, interface)
    }

    /// One under `peers`.
    pub const fn peer(name: &'static str, interface: &'static str) -> Self {
        Self::new(EndpointRole::Peer, name, interface)
    }

    /// The same with a limit.
    #[must_use]
    pub const fn limited(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Looks an endpoint up by name among those declared.
    ///
    /// # Errors
    /// [`EndpointError::RelationNotFound`].
    pub fn find<'a>(declared: &'a [Self], name: &str) -> Result<&'a Self, EndpointError> {
        declared
            .iter()
            .find(|endpoint| endpoint.name == name)
            .ok_or_else(|| EndpointError::RelationNotFound { name: name.to_owned() })
    }

    /// Whether at most one relation is possible, so that "the relation" is never ambiguous.
    pub fn is_single(&self) -> bool {
        self.limit == Some(1)
    }

    /// Checks that the endpoint can be used as this side of this interface.
    ///
    /// # Errors
    /// [`EndpointError::RelationInterfaceMismatch`], else [`EndpointError::RelationRoleMismatch`].
    pub fn check(&self, interface: &str, role: EndpointRole) -> Result<(), EndpointError> {
        if self.interface != interface {
            return Err(EndpointError::RelationInterfaceMismatch {
                name: self.name.to_string(),
                expected: interface.to_owned(),
                actual: self.interface.to_string(),
            });
        }
        if self.role != role {
            return Err(EndpointError::RelationRoleMismatch {
                name: self.name.to_string(),
                expected: role,
                actual: self.role,
            });
        }
        Ok(())
    }
}

impl From<&EndpointMeta> for EndpointMeta {
    fn from(endpoint: &EndpointMeta) -> Self {
        endpoint.clone()
    }
}

impl fmt::Display for EndpointRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provides => "provides",
            Self::Requires => "requires",
            Self::Peer => "peers",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: [EndpointMeta; 2] =
        [EndpointMeta::provides("tracing", "tracing"), EndpointMeta::requires("s3", "s3").limited(1)];

    #[test]
    fn name_then_interface_then_side_are_checked() {
        let check = |name, interface, role| {
            EndpointMeta::find(&DECLARED, name).and_then(|found| found.check(interface, role))
        };
        let error = |name, interface, role| {
            check(name, interface, role).map_err(|error| error.to_string()).unwrap_err()
        };
        assert_eq!(check("tracing", "tracing", EndpointRole::Provides), Ok(()));
        assert_eq!(
            error("traces", "tracing", EndpointRole::Provides),
            r#"no endpoint named "traces" in the charm's metadata"#
        );
        assert_eq!(
            error("s3", "tracing", EndpointRole::Provides),
            r#"endpoint "s3" has interface "s3" in the charm's metadata, "tracing" is needed"#
        );
        assert_eq!(
            error("tracing", "tracing", EndpointRole::Requires),
            r#"endpoint "tracing" is under provides in the charm's metadata, requires is needed"#
        );
    }
}
