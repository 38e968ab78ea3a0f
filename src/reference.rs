//! Pages of the documentation that only the charm's own code can make: statuses, metrics and ports.
//!
//! A test compares each with the file in `docs/reference/`; with `UPDATE_REFERENCE` set, as `cargo xtask docs` does, it writes
//! the file instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use juju_ops::Databag;
use juju_pebble::ServiceStatus;

use crate::deployment::{Deployment, tls};
use crate::fixtures::Cluster;
use crate::kubernetes::Failure;
use crate::metrics::{Took, page};
use crate::names::{Container, Endpoint};
use crate::plan::exporter;
use crate::plan::nginx::TELEMETRY_PORT;
use crate::snapshot::{Look, RelationSnapshot};
use crate::status::{Applied, KubernetesOutcome, KubernetesTask, WorkloadOutcome, statuses};
use crate::tempo::{self, Protocol};

/// Compares a page, or writes it.
fn check(name: &str, text: &str) {
    let text = format!("<!-- Made by `cargo xtask docs`. Changes by hand get lost. -->\n\n{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, text).expect("the page can be written");
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/reference/{name} is out of date: run `cargo xtask docs`");
}

/// What is the case, and what to do about it.
struct Case {
    deployment: Deployment,
    applied: Applied,
    remedy: &'static str,
}

fn whole() -> Cluster {
    Cluster::default()
        .with_s3()
        .worker("worker", "all", 3)
        .remote_write(&["http://prometheus-0.x:9090/api/v1/write"])
}

fn related(cluster: Cluster, endpoint: Endpoint, id: u32, data: &[(&str, &str)]) -> Cluster {
    let relation = RelationSnapshot {
        id,
        remote_app: Some("other".into()),
        remote_app_data: Some(data.iter().copied().collect::<Databag>()),
        ..RelationSnapshot::default()
    };
    cluster.relate(endpoint, relation)
}

fn traefik(cluster: Cluster, id: u32) -> Cluster {
    related(cluster, Endpoint::Ingress, id, &[("external_host", "traces.example"), ("scheme", "https")])
}

/// Every fact that a status can tell, the most important first.
fn cases() -> Vec<Case> {
    use WorkloadOutcome::{ConfigRejected, Failed, NotRunning, Unreachable};

    let mut cases = Vec::new();
    let mut add = |deployment: Deployment, applied: Applied, remedy| {
        cases.push(Case { deployment, applied, remedy });
    };
    let fine = Applied::default;
    let with_nginx = |nginx| Applied { nginx, ..Applied::default() };
    let with_exporter = |exporter| Applied { exporter, ..Applied::default() };
    let with_kubernetes = |task, failure| Applied {
        kubernetes: KubernetesOutcome { troubles: vec![(task, failure)], rolling_out: false },
        ..Applied::default()
    };
    let bound = |cpu: &str| {
        let mut cluster = whole();
        cluster.config.as_mut().expect("options that can be read").cpu_limit = Some(cpu.to_owned());
        cluster.deployment()
    };

    // Blocked.
    let istio = &[("external_host", "traces.example"), ("tls_enabled", "True")];
    let both = related(traefik(whole(), 60), Endpoint::IstioIngress, 61, istio);
    add(
        both.deployment(),
        fine(),
        "`juju remove-relation` one of them. Until then URLs are those inside the cluster.",
    );
    add(traefik(traefik(whole(), 60), 61).deployment(), fine(), "The same.");
    let denied = Failure::Denied("statefulsets.apps is forbidden".into());
    add(
        whole().deployment(),
        with_kubernetes(KubernetesTask::Read, denied),
        "Run the command. Nothing else waits for it.",
    );
    add(bound("lots"), fine(), "`juju config tempo cpu_limit=…`, or `--reset cpu_limit`.");
    let conflict = Failure::Conflict("conflict with \"kubectl\"".into());
    add(
        whole().deployment(),
        with_kubernetes(KubernetesTask::Resources, conflict),
        "Somebody else sets the same field: take it back there.",
    );
    let mut unread = whole();
    unread.config = Err("option always_enable_zipkin: expected a boolean".into());
    add(unread.deployment(), fine(), "Set the option to a value of its type.");
    add(Cluster::default().with_s3().deployment(), fine(), "`juju integrate tempo:tempo-cluster WORKER`.");
    add(
        Cluster::default().with_s3().worker("worker", "querier", 1).deployment(),
        fine(),
        "Deploy workers with these roles, or one application with `role-all=true`, and relate them.",
    );
    add(whole().without_s3().deployment(), fine(), "`juju integrate tempo:s3 S3-INTEGRATOR`.");
    add(
        whole().s3_data(&[]).deployment(),
        fine(),
        "See `juju status` of the S3 provider: it has given nothing yet.",
    );
    let no_secret = [("access-key", "a"), ("bucket", "b"), ("endpoint", "c")];
    add(whole().s3_data(&no_secret).deployment(), fine(), "Give the S3 provider what the message names.");
    let mut nameless = whole();
    nameless.host.nameserver = None;
    add(nameless.deployment(), fine(), "The pod's DNS policy has to name a server.");
    let mut short = whole();
    short.config.as_mut().expect("options that can be read").retention_period = 0;
    add(short.deployment(), fine(), "Set `retention-period`. Workers keep what they have until then.");
    add(
        whole().deployment(),
        with_nginx(ConfigRejected("unknown directive in line 3".into())),
        "A defect of this charm, or an nginx that is too old: look at the image.",
    );

    // Waiting.
    add(
        Cluster::default().with_s3().worker("worker", "all", 0).silent_unit("worker").deployment(),
        fine(),
        "Nothing, for as long as their pods start. Else see `juju status` of the workers.",
    );
    let of_tls = RelationSnapshot {
        id: 50,
        local_app_data: Some(Databag::from([("tls", "true")])),
        ..RelationSnapshot::default()
    };
    add(
        whole().with_authority().relate(Endpoint::Peers, of_tls).deployment(),
        fine(),
        "Nothing, for as long as the authority needs. Some authorities wait for a person to approve.",
    );
    for outcome in [
        Unreachable,
        NotRunning(ServiceStatus::Active),
        NotRunning(ServiceStatus::Inactive),
        NotRunning(ServiceStatus::Backoff),
        NotRunning(ServiceStatus::Error),
        Failed("no space left on device".into()),
    ] {
        let remedy = match outcome {
            Unreachable => {
                "Nothing while the pod starts. Else `kubectl describe pod`: mostly the image cannot be had."
            }
            Failed(_) => "The next hook tries again; the message says what to change if that does not help.",
            _ => {
                "Nothing for some seconds. Else `juju ssh --container nginx tempo/0 pebble logs nginx` says why."
            }
        };
        add(whole().deployment(), with_nginx(outcome), remedy);
    }
    add(
        whole().deployment(),
        with_kubernetes(KubernetesTask::Labels, Failure::Late),
        "Nothing: the next hook tries again.",
    );
    let rolling = Applied {
        kubernetes: KubernetesOutcome { troubles: Vec::new(), rolling_out: true },
        ..Applied::default()
    };
    add(whole().deployment(), rolling, "Nothing: pods are replaced one after the other.");

    // Active, with something worth knowing.
    add(
        Cluster::default().with_s3().worker("worker", "all", 3).deployment(),
        fine(),
        "No fault. Relate a Prometheus to have metrics made of traces, or give no worker that role.",
    );
    let two = Cluster::default().with_s3().worker("worker", "all", 2);
    let two = two.remote_write(&["http://prometheus-0.x:9090/api/v1/write"]);
    add(
        two.deployment(),
        fine(),
        "`juju add-unit` for these roles, so that one that is away takes nothing with it.",
    );
    add(whole().deployment(), fine(), "All is well.");

    // Notes.
    add(
        whole().deployment(),
        with_exporter(ConfigRejected("flag provided but not defined".into())),
        "Look at the image of the exporter.",
    );
    add(whole().deployment(), with_exporter(Unreachable), "As for nginx. Spans pass all the same.");
    let logs = BTreeMap::from([(Container::Nginx, "refused".to_owned())]);
    add(
        whole().deployment(),
        Applied { logs, ..Applied::default() },
        "See Loki, and the relation `logging`.",
    );
    let mut silent = whole().requirer(r#"["zipkin"]"#).deployment();
    silent.look = Look { receivers: [(Protocol::Zipkin, false)].into(), ..Look::default() };
    add(silent, fine(), "See whether distributors run, and what their log says.");
    for (on, trouble, remedy) in [
        (true, tls::Trouble::Denied("policy".into()), "Ask whoever runs the authority."),
        (false, tls::Trouble::Denied("policy".into()), "Ask whoever runs the authority."),
        (true, tls::Trouble::Expired, "Clients refuse it: see why the authority does not answer."),
        (true, tls::Trouble::Pending, "Nothing: the one before stays in use."),
        (false, tls::Trouble::Pending, "Nothing, for as long as the authority needs."),
    ] {
        let cluster = if on { whole().with_tls() } else { whole().with_authority() };
        let mut deployment = cluster.deployment();
        deployment.tls.troubles = vec![trouble];
        add(deployment, fine(), remedy);
    }
    let absent = Failure::NotFound("AuthorizationPolicy in this cluster".into());
    add(
        whole().deployment(),
        with_kubernetes(KubernetesTask::Policies, absent),
        "Install the mesh's own resources, or remove the relation.",
    );
    add(
        whole().deployment(),
        with_kubernetes(KubernetesTask::Read, Failure::Late),
        "Nothing: the next hook looks again.",
    );
    add(
        bound("500m"),
        fine(),
        "Kubernetes gives pods a service account unless somebody has turned that off.",
    );
    add(
        whole().requirer("rubbish").deployment(),
        fine(),
        "Fix the other charm. The message says relation, number of the relation, key and reason.",
    );
    cases
}

#[test]
fn every_status_is_in_the_reference() {
    let cases = cases();
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for case in &cases {
        let told = statuses(&case.deployment, &case.applied);
        let message = told.unit.message().replace('|', "\\|");
        let of_app = told.app.is_some_and(|app| app == told.unit);
        let fence = if message.contains('`') { "``" } else { "`" };
        let message =
            if message.is_empty() { "(none)".to_owned() } else { format!("{fence}{message}{fence}") };
        let whom = if of_app { "application" } else { "unit" };
        let _ =
            writeln!(tables.entry(told.unit.kind()).or_default(), "| {message} | {whom} | {} |", case.remedy);
    }
    let mut text = "# Statuses\n\nWhat `juju status` can show, made by the charm's own code from clusters that have each fault. Of several facts the most \
                    severe is shown, and of equally severe ones the first of these tables. Names, numbers and reasons differ. *Whom* is who \
                    has the status: the unit alone, or the application and each of its units.\n\nUp to four notes on what keeps nobody from working follow, \
                    behind `;`; the log has all of them. They are in the last rows of *active* here.\n"
        .to_owned();
    for (kind, about) in [
        ("blocked", "Somebody has to do something. What worked before goes on."),
        ("waiting", "Something else comes first, and the charm goes on by itself."),
        ("active", "In service."),
    ] {
        let rows = tables.remove(kind).unwrap_or_default();
        let _ =
            write!(text, "\n## {kind}\n\n{about}\n\n| message | whom | what to do |\n|---|---|---|\n{rows}");
    }
    assert!(tables.is_empty(), "{tables:?}");
    text.push_str(
        "\n## maintenance\n\nThe agent has refused a call. The message is the error, followed by `; Juju retries this hook`, and the next hook that works \
         takes it away.\n",
    );

    // Whatever the code can say is said in some row.
    let code = include_str!("status.rs").split("#[cfg(test)]").next().unwrap_or_default();
    let said = text.replace("\\|", "|");
    for literal in literals(code) {
        for piece in literal.split(['{', '}']).step_by(2).map(str::trim).filter(|piece| piece.len() > 7) {
            assert!(said.contains(piece), "no case shows {piece:?}");
        }
    }
    check("statuses.md", &text);
}

/// The texts in a piece of code.
fn literals(code: &str) -> Vec<String> {
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_in_the_reference() {
    let mut snapshot = whole().with_tls().snapshot();
    snapshot.look = Some(Look { receivers: [(Protocol::OtlpHttp, true)].into(), ..Look::default() });
    let deployment = Deployment::validate(&snapshot);
    let took = Took { event: "update-status".into(), seconds: 0.02, tool_calls: 40 };
    let page = page(None, &deployment, &took);
    let mut text =
        "# Metrics\n\nWhat each unit of the coordinator says of itself, at `/coordinator/metrics` and for as long as something is related at \
         `metrics-endpoint`. Those of nginx come from its exporter, and those of Tempo from Tempo: \
         [the alerts](alerts.md) and [the dashboards](dashboards.md) use them.\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n"
            .to_owned();
    let mut families: BTreeSet<&str> = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').expect("a name and a text");
        let kind =
            page.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a type");
        let series = page.lines().filter(|line| line.starts_with(name));
        let labels: BTreeSet<&str> = series
            .filter_map(|line| line.split_once('{')?.1.split_once('}'))
            .flat_map(|(labels, _)| labels.split(',').filter_map(|label| label.split('=').next()))
            .collect();
        let labels = labels.into_iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {help} |");
        families.insert(name);
    }
    // Each name that the code writes is there.
    let code = include_str!("metrics.rs").split("#[cfg(test)]").next().unwrap_or_default();
    assert_eq!(families.len(), code.matches("page.family(").count());
    check("metrics.md", &text);
}

#[test]
fn every_port_is_in_the_reference() {
    let mut text = "# Ports\n\nOf the coordinator's pods, once the cluster is complete. Receivers *on demand* are open while a related application asks for them, or \
                    an option turns them on. With TLS, receivers and APIs speak it and nothing else.\n\n| port | protocol | open | what for |\n|---|---|---|---|\n"
        .to_owned();
    let mut rows = BTreeMap::new();
    for protocol in Protocol::ALL {
        let open = if protocol == Protocol::OtlpHttp { "always" } else { "on demand" };
        let about = format!("receives spans: `{}`", protocol.name());
        rows.insert(tempo::receiver_port(protocol), (open, about));
    }
    for (port, about) in [
        (tempo::HTTP_PORT, "Tempo's HTTP API: queries, status, metrics"),
        (tempo::GRPC_PORT, "Tempo's gRPC API"),
        (tempo::MEMBERLIST_PORT, "gossip between workers; nothing listens on this side"),
        (TELEMETRY_PORT, "what workers send to other charms, and metrics of workers and of the coordinator"),
    ] {
        rows.insert(port, ("always", about.to_owned()));
    }
    rows.insert(exporter::PORT, ("not opened by Juju", "metrics of nginx".to_owned()));
    for (port, (open, about)) in &rows {
        let _ = writeln!(text, "| {port} | tcp | {open} | {about} |");
    }
    // What the plan opens is in the table.
    let all = Protocol::ALL.map(|protocol| format!("{:?}", protocol.name())).join(", ");
    let plan = crate::plan::plan(&whole().requirer(&format!("[{all}]")).deployment());
    let opened: BTreeSet<String> =
        plan.ports.expect("a whole cluster").iter().map(ToString::to_string).collect();
    let listed = rows.iter().filter(|(_, (open, _))| !open.starts_with("not"));
    assert_eq!(listed.map(|(port, _)| format!("{port}/tcp")).collect::<BTreeSet<_>>(), opened);
    check("ports.md", &text);
}
