//! YAML in and out against recordings of go-yaml 2.4.0, the library that Juju's tools are built with.
//!
//! `recorded/go-yaml.jsonl` has, one a line, texts as charms write them (JSON and `PyYAML`, with awkward characters)
//! with the mapping or the error that came of them, and values with the text they were printed as. What the tools
//! print otherwise is known: lines longer than 80 columns, keys that need `?`, and raw U+2028.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use juju_sim::{CharmMeta, Event, Session, State, tools::ToolOutput};
use serde_json::{Value, json};

fn session(event: Event) -> Session {
    let meta = CharmMeta::from_texts("name: app", None, None, None).unwrap();
    Session::new(Arc::new(meta), State::default(), event)
}

fn call(session: &mut Session, words: &[&str], stdin: &str) -> ToolOutput {
    let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    session.call(&argv, Some(stdin.as_bytes()), Path::new("/"))
}

fn read(text: &str) -> Result<Value, String> {
    let mut session = session(Event::Start);
    let output = call(&mut session, &["state-set", "--file", "-"], text);
    if output.code != 0 {
        let stderr = String::from_utf8(output.stderr).unwrap();
        return Err(stderr.trim_start_matches("ERROR ").trim_end_matches('\n').to_owned());
    }
    let stored = call(&mut session, &["state-get", "--format=json"], "").stdout;
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    Ok(if stored.is_null() { json!({}) } else { stored })
}

fn print(value: &Value) -> String {
    let params = value.as_object().unwrap().clone().into_iter();
    let mut session = session(Event::action("any", params));
    String::from_utf8(call(&mut session, &["action-get", "--format=yaml"], "").stdout).unwrap()
}

#[test]
fn yaml_is_read_and_written_as_go_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/go-yaml.jsonl");
    let (mut maps, mut errors, mut texts) = (0, 0, 0);
    for line in fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if let Some(text) = case["read"].as_str() {
            let expected = match case["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(case["map"].clone()),
            };
            maps += usize::from(expected.is_ok());
            errors += usize::from(expected.is_err());
            assert_eq!(read(text), expected, "{text:?}");
        } else {
            texts += 1;
            assert_eq!(print(&case["write"]), case["yaml"].as_str().unwrap());
        }
    }
    assert!(maps > 300 && errors > 80 && texts > 250, "{maps} {errors} {texts}");
}

#[test]
fn aliases_of_aliases_do_not_take_for_ever() {
    let mut text = "a0: &a0 {k: v}\n".to_owned();
    for n in 1..40 {
        let _ = writeln!(text, "a{n}: &a{n} {{<<: [*a{0}, *a{0}]}}", n - 1);
    }
    text.push_str("<<: *a39\n");
    assert_eq!(read(&text), Err("yaml: document contains excessive aliasing".to_owned()));
}
