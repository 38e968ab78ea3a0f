//! Versions of Juju, and what came with which.
//!
//! ```
//! use juju_ops::{Feature, Hook, JujuVersion, OrBlocked as _};
//!
//! let version: JujuVersion = "3.6-beta1".parse().unwrap();
//! assert!(version < "3.6.0".parse().unwrap());
//! assert!(version.has(Feature::Secrets) && !version.has(Feature::RemoteModel));
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     // Sets "blocked: log targets need Juju 3.4.0 or later, this is 3.1.5" and ends the hook there.
//!     hook.require(Feature::LogTargets).or_blocked(&hook).await?;
//!     Ok(())
//! }
//! ```

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::{Hook, NameError, UserError, tools::ToolError};

/// A version of Juju: `3.6.9`, `3.6-beta1`, `3.6.2.1`.
///
/// Ordered as Juju orders them: what has a tag (`beta`, `rc`) comes before what has none, and tags go by the alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JujuVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// `alpha`, `beta`, `rc`; empty for a release.
    pub tag: String,
    /// Third number, or the one after the tag.
    pub patch: u32,
    /// Number of a build between releases, else 0.
    pub build: u32,
}

impl JujuVersion {
    /// A release.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, tag: String::new(), patch, build: 0 }
    }

    /// Whether this version has a feature.
    pub fn has(&self, feature: Feature) -> bool {
        let left_out =
            feature == Feature::ServiceContext && (self.major, self.minor, self.patch) == (3, 2, 0);
        *self >= feature.since() && !left_out
    }

    fn key(&self) -> (u32, u32, bool, &str, u32, u32) {
        (self.major, self.minor, self.tag.is_empty(), &self.tag, self.patch, self.build)
    }
}

impl Ord for JujuVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for JujuVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for JujuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.tag.as_str() {
            "" => write!(f, ".{}", self.patch)?,
            tag => write!(f, "-{tag}{}", self.patch)?,
        }
        if self.build == 0 { Ok(()) } else { write!(f, ".{}", self.build) }
    }
}

impl FromStr for JujuVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse(text).ok_or_else(|| NameError { text: text.to_owned(), expected: "version of Juju (3.6.9)" })
    }
}

fn parse(text: &str) -> Option<JujuVersion> {
    // At most nine digits, as Juju has it, and no signs.
    let number = |text: &str| -> Option<u32> {
        let plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let (major, rest) = text.split_once('.')?;
    let minor_end = rest.find(['.', '-']).unwrap_or(rest.len());
    let (minor, rest) = rest.split_at(minor_end);
    let mut version = JujuVersion::new(number(major)?, number(minor)?, 0);
    let rest = if let Some(tagged) = rest.strip_prefix('-') {
        let digits = tagged.find(|c: char| !c.is_ascii_lowercase())?;
        let (tag, rest) = tagged.split_at(digits);
        if tag.is_empty() {
            return None;
        }
        tag.clone_into(&mut version.tag);
        rest
    } else {
        match rest.strip_prefix('.') {
            Some(rest) => rest,
            None => return Some(version),
        }
    };
    let (patch, build) = rest.split_once('.').map_or((rest, None), |(patch, build)| (patch, Some(build)));
    version.patch = number(patch)?;
    version.build = build.map_or(Some(0), number)?;
    Some(version)
}

/// Something that not every Juju has. The versions are those that the Python framework for charms goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Secrets.
    Secrets,
    /// Opening and closing ports on Kubernetes.
    KubernetesPorts,
    /// `service-context` of commands and of checks in Pebble. Of the 3.2 releases, the first lacks it.
    ServiceContext,
    /// Custom notices in Pebble, and their event.
    CustomNotices,
    /// Log targets in Pebble's layers.
    LogTargets,
    /// The model of the other side of a relation.
    RemoteModel,
    /// Identities in Pebble.
    Identities,
    /// Pebble's own metrics.
    PebbleMetrics,
    /// The cloud's credentials, on Kubernetes.
    KubernetesCredential,
}

impl Feature {
    /// The first version that has it.
    pub const fn since(self) -> JujuVersion {
        match self {
            Self::Secrets | Self::KubernetesPorts => JujuVersion::new(3, 0, 3),
            Self::ServiceContext => JujuVersion::new(3, 1, 6),
            Self::CustomNotices | Self::LogTargets => JujuVersion::new(3, 4, 0),
            Self::RemoteModel => JujuVersion::new(3, 6, 2),
            Self::Identities | Self::PebbleMetrics => JujuVersion::new(3, 6, 4),
            Self::KubernetesCredential => JujuVersion::new(3, 6, 10),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::KubernetesPorts => "ports on Kubernetes",
            Self::ServiceContext => "service contexts in Pebble",
            Self::CustomNotices => "custom notices",
            Self::LogTargets => "log targets",
            Self::RemoteModel => "models of remote applications",
            Self::Identities => "identities in Pebble",
            Self::PebbleMetrics => "metrics of Pebble",
            Self::KubernetesCredential => "cloud credentials on Kubernetes",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The Juju that runs the charm is too old for something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{feature} need Juju {} or later, this is {version}", .feature.since())]
pub struct Unsupported {
    /// What was asked for.
    pub feature: Feature,
    /// What is there.
    pub version: JujuVersion,
}

impl UserError for Unsupported {
    fn for_user(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Hook {
    /// Version of the agent; `None` where it does not tell.
    pub fn juju_version(&self) -> Option<JujuVersion> {
        self.env().juju_version.parse().ok().filter(|version| *version != JujuVersion::new(0, 0, 0))
    }

    /// Checks that Juju has a feature. An agent that does not tell its version is taken to have it.
    ///
    /// # Errors
    /// If it is too old, with the version that is needed.
    pub fn require(&self, feature: Feature) -> Result<(), Unsupported> {
        match self.juju_version() {
            Some(version) if !version.has(feature) => Err(Unsupported { feature, version }),
            _ => Ok(()),
        }
    }

    /// The same for a tool that would only say that it does not exist.
    pub(crate) fn require_for(&self, tool: &'static str, feature: Feature) -> Result<(), ToolError> {
        self.require(feature).map_err(|error| ToolError::Invalid { tool, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> JujuVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_order_as_juju_orders_them() {
        let ordered = [
            "2.9.50",
            "3.0.3",
            "3.6-alpha9",
            "3.6-beta1",
            "3.6-beta2",
            "3.6-beta2.1",
            "3.6-rc1",
            "3.6.0",
            "3.6.2",
        ]
        .into_iter()
        .chain(["3.6.2.1", "3.6.10", "3.6.26", "4.0-beta5", "4.0-rc1", "4.0.0", "4.0.1"]);
        let ordered: Vec<JujuVersion> = ordered.map(version).collect();
        assert!(ordered.is_sorted_by(|left, right| left < right), "{ordered:?}");
        assert_eq!(version("3.6"), version("3.6.0"));
    }

    #[test]
    fn versions_are_written_as_they_are_read() {
        for text in ["3.6.26", "3.6-beta1", "3.6.2.1", "4.0-rc1", "3.6-rc2.7", "0.0.0"] {
            assert_eq!(version(text).to_string(), text);
        }
        for text in [
            "",
            "3",
            "3.",
            "3.6.",
            "3.6-",
            "3.6-1",
            "3.6-beta",
            "3.6.x",
            "v3.6.1",
            "3.6.1.2.3",
            "3.6.+1",
            "3..1",
        ] {
            assert!(text.parse::<JujuVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn features_come_with_their_versions() {
        for (feature, without, with) in [
            (Feature::Secrets, "3.0.2", "3.0.3"),
            (Feature::KubernetesPorts, "2.9.51", "3.0.3"),
            (Feature::ServiceContext, "3.1.5", "3.1.6"),
            (Feature::ServiceContext, "3.2.0", "3.2.1"),
            (Feature::ServiceContext, "3.1-rc9", "3.6.1"),
            (Feature::CustomNotices, "3.3.9", "3.4.0"),
            (Feature::LogTargets, "3.4-beta1", "3.4.0"),
            (Feature::RemoteModel, "3.6.1", "3.6.2"),
            (Feature::Identities, "3.6.3.9", "3.6.4"),
            (Feature::PebbleMetrics, "3.6-rc1", "4.0-beta1"),
            (Feature::KubernetesCredential, "3.6.9", "3.6.10"),
        ] {
            assert!(!version(without).has(feature), "{feature} in {without}");
            assert!(version(with).has(feature), "{feature} in {with}");
        }
        let error = Unsupported { feature: Feature::LogTargets, version: version("3.1.5") };
        assert_eq!(error.to_string(), "log targets need Juju 3.4.0 or later, this is 3.1.5");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[0-9.a-z+-]{0,20}|\\PC*") {
            if let Ok(version) = text.parse::<JujuVersion>() {
                prop_assert_eq!(version.to_string().parse::<JujuVersion>(), Ok(version));
            }
        }
    }
}
