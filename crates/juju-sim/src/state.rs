//! What one unit can see, as plain data.
//!
//! A [`State`] is the whole input and the whole output of a hook. It is a value: comparing two says what a hook
//! changed, and building one is all that a test needs to set the scene.

use std::collections::{BTreeMap, BTreeSet};

use juju_pebble::{Identity, Layer, Notice, Service, ServiceStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CharmMeta, Role};

/// A databag: text by key.
pub type Databag = BTreeMap<String, String>;

/// What units of a model run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Pods. Ports are single ones, and a unit has no private address.
    #[default]
    Kubernetes,
    /// Machines, here those of LXD. There are no containers.
    Lxd,
}

/// The model a unit lives in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Model {
    /// Name, also the Kubernetes namespace.
    pub name: String,
    /// UUID.
    pub uuid: String,
    /// What units run on.
    pub kind: ModelKind,
}

impl Default for Model {
    fn default() -> Self {
        let uuid = "00000000-0000-4000-8000-000000000001".to_owned();
        Self { name: "sim".to_owned(), uuid, kind: ModelKind::Kubernetes }
    }
}

/// A credential for a cloud. `Debug` leaves its attributes out.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credential {
    /// For example `oauth2` or `clientcertificate`.
    pub auth_type: String,
    /// What it is made of, secrets included.
    pub attrs: BTreeMap<String, String>,
    /// Attributes that are not told.
    pub redacted: Vec<String>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("auth_type", &self.auth_type)
            .field("attrs", &self.attrs.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The cloud of the model, as `credential-get` tells it to a trusted application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudSpec {
    /// For example `kubernetes` or `lxd`.
    pub kind: String,
    /// Name that Juju knows it by.
    pub name: String,
    /// Region, where it has any.
    pub region: Option<String>,
    /// Where its API is.
    pub endpoint: Option<String>,
    /// Where its API for identities is.
    pub identity_endpoint: Option<String>,
    /// Where its API for storage is.
    pub storage_endpoint: Option<String>,
    /// How to get in.
    pub credential: Option<Credential>,
    /// Authorities of its certificates, PEM.
    pub ca_certificates: Vec<String>,
    /// Whether its certificates are not looked at.
    pub skip_tls_verify: bool,
    /// Whether the controller is in it as well.
    pub is_controller_cloud: bool,
}

/// The agent's own trace, of which a hook is a part: Juju 4 with tracing turned on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// `JUJU_TRACE_ID`, 32 hex digits.
    pub trace_id: String,
    /// `JUJU_SPAN_ID`, 16 hex digits.
    pub span_id: String,
    /// `JUJU_TRACE_FLAGS`.
    pub flags: u8,
}

/// A status, of a unit or an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `active`, `waiting`, `blocked`, `maintenance`, `error`, `unknown` or `terminated`.
    pub status: String,
    /// Text for people.
    pub message: String,
    /// Extra values that the agent keeps with a status.
    pub data: BTreeMap<String, Value>,
}

impl Default for Status {
    fn default() -> Self {
        Self::new("unknown", "")
    }
}

impl Status {
    /// A status with a message.
    #[must_use]
    pub fn new(status: &str, message: &str) -> Self {
        Self { status: status.to_owned(), message: message.to_owned(), data: BTreeMap::new() }
    }

    /// Whether the status is `active`.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// One relation as one unit sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Relation {
    /// Local endpoint.
    pub endpoint: String,
    /// Number of the relation.
    pub id: u32,
    /// Interface name.
    pub interface: String,
    /// Whether it relates the application to itself.
    pub peer: bool,
    /// Remote application; the own one on a peer relation.
    pub remote_app: String,
    /// Remote application's databag. Not used on a peer relation.
    pub remote_app_data: Databag,
    /// Databags of the remote units (on a peer relation: the other units) that are in the relation now.
    pub remote_units: BTreeMap<String, Databag>,
    /// Own application's databag.
    pub local_app_data: Databag,
    /// Own unit's databag.
    pub local_unit_data: Databag,
    /// Databags of remote units that left; Juju keeps them readable.
    pub departed_units: BTreeMap<String, Databag>,
    /// Databags of the own application's other units, on a relation that is not a peer one.
    pub sibling_units: BTreeMap<String, Databag>,
    /// Remote endpoint; empty means "named like the interface".
    pub remote_endpoint: String,
    /// Model of the remote application, if not the own one.
    pub remote_model_uuid: Option<String>,
    /// Whether the relation is being removed.
    pub dying: bool,
}

impl Relation {
    /// A relation with a remote application, without units or data.
    #[must_use]
    pub fn new(endpoint: &str, id: u32, interface: &str, remote_app: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            id,
            interface: interface.to_owned(),
            remote_app: remote_app.to_owned(),
            ..Self::default()
        }
    }

    /// A peer relation without other units.
    #[must_use]
    pub fn peer(endpoint: &str, id: u32, interface: &str, app: &str) -> Self {
        Self { peer: true, ..Self::new(endpoint, id, interface, app) }
    }

    /// Adds to the remote application's databag.
    #[must_use]
    pub fn with_remote_app_data<K: Into<String>, V: Into<String>>(
        mut self,
        data: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.remote_app_data.extend(databag(data));
        self
    }

    /// Adds a remote unit by number, with its databag.
    #[must_use]
    pub fn with_remote_unit<K: Into<String>, V: Into<String>>(
        mut self,
        number: u32,
        data: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.remote_units.insert(format!("{}/{number}", self.remote_app), databag(data));
        self
    }

    /// Adds a remote unit that has left by number, with the databag that Juju keeps of it.
    #[must_use]
    pub fn with_departed_unit<K: Into<String>, V: Into<String>>(
        mut self,
        number: u32,
        data: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.departed_units.insert(format!("{}/{number}", self.remote_app), databag(data));
        self
    }

    /// Puts the remote application into another model.
    #[must_use]
    pub fn from_model(mut self, uuid: &str) -> Self {
        self.remote_model_uuid = Some(uuid.to_owned());
        self
    }

    /// Adds what Juju itself puts into the databag of every unit: its addresses, here made up.
    #[must_use]
    pub fn with_addresses(mut self) -> Self {
        let put = |bag: &mut Databag, address: &str| {
            bag.insert("egress-subnets".to_owned(), format!("{address}/32"));
            bag.insert("ingress-address".to_owned(), address.to_owned());
            bag.insert("private-address".to_owned(), address.to_owned());
        };
        put(&mut self.local_unit_data, "192.0.2.1");
        for (bag, number) in self.remote_units.values_mut().zip(10_u8..) {
            put(bag, &format!("192.0.2.{number}"));
        }
        self
    }

    /// Adds to the own application's databag.
    #[must_use]
    pub fn with_local_app_data<K: Into<String>, V: Into<String>>(
        mut self,
        data: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.local_app_data.extend(databag(data));
        self
    }

    /// Adds to the own unit's databag.
    #[must_use]
    pub fn with_local_unit_data<K: Into<String>, V: Into<String>>(
        mut self,
        data: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.local_unit_data.extend(databag(data));
        self
    }

    /// `endpoint:id`, as hooks name it.
    #[must_use]
    pub fn full_id(&self) -> String {
        format!("{}:{}", self.endpoint, self.id)
    }

    fn remote_endpoint(&self) -> &str {
        if !self.remote_endpoint.is_empty() {
            &self.remote_endpoint
        } else if self.interface.is_empty() {
            &self.endpoint
        } else {
            &self.interface
        }
    }

    /// Both sides as Juju orders them: the requirer first. One for a peer relation.
    fn sides(&self, app: &str, role: Option<Role>) -> Vec<(String, String)> {
        let local = (app.to_owned(), self.endpoint.clone());
        if self.peer {
            return vec![local];
        }
        let remote = (self.remote_app.clone(), self.remote_endpoint().to_owned());
        if role == Some(Role::Requirer) { vec![local, remote] } else { vec![remote, local] }
    }

    /// Juju's key of the relation, for example `loki:tracing tempo:tracing`.
    #[must_use]
    pub fn key(&self, app: &str, role: Option<Role>) -> String {
        let sides: Vec<_> =
            self.sides(app, role).into_iter().map(|(app, end)| format!("{app}:{end}")).collect();
        sides.join(" ")
    }

    /// Juju's tag of the relation, for example `relation-loki.tracing#tempo.tracing`.
    #[must_use]
    pub fn tag(&self, app: &str, role: Option<Role>) -> String {
        let sides: Vec<_> =
            self.sides(app, role).into_iter().map(|(app, end)| format!("{app}.{end}")).collect();
        format!("relation-{}", sides.join("#"))
    }
}

fn databag<K: Into<String>, V: Into<String>>(data: impl IntoIterator<Item = (K, V)>) -> Databag {
    data.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// Who may read a secret, and as long as which relation lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Access {
    /// `application-<name>` or `unit-<name>-<n>`.
    pub target: String,
    /// Tag of the relation that the grant hangs on.
    pub scope: String,
    /// `view`.
    pub role: String,
}

/// A secret as one unit sees it.
///
/// Values are kept in base64, as Juju's controller does; [`Secret::content`] decodes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// Twenty characters, without `secret:`.
    pub id: String,
    /// `application-<name>` or `unit-<name>-<n>`.
    pub owner: String,
    /// The owner's label, or empty.
    pub label: String,
    /// The owner's text.
    pub description: String,
    /// `never`, `hourly` … `yearly`, or empty.
    pub rotate: String,
    /// RFC 3339 time.
    pub expire: Option<String>,
    /// Contents by revision number, values in base64.
    pub revisions: BTreeMap<u32, BTreeMap<String, String>>,
    /// Grants.
    pub access: BTreeSet<Access>,
    /// Revision this unit tracks; `None` before it read the secret for the first time.
    pub tracked: Option<u32>,
    /// Label this unit gave to a secret that it only reads.
    pub consumer_label: Option<String>,
}

impl Secret {
    /// A secret with one revision, owned by `owner` (`application-x` or `unit-x-0`).
    #[must_use]
    pub fn new<K: Into<String>, V: AsRef<[u8]>>(
        id: &str,
        owner: &str,
        content: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut secret = Self { id: id.to_owned(), owner: owner.to_owned(), ..Self::default() };
        secret.add_revision(content);
        secret
    }

    /// Sets the owner's label.
    #[must_use]
    pub fn with_label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// Sets the owner's text.
    #[must_use]
    pub fn with_description(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// Sets how often the owner is asked for new content: `hourly`, `daily`, `weekly`, `monthly`, `quarterly`, `yearly`.
    #[must_use]
    pub fn with_rotation(mut self, rotate: &str) -> Self {
        rotate.clone_into(&mut self.rotate);
        self
    }

    /// Sets when the latest revision expires, an RFC 3339 time.
    #[must_use]
    pub fn with_expiry(mut self, expire: &str) -> Self {
        self.expire = Some(expire.to_owned());
        self
    }

    /// Adds a later revision.
    #[must_use]
    pub fn with_revision<K: Into<String>, V: AsRef<[u8]>>(
        mut self,
        content: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.add_revision(content);
        self
    }

    /// Sets the revision that this unit has read and gets until it asks for the latest.
    #[must_use]
    pub fn tracked_at(mut self, revision: u32) -> Self {
        self.tracked = Some(revision);
        self
    }

    /// Sets the label that this unit gave to a secret which it only reads.
    #[must_use]
    pub fn with_consumer_label(mut self, label: &str) -> Self {
        self.consumer_label = Some(label.to_owned());
        self
    }

    /// Lets `target` (`application-x` or `unit-x-0`) read it.
    #[must_use]
    pub fn granted_to(mut self, target: &str, scope: &str) -> Self {
        let (target, scope) = (target.to_owned(), scope.to_owned());
        self.access.insert(Access { target, scope, role: "view".to_owned() });
        self
    }

    /// Adds the next revision; returns its number.
    pub fn add_revision<K: Into<String>, V: AsRef<[u8]>>(
        &mut self,
        content: impl IntoIterator<Item = (K, V)>,
    ) -> u32 {
        let content = content
            .into_iter()
            .map(|(key, value)| (key.into(), crate::tools::base64_encode(value)))
            .collect();
        let number = self.latest() + 1;
        self.revisions.insert(number, content);
        number
    }

    /// Number of the latest revision; 0 when there is none.
    #[must_use]
    pub fn latest(&self) -> u32 {
        self.revisions.keys().next_back().copied().unwrap_or(0)
    }

    /// A revision's content, decoded. Values that are not base64 are left out.
    #[must_use]
    pub fn content(&self, revision: u32) -> Option<BTreeMap<String, Vec<u8>>> {
        let content = self.revisions.get(&revision)?;
        let decoded = content
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), crate::tools::base64_decode(value)?)));
        Some(decoded.collect())
    }

    /// `secret:<id>`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("secret:{}", self.id)
    }
}

/// A storage attached to the unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// `filesystem` or `block`.
    pub kind: String,
    /// Where the charm sees it.
    pub location: String,
}

/// Addresses of a binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Addresses to listen on: the pod's.
    pub bind: Vec<String>,
    /// Addresses for others: the service's.
    pub ingress: Vec<String>,
    /// Networks that traffic comes from; empty means the ingress addresses as single hosts.
    pub egress: Vec<String>,
}

impl Default for Network {
    fn default() -> Self {
        let address = vec!["192.0.2.1".to_owned()];
        Self { bind: address.clone(), ingress: address, egress: Vec::new() }
    }
}

impl Network {
    /// The egress networks, derived from the ingress addresses where none are given.
    #[must_use]
    pub fn egress_subnets(&self) -> Vec<String> {
        if !self.egress.is_empty() {
            return self.egress.clone();
        }
        let host = |address: &String| format!("{address}/{}", if address.contains(':') { 128 } else { 32 });
        self.ingress.iter().map(host).collect()
    }
}

/// One line of `goal-state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalStatus {
    /// For example `active`, `joined` or `dying`.
    pub status: String,
    /// `2026-01-02 03:04:05Z`.
    pub since: String,
}

/// What `goal-state` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GoalState {
    /// Units of the own application.
    pub units: BTreeMap<String, GoalStatus>,
    /// Remote applications and units by endpoint.
    pub relations: BTreeMap<String, BTreeMap<String, GoalStatus>>,
}

/// A file in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Content.
    #[serde(with = "bytes")]
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

impl File {
    /// A file with mode 0644.
    #[must_use]
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into(), mode: 0o644 }
    }

    /// Content as text, with what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// What a command in a container answers, chosen by the beginning of its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecHandler {
    /// Leading words; the handler with most of them that fits is taken.
    pub prefix: Vec<String>,
    /// Exit code.
    pub exit_code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl ExecHandler {
    /// A command that succeeds and prints nothing.
    #[must_use]
    pub fn new<S: Into<String>>(prefix: impl IntoIterator<Item = S>) -> Self {
        Self { prefix: prefix.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Sets what it prints.
    #[must_use]
    pub fn printing(mut self, stdout: &str) -> Self {
        stdout.clone_into(&mut self.stdout);
        self
    }

    /// Makes it fail.
    #[must_use]
    pub fn failing(mut self, exit_code: i32, stderr: &str) -> Self {
        self.exit_code = exit_code;
        stderr.clone_into(&mut self.stderr);
        self
    }
}

/// A layer with its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledLayer {
    /// Label.
    pub label: String,
    /// Content.
    pub layer: Layer,
}

/// A workload container and its Pebble.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Whether Pebble answers.
    pub can_connect: bool,
    /// Changes when the container restarts.
    pub boot_id: String,
    /// Layers in their order.
    pub layers: Vec<LabelledLayer>,
    /// State of services that were ever started; all others are inactive.
    pub services: BTreeMap<String, ServiceStatus>,
    /// The configuration each started service was started with, for `replan`.
    pub started_with: BTreeMap<String, Service>,
    /// Files by absolute path.
    pub files: BTreeMap<String, File>,
    /// Directories made on purpose.
    pub directories: BTreeSet<String>,
    /// Answers of commands.
    pub execs: Vec<ExecHandler>,
    /// Services that cannot start: they exit at once.
    pub broken_services: BTreeSet<String>,
    /// Checks of the plan that fail; all others are up.
    pub down_checks: BTreeSet<String>,
    /// Checks that were started by name though they do not start by themselves.
    pub started_checks: BTreeSet<String>,
    /// Checks that were stopped by name.
    pub stopped_checks: BTreeSet<String>,
    /// Notices, the one repeated last at the end.
    pub notices: Vec<Notice>,
    /// Who was allowed to use Pebble.
    pub identities: BTreeMap<String, Identity>,
}

impl Container {
    /// A container whose Pebble answers.
    #[must_use]
    pub fn ready() -> Self {
        Self { can_connect: true, boot_id: "boot-1".to_owned(), ..Self::default() }
    }

    /// A container that is not up yet.
    #[must_use]
    pub fn down() -> Self {
        Self::default()
    }

    /// Adds a command's answer.
    #[must_use]
    pub fn with_exec(mut self, handler: ExecHandler) -> Self {
        self.execs.push(handler);
        self
    }

    /// Adds a file with mode 0644.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), File::new(content));
        self
    }

    /// Adds a custom notice, which occurred once.
    #[must_use]
    pub fn with_notice<K: Into<String>, V: Into<String>>(
        mut self,
        id: &str,
        key: &str,
        data: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        const WHEN: &str = "2026-01-02T03:04:05Z";
        self.notices.push(Notice {
            id: id.to_owned(),
            user_id: None,
            kind: "custom".to_owned(),
            key: key.to_owned(),
            first_occurred: WHEN.to_owned(),
            last_occurred: WHEN.to_owned(),
            last_repeated: WHEN.to_owned(),
            occurrences: 1,
            last_data: databag(data),
        });
        self
    }

    /// Makes a check of the plan fail.
    #[must_use]
    pub fn with_failing_check(mut self, check: &str) -> Self {
        self.down_checks.insert(check.to_owned());
        self
    }

    /// Adds a layer at the end.
    #[must_use]
    pub fn with_layer(mut self, label: &str, layer: Layer) -> Self {
        self.layers.push(LabelledLayer { label: label.to_owned(), layer });
        self
    }

    /// What a restart of the container does: the plan, the services and the files are gone, the boot id is new.
    pub fn restart(&mut self) {
        let next = self.boot_id.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) + 1;
        *self = Self {
            can_connect: true,
            boot_id: format!("boot-{next}"),
            execs: std::mem::take(&mut self.execs),
            broken_services: std::mem::take(&mut self.broken_services),
            ..Self::default()
        };
    }

    /// The plan that all layers make together.
    #[must_use]
    pub fn plan(&self) -> Layer {
        let mut plan = Layer::default();
        for LabelledLayer { layer, .. } in &self.layers {
            plan.combine(layer);
        }
        plan
    }

    /// A file's text.
    #[must_use]
    pub fn file_text(&self, path: &str) -> Option<String> {
        self.files.get(path).map(File::text)
    }

    /// Whether a service runs.
    #[must_use]
    pub fn is_running(&self, service: &str) -> bool {
        self.services.get(service) == Some(&ServiceStatus::Active)
    }
}

/// Everything one unit sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The model.
    pub model: Model,
    /// Own unit, `app/0`.
    pub unit: String,
    /// Whether the unit is the leader.
    pub leader: bool,
    /// Whether the application has access to the cloud (`juju trust`).
    pub trusted: bool,
    /// Options the user set; the charm's defaults apply to the others.
    pub config: BTreeMap<String, Value>,
    /// Relations.
    pub relations: Vec<Relation>,
    /// Containers by name.
    pub containers: BTreeMap<String, Container>,
    /// Secrets that the unit owns or could read.
    pub secrets: Vec<Secret>,
    /// Ports open on all endpoints, `80/tcp`.
    pub opened_ports: BTreeSet<String>,
    /// Ports open on single endpoints only.
    pub endpoint_ports: BTreeMap<String, BTreeSet<String>>,
    /// Own unit's status.
    pub unit_status: Status,
    /// Application's status.
    pub app_status: Status,
    /// Status of the other units, seen by the leader.
    pub peer_statuses: BTreeMap<String, Status>,
    /// What `application-version-set` said last.
    pub workload_version: String,
    /// What `state-set` keeps at the controller.
    pub unit_state: BTreeMap<String, String>,
    /// What `leader-set` keeps.
    pub leader_settings: BTreeMap<String, String>,
    /// Paths of attached file resources by name.
    pub resources: BTreeMap<String, String>,
    /// Storage instances (`data/0`).
    pub storages: BTreeMap<String, Storage>,
    /// Storage instances asked for with `storage-add`: count by name.
    pub requested_storages: BTreeMap<String, u32>,
    /// Addresses of every binding that has none of its own.
    pub network: Network,
    /// Addresses of single bindings.
    pub networks: BTreeMap<String, Network>,
    /// What `unit-get public-address` says; the first ingress address when not set.
    pub public_address: Option<String>,
    /// How many units the application is meant to have.
    pub planned_units: u32,
    /// What `goal-state` says; derived from the rest of the state when not set.
    pub goal: Option<GoalState>,
    /// The controllers' addresses, for the environment.
    pub api_addresses: Vec<String>,
    /// The model's cloud, for `credential-get`; without it the tool says that it is not within reach.
    pub cloud: Option<CloudSpec>,
    /// The agent's own trace.
    pub trace: Option<Trace>,
    /// Number of the machine, where the model has machines.
    pub machine: String,
    /// Where the machine is, if its cloud has zones.
    pub availability_zone: String,
    /// Version of the agent, which decides what it knows: hook tools, events and variables of Juju 3 and 4 differ.
    pub juju_version: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            model: Model::default(),
            unit: "app/0".to_owned(),
            leader: false,
            trusted: false,
            config: BTreeMap::new(),
            relations: Vec::new(),
            containers: BTreeMap::new(),
            secrets: Vec::new(),
            opened_ports: BTreeSet::new(),
            endpoint_ports: BTreeMap::new(),
            unit_status: Status::default(),
            app_status: Status::default(),
            peer_statuses: BTreeMap::new(),
            workload_version: String::new(),
            unit_state: BTreeMap::new(),
            leader_settings: BTreeMap::new(),
            resources: BTreeMap::new(),
            storages: BTreeMap::new(),
            requested_storages: BTreeMap::new(),
            network: Network::default(),
            networks: BTreeMap::new(),
            public_address: None,
            planned_units: 1,
            goal: None,
            api_addresses: vec!["192.0.2.10:17070".to_owned()],
            cloud: None,
            trace: None,
            machine: String::new(),
            availability_zone: String::new(),
            juju_version: "3.6.26".to_owned(),
        }
    }
}

impl State {
    /// Unit 0 of an application named like the charm; otherwise as [`State::for_unit`].
    #[must_use]
    pub fn new(meta: &CharmMeta) -> Self {
        Self::for_unit(meta, &format!("{}/0", meta.name))
    }

    /// A unit (`app/0`) of the charm, with every declared container down and every peer relation in place, numbered
    /// from 1: what Juju gives a unit before anyone relates it to anything.
    #[must_use]
    pub fn for_unit(meta: &CharmMeta, unit: &str) -> Self {
        let mut state = Self { unit: unit.to_owned(), ..Self::default() };
        let app = state.app().to_owned();
        state.containers = meta.containers.keys().map(|name| (name.clone(), Container::down())).collect();
        let peers = meta.endpoints.iter().filter(|(_, endpoint)| endpoint.role == Role::Peer);
        state.relations = peers
            .zip(1..)
            .map(|((name, endpoint), id)| Relation::peer(name, id, &endpoint.interface, &app))
            .collect();
        state
    }

    /// Makes the unit the leader, or not.
    #[must_use]
    pub fn with_leader(mut self, leader: bool) -> Self {
        self.leader = leader;
        self
    }

    /// Sets an option.
    #[must_use]
    pub fn with_config(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.config.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a relation.
    #[must_use]
    pub fn with_relation(mut self, relation: Relation) -> Self {
        self.relations.push(relation);
        self
    }

    /// Adds or replaces a container.
    #[must_use]
    pub fn with_container(mut self, name: &str, container: Container) -> Self {
        self.containers.insert(name.to_owned(), container);
        self
    }

    /// Makes every container's Pebble answer.
    #[must_use]
    pub fn with_containers_ready(mut self) -> Self {
        for container in self.containers.values_mut().filter(|container| !container.can_connect) {
            container.can_connect = true;
            if container.boot_id.is_empty() {
                "boot-1".clone_into(&mut container.boot_id);
            }
        }
        self
    }

    /// Attaches a filesystem (`data/0`) that the charm sees at `location`.
    #[must_use]
    pub fn with_storage(mut self, id: &str, location: &str) -> Self {
        let storage = Storage { kind: "filesystem".to_owned(), location: location.to_owned() };
        self.storages.insert(id.to_owned(), storage);
        self
    }

    /// Attaches a resource, which is at `path`.
    #[must_use]
    pub fn with_resource(mut self, name: &str, path: &str) -> Self {
        self.resources.insert(name.to_owned(), path.to_owned());
        self
    }

    /// Gives a binding addresses of its own.
    #[must_use]
    pub fn with_network(mut self, binding: &str, network: Network) -> Self {
        self.networks.insert(binding.to_owned(), network);
        self
    }

    /// Opens a port (`80/tcp`) on all endpoints.
    #[must_use]
    pub fn with_port(mut self, port: &str) -> Self {
        self.opened_ports.insert(port.to_owned());
        self
    }

    /// Sets how many units the application is meant to have.
    #[must_use]
    pub fn with_planned_units(mut self, count: u32) -> Self {
        self.planned_units = count;
        self
    }

    /// Sets what the unit keeps at the controller (`state-set`).
    #[must_use]
    pub fn with_unit_state<K: Into<String>, V: Into<String>>(
        mut self,
        state: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.unit_state.extend(databag(state));
        self
    }

    /// Gives the application access to the cloud (`juju trust`), and tells it about the cloud.
    #[must_use]
    pub fn with_cloud(mut self, cloud: CloudSpec) -> Self {
        self.trusted = true;
        self.cloud = Some(cloud);
        self
    }

    /// Sets the version of the agent, for example `3.6.26` or `4.0.0`.
    #[must_use]
    pub fn with_juju_version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.juju_version);
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Own application.
    #[must_use]
    pub fn app(&self) -> &str {
        self.unit.split('/').next().unwrap_or_default()
    }

    /// `unit-app-0`.
    #[must_use]
    pub fn unit_tag(&self) -> String {
        format!("unit-{}", self.unit.replace('/', "-"))
    }

    /// `application-app`.
    #[must_use]
    pub fn app_tag(&self) -> String {
        format!("application-{}", self.app())
    }

    /// A relation by endpoint and number.
    #[must_use]
    pub fn relation(&self, endpoint: &str, id: u32) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.id == id && relation.endpoint == endpoint)
    }

    /// A relation by endpoint and number, to change it.
    pub fn relation_mut(&mut self, endpoint: &str, id: u32) -> Option<&mut Relation> {
        self.relations.iter_mut().find(|relation| relation.id == id && relation.endpoint == endpoint)
    }

    /// A relation by number alone.
    #[must_use]
    pub fn relation_by_id(&self, id: u32) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.id == id)
    }

    /// Relations of one endpoint, by number.
    #[must_use]
    pub fn relations_of(&self, endpoint: &str) -> Vec<&Relation> {
        let mut found: Vec<_> =
            self.relations.iter().filter(|relation| relation.endpoint == endpoint).collect();
        found.sort_by_key(|relation| relation.id);
        found
    }

    /// A secret by its bare id.
    #[must_use]
    pub fn secret(&self, id: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.id == id)
    }

    /// A secret of the own application or unit by its owner's label.
    #[must_use]
    pub fn secret_by_label(&self, label: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.label == label && self.owns(secret))
    }

    /// Whether the own application or unit owns the secret.
    #[must_use]
    pub fn owns(&self, secret: &Secret) -> bool {
        secret.owner == self.app_tag() || secret.owner == self.unit_tag()
    }

    /// Whether this unit may read the secret.
    #[must_use]
    pub fn may_read(&self, secret: &Secret) -> bool {
        let me = [self.app_tag(), self.unit_tag()];
        self.owns(secret) || secret.access.iter().any(|access| me.contains(&access.target))
    }
}

/// Bytes that are nearly always text: text where they can be, a list of numbers where not.
mod bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => bytes.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) => text.into_bytes(),
            Form::Bytes(bytes) => bytes,
        })
    }
}
