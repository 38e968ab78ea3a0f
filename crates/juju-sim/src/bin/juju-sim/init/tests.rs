//! What is written can be read, deployed and related, as it is and with everything in it that was commented out.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::controller::Controller;

const SHOP: &str = "
name: shop
summary: Sells things.
requires:
  db: {interface: pg, limit: 1}
  certificates: {interface: tls-certificates, limit: 1}
  logging: {interface: loki_push_api, optional: true}
  more-logging: {interface: loki_push_api, optional: true}
provides:
  metrics-endpoint: {interface: prometheus_scrape, optional: true}
peers: {peers: {interface: shop_peers}}
containers:
  web: {resource: web-image, mounts: [{storage: data, location: /data}]}
  bare: {}
storage: {data: {type: filesystem}}
resources:
  web-image: {type: oci-image, upstream-source: 'nginx:1.28'}
  catalog: {type: file, filename: catalog.json}
config:
  options:
    on: {type: boolean, default: true}
    text: {type: string, default: \"two\\nlines: #1\"}
    empty: {type: string}
    size: {type: int}
    rate: {type: float}
    key: {type: secret}
";

const CLIENT: &str =
    "{name: client, requires: {logs: {interface: loki_push_api}}, provides: {db: {interface: pg}}}";

/// A folder with charms of these declarations.
fn folder(charms: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in charms {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("charmcraft.yaml"), text).unwrap();
    }
    folder
}

/// The text with all that is commented out in force.
fn all_of(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Deploys and relates everything in a file, as `up` does.
fn deploy(file: &Path) -> Controller {
    let model = ModelFile::read(file).unwrap();
    let mut controller = Controller::new(&model.name, "uuid");
    for (name, spec) in &model.applications {
        let (source, meta) = crate::charm::load(&spec.charm).unwrap();
        controller.deploy(name, source, Arc::clone(&meta), spec).unwrap();
    }
    for [left, right] in &model.relations {
        controller.integrate(left, right).unwrap();
    }
    controller
}

/// Writes a model beside the charms, and deploys it in both forms.
fn check(charms: &[PathBuf], home: &Path) -> (Written, Controller) {
    let file = home.join(FILE);
    let written = init(charms, &file, "demo", false).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), written.text);
    let begun = deploy(&file);
    let full = home.join("full.yaml");
    fs::write(&full, all_of(&written.text)).unwrap();
    let all = deploy(&full);
    assert!(all.relations.len() >= begun.relations.len(), "{}", written.text);
    (written, begun)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn a_charm_is_given_what_it_needs_and_shown_what_it_could_have() {
    let home = folder(&[("shop", SHOP)]);
    let (written, begun) = check(&[home.path().join("shop")], home.path());
    let names: Vec<_> = begun.applications.keys().map(String::as_str).collect();
    assert_eq!(names, ["certificates", "shop"]);
    assert_eq!(written.stand_ins, ["certificates"]);
    for line in [
        "  # Sells things.",
        "    charm: ./shop",
        "    trust: true",
        "#      \"on\": true",
        "#      text: \"two\\nlines: #1\"",
        "#      size: 0",
        "    #   bare: no image",
        "    #   web: web-image, which stands for nginx:1.28; storage data at /data",
        "#      web-image: {files: {}, dirs: [], environment: {}}",
        "#      catalog: ./catalog.json",
        "#  loki:",
        "#  - [shop:logging, loki:logging]  # loki_push_api",
        "#  - [shop:more-logging, loki:logging]  # loki_push_api",
        "  # shop:db (pg): needed, and no stand-in is built in; add a charm that provides it.",
        "  - [shop:certificates, certificates:certificates]  # tls-certificates",
    ] {
        assert!(written.text.lines().any(|there| there == line), "{line}\n{}", written.text);
    }
    assert!(written.notes[0].contains("./shop has nothing to run yet"), "{:?}", written.notes);
}

#[test]
fn charms_are_related_with_each_other_first() {
    let home = folder(&[("shop", SHOP), ("client", CLIENT)]);
    let (written, begun) = check(&["shop", "client"].map(|name| home.path().join(name)), home.path());
    assert!(written.text.contains("  - [client:db, shop:db]  # pg\n"), "{}", written.text);
    assert_eq!(written.applications, ["shop", "client"]);
    assert_eq!(written.stand_ins, ["certificates", "loki"]);
    // Those of peers are there as well.
    assert_eq!(begun.relations.len(), 4);
    let twice = init(&["shop", "shop"].map(|name| home.path().join(name)), Path::new("-"), "demo", false);
    assert!(twice.unwrap_err().to_string().contains("two of the charms are called \"shop\""));
}

#[test]
fn charms_of_this_repository_come_up() {
    let home = TempDir::new().unwrap();
    let (coordinator, begun) = check(&[repository()], home.path());
    assert_eq!(coordinator.stand_ins, ["s3", "tempo-worker"], "{}", coordinator.text);
    assert_eq!(begun.applications.len(), 3);
    for name in ["requirer", "file-share"] {
        let home = TempDir::new().unwrap();
        let (_, begun) = check(&[repository().join("examples").join(name)], home.path());
        assert!(!begun.applications.is_empty());
    }
    let home = TempDir::new().unwrap();
    let (both, _) = check(&[repository(), repository().join("examples/requirer")], home.path());
    assert!(
        both.text.contains("  - [tempo-coordinator-k8s:tracing, tracing-requirer:tracing]  # tracing\n"),
        "{}",
        both.text
    );
}

#[test]
fn stand_ins_themselves_are_valid() {
    // The other side of everything that the simulator plays: each double is found by its interface.
    for (double, meta) in doubles::all() {
        let mut text = format!("name: other-{double}\n");
        for (key, role) in [("provides", Role::Requirer), ("requires", Role::Provider)] {
            let same = meta.endpoints.iter().filter(|(_, endpoint)| endpoint.role == role);
            let other =
                same.map(|(name, endpoint)| format!("a-{name}: {{interface: {}}}", endpoint.interface));
            let _ = writeln!(text, "{key}: {{{}}}", other.collect::<Vec<_>>().join(", "));
        }
        let home = folder(&[("other", &text)]);
        let (written, _) = check(&[home.path().join("other")], home.path());
        assert!(!written.stand_ins.is_empty() && !written.text.contains("no stand-in"), "{}", written.text);
    }
}

#[test]
fn a_file_is_replaced_only_on_request() {
    let home = folder(&[("client", CLIENT)]);
    let file = home.path().join(FILE);
    fs::write(&file, "mine").unwrap();
    let charms = [home.path().join("client")];
    let refused = init(&charms, &file, "demo", false).unwrap_err().to_string();
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    init(&charms, &file, "demo", true).unwrap();
    assert_eq!(ModelFile::read(&file).unwrap().name, "demo");
    assert!(init(&charms, Path::new("-"), "demo", false).unwrap().text.starts_with("# A model"));
    let wrong = init(&charms, Path::new("-"), "My model", false).unwrap_err().to_string();
    assert!(wrong.contains("not a usable name"), "{wrong}");
}

#[test]
fn what_is_no_charm_is_refused_with_what_one_is() {
    let home = TempDir::new().unwrap();
    for path in [home.path().to_owned(), home.path().join("nowhere")] {
        let refused = init(&[path], Path::new("-"), "demo", false).unwrap_err().to_string();
        assert!(refused.contains("name a packed charm, or the folder"), "{refused}");
    }
}

#[test]
fn a_packed_charm_beside_its_sources_is_what_runs() {
    let home = folder(&[("client", CLIENT)]);
    let mut packed = zip::ZipWriter::new(fs::File::create(home.path().join("client/client.charm")).unwrap());
    packed.start_file("metadata.yaml", zip::write::SimpleFileOptions::default()).unwrap();
    packed.write_all(CLIENT.as_bytes()).unwrap();
    packed.finish().unwrap();
    let charms = [home.path().join("client")];
    let written = init(&charms, &home.path().join(FILE), "demo", false).unwrap();
    assert!(written.text.contains("    charm: ./client/client.charm\n"), "{}", written.text);
    assert!(written.notes.is_empty());
    fs::write(home.path().join("client/dispatch"), "").unwrap();
    let written = init(&charms, &home.path().join(FILE), "demo", true).unwrap();
    assert!(written.text.contains("    charm: ./client\n"), "a folder that can run is not passed over");
}

#[test]
fn hooks_that_lead_to_a_missing_program_are_none() {
    let home = TempDir::new().unwrap();
    let hooks = home.path().join("hooks");
    fs::create_dir(&hooks).unwrap();
    assert!(!runs(home.path()));
    std::os::unix::fs::symlink("../dispatch", hooks.join("install")).unwrap();
    fs::write(hooks.join("start"), "#!/bin/sh\nexec ../dispatch\n").unwrap();
    assert!(!runs(home.path()));
    fs::write(hooks.join("stop"), "#!/bin/sh\ntrue\n").unwrap();
    assert!(runs(home.path()));
}

#[test]
fn paths_are_seen_from_the_folder_of_the_file() {
    for (path, folder, expected) in [
        ("/a/b", "/a/b", Some(".")),
        ("/a/b/c", "/a/b", Some("./c")),
        ("/a/c", "/a/b", Some("../c")),
        ("/c", "/a/b", None),
        ("/c", "/", Some("./c")),
    ] {
        assert_eq!(
            relative(Path::new(path), Path::new(folder)).as_deref(),
            expected.map(Path::new),
            "{path}"
        );
    }
    for (text, expected) in
        [("./a", "./a"), (".a", "\".a\""), ("a b", "\"a b\""), ("1", "\"1\""), ("no", "\"no\"")]
    {
        assert_eq!(scalar(text), expected);
    }
}
