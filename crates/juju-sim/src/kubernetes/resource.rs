//! Which resources there are, and where in their paths.

use super::status::Refusal;

/// A kind of objects that the API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Version of the group.
    pub version: &'static str,
    /// Name in paths, for example `statefulsets`.
    pub plural: &'static str,
    /// Name in objects, for example `StatefulSet`.
    pub kind: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it is defined by a custom resource definition, and so may be missing.
    pub custom: bool,
    /// Whether its objects count the changes of their specs.
    pub(super) counted: bool,
}

impl Resource {
    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The name in messages: `statefulsets.apps`, `configmaps`.
    pub(super) fn qualified(&self) -> String {
        dotted(self.plural, self.group)
    }

    /// The kind in messages: `StatefulSet.apps`, `ConfigMap`.
    pub(super) fn qualified_kind(&self) -> String {
        dotted(self.kind, self.group)
    }

    /// The resource with a name in paths.
    pub(super) fn of_plural(plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.plural == plural)
    }

    /// The resource that an object is of.
    pub(super) fn of_object(object: &serde_json::Value) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| {
            object["kind"] == resource.kind && object["apiVersion"] == resource.api_version().as_str()
        })
    }
}

fn dotted(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// All resources.
pub const RESOURCES: &[Resource] = &[
    core("namespaces", "Namespace", false),
    core("configmaps", "ConfigMap", true),
    core("pods", "Pod", true),
    core("services", "Service", true),
    Resource {
        group: "apps",
        plural: "statefulsets",
        kind: "StatefulSet",
        counted: true,
        ..core("", "", true)
    },
    Resource {
        group: "security.istio.io",
        plural: "authorizationpolicies",
        kind: "AuthorizationPolicy",
        custom: true,
        counted: true,
        ..core("", "", true)
    },
];

const fn core(plural: &'static str, kind: &'static str, namespaced: bool) -> Resource {
    Resource { group: "", version: "v1", plural, kind, namespaced, custom: false, counted: false }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: &'static Resource,
    /// `None` for a list over all namespaces, and for what is in none.
    pub(super) namespace: Option<String>,
    /// `None` for a collection.
    pub(super) name: Option<String>,
    /// Whether only the object's status is meant.
    pub(super) status: bool,
}

impl Target {
    /// Reads a path, for example `/apis/apps/v1/namespaces/obs/statefulsets/tempo`.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match &parts[..] {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::no_such_path()),
        };
        // `namespaces/x` is an object by itself, and the place of others when more follows.
        let (namespace, rest) = match rest {
            ["namespaces", namespace, "status"] => (None, &["namespaces", namespace, "status"][..]),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            _ => (None, rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some((*name).to_owned()), false),
            [plural, name, "status"] => (*plural, Some((*name).to_owned()), true),
            _ => return Err(Refusal::no_such_path()),
        };
        let found = RESOURCES.iter().find(|resource| {
            resource.group == group && resource.version == version && resource.plural == plural
        });
        let known =
            |resource: &Resource| !resource.custom && (resource.group, resource.version) == (group, version);
        let resource = found.ok_or_else(|| {
            if RESOURCES.iter().any(known) { Refusal::no_such_resource() } else { Refusal::no_such_path() }
        })?;
        let misplaced =
            if resource.namespaced { namespace.is_none() && name.is_some() } else { namespace.is_some() };
        if misplaced {
            return Err(Refusal::no_such_resource());
        }
        Ok(Self { resource, namespace, name, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_objects_collections_and_nowhere() {
        let target = Target::parse("/apis/apps/v1/namespaces/obs/statefulsets/tempo").unwrap();
        assert_eq!((target.resource.kind, target.name.as_deref()), ("StatefulSet", Some("tempo")));
        assert_eq!(target.namespace.as_deref(), Some("obs"));
        let target = Target::parse("/api/v1/namespaces/obs").unwrap();
        assert_eq!((target.resource.kind, target.name.as_deref()), ("Namespace", Some("obs")));
        let target = Target::parse("/apis/security.istio.io/v1/authorizationpolicies").unwrap();
        assert_eq!((target.namespace, target.name), (None, None));
        assert!(Target::parse("/apis/apps/v1/namespaces/obs/statefulsets/tempo/status").unwrap().status);
        for nowhere in ["/", "/api/v2/configmaps", "/apis/apps/v1/configmaps", "/api/v1/configmaps/x"] {
            assert!(Target::parse(nowhere).is_err(), "{nowhere}");
        }
    }
}
