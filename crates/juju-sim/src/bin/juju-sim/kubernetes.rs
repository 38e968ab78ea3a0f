//! The model's cluster as its API shows it: what Juju makes for each application, and who may do what.
//!
//! The API does not make pods. They follow the controller, and the objects follow them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use juju_sim::{
    Role,
    kubernetes::{Account, Api, Authority, Cluster},
};
use serde_json::Value;

use crate::{
    agent::nonce,
    controller::{Controller, Source},
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
    pub(crate) fn start(model: &str, address: SocketAddr) -> Result<Self> {
        let authority = Authority::generate()?;
        // The first account is nobody's: an API without accounts is open to everybody.
        let nobody = Account { namespace: String::new(), name: String::new(), trusted: false };
        let cluster = Cluster::new().with_account(&nonce(), nobody).without_authorization_policies();
        let api = Api::start_at(cluster, address, &authority)?;
        Ok(Self { api, authority, namespace: model.to_owned(), shown: Mutex::default() })
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
        if *shown == wanted {
            return;
        }
        self.api.change(|cluster| self.show(cluster, &shown, &wanted));
        *shown = wanted;
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
