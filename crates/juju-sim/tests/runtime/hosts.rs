//! Pods: names, addresses, files, processes.

use juju_sim::client::Request;

use crate::{begin, need_everything, up};

const PAIR: &str = "
applications:
  a: {charm: $CHARMS/probe, scale: 2}
  b: {charm: $CHARMS/probe}
";

#[test]
fn pods_find_each_other_by_name_until_they_are_gone() {
    let model = up(PAIR);
    let lookup = |name: &str| {
        let outcome = model.client.exec("b/0", None, &["getent", "ahostsv4", name]).unwrap();
        let mut found: Vec<_> =
            outcome.stdout.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        found.sort();
        found.dedup();
        found
    };
    let (one, two) = (model.unit("a/0").address, model.unit("a/1").address);
    assert_eq!(lookup("a-1.a-endpoints.m.svc.cluster.local"), std::slice::from_ref(&two));
    assert_eq!(lookup("a-1.a-endpoints"), std::slice::from_ref(&two), "the search list is used");
    let mut both = vec![one.clone(), two];
    both.sort();
    assert_eq!(lookup("a.m.svc.cluster.local"), both);
    assert_eq!(lookup("a-endpoints.m.svc.cluster.local"), both);
    assert!(lookup("c.m.svc.cluster.local").is_empty());
    assert!(lookup("example.com").is_empty(), "names of the world outside do not exist");

    model.cli(&["remove-unit", "a/1"]);
    model.until("a/1 is gone", |client| client.show_unit("a/1").is_err());
    assert_eq!(lookup("a.m.svc.cluster.local"), [one]);
    assert!(lookup("a-1.a-endpoints.m.svc.cluster.local").is_empty());
}

#[test]
fn a_pod_knows_itself_and_nothing_of_the_machine() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let shell = |script: &str| {
        model.client.exec("a/0", None, &["sh", "-c", script]).unwrap().stdout.trim().to_owned()
    };
    assert_eq!(shell("hostname"), "a-0");
    assert_eq!(shell("hostname -f"), "a-0.a-endpoints.m.svc.cluster.local");
    assert_eq!(shell("id -u"), "0");
    assert_eq!(shell(concat!("test -e ", env!("CARGO_MANIFEST_DIR"), " || echo none")), "none");
    assert_eq!(shell("touch /usr/bin/x 2> /dev/null || echo refused"), "refused");
    assert_eq!(shell("touch /etc/x /tmp/x /var/x && echo written"), "written");
    // Nothing but lo and its own interface, and no way out.
    assert_eq!(shell("ip -o link | wc -l"), "2");
    assert_eq!(shell("ip route | grep -c default"), "0");
}

#[test]
fn the_charms_container_has_what_its_image_holds() {
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("tool"), "#!/bin/sh\necho works\n").unwrap();
    let model = up(&format!(
        "applications: {{a: {{charm: $CHARMS/probe, images: {{charm-base: {{files: {{/srv/tools: {}}}, \
         dirs: [/srv/empty]}}}}}}}}",
        host.path().display()
    ));
    let shell = |container, script: &str| {
        model.client.exec("a/0", container, &["sh", "-c", script]).unwrap().stdout.trim().to_owned()
    };
    assert_eq!(shell(None, "sh /srv/tools/tool"), "works");
    assert_eq!(shell(None, "touch /srv/tools/x 2> /dev/null || echo refused"), "refused");
    assert_eq!(shell(None, "touch /srv/empty/x && echo written"), "written");
    assert_eq!(shell(Some("web"), "ls /srv"), "", "another container has another image");
}

#[test]
fn containers_share_the_network_and_nothing_else() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let shell = |container, script: &str| model.client.exec("a/0", container, &["sh", "-c", script]).unwrap();
    assert_eq!(shell(Some("web"), "hostname -i").stdout.trim(), model.unit("a/0").address);
    shell(Some("web"), "echo mine > /etc/mark");
    assert_eq!(shell(None, "cat /etc/mark").code, 1);
    // The charm speaks to Pebble through the socket; Pebble is the first process where it runs.
    assert_eq!(shell(None, "PEBBLE_SOCKET=/charm/containers/web/pebble.socket pebble services").code, 0);
    assert!(
        shell(Some("web"), "tr '\\0' ' ' < /proc/1/cmdline")
            .stdout
            .starts_with("/charm/bin/pebble run --create-dirs --hold")
    );
}

#[test]
fn commands_give_back_what_they_print_and_how_they_end() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let outcome =
        model.client.exec("a/leader", None, &["sh", "-c", "echo out; echo err >&2; exit 7"]).unwrap();
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(model.client.exec("a/0", None, &["no-such-program"]).unwrap().code, 127);
    assert_eq!(model.client.exec("a/0", None, &["sh", "-c", "kill -9 $$"]).unwrap().code, 137);
    let with_input = Request::Exec {
        unit: "a/0".into(),
        container: None,
        command: vec!["cat".into()],
        stdin: Some("through".into()),
        timeout: 30,
    };
    assert_eq!(model.client.ask::<juju_sim::client::ExecOutcome>(&with_input).unwrap().stdout, "through");
    let unknown = model.client.exec("a/0", Some("db"), &["true"]).unwrap_err().to_string();
    assert!(unknown.contains("\"db\"") && unknown.contains("web"), "{unknown}");
}

#[test]
fn everything_ends_with_whoever_started_the_model() {
    need_everything();
    let model = begin("applications: {a: {charm: $CHARMS/probe}}");
    model.settle();
    // A mark that no other process on this machine carries.
    let mark = format!("juju-sim-test-{}", std::process::id());
    let start = format!("exec -a {mark} sleep 600 & echo started");
    let outcome = model
        .client
        .exec("a/0", None, &["bash", "-c", &format!("({start}) > /dev/null 2>&1; echo started")])
        .unwrap();
    assert_eq!(outcome.stdout, "started\n");
    let alive = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.starts_with(mark.as_bytes()))
        })
    };
    // The command answers before its child has become what it is to be.
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    while !alive() {
        assert!(std::time::Instant::now() < deadline, "the process was never seen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(model);
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    while alive() {
        assert!(std::time::Instant::now() < deadline, "a process of the model outlived it");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn without_pebble_there_are_pods_and_stand_ins_answer() {
    need_everything();
    let home = tempfile::TempDir::with_prefix("jsim").unwrap();
    let file = home.path().join("model.yaml");
    let charm = crate::charm("probe");
    std::fs::write(&file, format!("name: m\napplications: {{a: {{charm: {}}}}}\n", charm.display())).unwrap();
    let cli = |words: &[&str]| {
        let mut command = std::process::Command::new(crate::program());
        command.args(words).env("JUJU_SIM_HOME", home.path()).output().unwrap()
    };
    let up = cli(&["up", "--tools", "/nowhere", &file.to_string_lossy()]);
    let waited = cli(&["wait", "--active", "--timeout", "60"]);
    let killed = cli(&["kill-container", "a/0", "web"]);
    let again = cli(&["wait", "--active", "--timeout", "60"]);
    let shown = cli(&["show-unit", "a/0"]);
    let host = cli(&["exec", "a/0", "--", "hostname"]);
    let down = cli(&["down"]);
    assert!(String::from_utf8_lossy(&up.stderr).contains("no Pebble in /nowhere/bin"), "{up:?}");
    for output in [&waited, &killed, &again, &down] {
        crate::text(output);
    }
    assert_eq!(crate::text(&host), "a-0");
    assert_eq!(crate::text(&shown).matches("- web-pebble-ready").count(), 2);
}

#[test]
fn storage_outlives_containers_and_a_charm_may_have_single_hooks() {
    let word = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(word.path(), "kept\n").unwrap();
    let text = "applications: {a: {charm: $CHARMS/keeper, resources: {word: $WORD}}}";
    let model = up(&text.replace("$WORD", &word.path().to_string_lossy()));
    let unit = model.unit("a/0");
    assert_eq!(unit.workload.message, "data/0 at /var/lib/juju/storage/data/0");
    assert!(unit.hooks.contains(&"data-storage-attached".to_owned()));
    let read = || model.client.exec("a/0", Some("web"), &["cat", "/data/word"]).unwrap().stdout;
    assert_eq!(read(), "kept\n");
    model.client.request(&Request::KillContainer { unit: "a/0".into(), container: "web".into() }).unwrap();
    model.settle();
    assert_eq!(read(), "kept\n");
}
