//! Names of what the charm keeps in Kubernetes, and how they are cut to what Kubernetes takes.

use sha2::{Digest, Sha256};

use crate::snapshot::Identity;

/// The label that makes pods, of workers too, part of the application.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// The longest value that a label may have.
const LABEL: usize = 63;
/// How much of a longer one is kept, before the digits that tell it apart.
const KEPT: usize = 54;

/// The `ConfigMap` that says which labels the charm manages for itself.
pub fn own_record(app: &str) -> String {
    format!("{app}-pod-labels")
}

/// The `ConfigMap` that says which labels the charm manages for the mesh.
pub fn mesh_record(app: &str) -> String {
    format!("juju-service-mesh-{app}-labels")
}

/// Who the charm is to the API when it says what a mesh may let pass.
pub fn policy_manager(identity: &Identity) -> String {
    label_value(&format!("{}-{}", identity.app(), identity.model))
}

/// The labels that the policies of this application are found by.
pub fn policy_labels(identity: &Identity) -> [(&'static str, String); 2] {
    let application = format!("{}-{}", identity.app(), identity.model);
    [
        ("app.kubernetes.io/instance", label_value(&application)),
        ("kubernetes-resource-handler-scope", label_value(&format!("{application}-cluster-internal"))),
    ]
}

/// A text as a label's value: as it is, or cut with the first digits of its SHA-256 at the end.
pub fn label_value(text: &str) -> String {
    if text.chars().count() <= LABEL {
        return text.to_owned();
    }
    format!("{}-{}", start(text, KEPT), digest8(text))
}

/// The first eight hexadecimal digits of the SHA-256.
pub fn digest8(text: &str) -> String {
    let [a, b, c, d, ..] = Sha256::digest(text).0;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// The first characters of a text, at most so many.
pub fn start(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_cut() {
        assert_eq!(label_value("tempo-obs"), "tempo-obs");
        assert_eq!(label_value(&"a".repeat(63)), "a".repeat(63));
        let long = "b".repeat(64);
        let cut = label_value(&long);
        assert_eq!(cut, format!("{}-{}", "b".repeat(54), digest8(&long)));
        assert_eq!(cut.len(), 63);
    }

    #[test]
    fn digests_are_those_of_sha_256() {
        assert_eq!(digest8(""), "e3b0c442");
    }
}
