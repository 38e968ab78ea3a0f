//! The model's cluster as its API shows it: what Juju makes for each application, and who may do what.
//!
//! The API does not make pods. They follow the controller, and the objects follow them. Only when the model asks for rollouts, pods
//! are replaced because their template was changed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use juju_sim::{
    Role,
    kubernetes::{Account, Api, Authority, Cluster, Fault, On, Rollout},
};
use serde_json::{Value, json};

use crate::{
    agent::{self, nonce},
    controller::{Controller, Source, Unit, split},
    daemon::Model,
};

/// The API's port where the model has a network of its own.
pub(crate) const PORT: u16 = 443;
/// Where containers find their service account.
pub(crate) const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Names another folder to processes that have no container around them.
pub(crate) const FOLDER_VARIABLE: &str = "JUJU_OPS_SERVICE_ACCOUNT";
/// The interface of charms that bring a service mesh into the cluster, and the definitions of its resources.
const MESH: &str = "service_mesh";

/// The cluster of a running model.
pub(crate) struct Kubernetes {
    api: Api,
    authority: Authority,
    namespace: String,
    shown: Mutex<Shown>,
    /// Whether pods follow their template.
    rollouts: bool,
    /// Revisions of the templates that pods were made from, by unit, and of the last finished rollout, by application.
    made: Mutex<BTreeMap<String, String>>,
}

/// What the API was told last.
#[derive(Default, PartialEq)]
struct Shown {
    mesh: bool,
    applications: BTreeMap<String, Application>,
}

#[derive(PartialEq)]
struct Application {
    token: String,
    containers: Vec<String>,
    units: u32,
    ready: u32,
    trust: bool,
}

impl Kubernetes {
    /// Starts the API of a model, over TLS as everywhere.
    pub(crate) fn start(model: &str, address: SocketAddr, rollouts: bool) -> Result<Self> {
        let authority = Authority::generate()?;
        // The first account is nobody's: an API without accounts is open to everybody.
        let nobody = Account { namespace: String::new(), name: String::new(), trusted: false };
        let cluster = Cluster::new().with_account(&nonce(), nobody).without_authorization_policies();
        let cluster = cluster.with_rollout(if rollouts { Rollout::Manual } else { Rollout::Immediate });
        let api = Api::start_at(cluster, address, &authority)?;
        let (shown, made) = Default::default();
        Ok(Self { api, authority, namespace: model.to_owned(), shown, rollouts, made })
    }

    /// Answers every request with an error of this status, or as it should again.
    pub(crate) fn fail(&self, status: Option<u16>) {
        self.api.clear_faults();
        if let Some(status) = status {
            self.api.fail(On::any(), Fault::Status(status));
        }
    }

    /// Shows what the controller has: applications with their units, as far as they are charms and not doubles.
    pub(crate) fn follow(&self, controller: &Controller) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = Shown::default();
        for (name, application) in &controller.applications {
            let mut endpoints = application.meta.endpoints.values();
            wanted.mesh |= endpoints.any(|one| one.role == Role::Provider && one.interface == MESH);
            if matches!(application.source, Source::Double(_)) {
                continue;
            }
            let units = || application.units.values().filter(|unit| !unit.dying);
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let known = shown.applications.get(name);
            let application = Application {
                token: known.map_or_else(nonce, |known| known.token.clone()),
                containers: application.meta.containers.keys().cloned().collect(),
                units: count(units().count()),
                ready: count(units().filter(|unit| unit.ready).count()),
                trust: application.trust,
            };
            wanted.applications.insert(name.clone(), application);
        }
        if *shown != wanted {
            self.api.change(|cluster| self.show(cluster, &shown, &wanted));
            *shown = wanted;
        }
        drop(shown);
        if self.rollouts {
            self.show_progress(controller);
        }
    }

    /// The revision from which a unit's pod is about to be made; to be told to [`Self::made`] once it is.
    pub(crate) fn revision(&self, app: &str) -> String {
        self.api.change(|cluster| cluster.template_revision(&self.namespace, app)).unwrap_or_default()
    }

    /// A unit's pod was made.
    pub(crate) fn made(&self, unit: &str, revision: String) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), revision);
    }

    /// Units whose pods were made from another template than the one there is, in the order in which they are replaced; none
    /// without rollouts.
    pub(crate) fn outdated(&self, controller: &Controller) -> Vec<String> {
        if !self.rollouts {
            return Vec::new();
        }
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outdated = Vec::new();
        for (app, application) in &controller.applications {
            let Some(revision) = self.api.change(|cluster| cluster.template_revision(&self.namespace, app))
            else {
                continue;
            };
            let units = application.units.iter().rev().filter(|(_, unit)| unit.ready && !unit.dying);
            let names = units.map(|(number, _)| format!("{app}/{number}"));
            outdated.extend(names.filter(|name| made.get(name).is_some_and(|made| *made != revision)));
        }
        outdated
    }

    /// The unit whose pod is to be replaced next: when all of its application are there, and it runs no hook.
    fn next(&self, controller: &Controller) -> Option<String> {
        self.outdated(controller).into_iter().find(|name| {
            let app = split(name).and_then(|(app, _)| controller.applications.get(app));
            let there = |unit: &Unit| unit.ready && unit.boots.len() == unit.containers.len();
            app.is_some_and(|app| app.units.values().filter(|unit| !unit.dying).all(there))
                && controller.unit(name).is_some_and(|unit| unit.running.is_none())
        })
    }

    /// Says in the objects' statuses how far rollouts are.
    fn show_progress(&self, controller: &Controller) {
        let outdated = self.outdated(controller);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        for (app, application) in &controller.applications {
            let prefix = format!("{app}/");
            let old = outdated.iter().filter(|unit| unit.starts_with(&prefix)).count();
            let units = || application.units.values().filter(|unit| !unit.dying);
            let ready = units().filter(|unit| unit.ready).count();
            self.api.change(|cluster| {
                let Some(revision) = cluster.template_revision(&self.namespace, app) else { return };
                if old == 0 && ready == units().count() {
                    made.insert(app.clone(), revision.clone());
                }
                let set = cluster.get("statefulsets", &self.namespace, app);
                let generation = set.map(|set| set["metadata"]["generation"].clone()).unwrap_or_default();
                let status = json!({
                    "observedGeneration": generation,
                    "currentRevision": made.get(app).unwrap_or(&revision),
                    "updateRevision": revision,
                    "currentReplicas": if old == 0 { ready } else { old },
                    "updatedReplicas": ready.saturating_sub(old),
                    "readyReplicas": ready,
                    "availableReplicas": ready,
                });
                cluster.set_status(&self.namespace, app, &status);
            });
        }
    }

    fn show(&self, cluster: &mut Cluster, shown: &Shown, wanted: &Shown) {
        let namespace = &self.namespace;
        if shown.mesh != wanted.mesh {
            cluster.set_authorization_policies(wanted.mesh);
        }
        for app in shown.applications.keys().filter(|app| !wanted.applications.contains_key(*app)) {
            cluster.remove_application(app, namespace);
            cluster.remove_accounts(namespace, app);
        }
        for (app, now) in &wanted.applications {
            let before = shown.applications.get(app);
            if before.is_none() {
                let account = Account { namespace: namespace.clone(), name: app.clone(), trusted: now.trust };
                cluster.set_account(&now.token, account);
            }
            if before.is_none_or(|before| before.containers != now.containers) {
                let containers: Vec<&str> = now.containers.iter().map(String::as_str).collect();
                cluster.add_application(app, namespace, &containers, now.units);
            }
            if before.is_none_or(|before| (before.units, before.ready) != (now.units, now.ready)) {
                cluster.scale(namespace, app, now.units, now.ready);
            }
            cluster.set_trusted(namespace, app, now.trust);
        }
    }

    /// How processes find the API: what Kubernetes sets in every container.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let (host, port) = (self.api.address().ip(), self.api.address().port());
        [
            ("KUBERNETES_SERVICE_HOST", host.to_string()),
            ("KUBERNETES_SERVICE_PORT", port.to_string()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", port.to_string()),
            ("KUBERNETES_PORT", format!("tcp://{host}:{port}")),
            ("KUBERNETES_PORT_443_TCP", format!("tcp://{host}:{port}")),
            ("KUBERNETES_PORT_443_TCP_ADDR", host.to_string()),
            ("KUBERNETES_PORT_443_TCP_PORT", port.to_string()),
            ("KUBERNETES_PORT_443_TCP_PROTO", "tcp".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The files of an application's service account, by name; none for an application that has no account.
    pub(crate) fn account(&self, app: &str) -> BTreeMap<&'static str, String> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(application) = shown.applications.get(app) else { return BTreeMap::new() };
        BTreeMap::from([
            ("token", application.token.clone()),
            ("namespace", self.namespace.clone()),
            ("ca.crt", self.authority.pem().to_owned()),
        ])
    }

    /// Writes those files into a folder.
    pub(crate) fn write_account(&self, app: &str, folder: &Path) -> std::io::Result<()> {
        for (name, text) in self.account(app) {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(name), text)?;
        }
        Ok(())
    }

    /// All objects, without the record of who owns their fields.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let mut objects: Vec<Value> = self.api.cluster().objects().cloned().collect();
        for metadata in objects.iter_mut().filter_map(|object| object["metadata"].as_object_mut()) {
            metadata.remove("managedFields");
        }
        objects
    }
}

/// Replaces pods whose template was changed, one after the other, for as long as the model runs.
pub(crate) async fn roll_out(model: Arc<Model>) {
    let mut changes = model.changes();
    loop {
        // What charms change in the cluster wakes nobody here.
        let _ = tokio::time::timeout(Duration::from_millis(250), changes.changed()).await;
        let next = {
            let controller = model.controller();
            model.kubernetes.follow(&controller);
            model.kubernetes.next(&controller)
        };
        let Some(unit) = next else { continue };
        if let Err(error) = agent::replace_pod(&model, &unit).await {
            let entity = format!("unit-{}", unit.replace('/', "-"));
            model.log.add(&entity, "ERROR", "juju-sim.pod", &format!("{error:#}"));
        }
    }
}
