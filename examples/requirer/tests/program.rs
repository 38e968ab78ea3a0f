//! The charm as the process that it is, driven as Juju would drive it.

use juju_sim::{Context, Event, Outcome, Program, Relation, State};

fn dispatch(state: impl FnOnce(State) -> State, event: Event, transport: &str) -> Outcome {
    let ctx = Context::new(juju_sim::CharmMeta::from_dir(env!("CARGO_MANIFEST_DIR")).unwrap());
    let program = Program::executable(env!("CARGO_BIN_EXE_tracing-requirer")).unwrap();
    let program = program.with_variable("JUJU_OPS_TRANSPORT", transport);
    let state = state(State::new(ctx.meta()).with_leader(true));
    ctx.run_program(state, event, &program)
}

#[test]
fn without_a_provider_it_is_blocked() {
    for transport in ["socket", "process"] {
        let out = dispatch(|state| state, Event::Start, transport);
        let status = &out.assert_ok().state.unit_status;
        assert_eq!(
            (status.status.as_str(), status.message.as_str()),
            ("blocked", "relate tracing to a provider")
        );
    }
}

#[test]
fn it_asks_and_shows_what_it_gets() {
    let receivers = r#"[{"protocol": {"name": "otlp_http", "type": "http"}, "url": "http://tempo:4318"}]"#;
    let related = |state: State| {
        let relation = Relation::new("tracing", 3, "tracing", "tempo");
        state.with_relation(
            relation.with_remote_app_data([("receivers", receivers)]).with_remote_unit(0, [("a", "b")]),
        )
    };
    let outcomes = ["socket", "process"].map(|transport| {
        let out = dispatch(related, Event::relation_changed("tracing", 3), transport);
        out.assert_ok().assert_written_to(&["tracing:3"]);
        assert_eq!(out.relation("tracing", 3).local_app_data["receivers"], r#"["otlp_http"]"#);
        assert_eq!(out.state.unit_status.message, "sends otlp_http to http://tempo:4318");
        out
    });
    let [socket, process] = outcomes;
    assert_eq!(socket.state, process.state);
    assert_eq!(socket.calls_per_tool(), process.calls_per_tool());
}
