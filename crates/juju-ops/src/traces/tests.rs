//! Bounds, the folder, and the second, without a process around them.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message as _;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{
    Destination, TIME,
    collect::{BYTES, CALLS, Collector, SPANS, Trace},
    export::{Done, export},
    otlp::{About, encode},
    spool::{self, Spool},
};
use crate::{HookEnv, TraceParent, log::juju_log, watch::Watch};

fn env() -> HookEnv {
    HookEnv::from_vars(|name| match name {
        "JUJU_UNIT_NAME" => Some("tempo/3".into()),
        "JUJU_CHARM_DIR" => Some("/no/such/folder".into()),
        _ => None,
    })
    .unwrap()
}

fn about(env: &HookEnv) -> About<'_> {
    About { env, event: "start", path: "", failed: None }
}

/// What is collected while `work` is done.
fn collected(collector: Collector, work: impl FnOnce()) -> Trace {
    let collector = Arc::new(collector);
    watched(&collector, || {
        collector.turn_on();
        work();
    });
    collector.finish().expect("it is on")
}

/// Does `work` with a collector that may be off, one after the other: whoever turns one on asks everybody anew who wants what, and as long as
/// there is but one subscriber, a thread without one would answer for all that nobody wants anything.
fn watched(collector: &Arc<Collector>, work: impl FnOnce()) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let watch = Watch { log: juju_log(tracing::Level::INFO).0, traces: collector.clone() };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(watch), work);
}

/// A request that has its time in its root span.
fn trace(event: &str) -> Vec<u8> {
    let env = env();
    encode(collected(Collector::new(None), || {}), &About { event, ..about(&env) })
}

fn event(request: &[u8]) -> String {
    let request = ExportTraceServiceRequest::decode(request).unwrap();
    request.resource_spans[0].scope_spans[0].spans[0].name.clone()
}

fn attribute<'s>(span: &'s Span, key: &str) -> Option<&'s Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

#[test]
fn calls_leave_room_for_the_steps_after_them_and_the_rest_is_counted() {
    let calls = SPANS + 500;
    let trace = collected(Collector::new(None), || {
        let _step = tracing::info_span!(target: "charm", "observe").entered();
        for _ in 0..calls {
            drop(tracing::info_span!(target: "juju_ops::tools::span", "hook-tool"));
        }
        drop(tracing::info_span!(target: "charm", "apply"));
    });
    // The root, the two steps, and as many calls as there may be.
    assert_eq!(trace.spans.len(), CALLS + 3);
    assert_eq!(trace.spans.last().unwrap().name, "apply");
    assert_eq!(trace.dropped_spans as usize, calls - CALLS);
    let spans = &trace.spans;
    assert_eq!(spans[1].parent_span_id, spans[0].span_id);
    assert!(spans[2..CALLS + 2].iter().all(|call| call.parent_span_id == spans[1].span_id));

    let env = env();
    let request = ExportTraceServiceRequest::decode(&*encode(trace, &about(&env))).unwrap();
    let root = &request.resource_spans[0].scope_spans[0].spans[0];
    let dropped = Value::IntValue((calls - CALLS).try_into().unwrap());
    assert_eq!(attribute(root, "juju.dropped_spans"), Some(&dropped));
    assert_eq!(attribute(root, "juju.dropped_events"), None);
}

#[test]
fn long_texts_are_cut_and_no_trace_is_larger_than_it_may_be() {
    let long = "é".repeat(5_000);
    let trace = collected(Collector::new(None), || {
        for _ in 0..SPANS {
            let span = tracing::info_span!(target: "charm", "step", a = %long, b = ?long).entered();
            tracing::warn!(long, "{long}");
            drop(span);
        }
    });
    let (spans, events) = (trace.dropped_spans, trace.dropped_events);
    assert!(spans > 0 && events > 0, "{spans} {events}");
    let env = env();
    let size = encode(trace, &about(&env)).len();
    assert!(size > BYTES / 2 && size < BYTES * 5 / 4, "{size}");
}

#[test]
fn what_is_below_info_or_for_auditors_is_left_out() {
    let trace = collected(Collector::new(None), || {
        let span = tracing::info_span!(target: "charm", "step").entered();
        let _inner = tracing::debug_span!(target: "charm", "detail").entered();
        tracing::debug!("not this");
        tracing::info!(answer = 42, "this");
        crate::security::log(crate::security::Severity::Warn, "sys_crash", "x", "nor this");
        drop(span);
    });
    let names: Vec<_> = trace.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["", "step"]);
    let events: Vec<_> = trace.spans[1].events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["this"]);
    assert_eq!(trace.spans[1].events[0].attributes[0].key, "answer");
}

#[test]
fn spans_say_their_own_name_kind_and_status_and_errors_mark_them() {
    let trace = collected(Collector::new(None), || {
        let span = tracing::info_span!(
            target: "charm", "x", otel.name = "y", otel.kind = "client",
            otel.status_code = "ERROR", otel.status_description = "late", count = 3_u64, is = true,
        );
        drop(span);
        let span = tracing::info_span!(target: "charm", "bad").entered();
        tracing::error!("it broke");
        drop(span);
    });
    let (span, bad) = (&trace.spans[1], &trace.spans[2]);
    let status = |span: &Span| span.status.clone().map(|status| (status.code, status.message));
    assert_eq!((span.name.as_str(), span.kind, status(span)), ("y", 3, Some((2, "late".into()))));
    assert_eq!(attribute(span, "count"), Some(&Value::IntValue(3)));
    assert_eq!(attribute(span, "is"), Some(&Value::BoolValue(true)));
    assert_eq!(span.attributes.len(), 2);
    assert_eq!(status(bad), Some((2, "it broke".into())));
    assert_eq!(status(&trace.spans[0]), None);
}

#[test]
fn a_trace_of_the_agents_is_gone_on_with() {
    let parent = |trace_id: &str, span_id: &str| TraceParent {
        trace_id: trace_id.into(),
        span_id: span_id.into(),
        flags: 1,
    };
    let digits = "4bf92f3577b34da6a3ce929d0e0e4736";
    let root = |parent| collected(Collector::new(Some(&parent)), || {}).spans.remove(0);
    let below = root(parent(digits, "00f067aa0ba902b7"));
    assert_eq!(below.trace_id, u128::from_str_radix(digits, 16).unwrap().to_be_bytes());
    assert_eq!(below.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    // Zero is no trace, whatever the agent says.
    let own = root(parent(&"0".repeat(32), "00f067aa0ba902b7"));
    assert!(own.trace_id.iter().any(|byte| *byte != 0) && own.parent_span_id.is_empty());
}

#[test]
fn spans_that_nobody_wants_are_not_made() {
    let collector = Arc::new(Collector::new(None));
    watched(&collector, || {
        let made = || !tracing::info_span!(target: "charm", "step").is_disabled();
        assert!(!made());
        // The same place in the code, once somebody does.
        collector.turn_on();
        assert!(made());
    });
    assert_eq!(collector.finish().unwrap().spans.len(), 2);
    assert!(collector.finish().is_none());
}

fn spool() -> (TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::at(folder.path().join("traces"));
    assert!(!spool.exists());
    spool.make();
    assert!(spool.exists());
    (folder, spool)
}

fn kept(spool: &Spool) -> Vec<String> {
    spool.files().iter().map(|path| event(&Spool::read(path).unwrap())).collect()
}

#[test]
fn the_oldest_leave_when_there_are_too_many_or_they_are_too_large() {
    let (_folder, spool) = spool();
    for number in 0..spool::FILES + 3 {
        spool.keep(&trace(&number.to_string()));
    }
    let all = kept(&spool);
    assert_eq!((all.len(), all[0].as_str()), (spool::FILES, "3"));
    for path in spool.files() {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    let large = trace(&"x".repeat(1 << 20));
    spool.keep(&large);
    spool.keep(&large);
    // Two of them are more than there is room for.
    assert_eq!(spool.files().len(), 1);
    assert_eq!(std::fs::read(&spool.files()[0]).unwrap(), large);

    // The folder is the charm's own, but what else is in it is not ours to remove.
    let other = spool.files()[0].with_file_name("other");
    std::fs::write(&other, "").unwrap();
    spool.remove();
    assert!(spool.files().is_empty() && other.exists());
    std::fs::remove_file(&other).unwrap();
    spool.remove();
    assert!(!spool.exists());
}

#[test]
fn damaged_files_are_removed_and_unfinished_ones_too() {
    let (_folder, spool) = spool();
    spool.keep(&trace("whole"));
    let whole = std::fs::read(&spool.files()[0]).unwrap();
    let folder = spool.files()[0].parent().unwrap().to_owned();
    let cut = &whole[..whole.len() - 1];
    let more = [&whole[..], b"x"].concat();
    let damaged: [(&str, &[u8]); 5] = [
        ("1.otlp", b""),
        ("2.otlp", cut),
        ("3.otlp", &more),
        ("4.otlp", b"\x0a\xff\xff\xff\xff\xff\xff"),
        ("5.otlp", b"text"),
    ];
    for (name, content) in damaged {
        std::fs::write(folder.join(name), content).unwrap();
    }
    std::fs::write(folder.join(".unfinished-abc"), cut).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.join("6.otlp")).unwrap();
    let read: Vec<_> = spool.files().iter().filter_map(|path| Spool::read(path)).collect();
    assert_eq!(read.iter().map(|bytes| event(bytes)).collect::<Vec<_>>(), ["whole"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert!(Path::new("/etc/hostname").exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_no_failure() {
    let spool = Spool::at(PathBuf::from("/proc/no/such/folder"));
    spool.make();
    spool.keep(&trace("lost"));
    spool.remove();
    assert!(spool.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_says_nothing_costs_a_second_in_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut all = Vec::new();
        loop {
            all.push(listener.accept().await.unwrap());
        }
    });
    let (_folder, spool) = spool();
    for name in ["a", "b", "c"] {
        spool.keep(&trace(name));
    }
    let begun = tokio::time::Instant::now();
    let done = export(&Destination { url, ca: None }, &spool, trace("new")).await;
    assert_eq!(begun.elapsed(), TIME);
    assert_eq!((done.sent, done.refused), (0, 0));
    assert_eq!(done.kept.as_deref(), Some("it takes more than 1s"));
    assert_eq!(kept(&spool), ["a", "b", "c", "new"]);
    silent.abort();
}

#[tokio::test]
async fn a_destination_that_is_none_keeps_everything() {
    let (_folder, spool) = spool();
    for url in ["", "no url", "/v1/traces", "ftp://a/v1/traces", "http://[::1", "https://a b/"] {
        let done = export(&Destination { url: url.into(), ca: None }, &spool, trace(url)).await;
        assert!(matches!(done, Done { sent: 0, refused: 0, kept: Some(_) }), "{url}: {done}");
    }
    assert_eq!(spool.files().len(), 6);
}
