//! The alert rules as pieces of what is published, as Rust constants: parsed and given their matchers now, so that hooks only fill in
//! whom they are about, and carry no parser.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;

use juju_rules::{Language, Rules, Topology};

const RULES: &str = "src/assets/alert_rules";

/// Which files the rules of whom are made of, in the order of their groups.
const RULE_SETS: [(&str, Language, &[&str]); 4] = [
    ("PROMETHEUS_WORKERS", Language::PromQl, &["prometheus/workers", "prometheus/common"]),
    ("PROMETHEUS_COORDINATOR", Language::PromQl, &["prometheus/coordinator", "prometheus/common"]),
    ("LOKI_WORKERS", Language::LogQl, &["loki/common"]),
    ("LOKI_COORDINATOR", Language::LogQl, &["loki/common", "loki/coordinator"]),
];

/// What stands for what is not known before there is a deployment.
const MODEL: &str = "JUJUMODEL";
const UUID: &str = "JUJUUUID";
const APPLICATION: &str = "JUJUAPPLICATION";
const CHARM: &str = "JUJUCHARM";

/// One static list of pieces per set.
pub(crate) fn alert_rules() -> Result<String, Box<dyn Error>> {
    println!("cargo:rerun-if-changed={RULES}");
    let topology = Topology {
        model: MODEL.into(),
        model_uuid: UUID.into(),
        application: APPLICATION.into(),
        unit: None,
        charm_name: CHARM.into(),
    };
    let mut gaps = vec![
        // A charm may have no name; then there is no label.
        (format!("\"juju_charm\":\"{CHARM}\","), "Piece::CharmLabel".to_owned()),
        (topology.identifier(), "Piece::Group".to_owned()),
    ];
    for (stand_in, field) in [(MODEL, "Model"), (UUID, "ModelUuid"), (APPLICATION, "Application")] {
        // Strings of queries are within strings of JSON.
        gaps.push((format!("\\\"{stand_in}\\\""), format!("Piece::Matcher(Field::{field})")));
        gaps.push((stand_in.to_owned(), format!("Piece::Label(Field::{field})")));
    }
    let mut out = String::new();
    for (name, language, files) in RULE_SETS {
        let mut all = Rules { groups: Vec::new(), other: BTreeMap::new() };
        for file in files {
            let path = format!("{RULES}/{file}.yaml");
            let text = fs::read_to_string(&path)?;
            if gaps.iter().any(|(gap, _)| text.contains(gap)) {
                return Err(format!("{path}: a text that stands for something else").into());
            }
            all.groups.extend(Rules::from_yaml(&path, &text)?.groups);
        }
        all.with_topology(&topology, "", language);
        all.inject(language)?;
        let groups: Vec<String> = all.groups.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        writeln!(out, "static {name}: &[Piece] = &[")?;
        pieces(&mut out, &groups.join(","), &gaps)?;
        writeln!(out, "];")?;
    }
    Ok(out)
}

/// A text as pieces: what is always so, and the gaps.
fn pieces(out: &mut String, text: &str, gaps: &[(String, String)]) -> Result<(), Box<dyn Error>> {
    let mut rest = text;
    loop {
        let places = gaps.iter().filter_map(|gap| Some((rest.find(&gap.0)?, gap)));
        // Of those at one place, the first of the list.
        let Some((place, (gap, piece))) = places.min_by_key(|(place, _)| *place) else { break };
        writeln!(out, "    Piece::Text({:?}),\n    {piece},", &rest[..place])?;
        rest = &rest[place + gap.len()..];
    }
    writeln!(out, "    Piece::Text({rest:?}),")?;
    Ok(())
}
