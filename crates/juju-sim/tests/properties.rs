//! What holds for every input.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use juju_ops::{Hook, tools::ToolError};
use juju_sim::{CharmMeta, Container, Context, Event, Relation, Secret, Session, State, tools::TOOLS};
use proptest::{collection, prelude::*, sample, test_runner::Config};

fn meta() -> Arc<CharmMeta> {
    let text = "
name: web
requires: {db: {interface: pg}}
peers: {peers: {interface: p}}
containers: {nginx: {}}
config: {options: {size: {type: int, default: 3}}}
actions: {show: {}}
storage: {data: {type: filesystem}}
";
    Arc::new(CharmMeta::from_texts("", Some(text), None, None).unwrap())
}

const SECRET: &str = "secret00000000000001";

fn state() -> State {
    State::new(&meta())
        .with_leader(true)
        .with_container("nginx", Container::ready())
        .with_relation(Relation::new("db", 4, "pg", "postgres").with_remote_unit(0, [("host", "h")]))
        .with_secret(Secret::new(SECRET, "application-web", [("token", "t")]).with_label("login"))
}

/// Words of command lines: what tools understand, what is nearly so, and anything.
fn word() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "-",
        "--",
        "-r",
        "db:4",
        "4",
        "99",
        "db",
        "peers",
        "--app",
        "--format=json",
        "--format",
        "yaml",
        "smart",
        "-o",
        "--file",
        "postgres/0",
        "postgres",
        "web/0",
        "web",
        "a=1",
        "b=",
        "=",
        "a.b=c",
        "80/tcp",
        "80-90",
        "icmp",
        "--endpoints",
        "active",
        "text",
        SECRET,
        "--label",
        "login",
        "--peek",
        "--refresh",
        "--unit",
        "--owner",
        "token=x",
        "token#base64=*",
        "--expire",
        "1h",
        "--rotate",
        "daily",
        "--revision",
        "1",
        "-s",
        "data/0",
        "-l",
        "INFO",
        "--include-data",
        "--application",
        "size",
        "data=2",
        "--strict",
        "--all",
    ];
    prop_oneof![4 => sample::select(KNOWN).prop_map(str::to_owned), 1 => any::<String>()]
}

fn call() -> impl Strategy<Value = (Vec<String>, String)> {
    let tool = sample::select(TOOLS).prop_map(|(tool, _)| tool.to_owned());
    let stdin = prop_oneof![any::<String>(), "[-a-z0-9:{}\\[\\]\"'#&*!|>%@ \n]{0,40}"];
    (tool, collection::vec(word(), 0..6), stdin)
        .prop_map(|(tool, words, stdin)| (std::iter::once(tool).chain(words).collect(), stdin))
}

fn event() -> impl Strategy<Value = Event> {
    sample::select(vec![
        Event::ConfigChanged,
        Event::relation_changed("db", 4),
        Event::relation_changed_unit("db", 4, "postgres/0"),
        Event::relation_departed("db", 4, "postgres/0"),
        Event::relation_broken("db", 4),
        Event::action("show", [("a".to_owned(), 1.into())]),
        Event::Other("web-unheard-of".to_owned()),
    ])
}

proptest! {
    #![proptest_config(Config { cases: 400, ..Config::default() })]

    /// Whatever a charm says, the tools answer, and refuse with a reason; and a failed hook commits nothing.
    #[test]
    fn tools_always_answer(event in event(), calls in collection::vec(call(), 1..12), leader: bool) {
        let dir = tempfile::tempdir().unwrap();
        let state = state().with_leader(leader);
        let mut session = Session::new(meta(), state.clone(), event);
        for (argv, stdin) in &calls {
            let output = session.call(argv, Some(stdin.as_bytes()), dir.path());
            prop_assert!(matches!(output.code, 0..=2), "{argv:?}");
            prop_assert_eq!(output.code != 0, output.stderr.windows(6).any(|w| w == b"ERROR "), "{:?}", argv);
            prop_assert!(output.code == 0 || output.stdout.is_empty(), "{argv:?}");
            let formats: Vec<_> = argv.iter().filter(|word| word.starts_with("--format")).collect();
            let only_json = !formats.is_empty() && formats.iter().all(|word| *word == "--format=json");
            if only_json && !argv.contains(&"--".to_owned()) && !output.stdout.is_empty() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok(), "{argv:?}");
            }
        }
        let failed = session.clone().finish(false);
        prop_assert_eq!(&failed.state.relations, &state.relations);
        prop_assert_eq!(&failed.state.opened_ports, &state.opened_ports);
        prop_assert_eq!(failed.commit, juju_sim::Commit::default());
        let ended = session.finish(true);
        if ended.error.is_some() {
            prop_assert_eq!(&ended.state.relations, &state.relations);
        }
    }

    /// What a charm puts into a databag is what is in it afterwards, whatever characters it has.
    #[test]
    fn databags_carry_every_text(data in collection::btree_map("[^=\\-\\p{Cc}]{1,20}", any::<String>(), 0..6)) {
        let written = data.clone();
        let out = Context::new(meta()).run(state(), Event::ConfigChanged, async move |hook: Hook| -> Result<(), ToolError> {
            hook.relations("db").await?[0].set_app(written.into_iter().map(|(key, value)| (key, Some(value))));
            Ok(())
        });
        out.assert_ok();
        let kept: BTreeMap<_, _> = data.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        prop_assert_eq!(&out.relation("db", 4).local_app_data, &kept);
    }

    /// Equal scenes have equal outcomes.
    #[test]
    fn transitions_are_functions(event in event(), calls in collection::vec(call(), 1..8)) {
        let play = || {
            let mut session = Session::new(meta(), state(), event.clone());
            let outputs: Vec<_> = calls
                .iter()
                .map(|(argv, stdin)| session.call(argv, Some(stdin.as_bytes()), Path::new("/nonexistent")))
                .collect();
            (outputs, session.finish(true))
        };
        prop_assert_eq!(play(), play());
    }
}
