use proptest::prelude::*;
use serde_json::json;

use super::*;

fn topology() -> Topology {
    Topology {
        model: "obs".into(),
        model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
        application: "tempo-worker".into(),
        unit: Some("tempo-worker/0".into()),
        charm_name: "tempo-worker-k8s".into(),
    }
}

const ONE: [(&str, &str); 1] = [("app", "a\"{b}")];
const THREE: [(&str, &str); 3] =
    [("juju_application", "tw"), ("juju_model", "obs"), ("juju_model_uuid", "3f1d3c0e")];

#[test]
fn a_file_holds_groups_or_a_single_rule() {
    let single =
        Rules::from_yaml("errors", "{alert: A, expr: up < 1, for: 5m, keep_firing_for: 1h}").unwrap();
    assert_eq!(
        serde_json::to_value(&single).unwrap(),
        json!({"groups": [{"name": "errors", "rules": [
            {"alert": "A", "expr": "up < 1", "for": "5m", "keep_firing_for": "1h"}]}]})
    );
    let groups =
        Rules::from_yaml("x", "groups: [{name: g, interval: 1m, rules: [{record: r, expr: sum(up)}]}]")
            .unwrap();
    assert_eq!(
        serde_json::to_value(&groups).unwrap(),
        json!({"groups": [{"name": "g", "interval": "1m", "rules": [{"record": "r", "expr": "sum(up)"}]}]})
    );
    assert_eq!(serde_json::to_string(&Rules::default()).unwrap(), "{}");
}

#[test]
fn what_is_no_document_of_rules_is_an_error_with_its_name() {
    for text in ["", "[]", "{", "{alert: A}", "{expr: up}", "{alert: A, record: r, expr: up}", "groups: 1"] {
        let error = Rules::from_yaml("file", text).unwrap_err().to_string();
        assert!(error.starts_with("file: "), "{text}: {error}");
    }
}

#[test]
fn groups_are_named_after_whom_they_are_about() {
    let name = |subdirectory, name| group_name(&topology(), subdirectory, name);
    assert_eq!(name("", "tempo_alerts"), "obs_3f1d3c0e_tempo_worker_tempo_alerts_rules");
    assert_eq!(name("sub/dir", "high-log-volume"), "obs_3f1d3c0e_tempo_worker_sub_dir_high_log_volume_rules");
    assert_eq!(name("", "my_rules"), "obs_3f1d3c0e_tempo_worker_my_rules");
    assert_eq!(name("", "other_01234567_x-y_rules"), "other_01234567_x_y_rules");
    assert_eq!(name("", "other_0123456z_rules"), "obs_3f1d3c0e_tempo_worker_other_0123456z_rules");
    assert_eq!(name("", ""), "obs_3f1d3c0e_tempo_worker_rules");
}

#[test]
fn labels_that_are_there_are_kept() {
    let mut rules = Rules::from_yaml("g", "{alert: A, expr: up, labels: {juju_model: other}}").unwrap();
    rules.with_topology(&topology(), "", Language::PromQl);
    assert_eq!(
        serde_json::to_value(&rules.groups[0].rules[0].labels).unwrap(),
        json!({
            "juju_application": "tempo-worker", "juju_charm": "tempo-worker-k8s", "juju_model": "other",
            "juju_model_uuid": "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55",
        })
    );
}

#[test]
fn placeholders_leave_valid_expressions() {
    let check =
        |language, before, after| assert_eq!(without_placeholder(before, language), after, "{before}");
    check(Language::PromQl, "up{%%juju_topology%%}", "up{}");
    check(
        Language::PromQl,
        "up{%%juju_topology%%, a=\"b\"} + x{a=\"b\",%%juju_topology%%}",
        "up{a=\"b\"} + x{a=\"b\",}",
    );
    check(Language::LogQl, "{%%juju_topology%%}", "{job=~\".+\"}");
    check(Language::LogQl, "{%%juju_topology%%, a=\"b\"}", "{job=~\".+\", a=\"b\"}");
    check(Language::LogQl, "{a=\"b\", %%juju_topology%% , }", "{a=\"b\", job=~\".+\" }");
}

#[test]
fn every_stream_selector_gets_matchers() {
    let check = |query: &str, expected: &str| assert_eq!(logql::inject(query, &ONE).unwrap(), expected);
    check("{}", r#"{app="a\"{b}"}"#);
    check(r#"{ a = "b" } |= "{c}""#, r#"{ a = "b", app="a\"{b}" } |= "{c}""#);
    check(
        "sum(rate({a=~`}`} | line_format \"{{.x}}\" [5m])) # {}\n / sum(rate({b!~\"c\"}[5m]))",
        "sum(rate({a=~`}`, app=\"a\\\"{b}\"} | line_format \"{{.x}}\" [5m])) # {}\n / sum(rate({b!~\"c\", app=\"a\\\"{b}\"}[5m]))",
    );
    check(r#"{app=~"other"}"#, r#"{app=~"other"}"#);
    check("vector(1)", "vector(1)");
}

#[test]
fn what_is_no_log_query_is_an_error() {
    for query in
        ["{", "}", "{a}", "{a=b}", "{a==\"b\"}", "{a=\"b\",}", "{{}}", "{a=\"b\"} |= \"c", "sum({a=\"b\"}]"]
    {
        assert!(logql::inject(query, &ONE).is_err(), "{query}");
    }
}

#[test]
fn a_wrong_expression_is_named_and_nothing_is_changed() {
    let text = "groups: [{name: g, rules: [{alert: A, expr: '{a=\"b\"}', labels: {juju_model: m}}, {alert: B, expr: '{'}]}]";
    let mut rules = Rules::from_yaml("x", text).unwrap();
    let before = rules.clone();
    let error = rules.inject(Language::LogQl).unwrap_err();
    assert!(error.to_string().starts_with(r#"group "g", rule "B": "#), "{error}");
    assert_eq!(rules, before);
}

#[test]
fn matchers_are_what_the_labels_of_the_rule_say() {
    let text = "{alert: A, expr: 'sum(rate({a=\"b\"}[5m]))', labels: {juju_application: other}}";
    let mut rules = Rules::from_yaml("x", text).unwrap();
    rules.inject(Language::LogQl).unwrap();
    assert_eq!(rules.groups[0].rules[0].expr, r#"sum(rate({a="b", juju_application="other"}[5m]))"#);
}

#[test]
fn quoted_texts_hold_what_they_should() {
    assert_eq!(quoted("a\"\\\n\u{1}é"), "\"a\\\"\\\\\\n\\x01é\"");
}

/// Selectors of a language, with braces and quotes where they do no good.
fn braces() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#"{a="b"}"#,
        r#"{ a = "b" , c != "}" }"#,
        r#"{a=~"x{2}|\"{",b!~"d#"}"#,
        "{a=`}\\`}",
        "{# {\n a=\"b\" # }\n}",
    ])
}

fn log_queries() -> impl Strategy<Value = String> {
    let pipeline = prop::sample::select(vec![
        "",
        r#" |= "{" != `}`"#,
        " | logfmt | level=\"error\" | line_format \"{{.a}} }\"",
        " |~ \"\\\"{\" # {}\n",
        " | json | label_format x=\"{{.y}}\" | unwrap z | __error__=\"\"",
    ]);
    let stream =
        (prop_oneof![braces(), Just("{}")], pipeline).prop_map(|(braces, rest)| format!("{braces}{rest}"));
    let leaf = stream.prop_map(|stream| format!("rate({stream} [5m] offset 1h)"));
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("sum by (a, b) ({a})")),
            inner.clone().prop_map(|a| format!("topk(5, {a}) > 10")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) / on (c) group_left () {b}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn log_queries_keep_everything_but_their_selectors(query in log_queries()) {
        let result = logql::inject(&query, &THREE).unwrap();
        let list = r#"juju_application="tw", juju_model="obs", juju_model_uuid="3f1d3c0e""#;
        prop_assert_eq!(result.matches(list).count(), query.matches("rate(").count());
        prop_assert_eq!(result.replace(&format!(", {list}"), "").replace(list, ""), &query[..]);
        // What is there already is not added again.
        prop_assert_eq!(logql::inject(&result, &THREE).unwrap(), result);
    }

    #[test]
    fn no_text_is_too_odd_to_be_scanned(query in r#"[a{}()\[\]"'`\\,=~!|#\n é1e.+-]{0,40}"#) {
        if let Ok(result) = logql::inject(&query, &ONE) {
            prop_assert!(result.len() >= query.len());
        }
    }
}

#[cfg(feature = "promql")]
mod promql_tests {
    use super::*;

    #[test]
    fn every_vector_selector_gets_matchers() {
        let check = |query: &str, expected: &str| assert_eq!(promql::inject(query, &ONE).unwrap(), expected);
        check("up", r#"up{app="a\"{b}"}"#);
        check("up{}", r#"up{app="a\"{b}"}"#);
        check(r#"{__name__="up"}"#, r#"{__name__="up",app="a\"{b}"}"#);
        check(r#"up{a="b", }"#, r#"up{a="b",app="a\"{b}" }"#);
        check("rate(up[5m] offset -1h)", r#"rate(up{app="a\"{b}"}[5m] offset -1h)"#);
        check("SUM BY (app) (up) > bool 1", r#"SUM BY (app) (up{app="a\"{b}"}) > bool 1"#);
        check(
            "a / on (b) group_left c unless d @ start()",
            r#"a{app="a\"{b}"} / on (b) group_left c{app="a\"{b}"} unless d{app="a\"{b}"} @ start()"#,
        );
        check("quantile(scalar(q), up)", r#"quantile(scalar(q{app="a\"{b}"}), up{app="a\"{b}"})"#);
        check("sum + Inf * NaN", r#"sum{app="a\"{b}"} + Inf * NaN"#);
        check("vector(1) + time()", "vector(1) + time()");
        check(r#"up{app!="x"} # up"#, r#"up{app!="x"} # up"#);
    }

    #[test]
    fn what_is_no_query_is_an_error() {
        for query in
            ["", "up{", "up)", "sum by (a", "up offset", "{}", "up{a=\"b\" or c=\"d\"}", "rate(up)", "up[5m"]
        {
            assert!(promql::inject(query, &ONE).is_err(), "{query}");
        }
    }

    #[test]
    fn an_error_names_group_and_rule() {
        let mut rules = Rules::from_yaml("g", "{record: 'a:b', expr: sum(}").unwrap();
        let error = rules.inject(Language::PromQl).unwrap_err().to_string();
        assert!(error.starts_with(r#"group "g", rule "a:b": "#), "{error}");
    }

    fn queries() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["up", "a:b_total", "_x", "sum", "by", "offset", "and", "start"]);
        let selector = prop_oneof![
            name.clone().prop_map(str::to_owned),
            name.clone().prop_map(|name| format!("{name}{{}}")),
            (name, braces()).prop_map(|(name, braces)| format!("{name} {braces}")),
            braces().prop_map(str::to_owned),
            Just(r#"{__name__=~"a.+"}"#.to_owned()),
        ];
        let time = prop::sample::select(vec![
            "",
            " offset 5m",
            " offset -1h30m",
            " @ 1609746000.5",
            " @ -1",
            " @ end() offset 1w",
            " offset 1d @ start()",
        ]);
        let leaf = prop_oneof![
            (selector.clone(), time.clone()).prop_map(|(selector, time)| format!("{selector}{time}")),
            (selector, time).prop_map(|(selector, time)| format!("rate({selector}[1h30m]{time})")),
        ];
        let simple = leaf.clone().boxed();
        leaf.prop_recursive(6, 32, 2, move |inner| {
            // What binds less than the operator would make another query.
            let operand = prop_oneof![simple.clone(), inner.clone().prop_map(|a| format!("({a})"))];
            let operator = prop::sample::select(vec![
                "+",
                "- ignoring (sum, by)",
                "/ on (a) group_left (b)",
                "* ON(a) group_right ()",
                "> bool",
                "== bool on ()",
                "and",
                "OR ignoring(x)",
                "unless",
                "atan2",
                "% # up\n",
            ]);
            prop_oneof![
                (operand.clone(), operator, operand).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
                inner.clone().prop_map(|a| format!("sum by (a, b) ({a})")),
                inner.clone().prop_map(|a| format!("count({a}) without ()")),
                inner.clone().prop_map(|a| format!("count_values(\"x\", {a})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("topk(scalar({a}), {b})")),
                inner.clone().prop_map(|a| format!("max_over_time(({a})[1h:5m] offset 30s)")),
                inner
                    .clone()
                    .prop_map(|a| format!("avg_over_time(rate({{a=\"b\"}}[5m])[30m:] @ end()) + ({a})")),
                inner
                    .clone()
                    .prop_map(|a| format!("label_replace({a}, \"c\", \"${{1}}\", 'd', `{{(.*)}}#`)")),
                inner.clone().prop_map(|a| format!("histogram_quantile(.9, ({a})) * 1e-3 + 0x1F")),
                inner.clone().prop_map(|a| format!("-({a}) ^ 2 < +Inf")),
                inner.prop_map(|a| format!("time() - ({a}) or vector(NaN)")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn queries_keep_their_meaning_and_every_selector_is_matched(query in queries()) {
            let before = promql::matchers(&query).unwrap();
            let result = promql::inject(&query, &THREE).unwrap();
            let after = promql::matchers(&result).unwrap();
            prop_assert_eq!(before.len(), after.len());
            let ours = THREE.map(|(label, value)| (label.to_owned(), "=".to_owned(), value.to_owned()));
            for (before, after) in before.iter().zip(&after) {
                prop_assert_eq!(&after[before.len()..], &ours[..]);
                prop_assert_eq!(&after[..before.len()], &before[..]);
            }
            prop_assert!(promql::is_same_without(&result, &THREE, &query));
            // What is there already is not added again.
            prop_assert_eq!(promql::inject(&result, &THREE).unwrap(), result);
        }

        #[test]
        fn no_query_is_too_odd_to_be_read(query in r#"(up|sum|by|on|offset|bool|and|5m|1e|[{}()\[\]"'`\\,=~!|#\n é1.+@:-]){0,20}"#) {
            if let Ok(result) = promql::inject(&query, &ONE) {
                prop_assert!(promql::is_same_without(&result, &ONE, &query));
            }
        }
    }
}
