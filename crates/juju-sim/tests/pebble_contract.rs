//! The double against the real daemon: one script of calls, told by each in turn, must give the same story.
//!
//! Needs the daemon that `cargo xtask tools` builds.

use std::{
    env, fmt, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use juju_pebble::{
    Access, AddLayer, CheckAction, CheckLevel, Client, Error, Exec, FileWrite, Identity, IdentityAction,
    Layer, MakeDir, NoticeFilter, Notify, Owner, Pebble, PebbleExt as _, ServiceAction,
};
use juju_sim::{
    Container, ExecHandler,
    pebble::{Double, serve},
};

/// What was answered, line by line, with the scene's folder as `$DIR`.
struct Story {
    dir: String,
    lines: Vec<String>,
}

impl Story {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.display().to_string(), lines: Vec::new() }
    }

    fn tell<T: fmt::Debug>(&mut self, call: &str, result: Result<T, Error>) {
        let answer = match result {
            Ok(value) => format!("{value:?}"),
            Err(Error::Api { status, kind, message }) => format!("{status} {kind} {message}"),
            // The tail of a task's log is of the process, not of the daemon.
            Err(Error::Change { message }) => message.lines().take(2).collect::<Vec<_>>().join(" | "),
            Err(Error::Path { path, kind, .. }) => format!("{path}: {kind}"),
            Err(other) => format!("{other:?}"),
        };
        self.lines.push(format!("{call} -> {}", answer.replace(&self.dir, "$DIR")));
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }
}

fn layer(text: &str) -> Layer {
    Layer::from_yaml(text).unwrap()
}

const SCRIPT: &str = "echo out; echo err >&2; exit 3";

/// The verbs every Pebble has.
async fn verbs(pebble: &dyn Pebble, story: &mut Story) {
    story.tell("empty plan", pebble.plan().await);
    let base = "
services:
  web: {override: replace, command: sleep 1000, startup: enabled, environment: {A: '1'}}
  side: {override: replace, command: sleep 1000, requires: [web]}
  bad: {override: replace, command: sh -c 'exit 1'}
checks:
  up: {override: replace, level: ready, period: 1h, tcp: {port: 1}}
  idle: {override: replace, level: ready, startup: disabled, period: 1h, tcp: {port: 1}}
  fine: {override: replace, period: 1h, exec: {command: 'true'}}
";
    story.tell("add base", pebble.add_layer("base", &layer(base)).await);
    let over = "services: {web: {override: merge, environment: {B: '2'}, after: [side]}}";
    story.tell("add over", pebble.add_layer("over", &layer(over)).await);
    for (name, text) in [
        ("no command", "services: {new: {override: merge, startup: enabled}}"),
        ("no such requirement", "services: {new: {override: replace, command: x, requires: [nope]}}"),
        ("no kind of check", "checks: {new: {override: replace, period: 3s}}"),
        ("no type of target", "log-targets: {t: {override: replace, location: 'http://x/'}}"),
    ] {
        let refused = pebble.add_layer("bad", &layer(text)).await;
        let said = match &refused {
            Err(Error::Api { status, .. }) => format!("{status}"),
            other => format!("{other:?}"),
        };
        // Wording may change between versions; that it is refused may not.
        story.lines.push(format!("{name} -> {said}"));
    }
    let plan = pebble.plan().await.unwrap();
    story.lines.push(format!("plan has both: {}", plan.services["web"].environment.len()));
    story.tell("services", pebble.services(&[]).await);
    story.tell("unknown services", pebble.services(&["nope"]).await);
    story.tell("start nothing", pebble.change_services(ServiceAction::Start, &[]).await);
    story.tell("start unknown", pebble.change_services(ServiceAction::Start, &["nope"]).await);
    story.tell("replan by name", pebble.change_services(ServiceAction::Replan, &["web"]).await);
    story.tell("signal idle", pebble.signal("SIGHUP", &["side"]).await);
    story.tell("replan", pebble.change_services(ServiceAction::Replan, &[]).await);
    story.tell("services", pebble.services(&[]).await);
    story.tell("start side", pebble.change_services(ServiceAction::Start, &["side"]).await);
    story.tell("start again", pebble.change_services(ServiceAction::Start, &["side"]).await);
    story.tell("services", pebble.services(&[]).await);
    story.tell("start bad", pebble.change_services(ServiceAction::Start, &["bad"]).await);
    story.tell("stop bad", pebble.change_services(ServiceAction::Stop, &["bad"]).await);
    story.tell("signal", pebble.signal("SIGCONT", &["web", "side"]).await);
    story.tell("bad signal", pebble.signal("HUP", &["web"]).await);
    story.tell("signal nobody", pebble.signal("SIGHUP", &[]).await);
    story.tell("stop web", pebble.change_services(ServiceAction::Stop, &["web"]).await);
    story.tell("services", pebble.services(&[]).await);
    story.tell("stop again", pebble.change_services(ServiceAction::Stop, &["web"]).await);

    let path = story.path("a/b/file");
    story.tell("read missing", pebble.read_file(&path).await);
    let file = FileWrite { path: path.clone(), content: b"content\n".to_vec(), mode: 0o600 };
    story.tell("write", pebble.write_file(&file).await);
    story.tell("read", pebble.read_file(&path).await);
    story.tell("read folder", pebble.read_file(&story.path("a")).await);
    story.tell("read relative", pebble.read_file("a/b").await);
    story.tell("write relative", pebble.write_file(&FileWrite { path: "x".into(), ..file.clone() }).await);
    story.tell(
        "write over folder",
        pebble.write_file(&FileWrite { path: story.path("a/b"), ..file.clone() }).await,
    );
    story.tell(
        "write below file",
        pebble.write_file(&FileWrite { path: format!("{path}/c"), ..file.clone() }).await,
    );
    story.tell("remove full folder", pebble.remove_file(&story.path("a/b")).await);
    story.tell("remove", pebble.remove_file(&path).await);
    story.tell("remove missing", pebble.remove_file(&path).await);

    let exec =
        |words: &[&str]| Exec { command: words.iter().map(|w| (*w).to_owned()).collect(), ..Exec::default() };
    story.tell("exec", pebble.exec(&exec(&["sh", "-c", SCRIPT])).await);
    let together = Exec { combine_stderr: true, ..exec(&["sh", "-c", SCRIPT]) };
    story.tell("exec together", pebble.exec(&together).await);
    story.tell("exec nothing", pebble.exec(&exec(&[])).await);
    story.tell("exec missing", pebble.exec(&exec(&["no-such-program"])).await);
    let context = Exec { service_context: Some("nope".into()), ..exec(&["sh", "-c", SCRIPT]) };
    story.tell("exec in no context", pebble.exec(&context).await);

    watching(pebble, story).await;
    folders(pebble, story).await;
}

/// Health checks, notices and identities.
async fn watching(pebble: &dyn Pebble, story: &mut Story) {
    story.tell("health", pebble.health(None, &[]).await);
    story.tell("stop unknown check", pebble.change_checks(CheckAction::Stop, &["nope"]).await);
    story.tell("start unknown check", pebble.change_checks(CheckAction::Start, &["nope", "up"]).await);
    story.tell("stop check", pebble.change_checks(CheckAction::Stop, &["up"]).await);
    story.tell("stop check again", pebble.change_checks(CheckAction::Stop, &["up"]).await);
    let check = &pebble.checks(&["up"]).await.unwrap()[0];
    story.lines.push(format!("{:?} {:?} {:?} {}", check.status, check.level, check.startup, check.threshold));
    story.tell("start check", pebble.change_checks(CheckAction::Start, &["up"]).await);
    story.tell("start idle check", pebble.change_checks(CheckAction::Start, &["idle"]).await);
    story.tell("unknown checks", pebble.checks(&["nope"]).await);
    story.tell("ready", pebble.health(Some(CheckLevel::Ready), &["idle"]).await);
    story.tell("refresh unknown check", pebble.refresh_check("nope").await.map(|_| ()));
    let refreshed = pebble.refresh_check("fine").await.unwrap();
    story.lines.push(format!("{} {:?} {:?}", refreshed.info.name, refreshed.info.status, refreshed.error));

    let notice = Notify { key: "example.com/x".into(), ..Notify::default() };
    pebble.notify(&notice).await.unwrap();
    pebble.notify(&notice).await.unwrap();
    let rare = Notify {
        repeat_after: Some(Duration::from_hours(1)),
        key: "example.com/rare".into(),
        ..notice.clone()
    };
    pebble.notify(&rare).await.unwrap();
    pebble.notify(&notice).await.unwrap();
    pebble.notify(&rare).await.unwrap();
    let filter = NoticeFilter { types: vec!["custom".into()], ..NoticeFilter::default() };
    let notices = pebble.notices(&filter).await.unwrap();
    let told: Vec<_> = notices.iter().map(|n| (&n.kind, &n.key, n.occurrences)).collect();
    story.lines.push(format!("{told:?}"));
    let later = NoticeFilter { after: Some(notices[0].last_repeated.clone()), ..filter };
    story.lines.push(format!("later: {}", pebble.notices(&later).await.unwrap().len()));
    for key in [
        "plain",
        "Example.com/x",
        "example.com/",
        "example.com/a b",
        &format!("example.com/{}", "x".repeat(300)),
    ] {
        let bad = pebble.notify(&Notify { key: key.into(), ..Notify::default() }).await;
        let refused = matches!(bad, Err(Error::Api { status: 400, .. }));
        story.lines.push(format!("{key} refused: {refused}"));
    }
    let large = Notify { data: [("k".into(), "v".repeat(5000))].into(), ..notice };
    let refused = matches!(pebble.notify(&large).await, Err(Error::Api { status: 400, .. }));
    story.lines.push(format!("too much data refused: {refused}"));

    let of = |name: &str, identity: Identity| [(name.to_owned(), identity)].into();
    let (ann, bob) = (Identity::local(Access::Read, 4242), Identity::basic(Access::Metrics, "$6$salt$hash"));
    story.tell("no identities", pebble.identities().await);
    story.tell("add ann", pebble.change_identities(IdentityAction::Add, &of("ann", ann.clone())).await);
    story.tell("add ann", pebble.change_identities(IdentityAction::Add, &of("ann", ann.clone())).await);
    story.tell("update bob", pebble.change_identities(IdentityAction::Update, &of("bob", bob.clone())).await);
    story.tell(
        "replace bob",
        pebble.change_identities(IdentityAction::Replace, &of("bob", bob.clone())).await,
    );
    let identities = pebble.identities().await.unwrap();
    story.lines.push(format!("{identities:?} {}", identities["bob"].basic.as_ref().unwrap().password));
    story.tell("remove ann", pebble.change_identities(IdentityAction::Remove, &of("ann", ann.clone())).await);
    story.tell("remove ann", pebble.change_identities(IdentityAction::Remove, &of("ann", ann.clone())).await);
    let none = Identity { local: None, ..ann };
    let untyped = pebble.change_identities(IdentityAction::Add, &of("nobody", none)).await;
    story.lines.push(format!("untyped refused: {}", matches!(untyped, Err(Error::Api { status: 400, .. }))));
    story.tell("identities", pebble.identities().await);
}

/// Directories, listings, trees.
async fn folders(pebble: &dyn Pebble, story: &mut Story) {
    let (folder, file) = (story.path("d/e"), story.path("d/e/f.txt"));
    story.tell("mkdir without parents", pebble.make_dir(&folder, &MakeDir::default()).await);
    story.tell("mkdir", pebble.make_dir(&folder, &MakeDir { parents: true, ..MakeDir::default() }).await);
    story.tell("mkdir again", pebble.make_dir(&folder, &MakeDir::default()).await);
    let write = FileWrite { path: file.clone(), content: b"12345".to_vec(), mode: 0o640 };
    story.tell("write", pebble.write_files(&[write], &Owner::default()).await);
    for (path, pattern) in
        [(&folder, None), (&folder, Some("*.md")), (&file, None), (&story.path("nope"), None)]
    {
        let listed = pebble.list_files(path, pattern).await;
        let listed = listed.map(|files| {
            files.into_iter().map(|f| (f.path, f.name, f.kind, f.size, f.mode)).collect::<Vec<_>>()
        });
        story.tell("list", listed);
    }
    story.tell("info", pebble.file_info(&folder).await.map(|info| info.map(|f| (f.name, f.kind, f.mode))));
    let (nope, there) = (story.path("nope"), [folder.clone(), file.clone()]);
    story.tell("exists", pebble.exists(&nope).await);
    story.tell("exists", pebble.exists(&there[1]).await);
    story.tell("is a folder", pebble.is_dir(&there[0]).await);
    story.tell("is a folder", pebble.is_dir(&there[1]).await);

    let local = tempfile::tempdir().unwrap();
    fs::create_dir_all(local.path().join("in/empty")).unwrap();
    for (name, content) in [("in/a.txt", "a"), ("in/b.txt", "bb")] {
        fs::write(local.path().join(name), content).unwrap();
    }
    std::os::unix::fs::symlink(local.path(), local.path().join("in/loop")).unwrap();
    story.tell("push", pebble.push_path(&local.path().join("in"), &story.path("d/tree")).await);
    story.tell(
        "push",
        pebble.push_path(&local.path().join("in/b.txt"), &story.path("d/tree/c/deep.txt")).await,
    );
    story.tell("pull", pebble.pull_path(&story.path("d/tree"), &local.path().join("out")).await);
    story.tell("pull", pebble.pull_path(&file, &local.path().join("one.txt")).await);
    story.tell("pull missing", pebble.pull_path(&story.path("nope"), &local.path().join("x")).await);
    story.lines.push(tree(&local.path().join("out")));
    let mode = fs::metadata(local.path().join("one.txt")).unwrap().permissions().mode() & 0o777;
    story.lines.push(format!("{mode:o} {:?}", fs::read(local.path().join("one.txt")).unwrap()));

    story.tell("remove tree", pebble.remove_path(&story.path("d"), false).await);
    story.tell("remove tree", pebble.remove_path(&story.path("d"), true).await);
    story.tell("remove tree", pebble.remove_path(&story.path("d"), true).await);
    story.tell("remove missing", pebble.remove_path(&story.path("d"), false).await);
}

/// Everything below a folder, sorted.
fn tree(folder: &Path) -> String {
    let mut names = Vec::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(here) = rest.pop() {
        for entry in fs::read_dir(&here).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() {
                rest.push(path);
            }
        }
    }
    names.sort();
    names.join(" ")
}

/// What only the client has.
async fn more(client: &Client, story: &mut Story) {
    let again = AddLayer::default();
    story.tell("same label", client.add_layer_with("base", &layer("{}"), again).await);
    story.tell(
        "reserved",
        client.add_layer_with("pebble-x", &layer("{}"), again).await.map_err(|error| match error {
            Error::Api { status, .. } => Error::Protocol(status.to_string()),
            other => other,
        }),
    );
    story.tell("change", client.change(&juju_pebble::ChangeId("99999".into())).await);
    story.tell("autostart", client.autostart().await);
    let (file, nope) = (story.path("some.txt"), story.path("nope"));
    let write = FileWrite { path: file.clone(), content: b"12345".to_vec(), mode: 0o640 };
    story.tell("write", client.write_file(&write).await);
    story.tell("read some", client.read_files(&[&file, &nope]).await);
}

fn double(dir: &Path) -> Double {
    let mut container = Container::ready().with_exec(ExecHandler {
        prefix: ["sh", "-c", SCRIPT].map(String::from).to_vec(),
        exit_code: 3,
        stdout: "out\n".into(),
        stderr: "err\n".into(),
    });
    container.directories.insert(dir.display().to_string());
    container.broken_services.insert("bad".to_owned());
    Double::new(container)
}

/// The real daemon, ended with this value.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It stops its services when asked; they must not outlive the test.
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

fn program() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let tools = set("JUJU_SIM_TOOLS").or_else(|| cache().map(|cache| cache.join("juju-sim/tools")));
    let program = tools.expect("HOME or XDG_CACHE_HOME is set").join("bin/pebble");
    assert!(program.is_file(), "{} is missing: run `cargo xtask tools` first", program.display());
    program
}

async fn daemon(dir: &Path) -> (Daemon, Client) {
    let child = Command::new(program())
        .args(["run", "--create-dirs", "--hold"])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("PEBBLE", dir.join("pebble"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Daemon(child);
    let client = Client::new(dir.join("pebble/.pebble.socket"));
    let begin = Instant::now();
    while client.system_info().await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the daemon does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (daemon, client)
}

#[tokio::test]
async fn the_double_tells_the_daemons_story() {
    let dir = tempfile::tempdir().unwrap();
    let (_daemon, client) = daemon(dir.path()).await;
    let mut real = Story::new(dir.path());
    verbs(&client, &mut real).await;
    let verbs_end = real.lines.len();
    more(&client, &mut real).await;

    let mut direct = Story::new(dir.path());
    verbs(&double(dir.path()), &mut direct).await;
    compare(&direct.lines, &real.lines[..verbs_end]);

    let server = serve(double(dir.path()), dir.path().join("double.socket")).unwrap();
    let client = Client::new(server.socket());
    let mut through = Story::new(dir.path());
    verbs(&client, &mut through).await;
    more(&client, &mut through).await;
    compare(&through.lines, &real.lines);
}

#[track_caller]
fn compare(double: &[String], real: &[String]) {
    let pairs = double.iter().zip(real).filter(|(double, real)| double != real);
    let different: Vec<_> = pairs.map(|(double, real)| format!("double {double}\nreal   {real}")).collect();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
    assert_eq!(double.len(), real.len());
}
