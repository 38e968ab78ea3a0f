//! The bill of materials of a packed charm: a CycloneDX document that lists the crates in it, and is the same whenever it is
//! made of the same.
//!
//! Cargo says which crates there are, with exactly the features, the platform and the kinds of dependencies that the charm is
//! compiled with. Those that are in the program are `required`; those that only run while it is compiled, such as macros and
//! what build scripts use, are `excluded`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process::{capture, cargo};

/// A packed charm.
pub(crate) struct Charm<'a> {
    /// Name of the charm.
    pub(crate) name: &'a str,
    /// Its package, as cargo names it.
    pub(crate) package: &'a str,
    /// SHA-256 of the packed file.
    pub(crate) digest: &'a str,
    /// The lock file that it was built with.
    pub(crate) lock: &'a Path,
}

/// The document as text.
pub(crate) fn text(charm: &Charm<'_>) -> Result<String> {
    let lock = fs::read_to_string(charm.lock).with_context(|| format!("reading {}", charm.lock.display()))?;
    let lock: Lock = toml::from_str(&lock).with_context(|| format!("{}", charm.lock.display()))?;
    let all = tree(charm, "normal,build")?;
    let linked = tree(charm, "normal,no-proc-macro")?;
    let bom = bom(charm, &Graph::read(&all)?, &Graph::read(&linked)?, &lock);
    Ok(serde_json::to_string_pretty(&bom)? + "\n")
}

/// What a charm depends on, as cargo lists it: depth, package, and its licence.
fn tree(charm: &Charm<'_>, edges: &str) -> Result<String> {
    let shape = ["--prefix", "depth", "--charset", "ascii", "--format", " {p}|{l}"];
    let mut command = cargo();
    // The charm may have a workspace of its own: where its lock file is.
    command.current_dir(charm.lock.parent().unwrap_or(charm.lock));
    capture(command.args(["tree", "--locked", "--package", charm.package, "--edges", edges]).args(shape))
}

/// Name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    name: String,
    version: String,
}

/// Packages, and what each of them depends on.
struct Graph {
    root: Id,
    licences: BTreeMap<Id, String>,
    edges: BTreeMap<Id, BTreeSet<Id>>,
}

impl Graph {
    /// Reads what `cargo tree` wrote. A package that it lists again has its dependencies where it is listed first.
    fn read(text: &str) -> Result<Self> {
        let (mut licences, mut edges) = (BTreeMap::new(), BTreeMap::<Id, BTreeSet<Id>>::new());
        let mut above: Vec<Id> = Vec::new();
        for line in text.lines() {
            let (depth, id, licence) = entry(line).with_context(|| format!("cargo tree wrote {line:?}"))?;
            above.truncate(depth);
            if let Some(parent) = above.last() {
                edges.entry(parent.clone()).or_default().insert(id.clone());
            }
            edges.entry(id.clone()).or_default();
            licences.insert(id.clone(), licence);
            above.push(id);
        }
        let root = above.first().context("cargo tree wrote nothing")?.clone();
        Ok(Self { root, licences, edges })
    }
}

/// One line: `1 serde v1.0.229|MIT OR Apache-2.0`, with `(proc-macro)`, a path or `(*)` behind either part.
fn entry(line: &str) -> Option<(usize, Id, String)> {
    let (depth, rest) = line.split_once(' ')?;
    let (package, licence) = rest.rsplit_once('|')?;
    let (name, rest) = package.split_once(' ')?;
    let version = rest.split(' ').next()?.strip_prefix('v')?;
    let licence = licence.trim_end_matches(" (*)");
    Some((depth.parse().ok()?, Id { name: name.to_owned(), version: version.to_owned() }, spdx(licence)))
}

/// An expression as SPDX writes it: cargo once took a stroke for "or".
fn spdx(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// What of a lock file counts here.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

/// A package in a lock file. One that comes from a registry has a checksum, and one from here has not.
#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The document for a charm, from all packages and from those in the program.
fn bom(charm: &Charm<'_>, all: &Graph, linked: &Graph, lock: &Lock) -> Bom {
    let checksums: BTreeMap<Id, &str> = lock
        .package
        .iter()
        .filter_map(|package| {
            let id = Id { name: package.name.clone(), version: package.version.clone() };
            Some((id, package.checksum.as_deref()?))
        })
        .collect();
    let reference =
        |id: &Id| if checksums.contains_key(id) { purl(id) } else { format!("{}@{}", id.name, id.version) };
    let component = |id: &Id, kind, name: &str, checksum: Option<&str>| Component {
        kind,
        bom_ref: reference(id),
        name: name.to_owned(),
        version: id.version.clone(),
        scope: None,
        hashes: checksum
            .map(|content| Hash { alg: "SHA-256", content: content.to_owned() })
            .into_iter()
            .collect(),
        licenses: all
            .licences
            .get(id)
            .filter(|licence| !licence.is_empty())
            .map(|licence| License { expression: licence.clone() })
            .into_iter()
            .collect(),
        purl: checksums.contains_key(id).then(|| purl(id)),
    };
    let others = all.licences.keys().filter(|id| **id != all.root);
    let components = others.map(|id| {
        let scope = if linked.licences.contains_key(id) { "required" } else { "excluded" };
        Component { scope: Some(scope), ..component(id, "library", &id.name, checksums.get(id).copied()) }
    });
    let dependencies = all.edges.iter().map(|(id, edges)| {
        let depends_on = edges.iter().map(reference).collect();
        Dependency { reference: reference(id), depends_on }
    });
    Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        format: "CycloneDX",
        spec_version: "1.6",
        version: 1,
        metadata: Metadata {
            lifecycles: [Lifecycle { phase: "build" }],
            component: component(&all.root, "application", charm.name, Some(charm.digest)),
        },
        components: components.collect(),
        dependencies: dependencies.collect(),
    }
}

/// A package URL. The only character of a version that has to be escaped is the plus.
fn purl(id: &Id) -> String {
    format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B"))
}

/// A document of CycloneDX 1.6, as far as it is used here: no number of its own and no time, which would differ each time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "bomFormat")]
    format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    lifecycles: [Lifecycle; 1],
    component: Component,
}

#[derive(Serialize)]
struct Lifecycle {
    phase: &'static str,
}

/// The charm, or a crate. Crates of this repository have neither a checksum nor a package URL: by one, they would be taken for
/// whatever has their name in the registry.
#[derive(Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct License {
    expression: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::process::repository;

    const ALL: &str = "0 shop v0.1.0 (/source)|Apache-2.0\n\
        1 serde v1.0.229|MIT OR Apache-2.0\n\
        2 serde_derive v1.0.229 (proc-macro)|MIT/Apache-2.0\n\
        1 till v0.2.0 (/source/crates/till)|Apache-2.0\n\
        2 lzma v5.8.1+again|MIT\n\
        2 serde v1.0.229|MIT OR Apache-2.0 (*)\n";
    const LINKED: &str = "0 shop v0.1.0 (/source)|Apache-2.0\n\
        1 serde v1.0.229|MIT OR Apache-2.0\n\
        1 till v0.2.0 (/source/crates/till)|Apache-2.0\n";
    const LOCK: &str = "version = 4\n\
        [[package]]\nname = 'shop'\nversion = '0.1.0'\n\
        [[package]]\nname = 'serde'\nversion = '1.0.229'\nchecksum = 'aa'\n\
        [[package]]\nname = 'serde_derive'\nversion = '1.0.229'\nchecksum = 'bb'\n\
        [[package]]\nname = 'till'\nversion = '0.2.0'\n\
        [[package]]\nname = 'lzma'\nversion = '5.8.1+again'\nchecksum = 'cc'\n";

    /// The document of this repository's charm.
    fn own() -> String {
        let lock = repository().join("Cargo.lock");
        let charm = Charm { name: "tempo", package: "tempo-coordinator-k8s", digest: "00", lock: &lock };
        text(&charm).unwrap()
    }

    #[test]
    fn a_document_says_what_is_in_a_charm_and_what_needs_what() {
        let charm = Charm { name: "shop-k8s", package: "shop", digest: "00", lock: Path::new("Cargo.lock") };
        let (all, linked) = (Graph::read(ALL).unwrap(), Graph::read(LINKED).unwrap());
        let bom = bom(&charm, &all, &linked, &toml::from_str(LOCK).unwrap());
        let crates_io = |name: &str, version: &str, purl: &str, scope: &str, hash: &str, licence: &str| {
            json!({
                "type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope,
                "hashes": [{"alg": "SHA-256", "content": hash}], "licenses": [{"expression": licence}], "purl": purl,
            })
        };
        let (serde, derive) = ("pkg:cargo/serde@1.0.229", "pkg:cargo/serde_derive@1.0.229");
        let lzma = "pkg:cargo/lzma@5.8.1%2Bagain";
        assert_eq!(
            serde_json::to_value(bom).unwrap(),
            json!({
                "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
                "bomFormat": "CycloneDX",
                "specVersion": "1.6",
                "version": 1,
                "metadata": {
                    "lifecycles": [{"phase": "build"}],
                    "component": {
                        "type": "application", "bom-ref": "shop@0.1.0", "name": "shop-k8s", "version": "0.1.0",
                        "hashes": [{"alg": "SHA-256", "content": "00"}], "licenses": [{"expression": "Apache-2.0"}],
                    },
                },
                "components": [
                    crates_io("lzma", "5.8.1+again", lzma, "excluded", "cc", "MIT"),
                    crates_io("serde", "1.0.229", serde, "required", "aa", "MIT OR Apache-2.0"),
                    crates_io("serde_derive", "1.0.229", derive, "excluded", "bb", "MIT OR Apache-2.0"),
                    {
                        "type": "library", "bom-ref": "till@0.2.0", "name": "till", "version": "0.2.0",
                        "scope": "required", "licenses": [{"expression": "Apache-2.0"}],
                    },
                ],
                "dependencies": [
                    {"ref": lzma, "dependsOn": []},
                    {"ref": serde, "dependsOn": [derive]},
                    {"ref": derive, "dependsOn": []},
                    {"ref": "shop@0.1.0", "dependsOn": [serde, "till@0.2.0"]},
                    {"ref": "till@0.2.0", "dependsOn": [lzma, serde]},
                ],
            })
        );
    }

    #[test]
    fn what_the_charm_is_made_of_is_listed_and_what_tests_use_is_not() {
        let bom: Value = serde_json::from_str(&own()).unwrap();
        let components = bom["components"].as_array().unwrap();
        let scope = |name: &str| {
            let found = components.iter().find(|component| component["name"] == name);
            found.map(|component| component["scope"].as_str().unwrap())
        };
        for linked in ["serde", "tokio", "juju-ops", "juju-relations", "rustls", "aws-lc-sys"] {
            assert_eq!(scope(linked), Some("required"), "{linked}");
        }
        for building in ["serde_derive", "liblzma", "promql-parser"] {
            assert_eq!(scope(building), Some("excluded"), "{building}");
        }
        for testing in ["proptest", "insta", "juju-sim", "hickory-proto", "xtask"] {
            assert_eq!(scope(testing), None, "{testing}");
        }
    }

    #[test]
    fn every_crate_has_a_licence_and_those_of_others_a_checksum_and_an_address() {
        let bom: Value = serde_json::from_str(&own()).unwrap();
        let components = bom["components"].as_array().unwrap();
        let mut own = Vec::new();
        for component in components {
            let licence = component["licenses"][0]["expression"].as_str();
            assert!(licence.is_some_and(|text| !text.is_empty() && !text.contains('/')), "{component}");
            if component.get("purl").is_none() {
                assert_eq!(component.get("hashes"), None);
                own.push(component["name"].as_str().unwrap());
                continue;
            }
            let hash = component["hashes"][0]["content"].as_str().unwrap();
            assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{component}");
        }
        assert_eq!(own, ["juju-ops", "juju-pebble", "juju-relations", "juju-rules"]);

        // What is named in the graph is listed, and the other way round.
        let charm = &bom["metadata"]["component"]["bom-ref"];
        let mut listed: Vec<&Value> =
            components.iter().map(|component| &component["bom-ref"]).chain([charm]).collect();
        let graph = bom["dependencies"].as_array().unwrap();
        let mut nodes: Vec<&Value> = graph.iter().map(|node| &node["ref"]).collect();
        listed.sort_by_key(|text| text.as_str());
        nodes.sort_by_key(|text| text.as_str());
        assert_eq!(listed, nodes);
        for needed in graph.iter().flat_map(|node| node["dependsOn"].as_array().unwrap()) {
            assert!(listed.contains(&needed), "{needed}");
        }
    }

    #[test]
    fn the_same_charm_has_the_same_document() {
        assert_eq!(own(), own());
    }
}
