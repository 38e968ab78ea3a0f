//! Turns the descriptions of dashboards under `src/assets/dashboards/` into dashboards for Grafana.
//!
//! A description says what a panel is about; everything that Grafana wants to know beyond that is added here: places and
//! numbers, data sources as variables, colours, and in every selector of every query the pickers of model, application
//! and unit. The charm's build script uses this, and so does `cargo xtask dashboards`.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The charm that the dashboards come with.
pub(crate) const CHARM: &str = "tempo-coordinator-k8s";

/// The labels that every query is filtered by, each by the variable of its name.
pub(crate) const PICKERS: [&str; 4] = ["juju_model", "juju_model_uuid", "juju_application", "juju_unit"];

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// One dashboard as it is described.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// What it is called in Grafana.
    pub(crate) title: String,
    /// By which Grafana knows it again: 40 hexadecimal digits that never change.
    pub(crate) uid: String,
    /// Grows with every change, since Grafana keeps the highest of several with one `uid`.
    pub(crate) version: u32,
    /// What it is good for.
    #[serde(rename = "description")]
    about: String,
    /// A picker of its own.
    #[serde(default)]
    picker: Option<Picker>,
    rows: Vec<Row>,
}

/// A picker of label values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Picker {
    /// The label; also the name of the variable.
    label: String,
    title: String,
    /// The series whose label it is.
    of: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    /// What it shows, what is good, and what to do when it is not.
    description: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    source: Source,
    /// Grafana's name of the unit.
    #[serde(default = "number")]
    unit: String,
    /// Columns; by default 8 for a graph, 4 for a number, 24 for the rest.
    #[serde(default)]
    width: Option<u64>,
    #[serde(default)]
    stacked: bool,
    /// From where on a value is to be worried about (orange).
    #[serde(default)]
    warn: Option<f64>,
    /// From where on it is bad (red).
    #[serde(default)]
    bad: Option<f64>,
    /// Whether it is low values that are to be worried about.
    #[serde(default)]
    low_is_bad: bool,
    /// Of a table: the columns, by the name that the data have for them. Others are left out.
    #[serde(default)]
    columns: Vec<(String, String)>,
    /// The query of a panel that has one.
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    legend: Option<String>,
    /// Several queries, each with its legend.
    #[serde(default)]
    queries: Vec<Query>,
    /// Queries for median, mean and the slowest hundredth of a histogram, whose name is without an ending.
    #[serde(default)]
    latency: Option<String>,
    /// Over which time; by default what suits the width of the graph. For what happens rarely.
    #[serde(default)]
    over: Option<String>,
    /// Only of units that have this series too: a process that plays several roles has one histogram for all of them.
    #[serde(default)]
    of_units_with: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    legend: String,
    query: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Lines over time.
    #[default]
    Graph,
    /// A number, and its course.
    Stat,
    /// How a histogram changes over time.
    Heatmap,
    /// Rows of labels and values as they are now.
    Table,
    /// Lines of a log.
    Logs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    #[default]
    Prometheus,
    Loki,
}

fn number() -> String {
    "short".to_owned()
}

/// For whom a dashboard is made. Each of the two users of this file has one.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The Grafana charm. It adds the pickers of data sources and topology itself, and would add them twice.
    Charm,
    /// A person who imports the file.
    Import,
}

/// Every description in a folder, with the name of its file, sorted by that.
pub(crate) fn read(folder: &Path) -> Result<Vec<(String, Description)>, Box<dyn Error>> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    files
        .iter()
        .map(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(path)?;
            let description =
                serde_yaml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((stem, description))
        })
        .collect()
}

impl Description {
    /// The dashboard.
    pub(crate) fn dashboard(&self, whom: For) -> Result<Value, Box<dyn Error>> {
        let named = |error: Box<dyn Error>| format!("{}: {error}", self.title);
        let mut variables = match whom {
            For::Charm => Vec::new(),
            For::Import => pickers(),
        };
        if let Some(picker) = &self.picker {
            variables.push(picker.variable().map_err(named)?);
        }
        let mut dashboard = json!({
            "title": self.title,
            "uid": self.uid,
            "version": self.version,
            "description": self.about.trim(),
            "tags": ["tempo", format!("charm: {CHARM}")],
            "editable": true,
            "graphTooltip": 1,
            "links": [{
                "type": "dashboards",
                "title": "Tempo",
                "tags": ["tempo"],
                "asDropdown": true,
                "includeVars": true,
                "keepTime": true,
            }],
            "panels": self.panels().map_err(named)?,
            "refresh": "1m",
            "schemaVersion": 39,
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "",
        });
        if !variables.is_empty() {
            // Without any, it is left to the Grafana charm to begin a list.
            dashboard["templating"] = json!({ "list": variables });
        }
        Ok(dashboard)
    }

    /// Rows and panels in the order in which they are read, each in its place.
    fn panels(&self) -> Result<Vec<Value>, Box<dyn Error>> {
        let mut panels: Vec<Value> = Vec::new();
        let mut y = 0;
        for row in &self.rows {
            let id = panels.len() + 1;
            panels.push(json!({
                "id": id,
                "type": "row",
                "title": row.title,
                "collapsed": false,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                let (width, height) = panel.size();
                if x + width > COLUMNS {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                let place = json!({"h": height, "w": width, "x": x, "y": y});
                let shown = panel.shown(panels.len() + 1, &place);
                panels.push(shown.map_err(|error| format!("{} / {}: {error}", row.title, panel.title))?);
                x += width;
                tallest = tallest.max(height);
            }
            y += tallest;
        }
        Ok(panels)
    }
}

impl Panel {
    /// Width and height in the grid.
    fn size(&self) -> (u64, u64) {
        let (width, height) = match self.kind {
            Kind::Graph => (8, 8),
            Kind::Stat => (4, 4),
            Kind::Heatmap | Kind::Table | Kind::Logs => (COLUMNS, 9),
        };
        (self.width.unwrap_or(width).clamp(1, COLUMNS), height)
    }

    fn shown(&self, id: usize, place: &Value) -> Result<Value, Box<dyn Error>> {
        let source = self.source.variable();
        let queries = self.all_queries()?;
        let targets = queries.iter().enumerate().map(|(n, query)| {
            let letter =
                u8::try_from(n).ok().and_then(|n| b'A'.checked_add(n)).filter(u8::is_ascii_uppercase);
            let mut target = json!({
                "refId": char::from(letter.ok_or("too many queries")?).to_string(),
                "datasource": source,
                "expr": filtered(&query.query)?,
                "legendFormat": query.legend,
            });
            match self.kind {
                Kind::Table => {
                    target["format"] = json!("table");
                    target["instant"] = json!(true);
                    target["range"] = json!(false);
                }
                Kind::Heatmap => {
                    target["format"] = json!("heatmap");
                    target["range"] = json!(true);
                }
                _ if self.source == Source::Loki => target["queryType"] = json!("range"),
                _ => target["range"] = json!(true),
            }
            Ok(target)
        });
        let targets = targets.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let mut panel = json!({
            "id": id,
            "type": self.kind.plugin(),
            "title": self.title,
            "description": self.description.trim(),
            "datasource": source,
            "gridPos": place,
            "fieldConfig": {"defaults": self.defaults(), "overrides": []},
            "options": self.options(),
            "targets": targets,
        });
        if self.kind == Kind::Table {
            panel["transformations"] = self.transformations();
        }
        Ok(panel)
    }

    /// The queries in words of the description.
    fn all_queries(&self) -> Result<Vec<Query>, Box<dyn Error>> {
        let mut queries = self.queries.clone();
        if let Some(query) = &self.query {
            let legend = self.legend.clone().unwrap_or_else(|| self.title.clone());
            queries.insert(0, Query { legend, query: query.clone() });
        }
        if let Some(histogram) = &self.latency {
            let (name, matchers) =
                histogram.split_once('{').ok_or("a histogram has a selector, {} if for all")?;
            let over = self.over.as_deref().unwrap_or("$__rate_interval");
            let units = self.of_units_with.as_ref();
            let only = units
                .map_or_else(String::new, |series| format!(" and on (juju_model_uuid, juju_unit) {series}"));
            let rate = |ending: &str| format!("rate({name}_{ending}{{{matchers}[{over}]){only}");
            for (share, legend) in [("0.99", "slowest 1 %"), ("0.5", "median")] {
                let query = format!("histogram_quantile({share}, sum by (le) ({}))", rate("bucket"));
                queries.push(Query { legend: legend.to_owned(), query });
            }
            let query = format!("sum({}) / sum({})", rate("sum"), rate("count"));
            queries.push(Query { legend: "mean".to_owned(), query });
        }
        if queries.is_empty() { Err("no query".into()) } else { Ok(queries) }
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({"unit": self.unit});
        match self.kind {
            Kind::Graph => {
                defaults["min"] = json!(0);
                defaults["custom"] = json!({
                    "drawStyle": "line",
                    "fillOpacity": if self.stacked { 40 } else { 10 },
                    "lineWidth": 1,
                    "showPoints": "never",
                    "stacking": {"mode": if self.stacked { "normal" } else { "none" }},
                });
                if self.warn.or(self.bad).is_some() {
                    defaults["custom"]["thresholdsStyle"] = json!({"mode": "dashed"});
                }
            }
            Kind::Stat | Kind::Table | Kind::Heatmap | Kind::Logs => {}
        }
        if self.warn.or(self.bad).is_some() {
            defaults["thresholds"] = json!({"mode": "absolute", "steps": self.steps()});
            if self.kind == Kind::Stat {
                defaults["color"] = json!({"mode": "thresholds"});
            }
        }
        defaults
    }

    /// Colours from the lowest value up.
    fn steps(&self) -> Vec<Value> {
        let step = |color: &str, value: Option<f64>| json!({"color": color, "value": value});
        let (warn, bad) = (self.warn, self.bad);
        if self.low_is_bad {
            // Above the higher bound all is well.
            let lowest = if bad.is_some() { "red" } else { "orange" };
            let orange = bad.filter(|_| warn.is_some()).map(|bad| step("orange", Some(bad)));
            let green = warn.or(bad).map(|bound| step("green", Some(bound)));
            [Some(step(lowest, None)), orange, green].into_iter().flatten().collect()
        } else {
            let orange = warn.map(|warn| step("orange", Some(warn)));
            let red = bad.map(|bad| step("red", Some(bad)));
            [Some(step("green", None)), orange, red].into_iter().flatten().collect()
        }
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Graph => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Kind::Stat => json!({
                "colorMode": "value",
                "graphMode": "area",
                "reduceOptions": {"calcs": ["lastNotNull"], "values": false},
                // A version is a label and not a value.
                "textMode": if self.legend.as_deref().is_some_and(|legend| legend.contains("{{")) { "name" } else { "auto" },
            }),
            Kind::Heatmap => json!({
                "calculate": false,
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "yAxis": {"unit": self.unit},
            }),
            Kind::Table => json!({"showHeader": true}),
            Kind::Logs => json!({"showTime": true, "sortOrder": "Descending", "wrapLogMessage": true}),
        }
    }

    /// Several queries become one row per set of labels, and only the columns that are named are shown, in their order.
    fn transformations(&self) -> Value {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let order: Map<String, Value> =
            names.iter().enumerate().map(|(n, name)| ((*name).to_owned(), json!(n))).collect();
        let renamed: Map<String, Value> =
            self.columns.iter().map(|(name, title)| (name.clone(), json!(title))).collect();
        json!([
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
            {"id": "organize", "options": {"indexByName": order, "renameByName": renamed}},
        ])
    }
}

impl Picker {
    fn variable(&self) -> Result<Value, Box<dyn Error>> {
        let query = format!("label_values({}, {})", filtered(&self.of)?, self.label);
        Ok(query_variable(&self.label, &self.title, &query))
    }
}

impl Kind {
    /// What Grafana calls it.
    fn plugin(self) -> &'static str {
        match self {
            Kind::Graph => "timeseries",
            Kind::Stat => "stat",
            Kind::Heatmap => "heatmap",
            Kind::Table => "table",
            Kind::Logs => "logs",
        }
    }
}

impl Source {
    /// The variable that says which one.
    fn variable(self) -> Value {
        match self {
            Source::Prometheus => json!({"type": "prometheus", "uid": "${prometheusds}"}),
            Source::Loki => json!({"type": "loki", "uid": "${lokids}"}),
        }
    }
}

/// The pickers that the Grafana charm adds where it is there to do so.
fn pickers() -> Vec<Value> {
    let source = |name: &str, kind: &str, title: &str| json!({"name": name, "label": title, "type": "datasource", "query": kind, "refresh": 1, "hide": 0});
    let mut variables =
        vec![source("prometheusds", "prometheus", "Prometheus"), source("lokids", "loki", "Loki")];
    let mut chosen = Vec::new();
    for name in PICKERS {
        let query = format!("label_values(up{{{}}}, {name})", chosen.join(","));
        variables.push(query_variable(name, &name.replace("juju_", "Juju ").replace('_', " "), &query));
        chosen.push(format!("{name}=~\"${name}\""));
    }
    variables
}

fn query_variable(name: &str, title: &str, query: &str) -> Value {
    json!({
        "name": name,
        "label": title,
        "type": "query",
        "datasource": Source::Prometheus.variable(),
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": true,
        "includeAll": true,
        "allValue": ".*",
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
    })
}

/// The query with the pickers in each of its selectors.
///
/// In PromQL and in LogQL alike, braces outside of quotes are around the matchers of a selector, and nothing else. So every
/// selector of a description has them, be they empty.
pub(crate) fn filtered(query: &str) -> Result<String, Box<dyn Error>> {
    let matchers: Vec<String> = PICKERS.iter().map(|label| format!("{label}=~\"${label}\"")).collect();
    let matchers = matchers.join(",");
    let mut out = String::new();
    let mut rest = query.trim().chars().peekable();
    let mut quote = None;
    let (mut open, mut selectors) = (false, 0);
    while let Some(c) = rest.next() {
        out.push(c);
        match (quote, c) {
            // What is between backquotes has no escapes.
            (Some('"' | '\''), '\\') => out.extend(rest.next()),
            (Some(end), _) if end == c => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') if !open => {
                (open, selectors) = (true, selectors + 1);
                out.push_str(&matchers);
                while rest.next_if(|c| c.is_whitespace()).is_some() {}
                if rest.peek() != Some(&'}') {
                    out.push(',');
                }
            }
            (None, '}') if open => open = false,
            (None, '{' | '}') => return Err(format!("braces do not match: {query}").into()),
            _ => {}
        }
    }
    if open || quote.is_some() {
        return Err(format!("a brace or a quote is left open: {query}").into());
    }
    if selectors == 0 {
        return Err(format!("no selector with braces: {query}").into());
    }
    Ok(out)
}

// `cargo xtask dashboards` is where these run: a build script has no tests.
#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"juju_model=~"$juju_model",juju_model_uuid=~"$juju_model_uuid",juju_application=~"$juju_application",juju_unit=~"$juju_unit""#;

    #[track_caller]
    fn check(query: &str, expect: &str) {
        assert_eq!(filtered(query).unwrap(), expect.replace("ALL", ALL));
    }

    #[test]
    fn pickers_are_put_into_every_selector() {
        check("up{}", "up{ALL}");
        check("up{ }", "up{ALL}");
        check("up{a=\"b\"}", "up{ALL,a=\"b\"}");
        check(
            "sum by (a) (rate(x{a!~\"{}\"}[5m])) / y{}",
            "sum by (a) (rate(x{ALL,a!~\"{}\"}[5m])) / y{ALL}",
        );
        check("x{a=\"\\\"{\"} offset 5m", "x{ALL,a=\"\\\"{\"} offset 5m");
        check("max_over_time(x{}[1h:5m] @ end())", "max_over_time(x{ALL}[1h:5m] @ end())");
        check(
            "label_replace(x{}, 'a', '$1', 'b', '(.*){')",
            "label_replace(x{ALL}, 'a', '$1', 'b', '(.*){')",
        );
        check("{a=\"b\"} | regexp `\\d{3}\\` | c != \"\"", "{ALL,a=\"b\"} | regexp `\\d{3}\\` | c != \"\"");
    }

    #[test]
    fn a_query_that_would_not_be_narrowed_down_is_refused() {
        for query in ["up", "vector(0)", "up{", "up{{}}", "up}", "up{a=\"b}", "sum(`{}`)"] {
            assert!(filtered(query).is_err(), "{query}");
        }
    }

    fn described(panel: &str) -> Result<Value, Box<dyn Error>> {
        let text = format!(
            "{{title: T, uid: u, version: 2, description: D, rows: [{{title: R, panels: [{{title: P, description: D, {panel}}}]}}]}}"
        );
        let description: Description = serde_yaml::from_str(&text)?;
        Ok(description.dashboard(For::Charm)?["panels"][1].clone())
    }

    #[test]
    fn a_histogram_becomes_three_lines() {
        let panel = described("latency: 'h{a=\"b\"}', over: 1h, of_units_with: 'x{}'").unwrap();
        let queries: Vec<String> = panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target["expr"].as_str().unwrap().replace(ALL, "ALL"))
            .collect();
        let rate = |ending: &str| {
            format!("rate(h_{ending}{{ALL,a=\"b\"}}[1h]) and on (juju_model_uuid, juju_unit) x{{ALL}}")
        };
        assert_eq!(
            queries,
            [
                format!("histogram_quantile(0.99, sum by (le) ({}))", rate("bucket")),
                format!("histogram_quantile(0.5, sum by (le) ({}))", rate("bucket")),
                format!("sum({}) / sum({})", rate("sum"), rate("count")),
            ]
        );
    }

    #[test]
    fn bounds_colour_what_is_above_or_below_them() {
        let colors = |panel: &str| {
            let panel = described(&format!("kind: stat, query: 'x{{}}', {panel}")).unwrap();
            let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap().clone();
            let step = |step: &Value| format!("{} {}", step["color"].as_str().unwrap(), step["value"]);
            steps.iter().map(step).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(colors("warn: 1, bad: 5"), "green null, orange 1.0, red 5.0");
        assert_eq!(colors("bad: 5"), "green null, red 5.0");
        assert_eq!(colors("low_is_bad: true, warn: 5, bad: 1"), "red null, orange 1.0, green 5.0");
        assert_eq!(colors("low_is_bad: true, bad: 1"), "red null, green 1.0");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        for wrong in ["query: up", "latency: h", "unit: s", "query: 'x{}', colour: red"] {
            assert!(described(wrong).is_err(), "{wrong}");
        }
        let error = described("query: up").unwrap_err().to_string();
        assert_eq!(error, "T: R / P: no selector with braces: up");
    }
}
