//! Scenarios in which something goes wrong, and what it costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{capture, cargo};

use super::stage::{DISTRIBUTED, Layout, MONOLITHIC, RATE, Stage, THREE_INGESTERS};

/// Ends the Tempo of a worker without a warning. It is started again, as Pebble would.
const KILL_TEMPO: &str = "kill -KILL $(cat /run/tempo.pid)";
/// Likewise nginx, which its Pebble starts again.
const KILL_NGINX: &str = "kill -KILL $(cat /tmp/nginx.pid)";
/// The coordinators of [`DISTRIBUTED`] here.
const COORDINATORS: [&str; 2] = ["tempo/0", "tempo/1"];
/// How long the bucket is away.
const AWAY: Duration = Duration::from_mins(1);

/// Nothing happens for five minutes; the rate leaves room below the number of traces that a sender remembers.
pub(super) fn steady(stage: &mut Stage) -> Result<()> {
    stage.up(&Layout { tls: true, coordinators: 2, ..DISTRIBUTED })?;
    stage.while_sending("for five minutes", 3, |stage| stage.pause(Duration::from_mins(5)))
}

pub(super) fn faults(stage: &mut Stage) -> Result<()> {
    stage.up(&Layout { workers: &THREE_INGESTERS, tls: true, coordinators: 2, ..DISTRIBUTED })?;
    for worker in ["distributor/0", "ingester/1"] {
        stage.fault(&format!("{worker} killed"), |stage| stage.sim.exec(worker, KILL_TEMPO).map(drop))?;
    }
    stage.fault("nginx of both coordinators killed", |stage| {
        for unit in COORDINATORS {
            stage.in_nginx(unit, KILL_NGINX)?;
        }
        Ok(())
    })?;
    stage.fault("container restarted, its files gone", |stage| {
        stage.sim.run(&["kill-container", "tempo/0", "nginx"]).map(drop)
    })?;
    stage.fault("a coordinator replaced", |stage| stage.sim.run(&["kill-pod", "tempo/1"]).map(drop))?;
    stage.fault("the leader lost", |stage| stage.sim.run(&["kill-leader", "tempo"]).map(drop))?;
    stage.fault("the bucket away for a minute", |stage| {
        stage.sim.run(&["partition", "s3/0"])?;
        // Blocks are flushed into nothing meanwhile, and again later.
        stage.pause(AWAY)?;
        stage.sim.run(&["partition", "s3/0", "--heal"]).map(drop)
    })?;
    stage.fault("all certificates renewed", |stage| stage.sim.run(&["run", "ca/0", "renew"]).map(drop))
}

/// Hooks that have something to do while what they need fails. Nothing that was published may change by that, and when it is over,
/// everything is as it should be.
pub(super) fn obstacles(stage: &mut Stage) -> Result<()> {
    stage.report.ordered_failures = true;
    let unreliable = |stage: &Stage, percent: &str| {
        for (seed, unit) in COORDINATORS.into_iter().enumerate() {
            let seed = seed.to_string();
            stage.sim.run(&["fail-hook-tools", unit, "--percent", percent, "--seed", &seed])?;
        }
        anyhow::Ok(())
    };
    stage.up_while(&MONOLITHIC, |sim| {
        for unit in COORDINATORS {
            sim.run(&["fail-hook-tools", unit, "--percent", "1"])?;
        }
        Ok(())
    })?;
    stage.claim(true, "a cluster comes about while one hook tool in a hundred fails");
    unreliable(stage, "0")?;
    stage.deliver("afterwards")?;

    let look = |stage: &Stage| {
        for unit in COORDINATORS {
            stage.sim.run(&["dispatch", unit, "update-status"])?;
        }
        anyhow::Ok(())
    };
    stage.fault("one hook tool in ten fails", |stage| {
        unreliable(stage, "10")?;
        for _ in 0..5 {
            look(stage)?;
            stage.pause(Duration::from_secs(2))?;
        }
        unreliable(stage, "0")?;
        for unit in COORDINATORS {
            // One that is not in error has nothing to be resolved.
            let _ = stage.sim.run(&["resolved", unit]);
        }
        Ok(())
    })?;
    stage.fault("Pebble answers nobody for 20 seconds", |stage| {
        stage.sim.run(&["freeze-pebble", "tempo/0", "nginx"])?;
        look(stage)?;
        stage.pause(Duration::from_secs(20))?;
        stage.sim.run(&["freeze-pebble", "tempo/0", "nginx", "--thaw"])?;
        look(stage)
    })?;
    stage.fault("Pebble is slow", |stage| {
        look(stage)?;
        for _ in 0..8 {
            stage.sim.run(&["freeze-pebble", "tempo/0", "nginx"])?;
            stage.pause(Duration::from_millis(900))?;
            stage.sim.run(&["freeze-pebble", "tempo/0", "nginx", "--thaw"])?;
            stage.pause(Duration::from_millis(100))?;
        }
        look(stage)
    })?;
    let failed = stage.failed_hooks()?;
    stage.fault("Kubernetes answers 500", |stage| {
        stage.sim.run(&["fail-kubernetes"])?;
        stage.sim.run(&["config", "tempo", "cpu_limit=700m"])?;
        look(stage)?;
        stage.pause(Duration::from_secs(10))?;
        stage.sim.run(&["fail-kubernetes", "--heal"])?;
        look(stage)
    })?;
    let failed_since = stage.failed_hooks()? - failed;
    stage.claim(failed_since == 0, "no hook fails because the API of Kubernetes does");
    let objects = stage.sim.run(&["objects", "--format", "json"])?;
    stage.claim(objects.contains("700m"), "the limit is set when the API answers again");
    stage.fault("the disk of a coordinator is full", |stage| {
        let full = "for d in /tmp /var/tmp /root; do mount -t tmpfs -o size=16k tmpfs $d; \
                    dd if=/dev/zero of=$d/full bs=4k 2>/dev/null; done; true";
        stage.sim.exec("tempo/0", full)?;
        stage.sim.run(&["config", "tempo", "cpu_limit=800m"])?;
        look(stage)?;
        stage.pause(Duration::from_secs(5))?;
        stage.sim.exec("tempo/0", "umount /tmp /var/tmp /root")?;
        look(stage)
    })?;
    stage.deliver("in the end")
}

/// How many requirers come, and within which time.
const CROWD: usize = 100;
const WITHIN: Duration = Duration::from_mins(1);

pub(super) fn crowd(stage: &mut Stage) -> Result<()> {
    let teams: Vec<String> = (1..=CROWD).map(|number| format!("team-{number:03}")).collect();
    let more: Vec<(&str, Value)> = teams
        .iter()
        .map(|team| {
            let options = json!({"protocols": "otlp_http"});
            (team.as_str(), json!({"charm": "./tracing-requirer.charm", "options": options}))
        })
        .collect();
    let apps = ["tempo", "worker", "s3", "orders", "reader"];
    stage.up_of(&Layout { more: &more, ..MONOLITHIC }, &apps)?;
    let begun = Instant::now();
    stage.while_sending("while they come", RATE, |stage| {
        for team in &teams {
            stage.sim.run(&["integrate", "tempo:tracing", &format!("{team}:tracing")])?;
        }
        let came = begun.elapsed();
        stage.sim.wait_active(&[], Duration::from_mins(5))?;
        let (came, took) = (came.as_secs_f64(), begun.elapsed().as_secs_f64());
        stage.claim(
            came < WITHIN.as_secs_f64(),
            format!("{CROWD} requirers came within {came:.0} s, and all was active after {took:.0} s"),
        );
        Ok(())
    })?;
    let told = teams
        .iter()
        .filter(|team| {
            let found = stage.sim.received(&format!("{team}/0"));
            found.is_ok_and(|urls| urls.contains_key("otlp_http"))
        })
        .count();
    stage.claim(told == CROWD, format!("{told} of {CROWD} were told where to send"));
    Ok(())
}

/// The stories of the transition tests, with a cut at every call of a hook tool and of Pebble.
pub(super) fn sweep(stage: &mut Stage) -> Result<()> {
    let mut tests = cargo();
    tests
        .args(["test", "--quiet", "--locked", "--workspace", "--test", "transitions"])
        .args(["--", "sweep::", "--nocapture", "--test-threads", "2"])
        .env("SWEEP", "all");
    let said = capture(&mut tests)?;
    let stories: Vec<&str> =
        said.lines().filter_map(|line| line.split_once("sweep: ").map(|(_, story)| story)).collect();
    if stories.is_empty() {
        bail!("no story was played: {said}");
    }
    let cuts: Vec<usize> =
        stories.iter().map(|story| cuts(story)).collect::<Option<_>>().context("no counts")?;
    for story in &stories {
        stage.claim(true, *story);
    }
    let (cuts, count) = (cuts.iter().sum::<usize>(), stories.len());
    stage.claim(count == 4, format!("{cuts} cuts in {count} stories, all of which ended as without a cut"));
    Ok(())
}

/// The number before the word `cuts`.
fn cuts(story: &str) -> Option<usize> {
    story.split(", ").find_map(|part| part.strip_suffix(" cuts"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_cuts_is_read_from_what_a_test_says() {
        assert_eq!(cuts("TLS on: 6 hooks, 420 calls, 418 cuts, all converged"), Some(418));
        assert_eq!(cuts("nothing"), None);
    }
}
