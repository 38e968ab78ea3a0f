//! A dashboard as a picture and as a table, given what its queries answer. Draws what it is given and asks nobody itself.
//!
//! The picture is not Grafana's: panels are where Grafana would have them, with their lines or numbers, and no more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Pixels of a column and of a line of the grid.
const COLUMN: f64 = 50.0;
const LINE: f64 = 30.0;
/// Between panels, and from their edges to what is in them.
const GAP: f64 = 6.0;

/// Lines, numbers and rows that fit into one panel.
const MOST_SERIES: usize = 6;

/// Colours of lines, which can be told apart by those who do not see red and green as two.
const COLORS: [&str; MOST_SERIES] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

/// What a panel wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The query, with every variable of Grafana put in: all models, applications and units.
    pub(super) query: String,
    /// Whether it is for Loki and not for Prometheus.
    pub(super) of_logs: bool,
}

/// One line of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970, and values.
    pub(super) points: Vec<(f64, f64)>,
}

/// A dashboard, drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Markdown: panel, query, value.
    pub(super) table: String,
    /// SVG.
    pub(super) picture: String,
}

/// A line or number with what it is called.
struct Line {
    name: String,
    query: String,
    points: Vec<(f64, f64)>,
}

/// Draws a dashboard of this name.
pub(super) fn draw(stem: &str, dashboard: &Value, mut ask: impl FnMut(&Question) -> Vec<Series>) -> Drawn {
    let title = text(&dashboard["title"]);
    let mut table = format!("# {title}\n\n{}\n\n![{title}]({stem}.svg)\n", text(&dashboard["description"]));
    let mut body = String::new();
    let mut bottom: f64 = 0.0;
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_f64().unwrap_or_default());
        let place = Place { x: x * COLUMN, y: y * LINE, w: w * COLUMN, h: h * LINE };
        bottom = bottom.max(place.y + place.h);
        if panel["type"] == "row" {
            let _ =
                write!(table, "\n## {}\n\n| panel | query | value |\n|---|---|---|\n", text(&panel["title"]));
            label(&mut body, (place.x + GAP, place.y + 20.0), 15, "#222", text(&panel["title"]));
            continue;
        }
        let lines = answers(panel, &mut ask);
        rows(&mut table, panel, &lines);
        place.draw(&mut body, panel, &lines);
    }
    let (width, height) = (COLUMN * 24.0, bottom + GAP);
    let picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\">\n<title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#f4f5f5\"/>\n{body}</svg>\n",
        escaped(title)
    );
    Drawn { table, picture }
}

/// Everything that a panel shows, in the order of its queries.
fn answers(panel: &Value, ask: &mut impl FnMut(&Question) -> Vec<Series>) -> Vec<Line> {
    let of_logs = panel["datasource"]["type"] == "loki";
    let mut lines = Vec::new();
    for target in panel["targets"].as_array().into_iter().flatten() {
        let expr = text(&target["expr"]);
        let mut answer = ask(&Question { query: without_variables(expr), of_logs });
        // One order, whatever order they come in.
        answer.sort_by(|one, other| one.labels.cmp(&other.labels));
        if answer.is_empty() {
            lines.push(Line { name: String::new(), query: short(expr), points: Vec::new() });
        }
        lines.extend(answer.into_iter().map(|series| Line {
            name: legend(text(&target["legendFormat"]), &series.labels),
            query: short(expr),
            points: series.points.into_iter().filter(|(_, value)| value.is_finite()).collect(),
        }));
    }
    lines
}

/// The query as Prometheus takes it: everything is picked, and time ranges are those of a graph over an hour.
fn without_variables(expr: &str) -> String {
    let mut query =
        expr.replace("$__rate_interval", "1m").replace("$__interval", "1m").replace("$__range", "1h");
    for label in super::description::PICKERS {
        query = query.replace(&format!("\"${label}\""), "\".*\"");
    }
    query.replace("\"$tenant\"", "\".*\"")
}

/// The query without the pickers, which are the same everywhere.
fn short(expr: &str) -> String {
    let pickers = super::description::PICKERS.map(|label| format!("{label}=~\"${label}\"")).join(",");
    expr.replace(&format!("{pickers},"), "").replace(&format!("{{{pickers}}}"), "")
}

/// A legend with the values of labels in the place of their names.
fn legend(format: &str, labels: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        out.push_str(before);
        out.push_str(labels.get(name.trim()).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    let all = || labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    if out.trim().is_empty() { all() } else { out.trim().to_owned() }
}

/// The lines of the table for one panel: one for each of its queries.
fn rows(table: &mut String, panel: &Value, lines: &[Line]) {
    let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
    let mut title = text(&panel["title"]);
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|line| line.query == first.query).count();
        let (these, others) = rest.split_at(same);
        let mut shown: Vec<String> =
            these.iter().take(MOST_SERIES).filter_map(|line| last(line, unit)).collect();
        if same > MOST_SERIES {
            shown.push(format!("and {} more", same - MOST_SERIES));
        }
        let shown = if shown.is_empty() { "–".to_owned() } else { shown.join("<br>") };
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(table, "| {} | {} | {} |", cell(title), cell(&code(&first.query)), cell(&shown));
        (title, rest) = ("", others);
    }
}

/// A query in Markdown, which may have backquotes in it.
fn code(query: &str) -> String {
    let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
    if query.contains('`') { format!("`` {query} ``") } else { format!("`{query}`") }
}

/// What a line comes to in the end, with its name.
fn last(line: &Line, unit: &str) -> Option<String> {
    let (_, value) = line.points.last()?;
    let value = amount(*value, unit);
    Some(if line.name.is_empty() { value } else { format!("{}: {value}", line.name) })
}

/// A value as people read it.
fn amount(value: f64, unit: &str) -> String {
    let scaled = |value: f64, step: f64, names: &[&str]| {
        let mut value = value;
        let mut names = names.iter();
        let mut name = names.next().copied().unwrap_or_default();
        while value.abs() >= step {
            let Some(next) = names.next() else { break };
            (value, name) = (value / step, next);
        }
        format!("{}{name}", digits(value))
    };
    match unit {
        "s" if value != 0.0 && value.abs() < 1.0 => format!("{} ms", digits(value * 1e3)),
        "s" if value.abs() >= 172_800.0 => format!("{} days", digits(value / 86_400.0)),
        "s" if value.abs() >= 120.0 => format!("{} min", digits(value / 60.0)),
        "s" => format!("{} s", digits(value)),
        "percentunit" => format!("{} %", digits(value * 100.0)),
        "bytes" => scaled(value, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
        "Bps" => scaled(value, 1000.0, &[" B/s", " kB/s", " MB/s", " GB/s"]),
        _ => scaled(value, 1000.0, &["", " k", " M", " G"]),
    }
}

/// Three digits that count, or all that are before the point.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Where a panel is, in pixels.
struct Place {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

impl Place {
    fn draw(&self, out: &mut String, panel: &Value, lines: &[Line]) {
        let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
        let (x, y, w, h) = (self.x + GAP / 2.0, self.y + GAP / 2.0, self.w - GAP, self.h - GAP);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"#fff\" stroke=\"#d8dadc\"/>"
        );
        label(out, (x + GAP, y + 15.0), 12, "#222", &self.fitting(text(&panel["title"]), 12.0));
        let lines: Vec<&Line> = lines.iter().filter(|line| !line.points.is_empty()).collect();
        if lines.is_empty() {
            label(out, (x + GAP, y + 38.0), 12, "#888", "no data");
            return;
        }
        match text(&panel["type"]) {
            "stat" => self.number(out, panel, lines[0], unit),
            "timeseries" | "heatmap" => self.graph(out, &lines, unit),
            _ => {
                for (n, line) in (0_u8..).zip(lines.iter().take(MOST_SERIES)) {
                    let shown = last(line, unit).unwrap_or_default();
                    let at = (x + GAP, y + 36.0 + f64::from(n) * 16.0);
                    label(out, at, 12, "#444", &self.fitting(&shown, 12.0));
                }
            }
        }
    }

    fn number(&self, out: &mut String, panel: &Value, line: &Line, unit: &str) {
        let value = line.points.last().map_or(0.0, |(_, value)| *value);
        let by_name = panel["options"]["textMode"] == "name";
        let shown = if by_name { line.name.clone() } else { amount(value, unit) };
        let color = color_of(value, panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array());
        label(out, (self.x + GAP * 2.0, self.y + self.h * 0.65), 26, color, &self.fitting(&shown, 26.0));
    }

    fn graph(&self, out: &mut String, lines: &[&Line], unit: &str) {
        let points = || lines.iter().flat_map(|line| &line.points);
        let least = |of: fn(&(f64, f64)) -> f64, from: f64| points().map(of).fold(from, f64::min);
        let most = |of: fn(&(f64, f64)) -> f64, from: f64| points().map(of).fold(from, f64::max);
        let (first, end) = (least(|point| point.0, f64::MAX), most(|point| point.0, f64::MIN));
        let (low, high) = (least(|point| point.1, 0.0), most(|point| point.1, 0.0));
        // The legend is below, a line for every two names.
        let shown = lines.len().min(MOST_SERIES);
        let names = 14.0 * f64::from(u8::try_from(shown.div_ceil(2)).unwrap_or(u8::MAX));
        let (left, top) = (self.x + GAP * 2.0, self.y + 30.0);
        let (width, height) = (self.w - GAP * 4.0, self.h - 30.0 - names - GAP * 2.0);
        let along =
            |time: f64| if end > first { left + (time - first) / (end - first) * width } else { left };
        let down =
            |value: f64| if high > low { top + (high - value) / (high - low) * height } else { top + height };
        let floor = down(0.0);
        let _ = writeln!(
            out,
            "<line x1=\"{left:.1}\" y1=\"{floor:.1}\" x2=\"{:.1}\" y2=\"{floor:.1}\" stroke=\"#d8dadc\"/>",
            left + width
        );
        label(out, (left + width - 60.0, self.y + 15.0), 10, "#888", &format!("max {}", amount(high, unit)));
        for (n, (line, color)) in (0_u8..).zip(lines.iter().zip(COLORS)) {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(time, value)| format!("{:.1},{:.1}", along(*time), down(*value)))
                .collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
                points.join(" ")
            );
            let at =
                (left + f64::from(n % 2) * width / 2.0, top + height + GAP + 12.0 + f64::from(n / 2) * 14.0);
            let half = Place { w: self.w / 2.0, ..*self };
            label(out, at, 10, color, &half.fitting(&last(line, unit).unwrap_or_default(), 10.0));
        }
    }

    /// As much of a text as there is room for in letters of this size.
    fn fitting(&self, text: &str, size: f64) -> String {
        let (mut room, mut out) = (self.w - GAP * 3.0, String::new());
        for c in text.chars() {
            // About what a letter takes.
            room -= size * 0.55;
            if room < 0.0 {
                out.push('…');
                break;
            }
            out.push(c);
        }
        out
    }
}

/// The colour of the highest step that a value reaches.
fn color_of(value: f64, steps: Option<&Vec<Value>>) -> &'static str {
    let reached = |step: &&Value| step["value"].as_f64().is_none_or(|from| value >= from);
    match steps.into_iter().flatten().rfind(reached).map(|step| text(&step["color"])) {
        Some("red") => "#c4162a",
        Some("orange") => "#c15c00",
        Some(_) => "#2a7d35",
        None => "#222",
    }
}

fn label(out: &mut String, at: (f64, f64), size: u8, color: &str, text: &str) {
    let (x, y) = at;
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{color}\">{}</text>",
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PICKERS: &str = r#"juju_model=~"$juju_model",juju_model_uuid=~"$juju_model_uuid",juju_application=~"$juju_application",juju_unit=~"$juju_unit""#;

    fn panel(kind: &str, x: u64, unit: &str, expr: &str) -> Value {
        json!({
            "type": kind, "title": format!("A {kind}"), "gridPos": {"x": x, "y": 1, "w": 8, "h": 8},
            "datasource": {"type": "prometheus"}, "fieldConfig": {"defaults": {"unit": unit}},
            "targets": [{"expr": expr, "legendFormat": "{{unit}}"}],
        })
    }

    fn dashboard(panels: Vec<Value>) -> Value {
        let mut all =
            vec![json!({"type": "row", "title": "Row", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}})];
        all.extend(panels);
        json!({"title": "T & co", "description": "What for.", "panels": all})
    }

    fn series(unit: &str, values: &[f64]) -> Series {
        let points = (0_u8..).zip(values).map(|(n, value)| (f64::from(n) * 60.0, *value)).collect();
        Series { labels: [("unit".to_owned(), unit.to_owned())].into(), points }
    }

    #[test]
    fn questions_have_no_variables_and_tables_no_pickers() {
        let expr =
            format!("sum by (unit) (rate(a{{{PICKERS},b=\"c|d\"}}[$__rate_interval])) / sum(d{{{PICKERS}}})");
        let mut asked = Vec::new();
        let drawn = draw("t", &dashboard(vec![panel("timeseries", 0, "s", &expr)]), |question| {
            asked.push(question.clone());
            vec![series("b/1", &[0.0, 0.25]), series("b/0", &[1.0, f64::NAN])]
        });
        let all = PICKERS.split(',').map(|picker| format!("{}\".*\"", picker.split_once('"').unwrap().0));
        let all = all.collect::<Vec<_>>().join(",");
        let query = format!("sum by (unit) (rate(a{{{all},b=\"c|d\"}}[1m])) / sum(d{{{all}}})");
        assert_eq!(asked, [Question { query, of_logs: false }]);
        assert_eq!(
            drawn.table,
            "# T & co\n\nWhat for.\n\n![T & co](t.svg)\n\n## Row\n\n| panel | query | value |\n|---|---|---|\n\
             | A timeseries | `sum by (unit) (rate(a{b=\"c\\|d\"}[$__rate_interval])) / sum(d)` | b/0: 1 s<br>b/1: 250 ms |\n"
        );
    }

    #[test]
    fn lines_stay_within_their_panel() {
        let drawn = draw("t", &dashboard(vec![panel("timeseries", 8, "short", "a{}")]), |_| {
            vec![series("u", &[5.0, -3.0, 12.0]), series("v", &[1.0])]
        });
        let picture = drawn.picture;
        assert!(
            picture.starts_with("<svg ")
                && picture.ends_with("</svg>\n")
                && picture.contains("<title>T &amp; co</title>")
        );
        let lines: Vec<&str> = picture.lines().filter(|line| line.starts_with("<polyline")).collect();
        assert_eq!(lines.len(), 2);
        for pair in lines.iter().flat_map(|line| line.split('"').nth(1).unwrap().split(' ')) {
            let (x, y) = pair.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((400.0..=800.0).contains(&x) && (30.0..=270.0).contains(&y), "{pair}");
        }
        assert!(picture.contains("max 12"), "{picture}");
    }

    #[test]
    fn numbers_have_the_colour_that_they_have_reached() {
        let mut stat = panel("stat", 0, "short", "a{}");
        stat["fieldConfig"]["defaults"]["thresholds"] = json!({"steps": [{"color": "green", "value": null}, {"color": "orange", "value": 1.0}, {"color": "red", "value": 5.0}]});
        for (value, color) in [(0.0, "#2a7d35"), (1.0, "#c15c00"), (9.0, "#c4162a")] {
            let drawn = draw("t", &dashboard(vec![stat.clone()]), |_| vec![series("u", &[value])]);
            assert!(drawn.picture.contains(color), "{value}");
        }
        stat["options"]["textMode"] = json!("name");
        let drawn = draw("t", &dashboard(vec![stat]), |_| vec![series("2.6.0 <x>", &[1.0])]);
        assert!(drawn.picture.contains(">2.6.0 &lt;x&gt;<"), "{}", drawn.picture);
    }

    #[test]
    fn what_has_no_data_says_so() {
        for kind in ["timeseries", "stat", "table", "logs", "heatmap"] {
            let drawn = draw("t", &dashboard(vec![panel(kind, 0, "short", "a{}")]), |_| Vec::new());
            assert!(drawn.picture.contains("no data"), "{kind}");
            assert!(drawn.table.ends_with("| `a{}` | – |\n"), "{}", drawn.table);
        }
    }

    #[test]
    fn no_more_than_fits_is_shown() {
        let many: Vec<Series> = ('a'..='z').map(|unit| series(&unit.to_string(), &[1.0, 2.0])).collect();
        let drawn = draw("t", &dashboard(vec![panel("timeseries", 0, "short", "a{}")]), |_| many.clone());
        assert_eq!(drawn.picture.matches("<polyline").count(), MOST_SERIES);
        assert!(drawn.table.contains("f: 2<br>and 20 more |"), "{}", drawn.table);
        let place = Place { x: 0.0, y: 0.0, w: 100.0, h: 10.0 };
        assert_eq!(place.fitting("abcdefghijklmnopqrstuvwxyz", 12.0), "abcdefghijkl…");
    }

    #[test]
    fn values_are_written_as_people_read_them() {
        let shown = [
            (0.0, "s", "0 s"),
            (0.0123, "s", "12.3 ms"),
            (90.0, "s", "90 s"),
            (600.0, "s", "10 min"),
            (864_000.0, "s", "10 days"),
            (0.5, "percentunit", "50 %"),
            (1_572_864.0, "bytes", "1.5 MiB"),
            (1500.0, "Bps", "1.5 kB/s"),
            (1234.0, "short", "1.23 k"),
            (100.0, "short", "100"),
            (0.05, "short", "0.05"),
            (-0.0001, "short", "0"),
        ];
        for (value, unit, expected) in shown {
            assert_eq!(amount(value, unit), expected, "{value} {unit}");
        }
    }

    #[test]
    fn legends_are_filled_in() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert_eq!(legend("{{a}} of {{ b }}", &labels), "1 of 2");
        assert_eq!(legend("{{c}}", &labels), "a=1 b=2");
        assert_eq!(legend("fixed {{", &labels), "fixed {{");
    }
}
