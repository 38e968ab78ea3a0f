//! A charm that writes into databags of its own unit leaves the agent nothing to commit while nothing differs, and its copies
//! of them are never wrong for long.

use std::sync::Arc;

use juju_ops::{Hook, RelationId, SecretContent, SecretId};
use juju_sim::{CharmMeta, Context, Event, Fault, Outcome, Relation, State};

const WEB: u32 = 3;
const DB: u32 = 4;
const COPY: &str = "unit-data.3";

fn context() -> Context {
    let text = "name: site\nprovides: {web: {interface: http}}\nrequires: {db: {interface: pg}}\n";
    Context::new(Arc::new(CharmMeta::from_texts("", Some(text), None, None).expect("a charm's declarations")))
}

fn related() -> State {
    let mut web = Relation::new("web", WEB, "http", "proxy").with_remote_unit(0, [("a", "b")]);
    // As Juju does.
    web.local_unit_data.insert("private-address".into(), "10.1.0.7".into());
    let db = Relation::new("db", DB, "pg", "postgres");
    State::new(context().meta()).with_relation(web).with_relation(db)
}

/// A charm that publishes where its unit is.
async fn publish(hook: Hook, url: Option<&str>) -> Result<(), juju_ops::Error> {
    for relation in hook.relations("web").await? {
        relation.set_unit([("url".to_owned(), url.map(str::to_owned)), ("empty".to_owned(), None)]);
    }
    Ok(())
}

fn run(state: &State, event: Event, url: &'static str) -> Outcome {
    let out = context().run(state, event, async |hook| publish(hook, Some(url)).await);
    out.assert_ok();
    out
}

fn settled() -> State {
    run(&related(), Event::UpdateStatus, "http://a").state
}

fn calls(out: &Outcome, tool: &str) -> usize {
    out.calls_per_tool().get(tool).copied().unwrap_or_default()
}

fn url(state: &State) -> Option<&str> {
    state.relation("web", WEB)?.local_unit_data.get("url").map(String::as_str)
}

#[test]
fn the_copy_is_written_with_the_databag_and_then_stands_in_for_it() {
    let out = run(&related(), Event::UpdateStatus, "http://a");
    assert_eq!(url(&out.state), Some("http://a"));
    assert_eq!(out.state.unit_state[COPY], r#"{"url":"http://a"}"#);
    let again = run(&out.state, Event::UpdateStatus, "http://a");
    assert!(again.commit.relations.is_empty() && again.commit.unit_state.is_none(), "{:?}", again.commit);
    assert_eq!((calls(&again, "relation-get"), calls(&again, "state-get")), (0, 1));
    // What differs is sent, still without a look at the databag.
    let moved = run(&out.state, Event::UpdateStatus, "http://b");
    assert_eq!(url(&moved.state), Some("http://b"));
    assert_eq!(moved.state.unit_state[COPY], r#"{"url":"http://b"}"#);
    assert_eq!(calls(&moved, "relation-get"), 0);
    let taken_back = context().run(&moved.state, Event::UpdateStatus, async |hook| publish(hook, None).await);
    assert_eq!(url(&taken_back.state), None);
    assert_eq!(taken_back.state.unit_state[COPY], "{}");
}

#[test]
fn a_charm_without_databags_of_its_unit_is_not_asked_to_pay_for_them() {
    let other = |event| {
        context().run(related().with_leader(true), event, async |hook: Hook| {
            for relation in hook.relations("db").await? {
                relation.set_app([("name".to_owned(), Some("site".to_owned()))]);
            }
            Ok::<_, juju_ops::Error>(())
        })
    };
    for event in [Event::UpdateStatus, Event::ConfigChanged, Event::UpgradeCharm] {
        assert_eq!(calls(&other(event), "state-get"), 0);
    }
    // A copy could be left of any relation, so that it is worth a question when one ends.
    assert_eq!(calls(&other(Event::relation_broken("db", DB)), "state-get"), 1);
}

#[test]
fn a_databag_is_read_from_the_copy_with_what_is_planned() {
    let read = |state: &State, event: Event| {
        context().run(state, event, async |hook: Hook| {
            let relation = hook.relation(RelationId::new("web", WEB));
            let bag = relation.local_unit_data().await?;
            assert_eq!(bag.keys().collect::<Vec<_>>(), ["url"], "without what is Juju's");
            relation.set_unit([("more".to_owned(), Some("1".to_owned()))]);
            assert_eq!(relation.local_unit_data().await?.len(), 2);
            hook.discard();
            Ok::<_, juju_ops::Error>(())
        })
    };
    let out = read(&settled(), Event::UpdateStatus);
    out.assert_ok();
    assert!(out.commit.relations.is_empty());
    // Without a copy there is one afterwards, so that it is paid for once.
    let mut without = settled();
    without.unit_state.clear();
    let out = read(&without, Event::UpdateStatus);
    out.assert_ok();
    assert_eq!(out.state, settled());
    assert!(read(&out.state, Event::UpdateStatus).commit.relations.is_empty());
}

#[test]
fn what_others_did_to_a_databag_is_seen_where_the_charm_may_have_changed() {
    let mut meddled = settled();
    let bag = &mut meddled.relations.iter_mut().find(|relation| relation.id == WEB).unwrap().local_unit_data;
    bag.insert("url".into(), "http://older-charm".into());
    bag.insert("theirs".into(), "1".into());
    // Trusted in the meantime, since reading it would cost a commit in every hook.
    assert_eq!(url(&run(&meddled, Event::UpdateStatus, "http://a").state), Some("http://older-charm"));
    for event in [Event::UpgradeCharm, Event::ConfigChanged, Event::Start] {
        let out = run(&meddled, event, "http://a");
        assert_eq!(url(&out.state), Some("http://a"));
        assert_eq!(out.state.unit_state[COPY], r#"{"theirs":"1","url":"http://a"}"#);
    }
    // Also where what they wrote is what is wanted.
    let out = run(&meddled, Event::ConfigChanged, "http://older-charm");
    assert!(calls(&out, "relation-set") == 0 && out.state.unit_state[COPY].contains("older-charm"));
    // And where a copy is no copy.
    let mut odd = settled();
    odd.unit_state.insert(COPY.into(), "rubbish".into());
    assert_eq!(run(&odd, Event::UpdateStatus, "http://a").state, settled());
}

#[test]
fn the_copy_goes_with_the_relation() {
    let mut leaving = settled();
    leaving.relations.retain(|relation| relation.id != DB);
    let relation = &mut leaving.relations[0];
    relation.departed_units.append(&mut relation.remote_units);
    let out = run(&leaving, Event::relation_broken("web", WEB), "http://a");
    assert!(out.state.unit_state.is_empty(), "{:?}", out.state.unit_state);
    // Also while the charm has a last word in it.
    let last_word = async |hook: Hook| {
        hook.relation(RelationId::new("web", WEB)).set_unit([("url".to_owned(), None)]);
        Ok::<_, juju_ops::Error>(())
    };
    let out = context().run(&leaving, Event::relation_broken("web", WEB), last_word);
    assert!(out.state.unit_state.is_empty() && url(&out.state).is_none());
    // Copies of relations that ended while another charm was in place are cleared when this one is back.
    let mut orphan = settled();
    orphan.unit_state.insert("unit-data.99".into(), "{}".into());
    orphan.unit_state.insert("theirs".into(), "kept".into());
    let out = run(&orphan, Event::UpgradeCharm, "http://a");
    assert_eq!(out.state.unit_state.keys().collect::<Vec<_>>(), ["theirs", COPY]);
}

#[test]
fn copy_and_databag_change_together_or_not_at_all() {
    let charm = async |hook: Hook| publish(hook, Some("http://b")).await;
    for (state, event) in [
        (related(), Event::UpdateStatus),
        (settled(), Event::UpdateStatus),
        (settled(), Event::ConfigChanged),
        (settled(), Event::relation_changed_unit("web", WEB, "proxy/0")),
    ] {
        let undisturbed = context().run(&state, event.clone(), charm);
        for step in 0..undisturbed.steps {
            for fault in [Fault::Die, Fault::Refuse("tired".into())] {
                let cut = context().with_fault(step, fault).run(&state, event.clone(), charm);
                assert!(cut.result.is_err());
                assert_eq!(cut.state, state, "step {step}");
                let retried = context().run(&cut.state, event.clone(), charm);
                assert_eq!(retried.state, undisturbed.state, "step {step}");
            }
        }
    }
    // Refused when the hook ends: also all of it.
    let out = context().run(settled(), Event::UpdateStatus, async |hook: Hook| {
        publish(hook.clone(), Some("http://b")).await?;
        // There is no such secret, which Juju finds out when the hook ends.
        let content: SecretContent = [("password", "x")].into_iter().collect();
        hook.secrets().set(&SecretId::new("secret:d0neu000000000009990"), &content).await?;
        Ok::<_, juju_ops::Error>(())
    });
    assert!(out.result.is_err());
    assert_eq!(out.state, settled());
}

#[test]
fn what_is_too_long_is_compared_with_the_databag_itself() {
    let long: &'static str = "x".repeat(65_536).leak();
    let out = run(&settled(), Event::UpdateStatus, long);
    assert_eq!(url(&out.state), Some(long));
    assert!(out.state.unit_state.is_empty());
    let again = run(&out.state, Event::UpdateStatus, long);
    assert_eq!((calls(&again, "relation-get"), calls(&again, "relation-set")), (1, 0));
    let out = run(&out.state, Event::UpdateStatus, "http://a");
    assert_eq!(out.state, settled());
}

#[test]
fn keys_of_jujus_own_are_compared_with_the_databag_itself() {
    let charm = async |hook: Hook| {
        hook.relation(RelationId::new("web", WEB))
            .set_unit([("private-address".to_owned(), Some("10.1.0.8".to_owned()))]);
        Ok::<_, juju_ops::Error>(())
    };
    let out = context().run(settled(), Event::UpdateStatus, charm);
    assert_eq!(out.relation("web", WEB).local_unit_data["private-address"], "10.1.0.8");
    assert_eq!(out.state.unit_state[COPY], r#"{"url":"http://a"}"#);
    let again = context().run(&out.state, Event::UpdateStatus, charm);
    assert_eq!(calls(&again, "relation-set"), 0);
}
