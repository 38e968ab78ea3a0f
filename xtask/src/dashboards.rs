//! The dashboards as files, for a Grafana that no charm looks after, and as pictures.
//!
//! What is written is made by the same code that the charm's build script uses. Pictures need answers: `queries.json` has the
//! questions, and whoever has a Prometheus asks them and hands over what it said.

#[path = "../../build/dashboards.rs"]
#[allow(clippy::struct_field_names)] // one of them is called as the struct is
mod description;
mod picture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use description::For;
use serde_json::{Value, json};

use crate::process::{repository, target_directory};
use picture::{Question, Series};

/// Options of `cargo xtask dashboards`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder to write into; without, `dashboards` in the target folder
    #[arg(long)]
    to: Option<PathBuf>,
    /// What a Prometheus answered: a JSON object from the queries in `queries.json` to the `result` of `query_range` for each. With it,
    /// pictures and tables are made, too
    #[arg(long)]
    answers: Option<PathBuf>,
    /// The folder for pictures and tables; without, `docs/dashboards` of the repository
    #[arg(long, requires = "answers")]
    pictures: Option<PathBuf>,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = match &options.to {
        Some(folder) => folder.clone(),
        None => target_directory()?.join("dashboards"),
    };
    let dashboards = dashboards()?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (stem, dashboard) in &dashboards {
        put(&folder.join(format!("{stem}.json")), &format!("{dashboard:#}\n"))?;
    }
    put(&folder.join("queries.json"), &format!("{:#}\n", json!(queries(&dashboards))))?;
    println!("{} dashboards in {}", dashboards.len(), folder.display());
    let Some(answers) = &options.answers else { return Ok(()) };
    let text = fs::read_to_string(answers).with_context(|| answers.display().to_string())?;
    let answers: BTreeMap<String, Value> =
        serde_json::from_str(&text).with_context(|| answers.display().to_string())?;
    let pictures = options.pictures.clone().unwrap_or_else(|| repository().join("docs/dashboards"));
    fs::create_dir_all(&pictures).with_context(|| pictures.display().to_string())?;
    for (stem, dashboard) in &dashboards {
        let drawn = picture::draw(stem, dashboard, |question| series(answers.get(&question.query)));
        put(&pictures.join(format!("{stem}.md")), &drawn.table)?;
        put(&pictures.join(format!("{stem}.svg")), &drawn.picture)?;
    }
    println!("their pictures in {}", pictures.display());
    Ok(())
}

/// Every dashboard by the name of its file.
fn dashboards() -> Result<Vec<(String, Value)>> {
    let descriptions = description::read(&repository().join("src/assets/dashboards"));
    let descriptions = descriptions.map_err(|error| anyhow!("{error}"))?;
    let made = descriptions.into_iter().map(|(stem, description)| {
        let dashboard = description.dashboard(For::Import).map_err(|error| anyhow!("{error}"))?;
        Ok((stem, dashboard))
    });
    made.collect()
}

/// What the panels of all dashboards ask a Prometheus, with every picker at "all"; each question once.
pub(crate) fn questions() -> Result<BTreeSet<String>> {
    Ok(queries(&dashboards()?))
}

/// What is to be asked of a Prometheus, each question once.
fn queries(dashboards: &[(String, Value)]) -> BTreeSet<String> {
    let mut queries = BTreeSet::new();
    for (stem, dashboard) in dashboards {
        picture::draw(stem, dashboard, |question: &Question| {
            if !question.of_logs {
                queries.insert(question.query.clone());
            }
            Vec::new()
        });
    }
    queries
}

/// The series of an answer; what is none is left out.
fn series(answer: Option<&Value>) -> Vec<Series> {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let point = |pair: &Value| Some((number(pair.get(0)?)?, number(pair.get(1)?)?));
    let results = answer.and_then(Value::as_array).into_iter().flatten();
    results
        .map(|result| {
            let labels = result["metric"].as_object().into_iter().flatten();
            let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            let instant = result.get("value").into_iter();
            let points = result["values"].as_array().into_iter().flatten().chain(instant);
            Series { labels: labels.collect(), points: points.filter_map(point).collect() }
        })
        .collect()
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_for_import_have_every_picker_themselves() {
        let dashboards = dashboards().unwrap();
        assert_eq!(dashboards.len(), 6);
        for (stem, dashboard) in dashboards {
            let variables = dashboard["templating"]["list"].as_array().unwrap();
            let mut names: Vec<&str> =
                variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
            let own = names.split_off(6);
            assert_eq!(
                names,
                ["prometheusds", "lokids", "juju_model", "juju_model_uuid", "juju_application", "juju_unit"]
            );
            assert_eq!(own, if stem == "tempo-tenants" { vec!["tenant"] } else { vec![] }, "{stem}");
            // One that depends on others names them.
            let of_units = variables[5]["definition"].as_str().unwrap();
            assert_eq!(
                of_units,
                "label_values(up{juju_model=~\"$juju_model\",juju_model_uuid=~\"$juju_model_uuid\",\
                 juju_application=~\"$juju_application\"}, juju_unit)"
            );
        }
    }

    #[test]
    fn the_chore_writes_what_can_be_imported_and_asked() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("new");
        run(&Options { to: Some(to.clone()), answers: None, pictures: None }).unwrap();
        let read = |name: &str| -> Value {
            serde_json::from_str(&fs::read_to_string(to.join(name)).unwrap()).unwrap()
        };
        assert_eq!(read("tempo.json")["title"], "Tempo Overview");
        let queries: Vec<String> = serde_json::from_value(read("queries.json")).unwrap();
        assert!(queries.len() > 80 && queries.iter().all(|query| !query.contains('$')), "{queries:?}");

        // Answers to all of them make a picture of each.
        let answer =
            json!([{"metric": {"juju_unit": "worker/0"}, "values": [[0, "1"], [60, "2.5"], [120, "NaN"]]}]);
        let answers: BTreeMap<&String, &Value> = queries.iter().map(|query| (query, &answer)).collect();
        let file = folder.path().join("answers.json");
        fs::write(&file, json!(answers).to_string()).unwrap();
        let pictures = folder.path().join("pictures");
        run(&Options { to: Some(to), answers: Some(file), pictures: Some(pictures.clone()) }).unwrap();
        let table = fs::read_to_string(pictures.join("tempo.md")).unwrap();
        assert!(table.contains("worker/0: 2.5"), "{table}");
        assert!(fs::read_to_string(pictures.join("tempo.svg")).unwrap().contains("<polyline"));
    }

    #[test]
    fn answers_are_read_as_prometheus_gives_them() {
        let answer = json!([
            {"metric": {"a": "b", "c": 1}, "values": [[1.5, "2"], [2.5, "+Inf"], ["x"], 7]},
            {"metric": {}, "value": [3, "4"]},
        ]);
        let read = series(Some(&answer));
        assert_eq!(read[0].labels, [("a".to_owned(), "b".to_owned())].into());
        assert_eq!(read[0].points, [(1.5, 2.0), (2.5, f64::INFINITY)]);
        assert_eq!(read[1].points, [(3.0, 4.0)]);
        assert!(series(None).is_empty() && series(Some(&json!({}))).is_empty());
    }
}
