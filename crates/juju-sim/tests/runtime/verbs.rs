//! The command line.

use std::process::Command;

use serde_json::{Value, json};

use crate::{PATIENCE, begin, program, text, up};

#[test]
fn status_is_a_table_for_people_and_data_for_programs() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let table = text(&model.cli(&["status"]));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(
        table.lines().any(|line| words(line).starts_with(&["a/0*", "active", "idle"].map(str::to_owned))),
        "{table}"
    );
    assert!(!table.contains('\x1b'), "no colours where nobody sees them");
    let status: Value = serde_json::from_str(&text(&model.cli(&["status", "--format", "json"]))).unwrap();
    let unit = &status["applications"]["a"]["units"]["a/0"];
    assert_eq!(unit["workload-status"], json!({"current": "active", "message": "hello"}));
    assert_eq!(unit["leader"], true);
    assert_eq!(status["simulator"]["reasons"], json!([]));
    let shown: Value =
        serde_json::from_str(&text(&model.cli(&["show-unit", "a/leader", "--format", "json"]))).unwrap();
    assert_eq!(shown["a/0"]["hooks"][0], "install");
}

#[test]
fn actions_give_results_and_fail_alone() {
    let model = up("
applications:
  a: {charm: $CHARMS/probe}
  b: {charm: $CHARMS/probe}
relations:
  - [a:give, b:take]
");
    let outcome = model.client.run("a/leader", "show", []).unwrap();
    assert_eq!(outcome.status, "completed");
    assert_eq!((&outcome.results["text"], &outcome.results["unit"]), (&json!("hello"), &json!("a/0")));

    let failed = model.cli(&["run", "a/0", "break", "--format", "json"]);
    assert!(!failed.status.success());
    let outcome: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((&outcome["status"], &outcome["message"]), (&json!("failed"), &json!("exit status 3")));
    assert_eq!(outcome["results"]["return-code"], 3);
    model.settle();
    assert_eq!(model.unit("a/0").workload.current, "active", "a failed action is no failed unit");
    assert!(!model.unit("b/0").relation_info[1].related_units["a/0"].contains_key("broken"));

    let unknown = model.cli(&["run", "a/0", "shout"]);
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("it has break, keep, renew, show"),
        "{unknown:?}"
    );
}

#[test]
fn options_are_shown_set_and_reset() {
    let model = up("applications: {a: {charm: $CHARMS/probe, options: {text: mine}}}");
    assert_eq!(text(&model.cli(&["config", "a", "text"])), "mine");
    text(&model.cli(&["config", "a", "text=other", "fail-on=nothing"]));
    let all: Value = serde_json::from_str(&text(&model.cli(&["config", "a", "--format", "json"]))).unwrap();
    assert_eq!((&all["text"]["value"], &all["text"]["source"]), (&json!("other"), &json!("user")));
    text(&model.cli(&["config", "a", "--reset", "text,fail-on"]));
    let all: Value = serde_json::from_str(&text(&model.cli(&["config", "a", "--format", "json"]))).unwrap();
    assert_eq!((&all["text"]["value"], &all["text"]["source"]), (&json!("hello"), &json!("default")));
    let unknown = model.cli(&["config", "a", "colour=red"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        said.starts_with("ERROR a has no option \"colour\"; it has ") && said.contains("fail-on"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_done_is_said_with_what_could() {
    let model = up("
applications:
  a: {charm: $CHARMS/probe}
  b: {charm: $CHARMS/probe}
  c: {charm: $CHARMS/coordinator}
");
    for (words, expected) in [
        (&["integrate", "a", "b"][..], "choose one: a:give b:take, b:give a:take"),
        (&["integrate", "a:give", "c"], "no pair of endpoints with the same interface"),
        (&["integrate", "a:givve", "b"], "it has give, peers, take"),
        (&["show-unit", "a/7"], "there are: a/0, b/0, c/0"),
        (&["add-unit", "d"], "there are: a, b, c"),
        (&["kill-leader", "a"], "add one with: juju-sim add-unit a"),
        (&["remove-relation", "a", "b"], "no relation between a and b"),
        (&["remove-relation", "a:givve", "b"], "it has give, peers, take"),
        (&["wait", "nobody"], "there are: a, b, c"),
        (&["counts", "a"], "no unit of a receives spans"),
        (&["config", "a", "txt"], "a has no option \"txt\"; it has "),
        (&["logs", "a/0", "wbe"], "its containers: web"),
        (&["kill-container", "a/0", "wbe"], "a/0 has no container \"wbe\"; it has web"),
        (&["freeze-pebble", "a/0", "wbe"], "a/0 has no container \"wbe\"; it has web"),
        (&["fail-hook-tool", "a/0", "relation-sett"], "there are: "),
        (&["status", "--model", "n"], "model \"n\" does not run here; there are: m"),
        (&["dispatch", "a/0", "update-statis"], "did you mean update-status?"),
        (&["dispatch", "a/0", "web-peble-ready"], "did you mean web-pebble-ready?"),
        (&["dispatch", "a/0", "give-relation-changed"], "juju-sim integrate"),
        (&["dispatch", "a/0", "give-relation-joined"], "comes by itself"),
        (&["dispatch", "a/0", "whatever"], "by hand there are: install, "),
    ] {
        let output = model.cli(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.starts_with("ERROR ") && said.contains(expected),
            "{words:?}: {said}"
        );
    }
    text(&model.cli(&["integrate", "a:give", "b:take"]));
    let twice = model.cli(&["integrate", "b:take", "a:give"]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("related already"));
}

#[test]
fn waiting_ends_with_the_names_of_what_is_not_there() {
    let model = up("applications: {w: {charm: double:tempo-worker}}");
    let output = model.cli(&["wait", "--active", "--timeout", "1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("w/0: blocked [tempo-cluster] missing integration"),
        "{said}"
    );
}

#[test]
fn the_log_can_be_narrowed() {
    let model = up("applications: {a: {charm: $CHARMS/probe, scale: 2}}");
    let one = text(&model.cli(&["debug-log", "--include", "a/1"]));
    assert!(!one.is_empty() && one.lines().all(|line| line.starts_with("unit-a-1: ")), "{one}");
    assert!(one.contains("INFO juju.worker.uniter.operation ran \"install\" hook"), "{one}");
    assert_eq!(model.client.run("a/0", "show", []).unwrap().status, "completed");
    let both = text(&model.cli(&["debug-log", "--include", "a", "--level", "debug"]));
    assert!(both.contains("unit-a-0: ") && both.contains("DEBUG"), "{both}");
    assert_eq!(text(&model.cli(&["debug-log", "-n", "2"])).lines().count(), 2);
}

#[test]
fn without_pods_hooks_still_run_and_it_is_said() {
    let home = tempfile::TempDir::with_prefix("jsim").unwrap();
    let file = home.path().join("model.yaml");
    let charm = crate::charm("probe");
    std::fs::write(&file, format!("name: plain\napplications: {{a: {{charm: {}}}}}\n", charm.display()))
        .unwrap();
    let cli = |words: &[&str]| {
        Command::new(program()).args(words).env("JUJU_SIM_HOME", home.path()).output().unwrap()
    };
    let up = cli(&["up", "--in-process", &file.to_string_lossy()]);
    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    let waited = cli(&["wait", "--active", "--timeout", &PATIENCE.as_secs().to_string()]);
    let status: Value = serde_json::from_slice(&cli(&["status", "--format", "json"]).stdout).unwrap();
    let exec = cli(&["exec", "a/0", "--", "true"]);
    let down = cli(&["down"]);
    text(&up);
    text(&waited);
    text(&down);
    assert!(said.contains("no pods"), "{said}");
    assert_eq!(status["applications"]["a"]["units"]["a/0"]["workload-status"]["current"], "active");
    assert_eq!(status["simulator"]["pods"], false);
    assert!(String::from_utf8_lossy(&exec.stderr).contains("doctor"), "{exec:?}");
}

#[test]
fn a_model_that_was_written_for_a_charm_comes_up_under_the_name_that_is_asked_for() {
    let home = tempfile::TempDir::with_prefix("jsim").unwrap();
    let cli = |words: &[&str]| {
        let mut command = Command::new(program());
        command.args(words).env("JUJU_SIM_HOME", home.path()).env_remove("JUJU_SIM_MODEL");
        command.current_dir(home.path()).output().unwrap()
    };
    let none = cli(&["status"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("juju-sim init"), "{none:?}");
    let charms = ["probe", "traced"].map(crate::charm);
    let init = cli(&["init", &charms[0].to_string_lossy(), &charms[1].to_string_lossy(), "--format", "json"]);
    let written: Value = serde_json::from_str(&text(&init)).unwrap();
    assert_eq!((&written["file"], &written["applications"][0]), (&json!("model.yaml"), &json!("probe")));
    let again = cli(&["init", &charms[0].to_string_lossy()]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"), "{again:?}");
    let up = cli(&["up", "--in-process", "model.yaml", "--model", "other"]);
    let waited = cli(&["wait", "--timeout", &PATIENCE.as_secs().to_string()]);
    let names = cli(&["models"]);
    let second = cli(&["up", "--in-process", "model.yaml"]);
    let unclear = cli(&["status"]);
    let downs = [cli(&["down", "--model", "other"]), cli(&["down", "--model", "demo"])];
    text(&up);
    text(&waited);
    text(&second);
    assert!(downs.iter().all(|down| down.status.success()), "{downs:?}");
    assert_eq!(text(&names), "other");
    let said = String::from_utf8_lossy(&unclear.stderr);
    assert!(said.contains("choose one with --model: demo, other"), "{said}");
}

#[test]
fn a_model_that_cannot_be_deployed_says_why() {
    let home = tempfile::TempDir::with_prefix("jsim").unwrap();
    let file = home.path().join("model.yaml");
    let up = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output =
            Command::new(program()).arg("up").arg(&file).env("JUJU_SIM_HOME", home.path()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let charm = crate::charm("probe");
    for (text, expected) in [
        ("name: m\napplications: {a: {charm: ./nowhere.charm}}\n".to_owned(), "does not exist"),
        (
            "name: m\napplications: {a: {charm: double:nothing}}\n".to_owned(),
            "there is no double:nothing; there are: double:",
        ),
        (
            format!("name: m\napplications: {{a: {{charm: {}, options: {{size: 3}}}}}}\n", charm.display()),
            "no option \"size\"",
        ),
        (
            format!(
                "name: m\napplications: {{a: {{charm: {0}}}, b: {{charm: {0}}}}}\nrelations: [[a, b]]\n",
                charm.display()
            ),
            "choose one",
        ),
    ] {
        let said = up(&text);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_pod_that_cannot_be_made_says_why() {
    crate::need_everything();
    let text = "applications: {a: {charm: $CHARMS/probe, images: {web-image: {files: {/etc/some: /nowhere}}}, resources: {none: /nowhere}}}";
    let model = begin(text);
    let error = model.client.settle(std::time::Duration::from_secs(2)).unwrap_err().to_string();
    assert!(
        error.contains("a/0: its pod is not there yet: resource none: /nowhere: No such file"),
        "{error}"
    );
    // What cannot be made can still be removed.
    model.cli(&["remove-unit", "a/0"]);
    model.until("a/0 is gone", |client| client.show_unit("a/0").is_err());
}

#[test]
fn a_second_model_of_the_same_name_is_refused() {
    crate::need_everything();
    let model = begin("applications: {}");
    let output = model.cli(&["up", &model.home.path().join("model.yaml").to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("runs already"), "{said}");
    assert_eq!(text(&model.cli(&["models"])), "m");
}
