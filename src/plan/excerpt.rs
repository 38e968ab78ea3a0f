//! A plan as a text with a bound, for people: what an action may answer.

use std::collections::BTreeSet;

use super::{Plan, Text};

/// Texts of more bytes are shown once if they occur several times.
const REPEATED: usize = 200;
/// Texts of more bytes can give way to others.
const LARGE: usize = 1024;

impl Plan {
    /// The plan as YAML in at most `room` bytes, with a mark in place of each secret.
    ///
    /// What several relations are given is shown for the first. If the rest is still too much, the largest texts are
    /// left out, each with its size; and of thousands of relations, those at the end.
    pub(crate) fn excerpt(&self, room: usize) -> Result<String, serde_yaml::ser::Error> {
        let mut shown = self.clone();
        show_once(&mut shown);
        loop {
            let text = serde_yaml::to_string(&shown)?;
            if text.len() <= room {
                return Ok(text);
            }
            let largest = texts(&mut shown).max_by_key(|text| text.len()).filter(|text| text.len() > LARGE);
            match largest {
                Some(text) => *text = format!("({} bytes, left out here)", text.len()),
                None => return Ok(cut(&text, room)),
            }
        }
    }
}

/// The lines of a text that fit, and how many do not fit.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let last = |left| format!("# lines left out: {left}");
    let room = room.saturating_sub(last(usize::MAX).len());
    let mut kept = 0;
    for line in text.split_inclusive('\n') {
        if kept + line.len() > room {
            break;
        }
        kept += line.len();
    }
    text[..kept].to_owned() + &last(text[kept..].lines().count())
}

fn show_once(plan: &mut Plan) {
    let mut shown = BTreeSet::new();
    for text in texts(plan).filter(|text| text.len() > REPEATED) {
        if !shown.insert(text.clone()) {
            *text = format!("({} bytes, shown above)", text.len());
        }
    }
}

/// The texts that can be large and are no secrets.
fn texts(plan: &mut Plan) -> impl Iterator<Item = &mut String> {
    let Plan { nginx, exporter, cluster, tracing, ingress, publications, mesh, requests, peers, .. } = plan;
    let files = nginx.iter_mut().chain(exporter).flat_map(|workload| workload.files.values_mut());
    let writes = cluster.iter_mut().chain(tracing).chain([ingress, publications, mesh, requests, peers]);
    let values = writes.flatten().flat_map(|write| write.data.values_mut().flatten());
    files.map(|file| &mut file.content).chain(values).filter_map(plain)
}

fn plain(text: &mut Text) -> Option<&mut String> {
    match text {
        Text::Plain(text) => Some(text),
        Text::Secret(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Cluster, complete};
    use crate::plan::plan;

    const ROOM: usize = 128 << 10;

    fn plan_of(cluster: &Cluster) -> Plan {
        plan(&cluster.deployment())
    }

    #[test]
    fn a_plan_that_fits_is_shown_whole_but_for_what_repeats() {
        let one = plan_of(&complete().requirer(r#"["zipkin"]"#));
        assert_eq!(one.excerpt(ROOM).unwrap(), serde_yaml::to_string(&one).unwrap());

        let many = (0..50).fold(complete(), |cluster, _| cluster.requirer(r#"["zipkin"]"#));
        let text = plan_of(&many).excerpt(ROOM).unwrap();
        assert_eq!(text.matches("bytes, shown above").count(), 49, "{text}");
    }

    #[test]
    fn the_largest_texts_give_way_first() {
        let mut large = plan_of(&complete().requirer(r#"["zipkin"]"#));
        let whole = large.excerpt(ROOM).unwrap();
        let write = &mut large.tracing.as_mut().unwrap()[0].data;
        write.insert("small".into(), Some(Text::Plain("s".repeat(1000))));
        write.insert("large".into(), Some(Text::Plain("l".repeat(ROOM))));
        let text = large.excerpt(ROOM).unwrap();
        assert!(text.len() <= ROOM);
        assert!(text.contains("large: (131072 bytes, left out here)"), "{text}");
        assert!(text.contains(&"s".repeat(1000)));
        assert!(text.len() > whole.len());
    }

    #[test]
    fn what_has_no_large_parts_ends_at_a_line() {
        let plan = plan_of(&complete().requirer(r#"["zipkin"]"#));
        for room in [100, 1000, 3000] {
            let text = plan.excerpt(room).unwrap();
            assert!(text.len() <= room, "{text}");
            assert!(text.lines().last().unwrap().starts_with("# lines left out: "), "{text}");
        }
        assert_eq!(cut("one\ntwo\nthree\n", 14), "one\ntwo\nthree\n");
        assert_eq!(cut(&"line\n".repeat(100), 60), "line\n".repeat(4) + "# lines left out: 96");
        assert_eq!(cut(&"x".repeat(100), 60), "# lines left out: 1");
    }
}
