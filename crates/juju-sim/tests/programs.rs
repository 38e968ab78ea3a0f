//! Charms as processes: what Juju promises to any charm, whatever it is written in.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use juju_sim::{
    CharmMeta, Container, Context, Event, Failure, Fault, Outcome, Program, Relation, State, Status,
};

const META: &str = "
name: shell
requires: {db: {interface: pg}}
peers: {peers: {interface: shell_peers}}
containers: {web: {}}
config: {options: {greeting: {type: string, default: hello}}}
actions: {greet: {params: {name: {type: string, default: world}}}, count: {}}
";

/// A charm's folder with this script as its `dispatch`.
fn folder(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("charmcraft.yaml"), META).unwrap();
    write_script(&folder.path().join("dispatch"), script);
    folder
}

fn write_script(file: &Path, script: &str) {
    fs::write(file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn program(script: &str) -> (Context, Program) {
    let program = Program::charm(folder(script).path()).unwrap().with_timeout(Duration::from_secs(20));
    (Context::new(program.meta().unwrap()), program)
}

fn state(meta: &CharmMeta) -> State {
    State::new(meta)
        .with_leader(true)
        .with_container("web", Container::ready())
        .with_relation(Relation::new("db", 4, "pg", "postgres").with_remote_unit(0, [("host", "10.0.0.9")]))
}

#[track_caller]
fn run(script: &str, event: Event) -> Outcome {
    let (ctx, program) = program(script);
    ctx.run_program(state(ctx.meta()), event, &program)
}

#[test]
fn a_shell_script_is_a_charm() {
    let script = "
set -eu
host=$(relation-get -r db:4 host postgres/0)
relation-set -r db:4 --app \"seen=$host\"
printf '{\"from\": \"stdin\"}' | relation-set -r db:4 --file -
juju-log -l WARNING -- \"the host is $host\"
status-set active \"$(config-get greeting) $(basename $JUJU_DISPATCH_PATH)\"
echo said; echo whispered >&2";
    let out = run(script, Event::relation_changed_unit("db", 4, "postgres/0"));
    out.assert_ok().assert_written_to(&["db:4"]);
    assert_eq!(out.relation("db", 4).local_app_data["seen"], "10.0.0.9");
    assert_eq!(out.relation("db", 4).local_unit_data["from"], "stdin");
    assert_eq!(out.state.unit_status, Status::new("active", "hello db-relation-changed"));
    let lines: Vec<_> = out.logs.iter().map(|l| format!("{} {} {}", l.level, l.module, l.message)).collect();
    assert_eq!(lines[0], "WARNING unit.shell/0.juju-log db:4: the host is 10.0.0.9");
    assert!(lines.contains(&"DEBUG unit.shell/0.db-relation-changed said".to_owned()), "{lines:?}");
    assert!(lines.contains(&"WARNING unit.shell/0.db-relation-changed whispered".to_owned()), "{lines:?}");
    let calls: Vec<_> = out.calls.iter().map(|call| call.tool.as_str()).collect();
    assert_eq!(
        calls,
        ["relation-get", "relation-set", "relation-set", "juju-log", "config-get", "status-set"]
    );
    assert_eq!(out.steps, 5, "the log is no step");
    assert_eq!(out.reads_of(4).count(), 1);
}

#[test]
fn a_process_has_the_hooks_environment_and_nothing_else() {
    let script = "env > environment; pwd > folder; echo \"$0\" > name";
    let (ctx, program) = program(script);
    let program = program.with_variable("MORE", "yes");
    ctx.run_program(state(ctx.meta()), Event::Install, &program).assert_ok();
    let text = fs::read_to_string(program.charm_dir().join("environment")).unwrap();
    let mut names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.retain(|name| *name != "JUJU_OPS_CONTAINERS");
    names.sort_unstable();
    let wanted = [
        "APT_LISTCHANGES_FRONTEND",
        "CHARM_DIR",
        "CLOUD_API_VERSION",
        "DEBIAN_FRONTEND",
        "JUJU_AGENT_SOCKET_ADDRESS",
        "JUJU_AGENT_SOCKET_NETWORK",
        "JUJU_API_ADDRESSES",
        "JUJU_AVAILABILITY_ZONE",
        "JUJU_CHARM_DIR",
        "JUJU_CHARM_FTP_PROXY",
        "JUJU_CHARM_HTTPS_PROXY",
        "JUJU_CHARM_HTTP_PROXY",
        "JUJU_CHARM_NO_PROXY",
        "JUJU_CONTEXT_ID",
        "JUJU_DISPATCH_PATH",
        "JUJU_HOOK_NAME",
        "JUJU_MACHINE_ID",
        "JUJU_MODEL_NAME",
        "JUJU_MODEL_UUID",
        "JUJU_PRINCIPAL_UNIT",
        "JUJU_SLA",
        "JUJU_UNIT_NAME",
        "JUJU_VERSION",
        "LANG",
        "MORE",
        "PATH",
        "TERM",
    ];
    assert_eq!(names, wanted);
    let charm_dir = program.charm_dir().display().to_string();
    let read = |name| fs::read_to_string(program.charm_dir().join(name)).unwrap().trim().to_owned();
    assert_eq!((read("folder"), read("name")), (charm_dir.clone(), format!("{charm_dir}/dispatch")));
}

#[test]
fn a_failing_process_keeps_only_what_took_effect_at_once() {
    let out = run("status-set waiting soon; relation-set -r db:4 a=b; exit 3", Event::Start);
    assert!(matches!(&out.result, Err(Failure::Exit(exited)) if exited.code == Some(3)), "{:?}", out.result);
    assert!(out.commit.is_empty() && out.relation("db", 4).local_unit_data.is_empty());
    assert_eq!(out.unit_statuses, [Status::new("waiting", "soon")]);
    let killed = run("kill -9 $$", Event::Start);
    assert_eq!(killed.process.unwrap().signal, Some(9));
}

#[test]
fn an_action_brings_what_it_prints_and_its_exit_code() {
    let script = "
if [ \"$JUJU_ACTION_NAME\" = count ]; then printf '\\377'; exit 2; fi
action-log -- working
action-set greeting.text=\"hello $(action-get name)\"
echo done; echo oops >&2";
    let out = run(script, Event::action("greet", [("name".to_owned(), "you".into())]));
    let action = out.assert_ok().action.as_ref().unwrap();
    assert_eq!(action.results["greeting"]["text"], "hello you");
    assert_eq!((&action.results["stdout"], &action.results["stderr"]), (&"done\n".into(), &"oops\n".into()));
    assert_eq!((&action.results["return-code"], &action.failure), (&0.into(), &None));
    assert_eq!(action.log, ["working"]);
    let action = run(script, Event::action("count", [])).action.unwrap();
    assert_eq!(action.failure.as_deref(), Some("exit status 2"));
    assert_eq!(
        (&action.results["stdout"], &action.results["stdout-encoding"]),
        (&"/w==".into(), &"base64".into())
    );
}

#[test]
fn hooks_are_programs_too_where_there_is_no_dispatch() {
    let folder = folder("exit 1");
    fs::remove_file(folder.path().join("dispatch")).unwrap();
    fs::create_dir(folder.path().join("hooks")).unwrap();
    write_script(&folder.path().join("hooks/start"), "status-set active");
    let program = Program::charm(folder.path()).unwrap();
    let ctx = Context::new(program.meta().unwrap());
    let run = |event| ctx.run_program(state(ctx.meta()), event, &program);
    assert_eq!(run(Event::Start).assert_ok().state.unit_status.status, "active");
    let skipped = run(Event::Stop);
    skipped.assert_ok().assert_nothing_written();
    assert_eq!(skipped.log_text(), "DEBUG skipped \"stop\" hook (missing)");
    let action = run(Event::action("count", [])).action.unwrap();
    assert_eq!(action.failure.as_deref(), Some("action not implemented on unit \"shell/0\""));
}

#[test]
fn what_a_charm_keeps_in_its_folder_is_there_in_the_next_hook() {
    let (ctx, program) = program("test -e kept || { touch kept; exit 0; }; status-set active");
    let first = ctx.run_program(state(ctx.meta()), Event::Install, &program);
    assert_eq!(first.assert_ok().state.unit_status.status, "unknown");
    let second = ctx.run_program(first.state, Event::Start, &program);
    assert_eq!(second.assert_ok().state.unit_status.status, "active");
}

#[test]
fn a_process_that_does_not_end_is_killed_with_its_children() {
    let (ctx, program) = program("sleep 600 & echo $! > child; status-set active; wait");
    let program = program.with_timeout(Duration::from_millis(500));
    let out = ctx.run_program(state(ctx.meta()), Event::Start, &program);
    assert!(matches!(out.result, Err(Failure::TimedOut(_))), "{:?}", out.result);
    let child = fs::read_to_string(program.charm_dir().join("child")).unwrap();
    let gone = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.is_empty() || status.contains(") Z ")
    };
    for _ in 0..1000 {
        if gone(child.trim()) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("process {child} is still there");
}

#[test]
fn faults_are_injected_at_hook_tools() {
    let script = "set -e; is-leader; status-set maintenance working; status-set active";
    let (ctx, program) = program(script);
    let run = |fault| ctx.clone().with_fault(1, fault).run_program(state(ctx.meta()), Event::Start, &program);
    let refused = run(Fault::Refuse("no".to_owned()));
    assert!(matches!(&refused.result, Err(Failure::Exit(exited)) if exited.code == Some(1)));
    assert!(refused.log_text().contains("WARNING ERROR no"), "{}", refused.log_text());
    assert_eq!(refused.steps, 2);
    let died = run(Fault::Die);
    assert!(matches!(died.result, Err(Failure::Died)), "{:?}", died.result);
    assert_eq!((died.steps, died.unit_statuses.len()), (2, 0));
}

#[test]
fn what_a_process_takes_is_measured() {
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; is-leader";
    let (ctx, program) = program(script);
    let quick = ctx.run_program(state(ctx.meta()), Event::Start, &program).process.unwrap();
    assert!(quick.cpu.total() > Duration::ZERO && quick.cpu.total() < Duration::from_secs(5), "{quick:?}");
    assert!(quick.peak_memory > 500_000 && quick.peak_memory < 50_000_000, "{quick:?}");
    assert!(quick.wall < Duration::from_secs(10));
    let slow = program.with_tool_delay(Duration::from_millis(150));
    let slow = ctx.run_program(state(ctx.meta()), Event::Start, &slow).process.unwrap();
    assert!(slow.wall >= Duration::from_millis(150), "{slow:?}");
}

/// Where neither curl nor a namespace is at hand, what is left is that the socket is there.
#[test]
fn a_containers_pebble_is_where_every_framework_looks() {
    let script = "
folder=${JUJU_OPS_CONTAINERS:-/charm/containers}
test -S $folder/web/pebble.socket || exit 4
if command -v curl >/dev/null; then
    curl -sf --unix-socket $folder/web/pebble.socket http://localhost/v1/system-info || exit 5
fi
status-set active \"$folder\"";
    let (ctx, program) = program(script);
    let out = ctx.run_program(state(ctx.meta()), Event::pebble_ready("web"), &program);
    out.assert_ok();
    let without = ctx.run_program(state(ctx.meta()), Event::Start, &program.without_mounts());
    assert!(without.assert_ok().state.unit_status.message.ends_with("/containers"));
    assert!(!without.state.unit_status.message.starts_with("/charm"));
}
