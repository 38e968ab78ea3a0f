//! What people are told: one table from facts to status.
//!
//! *Architecture invariant:* no I/O. What happened comes in as [`Applied`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use juju_ops::Status;
use juju_pebble::ServiceStatus;

use crate::deployment::{Deployment, Settings, Unmet, tls};
use crate::kubernetes::Failure;
use crate::names::{Container, Endpoint};
use crate::tempo::Role;

/// What `apply` has achieved in this hook. Facts only: what they mean for people is decided here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The load balancer.
    pub nginx: WorkloadOutcome,
    /// The exporter of its metrics.
    pub exporter: WorkloadOutcome,
    /// Why a container's logs do not go where they should, of those that could be reached.
    pub logs: BTreeMap<Container, String>,
    /// What Kubernetes holds.
    pub kubernetes: KubernetesOutcome,
}

/// How the objects in Kubernetes are after `apply`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesOutcome {
    /// What could not be done and why, each once.
    pub troubles: Vec<Trouble>,
    /// Whether pods are being replaced because their template has changed.
    pub rolling_out: bool,
}

/// A task and why it was not done.
pub type Trouble = (KubernetesTask, Failure);

/// What there is to do in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesTask {
    /// Look at what is there.
    Read,
    /// Request and bound what nginx gets.
    Resources,
    /// Label pods and service.
    Labels,
    /// Say what a mesh lets pass.
    Policies,
}

impl fmt::Display for KubernetesTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading the application's objects",
            Self::Resources => "setting the resources of nginx",
            Self::Labels => "labelling pods and service",
            Self::Policies => "letting the mesh pass traffic",
        })
    }
}

/// How a container is after `apply`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WorkloadOutcome {
    /// The plan had nothing for it, or nothing was applied in this hook.
    #[default]
    Untouched,
    /// Its Pebble does not answer.
    Unreachable,
    /// As planned.
    Running,
    /// As planned, but its service is in this state.
    NotRunning(ServiceStatus),
    /// The workload itself refused its new configuration; the one before stays in use.
    ConfigRejected(String),
    /// Something else went wrong; the state before stays as far as it could be kept.
    Failed(String),
}

/// The two statuses to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// Of this unit.
    pub unit: Status,
    /// Of the application; `None` on a follower, which may not set it.
    pub app: Option<Status>,
}

/// How many notes a message has at most; the log has all of them.
const NOTES: usize = 4;

/// Whom a fact concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// This unit.
    Unit,
    /// The application, and so each of its units.
    Everybody,
}

/// Decides both statuses: of the facts that hold, the most severe wins, and among equals the first. What is merely
/// worth knowing is added to the message.
pub fn statuses(d: &Deployment, applied: &Applied) -> Statuses {
    let facts = facts(d, applied);
    let unit = with_notes(&worst(facts.iter().map(|(_, status)| status)), &notes(d, applied));
    let common = facts.iter().filter(|(whom, _)| *whom == Whom::Everybody).map(|(_, status)| status);
    Statuses { unit, app: d.identity.leader.then(|| worst(common)) }
}

/// The table of priorities: every fact that holds, the most important first.
fn facts(d: &Deployment, applied: &Applied) -> Vec<(Whom, Status)> {
    let mut facts = Vec::new();
    let unmet = d.unmet();
    facts.extend(rivals(d).map(|text| (Whom::Everybody, Status::Blocked(text))));
    facts.extend(
        cannot_help_itself(d, &applied.kubernetes).map(|text| (Whom::Everybody, Status::Blocked(text))),
    );
    let mut blocked = |text: String| facts.push((Whom::Everybody, Status::Blocked(text)));
    for unmet in &unmet {
        match unmet {
            Unmet::Config(reason) => blocked(format!("[config] {reason}")),
            Unmet::NoWorkers => blocked("[consistency] no worker application related".into()),
            // Some roles would stay missing even after everybody has come up.
            Unmet::MissingRoles { roles, coming } if roles != coming => {
                blocked(format!("[consistency] roles missing: {}", list(roles.difference(coming))));
            }
            Unmet::NoS3 => blocked("[s3] relate an S3 provider".into()),
            Unmet::S3(None) => blocked("[s3] credentials incomplete".into()),
            Unmet::S3(Some(finding)) => blocked(format!("[s3] credentials incomplete: {finding}")),
            // Those are told of below.
            Unmet::MissingRoles { .. } | Unmet::NoCertificate => {}
            Unmet::NoNameserver => blocked("[nginx] the pod has no name server in /etc/resolv.conf".into()),
        }
    }
    if let Ok(Settings { retention_hours: Err(reason), .. }) = &d.settings {
        blocked(format!("[config] {reason}"));
    }
    if let WorkloadOutcome::ConfigRejected(reason) = &applied.nginx {
        let text = format!("[nginx] new configuration refused, the one before stays in use: {reason}");
        facts.push((Whom::Unit, Status::Blocked(text)));
    }
    for unmet in unmet {
        match unmet {
            Unmet::MissingRoles { roles, coming } if roles == coming => {
                let text = format!("[consistency] waiting for workers to come up: {}", list(&roles));
                facts.push((Whom::Everybody, Status::Waiting(text)));
            }
            Unmet::NoCertificate => {
                let certificates = Endpoint::Certificates;
                let text = format!(
                    "[{certificates}] the cluster speaks TLS, and this unit waits for its certificate"
                );
                facts.push((Whom::Unit, Status::Waiting(text)));
            }
            _ => {}
        }
    }
    if let Some(text) = trouble(Container::Nginx, &applied.nginx) {
        facts.push((Whom::Unit, Status::Waiting(text)));
    }
    if let Some((task, failure)) = applied.kubernetes.troubles.iter().find(|trouble| delays(trouble)) {
        let text = format!("[kubernetes] will try again: {task}: {failure}");
        facts.push((Whom::Unit, Status::Waiting(text)));
    }
    if applied.kubernetes.rolling_out {
        let text = "[kubernetes] waiting for the pods to be replaced, because their template has changed";
        facts.push((Whom::Everybody, Status::Waiting(text.into())));
    }
    let generates = d.workers.iter().any(|app| app.plays(Role::MetricsGenerator));
    if generates && d.telemetry.remote_write.is_empty() {
        let text = format!("metrics-generator disabled: relate {}", Endpoint::SendRemoteWrite);
        facts.push((Whom::Unit, Status::Active(text)));
    }
    facts.extend(small(d).map(|text| (Whom::Everybody, Status::Active(text))));
    facts.push((Whom::Everybody, Status::Active(String::new())));
    facts
}

/// Ingresses between which somebody has to choose; until then only internal URLs are published.
fn rivals(d: &Deployment) -> Option<String> {
    let rivals = d.ingress.rivals();
    let kinds: BTreeSet<Endpoint> = rivals.iter().map(|(endpoint, _)| *endpoint).collect();
    match *kinds.iter().collect::<Vec<_>>() {
        [] => None,
        [kind] => {
            let relations =
                rivals.iter().map(|(kind, id)| format!("{kind}:{id}")).collect::<Vec<_>>().join(", ");
            Some(format!("several relations of `{kind}` are active ({relations}); remove all but one"))
        }
        [..] => {
            let kinds = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" and ");
            Some(format!("both {kinds} are active; remove one"))
        }
    }
}

/// What keeps nobody from working.
fn notes(d: &Deployment, applied: &Applied) -> Vec<String> {
    let exporter = match &applied.exporter {
        WorkloadOutcome::ConfigRejected(reason) => {
            Some(format!("[{}] configuration refused: {reason}", Container::NginxPrometheusExporter))
        }
        other => trouble(Container::NginxPrometheusExporter, other),
    };
    let absent = applied.kubernetes.troubles.iter().filter(|trouble| {
        let is_absent = matches!(trouble.1, Failure::NotFound(_));
        is_absent || (trouble.0 == KubernetesTask::Read && is_passing(trouble))
    });
    let absent = absent.map(|(task, failure)| format!("[kubernetes] {task}: {failure}"));
    let said = |trouble: &&tls::Trouble| !(d.tls.is_awaited() && **trouble == tls::Trouble::Pending);
    let tls = d.tls.troubles.iter().filter(said).map(|trouble| tls_note(trouble, d.tls.is_on()));
    let logs = applied.logs.iter();
    let logs = logs.map(|(container, reason)| format!("[{container}] logs are not forwarded: {reason}"));
    exporter
        .into_iter()
        .chain(logs)
        .chain(silent(d))
        .chain(tls)
        .chain(absent)
        .chain(without_kubernetes(d))
        .chain(d.findings.iter().map(ToString::to_string))
        .collect()
}

/// Receivers that are published and that nobody answers on.
fn silent(d: &Deployment) -> Option<String> {
    let silent = d.silent_receivers();
    let names: Vec<&str> = silent.iter().map(|protocol| protocol.name()).collect();
    (!names.is_empty()).then(|| format!("[receivers] no worker takes connections for {}", names.join(", ")))
}

/// A cluster that works, and may lose something with the first worker that it loses.
fn small(d: &Deployment) -> Option<String> {
    let below = d.below_recommended();
    let below: Vec<String> =
        below.iter().map(|(role, there, wanted)| format!("{} {there} of {wanted}", role.name())).collect();
    (!below.is_empty()).then(|| format!("degraded, fewer workers than recommended: {}", below.join(", ")))
}

/// What only a person can change about Kubernetes.
fn cannot_help_itself(d: &Deployment, kubernetes: &KubernetesOutcome) -> Option<String> {
    let troubles = &kubernetes.troubles;
    if let Some((task, failure)) = troubles.iter().find(|(_, failure)| matches!(failure, Failure::Denied(_)))
    {
        let app = d.identity.app();
        return Some(format!("[kubernetes] run `juju trust {app} --scope=cluster`: {task}: {failure}"));
    }
    // Options that cannot be read are told of elsewhere.
    if let (Ok(_), Err(reason)) = (&d.settings, &d.kubernetes.limits) {
        return Some(format!("[config] {reason}"));
    }
    let (task, failure) = troubles.iter().find(|trouble| is_refused(trouble))?;
    Some(format!("[kubernetes] {task}: {failure}"))
}

/// Whether asking again will end the same way.
fn is_refused((task, failure): &Trouble) -> bool {
    match failure {
        Failure::Conflict(_) => true,
        // Of those codes, the others are about who asks, how often, or how long it took.
        Failure::Refused { code, .. } => {
            *task != KubernetesTask::Read && matches!(code, 400 | 405 | 413 | 422)
        }
        _ => false,
    }
}

/// Whether something that should have changed has not. An API that could not be read may well hold all that it should,
/// and one slow answer is no reason to call a cluster anything else than well.
fn delays(trouble: &Trouble) -> bool {
    trouble.0 != KubernetesTask::Read && is_passing(trouble)
}

/// Whether it may go better next time.
fn is_passing(trouble: &Trouble) -> bool {
    !is_refused(trouble) && !matches!(trouble.1, Failure::Denied(_) | Failure::NotFound(_))
}

/// What is asked for, and cannot be had without a way to the Kubernetes API.
fn without_kubernetes(d: &Deployment) -> Option<String> {
    let wanted = d.mesh.kind.is_some() || d.kubernetes.limits.as_ref().is_ok_and(|limits| !limits.is_none());
    (wanted && d.kubernetes.namespace.is_none())
        .then(|| "[kubernetes] the pod has no service account: limits and mesh are not applied".to_owned())
}

/// What TLS lacks. The cluster works without it, or with what it has.
fn tls_note(trouble: &tls::Trouble, is_on: bool) -> String {
    let certificates = Endpoint::Certificates;
    match (trouble, is_on) {
        (tls::Trouble::Denied(reason), true) => {
            format!("[{certificates}] a new certificate is refused, the one before stays in use: {reason}")
        }
        (tls::Trouble::Denied(reason), false) => {
            format!("[{certificates}] no TLS, the request is refused: {reason}")
        }
        (tls::Trouble::Expired, _) => format!("[{certificates}] the certificate in use has expired"),
        (tls::Trouble::Pending, true) => format!("[{certificates}] waiting for a new certificate"),
        (tls::Trouble::Pending, false) => format!("[{certificates}] no TLS yet, waiting for a certificate"),
    }
}

fn trouble(container: Container, outcome: &WorkloadOutcome) -> Option<String> {
    match outcome {
        WorkloadOutcome::Untouched | WorkloadOutcome::Running | WorkloadOutcome::ConfigRejected(_) => None,
        WorkloadOutcome::Unreachable => Some(format!("[{container}] waiting for the container")),
        WorkloadOutcome::NotRunning(state) => {
            let state = match state {
                ServiceStatus::Active => "starting",
                ServiceStatus::Inactive => "stopped",
                ServiceStatus::Backoff => "restarting after it exited",
                ServiceStatus::Error => "exited",
            };
            Some(format!("[{container}] the service is not running: {state}"))
        }
        WorkloadOutcome::Failed(reason) => Some(format!("[{container}] will try again: {reason}")),
    }
}

/// The most severe, and of equally severe ones the first.
fn worst<'a>(statuses: impl Iterator<Item = &'a Status>) -> Status {
    let worse = |worst: Option<&'a Status>, next: &'a Status| match worst {
        Some(worst) if worst.severity() >= next.severity() => Some(worst),
        _ => Some(next),
    };
    statuses.fold(None, worse).cloned().unwrap_or(Status::Active(String::new()))
}

fn with_notes(status: &Status, notes: &[String]) -> Status {
    let mut parts: Vec<String> =
        Some(status.message().to_owned()).filter(|text| !text.is_empty()).into_iter().collect();
    parts.extend(notes.iter().take(NOTES).cloned());
    if notes.len() > NOTES {
        parts.push(format!("and {} more", notes.len() - NOTES));
    }
    let text = parts.join("; ");
    match status {
        Status::Blocked(_) => Status::Blocked(text),
        Status::Maintenance(_) => Status::Maintenance(text),
        Status::Waiting(_) => Status::Waiting(text),
        Status::Active(_) => Status::Active(text),
    }
}

fn list<'a>(roles: impl IntoIterator<Item = &'a Role>) -> String {
    roles.into_iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Cluster;
    use crate::tempo::Protocol;

    /// Nothing is missing.
    fn whole() -> Cluster {
        Cluster::default().with_s3().worker("tw", "all", 3)
    }

    fn check(cluster: &Cluster, applied: &Applied, unit: (&str, &str), app: (&str, &str)) {
        let statuses = statuses(&cluster.deployment(), applied);
        let text = |status: &Status| (status.kind().to_owned(), status.message().to_owned());
        let expect = |(kind, message): (&str, &str)| (kind.to_owned(), message.to_owned());
        assert_eq!(text(&statuses.unit), expect(unit));
        assert_eq!(statuses.app.as_ref().map(text), Some(expect(app)));
    }

    fn same(cluster: &Cluster, status: (&str, &str)) {
        check(cluster, &Applied::default(), status, status);
    }

    #[test]
    fn what_is_missing_is_named_most_important_first() {
        same(&Cluster::default(), ("blocked", "[consistency] no worker application related"));
        same(&whole().without_s3(), ("blocked", "[s3] relate an S3 provider"));
        same(&whole().s3_data(&[]), ("blocked", "[s3] credentials incomplete"));
        same(
            &whole().s3_data(&[("access-key", "a"), ("bucket", "b"), ("endpoint", "c")]),
            ("blocked", "[s3] credentials incomplete: s3:1 secret-key: missing"),
        );
        let some = || Cluster::default().with_s3();
        same(
            &some().worker("w", "querier", 1),
            ("blocked", "[consistency] roles missing: compactor, distributor, ingester, query-frontend"),
        );
        // An application that was scaled down to nothing does not count.
        same(
            &some().worker("w", "all", 0),
            (
                "blocked",
                "[consistency] roles missing: compactor, distributor, ingester, querier, query-frontend",
            ),
        );
        same(&whole().without_s3().worker("w", "all", 0), ("blocked", "[s3] relate an S3 provider"));
        same(&some(), ("blocked", "[consistency] no worker application related"));
    }

    #[test]
    fn workers_that_come_up_are_waited_for() {
        let cluster = Cluster::default().with_s3().worker("w", "all", 0).silent_unit("w");
        same(
            &cluster,
            (
                "waiting",
                "[consistency] waiting for workers to come up: compactor, distributor, ingester, querier, query-frontend",
            ),
        );
        // But not if some role would still be missing then.
        let cluster = Cluster::default().with_s3().worker("w", "querier", 0).silent_unit("w");
        same(
            &cluster,
            ("blocked", "[consistency] roles missing: compactor, distributor, ingester, query-frontend"),
        );
    }

    #[test]
    fn a_complete_cluster_is_active_and_says_what_is_off() {
        let disabled = "metrics-generator disabled: relate send-remote-write";
        check(&whole(), &Applied::default(), ("active", disabled), ("active", ""));
        let writes = whole().remote_write(&["http://prom-0.x:9090/api/v1/write"]);
        same(&writes, ("active", ""));
        let two = Cluster::default().with_s3().worker("tw", "all", 2);
        let two = two.remote_write(&["http://prom-0.x:9090/api/v1/write"]);
        let small = "degraded, fewer workers than recommended: ingester 2 of 3";
        same(&two, ("active", small));
    }

    #[test]
    fn receivers_on_which_nobody_answers_are_named() {
        let writes = whole().remote_write(&["http://prom-0.x:9090/api/v1/write"]).requirer(r#"["zipkin"]"#);
        let mut d = writes.deployment();
        // One of them is off by now.
        let silent = [(Protocol::Zipkin, false), (Protocol::OtlpHttp, true), (Protocol::OtlpGrpc, false)];
        d.look.receivers = silent.into();
        let statuses = statuses(&d, &Applied::default());
        let text = "[receivers] no worker takes connections for zipkin";
        assert_eq!(statuses.unit, Status::Active(text.into()));
    }

    #[test]
    fn options_that_cannot_be_used_block() {
        let mut cluster = whole();
        cluster.config = Err("option always_enable_zipkin: expected a boolean".into());
        same(&cluster, ("blocked", "[config] option always_enable_zipkin: expected a boolean"));
        let mut cluster = whole();
        cluster.config.as_mut().unwrap().retention_period = 0;
        same(&cluster, ("blocked", "[config] retention-period: 0 is not from 1 to 87840 hours"));
    }

    #[test]
    fn what_happened_to_the_containers_concerns_the_unit() {
        use WorkloadOutcome::{ConfigRejected, Failed, NotRunning, Running, Unreachable, Untouched};

        let ready = || whole().remote_write(&["http://prom-0.x:9090/api/v1/write"]);
        let with = |nginx, exporter, unit| {
            check(&ready(), &Applied { nginx, exporter, ..Applied::default() }, unit, ("active", ""));
        };
        with(Running, Running, ("active", ""));
        with(Untouched, Untouched, ("active", ""));
        with(Unreachable, Running, ("waiting", "[nginx] waiting for the container"));
        with(
            NotRunning(ServiceStatus::Backoff),
            Running,
            ("waiting", "[nginx] the service is not running: restarting after it exited"),
        );
        with(
            ConfigRejected("line 3".into()),
            Running,
            ("blocked", "[nginx] new configuration refused, the one before stays in use: line 3"),
        );
        with(Failed("disk full".into()), Running, ("waiting", "[nginx] will try again: disk full"));
        with(Running, Unreachable, ("active", "[nginx-prometheus-exporter] waiting for the container"));
    }

    #[test]
    fn bad_data_of_others_are_named_and_stop_nobody() {
        let cluster = whole()
            .remote_write(&["http://prom-0.x:9090/api/v1/write"])
            .requirer(r#"["otlp_grpc", "jaeger_http_thrift"]"#)
            .requirer("rubbish");
        let unit = "tracing:100 receivers: unknown protocol jaeger_http_thrift (jaeger_thrift_http is probably meant); \
                    tracing:101 receivers: not valid JSON";
        check(&cluster, &Applied::default(), ("active", unit), ("active", ""));
        let many = (0..6).fold(whole(), |cluster, _| cluster.requirer("rubbish"));
        let message = statuses(&many.deployment(), &Applied::default()).unit.message().to_owned();
        assert!(
            message.starts_with("metrics-generator disabled") && message.ends_with("; and 2 more"),
            "{message}"
        );
    }

    #[test]
    fn what_kubernetes_refuses_names_the_way_out() {
        let with = |task, failure| Applied {
            kubernetes: KubernetesOutcome { troubles: vec![(task, failure)], rolling_out: false },
            ..Applied::default()
        };
        let ready = || whole().remote_write(&["http://prom-0.x:9090/api/v1/write"]);
        let denied = with(KubernetesTask::Read, Failure::Denied("statefulsets.apps is forbidden".into()));
        let text = "[kubernetes] run `juju trust tempo --scope=cluster`: reading the application's objects: not allowed: \
                    statefulsets.apps is forbidden";
        check(&ready(), &denied, ("blocked", text), ("blocked", text));
        // It comes before what is missing: nothing would be put right by relating more.
        check(&Cluster::default(), &denied, ("blocked", text), ("blocked", text));

        let conflict = with(KubernetesTask::Resources, Failure::Conflict("conflict with \"kubectl\"".into()));
        let text = "[kubernetes] setting the resources of nginx: conflict: conflict with \"kubectl\"";
        check(&ready(), &conflict, ("blocked", text), ("blocked", text));

        let late = with(KubernetesTask::Labels, Failure::Late);
        let text = format!("[kubernetes] will try again: {}: no answer in time", KubernetesTask::Labels);
        check(&ready(), &late, ("waiting", &text), ("active", ""));
        // What could not be read may well be as it should.
        let late = with(KubernetesTask::Read, Failure::Late);
        let text = "[kubernetes] reading the application's objects: no answer in time";
        check(&ready(), &late, ("active", text), ("active", ""));

        let absent =
            with(KubernetesTask::Policies, Failure::NotFound("AuthorizationPolicy in this cluster".into()));
        let text =
            "[kubernetes] letting the mesh pass traffic: not found: AuthorizationPolicy in this cluster";
        check(&ready(), &absent, ("active", text), ("active", ""));
    }

    #[test]
    fn pods_that_are_being_replaced_are_waited_for() {
        let kubernetes = KubernetesOutcome { troubles: Vec::new(), rolling_out: true };
        let applied = Applied { kubernetes, ..Applied::default() };
        let text = "[kubernetes] waiting for the pods to be replaced, because their template has changed";
        check(&whole(), &applied, ("waiting", text), ("waiting", text));
    }

    #[test]
    fn limits_that_are_none_block_and_limits_that_cannot_be_set_are_a_note() {
        let mut cluster = whole().remote_write(&["http://prom-0.x:9090/api/v1/write"]);
        cluster.config.as_mut().unwrap().memory_limit = Some("lots".into());
        same(
            &cluster,
            ("blocked", r#"[config] memory_limit: "lots" is not an amount such as 500m, 2 or 1Gi"#),
        );
        cluster.config.as_mut().unwrap().memory_limit = Some("1Gi".into());
        let text = "[kubernetes] the pod has no service account: limits and mesh are not applied";
        check(&cluster, &Applied::default(), ("active", text), ("active", ""));
    }

    #[test]
    fn a_follower_leaves_the_application_alone() {
        let mut cluster = whole();
        cluster.leader = false;
        assert_eq!(statuses(&cluster.deployment(), &Applied::default()).app, None);
    }
}
