//! How many transitions of this charm the testing library runs in a second.
//!
//! The leader with ten `tracing` requirers, everything related and settled, and hooks in which nothing changed: what a property
//! test does most of the time. One thread. `cargo bench --bench transitions [seconds [requirers]]`

#[path = "../tests/transitions/scene.rs"]
#[allow(
    dead_code,
    reason = "the scenes are those of the transition tests, and not all of them are needed here"
)]
mod scene;

use std::hint::black_box;
use std::time::{Duration, Instant};

use juju_ops::Hook;
use juju_sim::{Event, State};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Processor time of this process so far: what counts where other programs run too.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("every process may ask about itself");
    let of = |time: TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// Runs hooks for this long; returns the processor time and the time that one took.
fn each(during: Duration, mut hook: impl FnMut()) -> (Duration, Duration) {
    hook();
    let (begin, cpu_begin) = (Instant::now(), cpu());
    let mut count = 0_u32;
    while begin.elapsed() < during {
        for _ in 0..10 {
            hook();
        }
        count += 10;
    }
    (cpu().saturating_sub(cpu_begin) / count, begin.elapsed() / count)
}

fn main() {
    // Options of cargo's own, such as `--bench`, are not ours; without that one it is a test run, which needs no figures.
    let measured = std::env::args().any(|word| word == "--bench");
    let mut numbers = std::env::args().filter_map(|word| word.parse::<u32>().ok());
    let during =
        Duration::from_millis(if measured { u64::from(numbers.next().unwrap_or(5)) * 1000 } else { 10 });
    let requirers = numbers.next().unwrap_or(10);

    let related =
        (0..requirers).map(|n| scene::requirer(100 + n, &format!("app-{n}"), r#"["otlp_http", "zipkin"]"#));
    let state = related.fold(
        scene::alone().with_relation(scene::s3()).with_relation(scene::worker(
            scene::WORKERS,
            "worker",
            "all",
            1,
        )),
        State::with_relation,
    );
    let state = scene::after(&state, Event::ConfigChanged);
    let context = scene::context();
    let outcome = context.run(&state, Event::UpdateStatus, scene::charm);
    outcome.assert_ok().assert_nothing_written();

    let whole = each(during, || {
        black_box(context.run(&state, Event::UpdateStatus, scene::charm));
    });
    let empty = each(during, || {
        black_box(context.run(&state, Event::UpdateStatus, async |_: Hook| Ok::<(), juju_ops::Error>(())));
    });
    // As many calls as the charm makes, and nothing done with the answers.
    let calls = outcome.calls.clone();
    let answers = each(during, || {
        let mut session =
            juju_sim::Session::new(context.meta().clone().into(), state.clone(), Event::UpdateStatus);
        for call in &calls {
            let argv: Vec<String> = std::iter::once(&call.tool).chain(&call.args).cloned().collect();
            black_box(session.call(&argv, None, std::path::Path::new("/")));
        }
    });
    if !measured {
        return;
    }
    let (whole, wall) = whole;
    let rate = 1.0 / whole.as_secs_f64();
    println!(
        "{rate:.0} transitions per second of processor time: {requirers} requirers, {} hook tool calls",
        calls.len()
    );
    println!("{whole:?} each, {wall:?} by the clock");
    println!(
        "of it {:?} for a charm that does nothing, {:?} for the answers to its calls",
        empty.0, answers.0
    );
}
