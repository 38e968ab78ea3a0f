//! From what charms have written to what Prometheus is configured with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use juju_ops::UnitName;
use juju_ops::databag::json_text;
use sha2::{Digest, Sha256};

use super::{ProviderAppData, RelabelConfig, ScrapeJob, StaticConfig, UnitData};
use crate::Topology;

/// What one application wants scraped, and where its units are.
#[derive(Clone, Debug)]
pub struct Scraped<'a> {
    /// The application.
    pub app: &'a ProviderAppData,
    /// Its units; `None` for one that has not said where it is.
    pub units: BTreeMap<&'a UnitName, Option<&'a UnitData>>,
}

/// Where jobs lead that say nothing else.
const METRICS_PATH: &str = "/metrics";
/// Name of a job that has none and whose owner is not known.
const UNNAMED: &str = "unnamed";
/// The label under which Prometheus shows a target.
const INSTANCE: &str = "instance";

/// The entries of `scrape_configs` in Prometheus's configuration for these applications.
///
/// - An application without units is not scraped.
/// - One that does not say who it is gets its jobs as they are; those of others have names of the form
///   `juju_<identifier>_prometheus_scrape[_<name>]`.
/// - A target for every unit (`*:9113`), and one whose host is that of a unit, becomes a job per unit: the number of the
///   unit is in its name, the unit's path before its own, and `juju_unit` among the labels. Every other target belongs
///   to the application as a whole.
/// - A job's own labels come before those of its owner.
/// - `instance` is made, after all the job's own changes, of the model, its UUID, the application and, for a unit's job,
///   the unit.
/// - Of equal jobs one is left; different ones of one name get a digest added to it.
///
/// The result is sorted by name, so that it is the same in whatever order the applications come.
pub fn scrape_configs<'a>(sources: impl IntoIterator<Item = Scraped<'a>>) -> Vec<ScrapeJob> {
    unique(sources.into_iter().flat_map(|source| expanded(&source)))
}

fn expanded(source: &Scraped<'_>) -> Vec<ScrapeJob> {
    if source.units.is_empty() {
        return Vec::new();
    }
    let Some(owner) = &source.app.scrape_metadata else { return source.app.scrape_jobs.clone() };
    let units: Vec<Unit<'_>> =
        source.units.iter().filter_map(|(name, data)| Some(Unit::of(name, (*data)?))).collect();
    source.app.scrape_jobs.iter().flat_map(|job| expanded_job(job, owner, &units)).collect()
}

/// A unit that has said where it is.
struct Unit<'a> {
    name: Cow<'a, str>,
    /// Its address as it is in a target.
    address: Cow<'a, str>,
    data: &'a UnitData,
}

impl<'a> Unit<'a> {
    fn of(unit: &UnitName, data: &'a UnitData) -> Self {
        let address = match data.address.parse::<Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]").into(),
            Err(_) => data.address.as_str().into(),
        };
        let name = data.name.as_deref().map_or_else(|| unit.to_string().into(), Cow::Borrowed);
        Self { name, address, data }
    }

    fn is_at(&self, host: &str) -> bool {
        !host.is_empty() && (self.address == host || self.data.fqdn.as_deref() == Some(host))
    }

    /// The number in its name, or whatever it has in that place.
    fn number(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

/// To whom a target belongs.
#[derive(PartialEq, Eq)]
enum Whose {
    EveryUnit,
    /// The unit at this place of the list. Where several have the same host, the first of them.
    Unit(usize),
    Application,
}

fn whose(target: &str, units: &[Unit<'_>]) -> Whose {
    if target.starts_with('*') {
        return Whose::EveryUnit;
    }
    let host = host_of(target);
    units.iter().position(|unit| unit.is_at(host)).map_or(Whose::Application, Whose::Unit)
}

/// A target without its port.
fn host_of(target: &str) -> &str {
    match target.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => target,
    }
}

fn expanded_job(job: &ScrapeJob, owner: &Topology, units: &[Unit<'_>]) -> Vec<ScrapeJob> {
    let prefix = format!("juju_{}_prometheus_scrape", owner.identifier());
    let name = match job.job_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{prefix}_{name}"),
        None => prefix,
    };
    let path = job.metrics_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(METRICS_PATH);

    let of_units = units.iter().enumerate().filter_map(|(place, unit)| {
        let configs = configs(job, owner, Some(&unit.name), |target| match whose(target, units) {
            Whose::EveryUnit => Some(target.replacen('*', &unit.address, 1)),
            Whose::Unit(of) if of == place => Some(target.to_owned()),
            Whose::Unit(_) | Whose::Application => None,
        });
        let below = unit.data.path.as_deref().unwrap_or_default().trim_end_matches('/');
        Some(ScrapeJob {
            job_name: Some(format!("{name}-{}", unit.number())),
            metrics_path: Some(format!("{below}{path}")),
            static_configs: configs?,
            relabel_configs: with_instance(job, &["juju_unit"]),
            ..job.clone()
        })
    });
    let of_application = configs(job, owner, None, |target| {
        (whose(target, units) == Whose::Application).then(|| target.to_owned())
    });
    let of_application = of_application.map(|static_configs| ScrapeJob {
        job_name: Some(name.clone()),
        metrics_path: Some(path.to_owned()),
        static_configs,
        relabel_configs: with_instance(job, &[]),
        ..job.clone()
    });
    of_units.chain(of_application).collect()
}

/// The targets for which `target` has something, with their labels; `None` if there is no such target.
fn configs(
    job: &ScrapeJob,
    owner: &Topology,
    unit: Option<&str>,
    target: impl Fn(&str) -> Option<String>,
) -> Option<Vec<StaticConfig>> {
    let configs = job.static_configs.iter().filter_map(|config| {
        let targets: Vec<String> = config.targets.iter().filter_map(|text| target(text)).collect();
        let known = owner.labels().into_iter().chain(unit.map(|unit| ("juju_unit", unit)));
        let mut labels: BTreeMap<String, String> =
            known.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
        labels.extend(config.labels.clone());
        (!targets.is_empty()).then_some(StaticConfig { targets, labels })
    });
    Some(configs.collect()).filter(|configs: &Vec<_>| !configs.is_empty())
}

/// The job's own changes of labels, and then that of `instance`.
fn with_instance(job: &ScrapeJob, more: &[&str]) -> Vec<RelabelConfig> {
    let sources = ["juju_model", "juju_model_uuid", "juju_application"].iter().chain(more);
    let instance = RelabelConfig {
        source_labels: sources.map(|label| (*label).to_owned()).collect(),
        separator: Some("_".into()),
        target_label: Some(INSTANCE.into()),
        regex: Some("(.*)".into()),
        ..RelabelConfig::default()
    };
    job.relabel_configs.iter().cloned().chain([instance]).collect()
}

/// Each job once, and no name twice.
fn unique(jobs: impl IntoIterator<Item = ScrapeJob>) -> Vec<ScrapeJob> {
    let mut by_name: BTreeMap<String, BTreeMap<String, ScrapeJob>> = BTreeMap::new();
    for job in jobs {
        let name = job.job_name.clone().unwrap_or_else(|| UNNAMED.to_owned());
        let text = json_text(&job).unwrap_or_default();
        by_name.entry(name).or_default().insert(text, job);
    }
    let named = by_name.into_iter().flat_map(|(name, jobs)| {
        let is_alone = jobs.len() == 1;
        jobs.into_iter().map(move |(text, job)| {
            let job_name = if is_alone { name.clone() } else { format!("{name}_{}", digest(&text)) };
            ScrapeJob { job_name: Some(job_name), ..job }
        })
    });
    let mut named: Vec<ScrapeJob> = named.collect();
    named.sort_by(|one, other| one.job_name.cmp(&other.job_name));
    named
}

/// SHA-256 in lower-case hexadecimal digits.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut digits, byte| {
        // Writing to a String does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JsonText;

    const UUID: &str = "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55";
    const NAME: &str = "juju_obs_3f1d3c0e_tempo_prometheus_scrape";

    fn app(jobs: &str) -> ProviderAppData {
        ProviderAppData {
            scrape_metadata: Some(Topology {
                model: "obs".into(),
                model_uuid: UUID.into(),
                application: "tempo".into(),
                unit: Some("tempo/1".into()),
                charm_name: "tempo-k8s".into(),
            }),
            scrape_jobs: serde_json::from_str(jobs).unwrap(),
            ..ProviderAppData::default()
        }
    }

    fn units(addresses: &[&str]) -> BTreeMap<UnitName, UnitData> {
        let unit = |(n, address): (u32, &&str)| {
            let name = UnitName::new("tempo", n);
            (name.clone(), UnitData::new(name.to_string(), *address))
        };
        (0..).zip(addresses).map(unit).collect()
    }

    fn scraped<'a>(app: &'a ProviderAppData, units: &'a BTreeMap<UnitName, UnitData>) -> Scraped<'a> {
        Scraped { app, units: units.iter().map(|(name, data)| (name, Some(data))).collect() }
    }

    fn expand(jobs: &str, units: &BTreeMap<UnitName, UnitData>) -> Vec<ScrapeJob> {
        let app = app(jobs);
        scrape_configs([scraped(&app, units)])
    }

    /// `name path target,… unit` of each job.
    fn shown(jobs: &[ScrapeJob]) -> Vec<String> {
        let each = |job: &ScrapeJob| {
            let config = &job.static_configs[0];
            let unit = config.labels.get("juju_unit").map_or("-", String::as_str);
            let name = job.job_name.as_deref().unwrap().replace(NAME, "…");
            format!("{name} {} {} {unit}", job.metrics_path.as_deref().unwrap(), config.targets.join(","))
        };
        jobs.iter().map(each).collect()
    }

    #[test]
    fn a_target_for_every_unit_is_a_job_per_unit() {
        let mut units = units(&["10.1.0.1", "in.example", "fd00::1", ""]);
        units.get_mut(&UnitName::new("tempo", 1)).unwrap().path = Some("/obs-tempo-1/".into());
        let mut silent = units.split_off(&UnitName::new("tempo", 3));
        let app = app(r#"[{"job_name": "web", "static_configs": [{"targets": ["*:80", "*:81"]}]}]"#);
        let mut source = scraped(&app, &units);
        source.units.extend(silent.iter_mut().map(|(name, _)| (name, None)));
        let jobs = scrape_configs([source]);
        assert_eq!(
            shown(&jobs),
            [
                "…_web-0 /metrics 10.1.0.1:80,10.1.0.1:81 tempo/0",
                "…_web-1 /obs-tempo-1/metrics in.example:80,in.example:81 tempo/1",
                "…_web-2 /metrics [fd00::1]:80,[fd00::1]:81 tempo/2",
            ]
        );
        let labels: Vec<_> =
            jobs[0].static_configs[0].labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            labels,
            [
                "juju_application=tempo",
                "juju_charm=tempo-k8s",
                "juju_model=obs",
                &format!("juju_model_uuid={UUID}"),
                "juju_unit=tempo/0",
            ]
        );
        let instance = jobs[0].relabel_configs.last().unwrap();
        assert_eq!(
            instance.source_labels,
            ["juju_model", "juju_model_uuid", "juju_application", "juju_unit"]
        );
        assert_eq!(
            (instance.separator.as_deref(), instance.target_label.as_deref()),
            (Some("_"), Some("instance"))
        );
    }

    #[test]
    fn other_targets_belong_to_the_application_or_to_the_unit_that_is_there() {
        let mut units = units(&["10.1.0.1", "10.1.0.2"]);
        units.get_mut(&UnitName::new("tempo", 1)).unwrap().fqdn = Some("tempo-1.x".into());
        let jobs = expand(
            r#"[{"metrics_path": "/m", "static_configs": [
                {"targets": ["tempo-1.x:9113", "elsewhere:1", "10.1.0.1"], "labels": {"a": "b", "juju_charm": "own"}},
                {"targets": ["elsewhere:2"]}, {"targets": []}
            ], "relabel_configs": [{"target_label": "c", "replacement": "d"}]}]"#,
            &units,
        );
        assert_eq!(
            shown(&jobs),
            ["… /m elsewhere:1 -", "…-0 /m 10.1.0.1 tempo/0", "…-1 /m tempo-1.x:9113 tempo/1"]
        );
        assert_eq!(jobs[0].static_configs.len(), 2);
        for job in &jobs {
            let labels = &job.static_configs[0].labels;
            assert_eq!((labels["a"].as_str(), labels["juju_charm"].as_str()), ("b", "own"));
            assert_eq!(job.relabel_configs[0], RelabelConfig::set("c", "d"));
        }
        assert_eq!(
            jobs[0].relabel_configs[1].source_labels,
            ["juju_model", "juju_model_uuid", "juju_application"]
        );
    }

    #[test]
    fn a_host_of_several_units_is_scraped_once() {
        let jobs =
            expand(r#"[{"static_configs": [{"targets": ["one.svc:1"]}]}]"#, &units(&["one.svc", "one.svc"]));
        assert_eq!(shown(&jobs), ["…-0 /metrics one.svc:1 tempo/0"]);
    }

    #[test]
    fn different_jobs_of_one_name_are_told_apart_and_equal_ones_are_one() {
        let job = |path: &str| {
            format!(r#"{{"metrics_path": "{path}", "static_configs": [{{"targets": ["e:1"]}}]}}"#)
        };
        let units = units(&["10.1.0.1"]);
        let jobs = expand(&format!("[{}, {}, {}]", job("/a"), job("/b"), job("/a")), &units);
        assert_eq!(jobs.len(), 2);
        let names: Vec<&str> = jobs.iter().map(|job| job.job_name.as_deref().unwrap()).collect();
        for name in &names {
            let digest = name.strip_prefix(NAME).unwrap().strip_prefix('_').unwrap();
            assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        }
        let turned = expand(&format!("[{}, {}]", job("/b"), job("/a")), &units);
        assert_eq!(turned, jobs);
        let alone = expand(&format!("[{}, {0}]", job("/a")), &units);
        assert_eq!(shown(&alone), ["… /a e:1 -"]);
    }

    #[test]
    fn who_does_not_say_who_it_is_gets_what_it_has_written() {
        let jobs = r#"[{"job_name": "j", "static_configs": [{"targets": ["*:80"]}]}, {}]"#;
        let app = ProviderAppData { scrape_metadata: None, ..app(jobs) };
        let units = units(&["10.1.0.1"]);
        let jobs = scrape_configs([scraped(&app, &units)]);
        assert_eq!(jobs[0], app.scrape_jobs[0]);
        assert_eq!(jobs[1].job_name.as_deref(), Some("unnamed"));
    }

    #[test]
    fn without_units_nothing_is_scraped() {
        let none = BTreeMap::new();
        assert_eq!(expand(r#"[{"static_configs": [{"targets": ["e:1"]}]}]"#, &none), []);
    }

    #[test]
    fn settings_of_a_job_stay() {
        let jobs = expand(
            r#"[{"static_configs": [{"targets": ["e:1"]}], "scheme": "https", "scrape_interval": "10s", "tls_config": {"ca_file": "/c"}}]"#,
            &units(&["10.1.0.1"]),
        );
        assert_eq!(jobs[0].scheme.as_deref(), Some("https"));
        assert_eq!(jobs[0].scrape_interval.as_deref(), Some("10s"));
        assert_eq!(jobs[0].tls_config.as_ref().map(JsonText::get), Some(r#"{"ca_file": "/c"}"#));
    }
}
