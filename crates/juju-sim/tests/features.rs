//! The bindings' features as whole hooks: what a charm does with them, and what Juju has in the end.

use juju_ops::{
    Encoding, Error, Event as Because, Grantee, Hook, NewSecret, OrBlocked as _, OrFail as _, Rotation,
    SecretContent, SecretId, SecretOwner, SecretRef,
};
use juju_pebble::{CheckAction, Layer, Notify, PebbleExt as _};
use juju_sim::{CharmMeta, Context, Event, Failure, Relation, Secret, State, pebble::PebbleEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const METADATA: &str = "
name: shop
containers: {web: {}}
provides: {clients: {interface: shop}}
requires: {db: {interface: pg}}
storage: {archive: {type: filesystem, multiple: {range: 0-}}}
";
const CONFIG: &str = "options: {max-size: {type: string, default: big}, token: {type: secret}}";
const ACTIONS: &str = "backup: {params: {target-bucket: {type: string}}}";

fn meta() -> CharmMeta {
    CharmMeta::from_texts(METADATA, None, Some(CONFIG), Some(ACTIONS)).unwrap()
}

fn leader() -> State {
    State::new(&meta()).with_leader(true).with_relation(Relation::new("clients", 3, "shop", "till"))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Config {
    #[allow(dead_code)]
    max_size: u32,
}

#[derive(Serialize)]
struct Offer {
    host: &'static str,
    path: Option<&'static str>,
}

#[test]
fn a_mistake_in_the_configuration_is_shown_and_what_came_before_it_is_kept() {
    async fn charm(hook: Hook) -> Result<(), Error> {
        for relation in hook.relations("clients").await? {
            relation.save_app(&Offer { host: "h", path: None }, Encoding::Raw)?;
        }
        let _: Config = hook.config().await.or_blocked(&hook).await?;
        hook.active("not reached").await?;
        Ok(())
    }
    let mut state = leader();
    state.relation_mut("clients", 3).unwrap().local_app_data.insert("path".into(), "/old".into());
    let out = Context::new(meta()).run(&state, Event::ConfigChanged, charm);
    out.assert_ok();
    assert_eq!(out.state.unit_status.status, "blocked");
    assert_eq!(out.state.unit_status.message, "configuration option max-size: expected u32, found string");
    let offered = &out.relation("clients", 3).local_app_data;
    assert_eq!((offered.get("host").map(String::as_str), offered.get("path")), (Some("h"), None));
    // Once somebody has put it right, nothing is left of it.
    let out = Context::new(meta()).run(
        out.state.with_config("max-size", "7"),
        Event::ConfigChanged,
        async |hook: Hook| {
            assert_eq!(hook.config::<Value>().await?["max-size"], "7");
            hook.active("").await.map_err(Error::from)
        },
    );
    assert_eq!(out.state.unit_status.status, "active");
}

#[test]
fn a_mistake_in_the_parameters_fails_the_action_with_its_name() {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Backup {
        target_bucket: String,
    }
    async fn charm(hook: Hook) -> Result<(), Error> {
        let action = hook.action().expect("this is an action");
        let backup: Backup = action.params().await.or_fail(&action).await?;
        action.log("collecting files").await?;
        action
            .set(&json!({"stored": {"url": format!("s3://{}/1", backup.target_bucket), "files": 3}}))
            .await?;
        Ok(())
    }
    let out = Context::new(meta()).run(leader(), Event::action("backup", []), charm);
    out.assert_ok();
    let result = out.action.as_ref().unwrap();
    assert_eq!(result.failure.as_deref(), Some("action parameter target-bucket: has no value"));

    let params = [("target-bucket".to_owned(), Value::from("b"))];
    let out = Context::new(meta()).run(leader(), Event::action("backup", params), charm);
    let result = out.action.as_ref().unwrap();
    assert_eq!((&result.failure, result.log.as_slice()), (&None, &["collecting files".to_owned()][..]));
    assert_eq!(result.results["stored"], json!({"url": "s3://b/1", "files": "3"}));
}

fn password(text: &str) -> SecretContent {
    [("password", text)].into_iter().collect()
}

async fn keeper(hook: Hook) -> Result<(), Error> {
    let secrets = hook.secrets();
    let how = NewSecret { label: "admin", rotate: Some(Rotation::Monthly), ..NewSecret::default() };
    let (id, _) = secrets.get_or_add(SecretOwner::App, how, || password("first")).await?;
    for relation in hook.relations("clients").await? {
        let known =
            secrets.info(SecretRef::Id(&id)).await?.is_some_and(|(_, info)| info.is_granted_to("till"));
        if !known {
            secrets.grant(&id, relation.id()).await?;
        }
        relation.set_app([("secret".to_owned(), Some(id.to_string()))]);
    }
    match hook.event() {
        Because::SecretRotate(event) => secrets.rotate(event, &password("next")).await?,
        Because::SecretRemove(event) | Because::SecretExpired(event) => secrets.retire(event).await?,
        Because::Stop => secrets.revoke(&id, Grantee::App("till")).await?,
        _ => {}
    }
    Ok(())
}

#[test]
fn a_secret_lives_from_its_making_to_the_end_of_its_old_revisions() {
    let ctx = Context::new(meta());
    let made = ctx.run(leader(), Event::LeaderElected, keeper);
    made.assert_ok();
    let secret = made.state.secret_by_label("admin").unwrap().clone();
    assert_eq!((secret.rotate.as_str(), secret.latest()), ("monthly", 1));
    assert_eq!(made.relation("clients", 3).local_app_data["secret"], secret.uri());
    assert!(secret.access.iter().any(|access| access.target == "application-till"));

    // Another hook makes no other one, and grants nothing twice.
    ctx.run(&made.state, Event::UpdateStatus, keeper).assert_nothing_written();

    let rotated = ctx.run(&made.state, Event::secret_rotate(&secret), keeper);
    rotated.assert_ok();
    let secret = rotated.state.secret_by_label("admin").unwrap().clone();
    assert_eq!(secret.latest(), 2);
    assert_eq!(secret.content(2).unwrap()["password"], b"next");

    let retired = ctx.run(&rotated.state, Event::secret_remove(&secret, 1), keeper);
    retired.assert_ok();
    let secret = retired.state.secret_by_label("admin").unwrap();
    assert_eq!(secret.revisions.keys().copied().collect::<Vec<_>>(), [2]);

    let revoked = ctx.run(&retired.state, Event::Stop, keeper);
    revoked.assert_ok();
    assert!(revoked.state.secret_by_label("admin").unwrap().access.is_empty());
}

#[test]
fn what_juju_would_refuse_at_the_end_is_refused_before() {
    let theirs = Secret::new("d0thei00000000000010", "application-other", [("key", "v")]);
    let id = SecretId::new(theirs.uri());
    let taken = Secret::new("d0mine00000000000020", "application-shop", [("key", "v")]).with_label("taken");
    let state = leader().with_secret(theirs).with_secret(taken);
    let out = Context::new(meta()).run(&state, Event::UpdateStatus, async |hook: Hook| {
        let secrets = hook.secrets();
        let error = secrets.set(&id, &password("x")).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        secrets.remove(&id).await?;
        secrets.revoke(&id, Grantee::App("till")).await?;
        let error = secrets.add(&password("x"), "taken", SecretOwner::App).await.unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        Ok::<(), Error>(())
    });
    out.assert_ok().assert_nothing_written();
}

#[test]
fn storage_is_asked_for_and_told_of() {
    let ctx = Context::new(meta());
    let asked = ctx.run(leader(), Event::UpdateStatus, async |hook: Hook| {
        assert!(hook.storages("archive").await?.is_empty());
        hook.request_storage("archive", 2).await.map_err(Error::from)
    });
    asked.assert_ok();
    assert_eq!(asked.commit.add_storage, [("archive".to_owned(), 2)]);
    let state = leader().with_storage("archive/0", "/var/lib/juju/storage/archive/0");
    let told = ctx.run(state, Event::storage_attached("archive/0"), async |hook: Hook| {
        let Because::StorageAttached(attached) = hook.event() else { panic!("{:?}", hook.event()) };
        let storage = hook.storage(&attached.id).await?.expect("it is attached");
        assert_eq!((storage.kind, &storage.location), (attached.kind, &attached.location));
        Ok::<(), Error>(())
    });
    told.assert_ok();
}

#[test]
fn addresses_and_other_models() {
    let state = leader()
        .with_relation(Relation::new("db", 4, "pg", "pg").from_model("11111111-2222-4333-8444-555555555555"));
    let out = Context::new(meta()).run(state, Event::UpdateStatus, async |hook: Hook| {
        let db = hook.single_relation("db").await.or_blocked(&hook).await?.expect("one database");
        let network = hook.network(&db).await?.expect("addresses");
        assert!(network.bind_address().is_some() && network.ingress_address().is_some());
        let model = hook.remote_model(db.id()).await?;
        assert_eq!(model.as_deref(), Some("11111111-2222-4333-8444-555555555555"));
        assert_eq!(hook.network("no-such").await?, None);
        Ok::<(), Error>(())
    });
    out.assert_ok().assert_nothing_written();
}

#[test]
fn a_container_is_watched_notified_and_filled() {
    let out = Context::new(meta()).run(
        leader().with_containers_ready(),
        Event::pebble_ready("web"),
        async |hook: Hook| {
            let web = hook.container("web");
            assert!(web.can_connect().await?);
            let layer = Layer::from_yaml("checks: {up: {override: replace, level: ready, tcp: {port: 80}}}")?;
            assert!(web.ensure_layer("web", &layer).await?);
            assert!(!web.ensure_layer("web", &layer).await?);
            assert_eq!(web.change_checks(CheckAction::Stop, &["up"]).await?, ["up"]);
            web.notify(&Notify { key: "example.com/x".into(), ..Notify::default() }).await?;
            let local = tempfile::tempdir()?;
            std::fs::create_dir(local.path().join("css"))?;
            std::fs::write(local.path().join("css/a.css"), "a {}")?;
            web.push_path(local.path(), "/srv/assets").await?;
            assert!(web.is_dir("/srv/assets/css").await? && web.exists("/srv/assets/css/a.css").await?);
            Ok::<(), Error>(())
        },
    );
    out.assert_ok();
    let container = &out.state.containers["web"];
    assert_eq!(container.file_text("/srv/assets/css/a.css").as_deref(), Some("a {}"));
    assert!(container.stopped_checks.contains("up") && container.notices[0].key == "example.com/x");
    assert!(out.history("web").iter().any(|event| matches!(event, PebbleEvent::Checks { .. })));
}

#[test]
fn auditors_find_refusals_and_crashes_in_the_log() {
    let state = State::new(&meta()).with_leader(false);
    let out = Context::new(meta()).run(state, Event::UpdateStatus, async |hook: Hook| {
        hook.set_app_status(&juju_ops::Status::Active(String::new())).await.map_err(Error::from)
    });
    assert!(matches!(out.result, Err(Failure::Charm(_))));
    let events: Vec<Value> = out
        .logs
        .iter()
        .filter(|line| line.level == "TRACE")
        .map(|line| serde_json::from_str(&line.message).unwrap())
        .collect();
    let told: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["authz_fail:status-get", "sys_crash:update-status"]);
}
