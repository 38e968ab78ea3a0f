//! State and event in, state out.

use juju_sim::{CharmMeta, Context, Event, State};

use super::reconcile;

fn context() -> Context {
    Context::new(CharmMeta::from_dir(env!("CARGO_MANIFEST_DIR")).unwrap())
}

/// The leader, with its storage and its container.
fn complete() -> State {
    State::new(context().meta())
        .with_leader(true)
        .with_containers_ready()
        .with_storage("files/0", "/var/lib/juju/storage/files/0")
}

fn password(state: &State) -> String {
    let secret = state.secret_by_label("password").unwrap();
    String::from_utf8(secret.content(secret.latest()).unwrap()["password"].clone()).unwrap()
}

#[test]
fn nginx_serves_the_storage_to_whoever_knows_the_password() {
    let out = context().run(complete(), Event::ConfigChanged, reconcile);
    out.assert_ok();
    assert!(out.state.unit_status.is_active());
    let web = &out.state.containers["web"];
    assert!(web.is_running("nginx"));
    let passwords = &web.files["/etc/nginx/passwords"];
    assert_eq!(passwords.text(), format!("reader:{{PLAIN}}{}\n", password(&out.state)));
    assert_eq!(passwords.mode, 0o600);

    context().run(&out.state, Event::UpdateStatus, reconcile).assert_nothing_to_commit();
}

#[test]
fn an_action_renews_the_password_everywhere() {
    let before = context().run(complete(), Event::ConfigChanged, reconcile).state;
    let renew = Event::action("password", [("renew".to_owned(), true.into())]);
    let out = context().run(&before, renew, reconcile);
    out.assert_ok();
    let results = out.action.as_ref().unwrap();
    assert_eq!(results.results["password"], password(&out.state));
    assert_ne!(password(&out.state), password(&before));
    let web = &out.state.containers["web"];
    assert!(web.file_text("/etc/nginx/passwords").unwrap().contains(&password(&out.state)));

    // A follower reads what the leader has chosen.
    let follower = State { leader: false, ..out.state.clone() };
    let out = context().run(&follower, Event::action("password", []), reconcile);
    assert_eq!(out.action.as_ref().unwrap().results["password"], password(&follower));
}

#[test]
fn what_is_missing_is_named() {
    let follower = complete().with_leader(false);
    let no_storage = State { storages: [].into(), ..complete() };
    let no_container = complete().with_container("web", juju_sim::Container::down());
    for (state, missing) in
        [(follower, "leader"), (no_storage, "storage files"), (no_container, "container web")]
    {
        let out = context().run(&state, Event::UpdateStatus, reconcile);
        out.assert_ok();
        assert_eq!(out.state.unit_status.status, "waiting");
        assert!(out.state.unit_status.message.contains(missing), "{:?}", out.state.unit_status);
    }
}
