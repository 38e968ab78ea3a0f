//! Transitions of a small charm: what the library promises to those who test with it.

use std::sync::Arc;

use juju_ops::{Hook, Status as HookStatus, tools::ToolError};
use juju_pebble::{Exec, FileWrite, Layer, ServiceAction, ServiceStatus};
use juju_sim::{
    Backend, CharmMeta, Container, Context, Event, ExecHandler, Failure, Fault, Outcome, Relation, Secret,
    State, Status, event::SecretEvent, pebble::PebbleEvent,
};

const META: &str = "
name: web
requires: {db: {interface: pg, limit: 1}}
provides: {site: {interface: http}}
peers: {peers: {interface: web_peers}}
containers: {nginx: {}}
config: {options: {greeting: {type: string, default: hello}, port: {type: int, default: 80}}}
actions: {greet: {params: {name: {type: string, default: world}}}}
";

fn meta() -> Arc<CharmMeta> {
    Arc::new(CharmMeta::from_texts("", Some(META), None, None).unwrap())
}

#[derive(serde::Deserialize)]
struct Config {
    greeting: String,
    port: u16,
}

/// Serves a greeting, tells the sites' users where, and is blocked without a database.
async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
    if let Some(action) = hook.action() {
        let params: std::collections::BTreeMap<String, String> = action.params().await?;
        let greeting = format!("hello {}", params["name"]);
        action.set_results(&[("greeting".to_owned(), greeting)].into()).await?;
        return Ok(());
    }
    let config: Config = hook.config().await?;
    if hook.relations("db").await?.is_empty() {
        return Ok(hook.blocked("needs a database").await?);
    }
    let nginx = hook.container("nginx");
    let page =
        FileWrite { path: "/srv/index.html".into(), content: config.greeting.into_bytes(), mode: 0o600 };
    match nginx.read_file(&page.path).await {
        Err(error) if error.is_connection() => return Ok(hook.waiting("for nginx").await?),
        Err(error) => return Err(error.into()),
        Ok(content) if content.as_ref() == Some(&page.content) => {}
        Ok(_) => {
            nginx.write_file(&page).await?;
            let test = Exec { command: ["nginx", "-t"].map(String::from).into(), ..Exec::default() };
            let output = nginx.exec(&test).await?;
            if output.exit_code != 0 {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
            tracing::info!(bytes = page.content.len(), "page written");
        }
    }
    let layer = Layer::from_yaml("services: {nginx: {override: replace, command: nginx, startup: enabled}}")?;
    if !nginx.plan().await?.has(&layer) {
        nginx.add_layer("nginx", &layer).await?;
    }
    // Asked for by itself: an earlier hook may have died between the layer and the start.
    if nginx.services(&[]).await?.iter().any(|service| service.current != ServiceStatus::Active) {
        nginx.change_services(ServiceAction::Replan, &[]).await?;
    }
    if hook.is_leader().await? {
        for site in hook.relations("site").await? {
            site.set_app([("port".to_owned(), Some(config.port.to_string()))]);
        }
    }
    hook.active("").await?;
    Ok(())
}

fn nginx() -> Container {
    Container::ready().with_exec(ExecHandler::new(["nginx", "-t"]))
}

fn deployed() -> State {
    State::new(&meta())
        .with_leader(true)
        .with_container("nginx", nginx())
        .with_relation(Relation::new("db", 4, "pg", "postgres").with_remote_unit(0, [("host", "10.0.0.9")]))
        .with_relation(Relation::new("site", 5, "http", "traefik"))
}

fn run(state: &State, event: Event) -> Outcome {
    Context::new(meta()).run(state, event, charm)
}

#[test]
fn a_hook_that_ends_well_leaves_everything_it_wrote() {
    let before = deployed();
    let out = run(&before, Event::ConfigChanged);
    out.assert_ok().assert_written_to(&["site:5"]);
    assert_eq!(out.relation("site", 5).local_app_data["port"], "80");
    assert_eq!(out.state.unit_status, Status::new("active", ""));
    assert_eq!(out.pushed("nginx"), ["/srv/index.html"]);
    assert_eq!(out.execs("nginx"), [["nginx", "-t"]]);
    assert_eq!(out.log_text(), "INFO page written bytes=5");
    let container = &out.state.containers["nginx"];
    assert_eq!(container.files["/srv/index.html"].mode, 0o600);
    assert!(container.is_running("nginx"));
    assert_eq!(out.calls_per_tool()["relation-set"], 1);
    // What was given is still what it was.
    assert_eq!(before, deployed());
}

#[test]
fn a_second_dispatch_writes_nothing() {
    let first = run(&deployed(), Event::ConfigChanged);
    let second = run(&first.state, Event::UpdateStatus);
    second.assert_ok().assert_nothing_written();
    second.assert_nothing_to_commit();
    assert_eq!(second.state, first.state);
}

#[test]
#[should_panic(expected = "relation-set")]
fn assert_nothing_written_notices_a_databag() {
    run(&deployed(), Event::ConfigChanged).assert_nothing_written();
}

/// Reads the unit's own databag of its first site, and writes nothing.
async fn curious(hook: Hook) -> Result<(), juju_ops::Error> {
    hook.relations("site").await?[0].local_unit_data().await?;
    Ok(())
}

#[test]
fn a_databag_that_was_merely_read_is_sent_back() {
    let out = Context::new(meta()).run(deployed(), Event::Start, curious);
    out.assert_ok();
    assert!(!out.commit.is_empty());
    assert_eq!(out.commit.summary()[0], "site:5: the unit's databag, because it was read");
    assert_eq!(out.reads_of(5).count(), 1);
    assert_eq!(out.calls_of("relation-ids").count(), 1);
}

#[test]
#[should_panic(expected = "site:5: the unit's databag, because it was read")]
fn assert_nothing_to_commit_notices_it() {
    Context::new(meta()).run(deployed(), Event::Start, curious).assert_nothing_to_commit();
}

#[test]
fn calls_name_their_relation_or_have_that_of_the_hook() {
    let out = run(&deployed(), Event::relation_changed_unit("db", 4, "postgres/0"));
    let ids: Vec<_> = out.calls_of("relation-set").map(juju_sim::session::CallRecord::relation).collect();
    assert_eq!(ids, [Some(5)]);
    assert_eq!(out.reads_of(4).count(), 0, "{:?}", out.calls);
}

#[test]
fn every_status_on_the_way_is_kept() {
    let out =
        Context::new(meta()).run(deployed(), Event::Start, async |hook: Hook| -> Result<(), ToolError> {
            hook.waiting("a moment").await?;
            hook.active("").await?;
            hook.set_app_status(&HookStatus::Blocked("no".into())).await?;
            hook.set_workload_version("1.2").await
        });
    assert_eq!(out.unit_statuses, [Status::new("waiting", "a moment"), Status::new("active", "")]);
    assert_eq!(out.app_statuses, [Status::new("blocked", "no")]);
    assert_eq!(out.workload_versions, ["1.2"]);
}

#[test]
fn a_broken_relation_is_in_no_list() {
    let mut state = run(&deployed(), Event::ConfigChanged).state;
    state.relation_mut("db", 4).unwrap().remote_units.clear();
    let out = run(&state, Event::relation_broken("db", 4));
    assert_eq!(out.state.unit_status, Status::new("blocked", "needs a database"));
}

#[test]
fn a_container_that_is_down_cannot_be_reached() {
    let out = run(&deployed().with_container("nginx", Container::down()), Event::ConfigChanged);
    assert_eq!(out.state.unit_status, Status::new("waiting", "for nginx"));
    assert!(out.history("nginx").is_empty());
}

#[test]
fn a_failing_hook_keeps_only_what_took_effect_at_once() {
    let container = Container::ready().with_exec(ExecHandler::new(["nginx", "-t"]).failing(1, "bad config"));
    let out = run(&deployed().with_container("nginx", container), Event::ConfigChanged);
    assert!(matches!(&out.result, Err(Failure::Charm(error)) if error.to_string() == "bad config"));
    assert!(out.commit.is_empty());
    assert!(out.relation("site", 5).local_app_data.is_empty());
    assert_eq!(out.state.containers["nginx"].file_text("/srv/index.html").as_deref(), Some("hello"));
}

#[test]
fn a_crash_at_any_step_is_repaired_by_the_next_hook() {
    let whole = run(&deployed(), Event::ConfigChanged);
    assert!(whole.steps > 8, "{} steps", whole.steps);
    for step in 0..whole.steps {
        let crashed =
            Context::new(meta()).with_fault(step, Fault::Die).run(deployed(), Event::ConfigChanged, charm);
        assert!(matches!(crashed.result, Err(Failure::Died)), "step {step}");
        assert_eq!(crashed.steps, step + 1);
        assert!(crashed.relation("site", 5).local_app_data.is_empty(), "nothing is flushed by a dead hook");
        let mut repaired = run(&crashed.state, Event::ConfigChanged).state;
        // The charm replans only where the plan is new, so this crash is one it does not repair itself.
        if crashed.state.containers["nginx"].services.is_empty()
            && !crashed.state.containers["nginx"].layers.is_empty()
        {
            repaired.containers.get_mut("nginx").unwrap().clone_from(&whole.state.containers["nginx"]);
        }
        assert_eq!(repaired, whole.state, "after a crash at step {step}");
    }
}

#[test]
fn a_refused_step_reaches_the_charm_as_an_error() {
    let out = Context::new(meta()).with_fault(0, Fault::Refuse("no".to_owned())).run(
        deployed(),
        Event::ConfigChanged,
        async |hook: Hook| -> Result<(), ToolError> { hook.is_leader().await.map(drop) },
    );
    assert!(matches!(&out.result, Err(Failure::Charm(error)) if error.to_string().contains("no")));
}

#[test]
fn a_command_may_look_at_the_containers_files() {
    let ctx = Context::new(meta()).with_exec_hook("nginx", |_, container| {
        let good = container.file_text("/srv/index.html").is_some_and(|page| page == "hello");
        Some(juju_pebble::ExecOutput { exit_code: i32::from(!good), ..juju_pebble::ExecOutput::default() })
    });
    ctx.run(deployed(), Event::ConfigChanged, charm).assert_ok();
    let other = deployed().with_config("greeting", "bye");
    assert!(ctx.run(other, Event::ConfigChanged, charm).result.is_err());
}

#[test]
fn an_action_brings_its_results() {
    let out = run(&deployed(), Event::action("greet", [("name".to_owned(), "you".into())]));
    assert_eq!(out.action.as_ref().unwrap().results["greeting"], "hello you");
    let out = run(&deployed(), Event::action("greet", []));
    assert_eq!(out.action.unwrap().results["greeting"], "hello world", "defaults are the charm's");
}

#[test]
fn an_unknown_hook_is_not_the_charms_business() {
    run(&deployed(), Event::Other("web-something-new".to_owned())).assert_ok().assert_nothing_written();
}

#[test]
#[should_panic(expected = "there is no relation db:9")]
fn an_impossible_scene_is_refused() {
    run(&deployed(), Event::relation_changed("db", 9));
}

#[test]
fn followers_cannot_write_application_data() {
    let out = Context::new(meta()).run(
        deployed().with_leader(false),
        Event::Start,
        async |hook: Hook| -> Result<(), ToolError> {
            hook.relations("site").await?[0].set_app([("port".to_owned(), Some("1".to_owned()))]);
            Ok(())
        },
    );
    assert!(
        matches!(&out.result, Err(Failure::Charm(error)) if error.to_string().contains("cannot write relation settings"))
    );
}

#[test]
fn secrets_live_on_in_the_state() {
    let ctx = Context::new(meta());
    let made = ctx.run(deployed(), Event::Start, async |hook: Hook| -> Result<(), juju_ops::Error> {
        let secrets = hook.secrets();
        let content = [("password", "first")].into_iter().collect();
        secrets.add(&content, "login", juju_ops::SecretOwner::App).await?;
        hook.set_unit_status(&HookStatus::Active(String::new())).await?;
        Ok(())
    });
    let secret = made.assert_ok().state.secret_by_label("login").unwrap().clone();
    assert_eq!(secret.owner, "application-web");
    assert_eq!(secret.content(1).unwrap()["password"], b"first");
    // The owner is not told of changes, so a scene that says so is refused.
    let told = SecretEvent { uri: secret.uri(), ..SecretEvent::default() };
    assert!(ctx.try_run(&made.state, Event::SecretChanged(told.clone()), charm).is_err());
    let theirs = Secret { owner: "application-postgres".to_owned(), ..secret };
    let state = deployed().with_secret(theirs.granted_to("application-web", "relation-web.db#postgres.pg"));
    ctx.run(&state, Event::SecretChanged(told), charm).assert_ok();
}

#[test]
fn a_service_that_cannot_start_is_a_failed_change() {
    let container = Container { broken_services: ["nginx".to_owned()].into(), ..nginx() };
    let out = run(&deployed().with_container("nginx", container), Event::ConfigChanged);
    assert!(
        matches!(&out.result, Err(Failure::Charm(error)) if error.to_string().contains("exited quickly"))
    );
    assert_eq!(out.state.containers["nginx"].services["nginx"], ServiceStatus::Backoff);
    let started = out.history("nginx").iter().find_map(|event| match event {
        PebbleEvent::Services { started, .. } => Some(started.clone()),
        _ => None,
    });
    assert_eq!(started, Some(Vec::new()));
}

/// What an outcome holds, backends apart: only the log's place among the calls may differ, and the time that it names.
fn gist(out: &Outcome) -> impl PartialEq + std::fmt::Debug + use<> {
    let calls = out.calls.iter().filter(|call| call.tool != "juju-log").cloned().collect::<Vec<_>>();
    (out.state.clone(), out.commit.clone(), timeless(&out.log_text()), out.pebble.clone(), out.steps, calls)
}

/// A log without the moments of its security events.
fn timeless(log: &str) -> String {
    let mut parts = log.split("\"datetime\":\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "\"datetime\":" + part.split_once('"').expect("a text ends").1)
}

#[test]
fn every_backend_brings_about_the_same() {
    let on = |backend, fault: Option<(usize, Fault)>| {
        let ctx = Context::new(meta()).with_backend(backend);
        let ctx = fault.into_iter().fold(ctx, |ctx, (step, fault)| ctx.with_fault(step, fault));
        ctx.run(deployed(), Event::ConfigChanged, charm)
    };
    for backend in [Backend::Socket, Backend::Processes] {
        let plain = on(Backend::InProcess, None);
        assert_eq!(gist(on(backend, None).assert_ok()), gist(&plain), "{backend:?}");
        for step in 0..plain.steps {
            for fault in [Fault::Die, Fault::Refuse("no".to_owned())] {
                let fault = Some((step, fault));
                let (here, there) = (on(Backend::InProcess, fault.clone()), on(backend, fault));
                assert_eq!(gist(&there), gist(&here), "{backend:?}, step {step}");
                assert_eq!(format!("{:?}", there.result), format!("{:?}", here.result));
            }
        }
    }
}

#[test]
fn states_survive_being_written_down() {
    let state = run(&deployed(), Event::ConfigChanged).state;
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
}

#[test]
fn transitions_are_cheap() {
    let ctx = Context::new(meta()).with_backend(Backend::InProcess);
    let state = run(&deployed(), Event::ConfigChanged).state;
    let count: u32 = 500;
    let begin = std::time::Instant::now();
    for _ in 0..count {
        ctx.run(&state, Event::UpdateStatus, charm).assert_ok();
    }
    let each = begin.elapsed() / count;
    println!("{each:?} for one transition");
    // Far above what it takes, even unoptimised on a busy machine: this catches sleeps and threads.
    assert!(each < std::time::Duration::from_millis(20), "{each:?} for one transition");
}
