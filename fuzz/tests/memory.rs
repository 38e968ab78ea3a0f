//! What is read takes memory in proportion to its size.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes of an input.
const SIZE: usize = 256 << 10;
/// How many times its size an input may take. Documents of many small parts take most.
const TIMES: usize = 100;
/// The same where each small part becomes a large one by itself: `{}` is an entry that has all its fields, or a selector
/// that is given all matchers. Nothing that the charm itself reads is like that.
const TIMES_WHERE_PARTS_GROW: usize = 1000;

/// A document that is all beginnings, all ends, or all small parts.
fn documents() -> Vec<String> {
    let all = |part: &str| part.repeat(SIZE / part.len());
    let list = |part: &str| format!("[{}null]", all(part));
    vec![
        all("["),
        all("{\"a\":"),
        all("\""),
        all("a"),
        all("\\u0000"),
        all("- "),
        all("\n"),
        list("{},"),
        list("[],"),
        list("0,"),
        list("\"\","),
        format!("{{{}\"z\":0}}", all("\"a\":0,")),
    ]
}

/// The memory that is needed beside that which is there already.
fn needed(property: fn(&[u8]), input: &[u8]) -> usize {
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    property(input);
    ALLOCATED.peak_usage() - before
}

// One test alone: what another one takes would count too.
#[test]
fn decoders_take_memory_in_proportion_to_what_they_read() {
    // What is made once, and kept.
    for (_, property) in fuzz::TARGETS {
        property(b"");
    }
    for (name, property) in fuzz::TARGETS {
        // Where the text has to go so that somebody reads it.
        let places: &[&str] = match name {
            "databags" => {
                &["receivers", "config", "alert_rules", "scrape_jobs", "certificates", "dashboards"]
            }
            "charm" => &["@tracing", "@tempo-cluster", "@certificates"],
            "pebble" => &["l", "s", "f", "n"],
            _ => &[""],
        };
        for place in places {
            let most = match (name, *place) {
                ("databags", "scrape_jobs") | ("promql" | "logql", _) => TIMES_WHERE_PARTS_GROW,
                _ => TIMES,
            };
            for document in documents() {
                let input = match (name, *place) {
                    ("databags", key) => [key.as_bytes(), b"\xff", document.as_bytes()].concat(),
                    ("charm", endpoint) => {
                        let key = match endpoint {
                            "@tracing" => "receivers",
                            "@tempo-cluster" => "role",
                            _ => "certificates",
                        };
                        [endpoint.as_bytes(), b"\xff", key.as_bytes(), b"\xff", document.as_bytes()].concat()
                    }
                    (_, place) => [place.as_bytes(), document.as_bytes()].concat(),
                };
                let needed = needed(property, &input);
                let times = needed / input.len();
                assert!(times < most, "{name} {place} {:?}…: {times} times its size", &document[..8]);
            }
        }
    }
}
