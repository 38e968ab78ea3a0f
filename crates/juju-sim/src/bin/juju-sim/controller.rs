//! The controller's truth: applications, units, relations and secrets, and for each unit what its agent has seen of them.
//!
//! No I/O here. [`Controller::next`] says which hook a unit runs next, by comparing what there is with what the unit has seen;
//! [`Controller::begin`], [`Controller::succeeded`] and [`Controller::failed`] tell it what came of that. Because hooks follow from a
//! comparison and not from a queue, several changes between two hooks cause one hook.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use juju_sim::{
    CharmMeta, Event, Role,
    charm::OptionType,
    client::StatusText,
    event::SecretEvent,
    model::{ApplicationSpec, Image},
    state::{Databag, Network, Relation as SeenRelation, Secret, State, Status},
};
use serde_json::Value;

/// Where an application's charm comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A packed charm or a folder.
    Path(PathBuf),
    /// A stand-in of the simulator, by name.
    Double(String),
}

/// One application.
pub(crate) struct Application {
    pub(crate) source: Source,
    pub(crate) meta: Arc<CharmMeta>,
    pub(crate) revision: u32,
    pub(crate) options: BTreeMap<String, Value>,
    /// Counted up by each change of the options.
    config_version: u64,
    pub(crate) images: BTreeMap<String, Image>,
    /// Files of its resources, by name.
    pub(crate) resources: BTreeMap<String, PathBuf>,
    pub(crate) trust: bool,
    pub(crate) units: BTreeMap<u32, Unit>,
    next_unit: u32,
    pub(crate) leader: Option<u32>,
    pub(crate) status: Status,
    pub(crate) version: String,
    leader_settings: BTreeMap<String, String>,
    dying: bool,
}

/// One unit, and what its agent knows.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Unit {
    pub(crate) address: Option<Ipv4Addr>,
    /// Whether hooks can run: the pod is there.
    pub(crate) ready: bool,
    /// Why the pod could not be made the last time.
    pub(crate) trouble: String,
    pub(crate) status: Status,
    pub(crate) ports: BTreeSet<String>,
    endpoint_ports: BTreeMap<String, BTreeSet<String>>,
    pub(crate) version: String,
    /// What `state-set` keeps.
    kept: BTreeMap<String, String>,
    pub(crate) dying: bool,
    /// The hook that runs.
    pub(crate) running: Option<Event>,
    /// The hook that failed.
    pub(crate) failed: Option<Failed>,
    /// Boot id of each container's Pebble, where it answers.
    pub(crate) boots: BTreeMap<String, String>,
    /// Boot ids that the charm was told of.
    boots_seen: BTreeMap<String, String>,
    /// Boot ids that are no more, though an answer of theirs may still be on its way.
    pub(crate) boots_ended: BTreeSet<String>,
    /// Containers the charm has; all must have been seen before the unit counts as settled.
    pub(crate) containers: BTreeSet<String>,
    installed: bool,
    started: bool,
    stopped: bool,
    /// Nothing is left to run; the pod may go.
    pub(crate) removed: bool,
    config_seen: Option<u64>,
    leader_seen: bool,
    upgrade: bool,
    /// Storage instances, `data/0`.
    pub(crate) storages: BTreeSet<String>,
    /// Those that the charm was told of.
    attached: BTreeSet<String>,
    relations: BTreeMap<u32, Seen>,
    secrets_seen: BTreeMap<String, u32>,
    /// Revisions of own secrets that the charm was told to remove.
    secrets_removed: BTreeSet<(String, u32)>,
    /// What containers had to tell.
    pub(crate) noticed: VecDeque<Event>,
    /// Hooks and actions asked for by hand.
    pub(crate) queue: VecDeque<Event>,
    /// Hooks that ended well.
    pub(crate) hooks: Vec<String>,
}

/// A hook that failed and waits for its retry.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) event: Event,
    pub(crate) tries: u32,
    pub(crate) due: Instant,
}

/// What a unit has seen of one relation.
#[derive(Clone, Debug, Default)]
struct Seen {
    created: bool,
    /// Version of the remote application's databag.
    app: u64,
    /// Remote units that joined, with the version of their databags; 0 between joined and the changed that must follow.
    units: BTreeMap<String, u64>,
    broken: bool,
}

/// A databag with a number that grows with each change.
#[derive(Clone, Debug, Default)]
struct Bag {
    data: Databag,
    version: u64,
}

impl Bag {
    fn replace(&mut self, data: &Databag) -> bool {
        let changed = self.data != *data;
        if changed {
            self.data.clone_from(data);
            self.version += 1;
        }
        changed
    }
}

/// One side of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) app: String,
    pub(crate) endpoint: String,
    pub(crate) role: Role,
}

/// One relation.
pub(crate) struct Relation {
    /// Provider and requirer; one end for a peer relation.
    pub(crate) ends: Vec<End>,
    pub(crate) interface: String,
    apps: BTreeMap<String, Bag>,
    /// Units in the relation, with their databags.
    units: BTreeMap<String, Bag>,
    /// Databags of units that left.
    departed: BTreeMap<String, Databag>,
    pub(crate) dying: bool,
}

impl Relation {
    pub(crate) fn peer(&self) -> bool {
        self.ends.len() == 1
    }

    pub(crate) fn local(&self, app: &str) -> Option<&End> {
        self.ends.iter().find(|end| end.app == app)
    }

    /// An application's databag.
    pub(crate) fn app_data(&self, app: &str) -> Databag {
        self.apps.get(app).map(|bag| bag.data.clone()).unwrap_or_default()
    }

    /// A unit's databag.
    pub(crate) fn unit_data(&self, unit: &str) -> Databag {
        self.units.get(unit).map(|bag| bag.data.clone()).unwrap_or_default()
    }

    /// Units in the relation, of all sides.
    pub(crate) fn unit_names(&self) -> impl Iterator<Item = &str> {
        self.units.keys().map(String::as_str)
    }

    pub(crate) fn remote(&self, app: &str) -> Option<&End> {
        if self.peer() { self.local(app) } else { self.ends.iter().find(|end| end.app != app) }
    }
}

/// A secret and who reads what of it.
#[derive(Default)]
struct SecretRecord {
    /// As its owner sees it.
    secret: Secret,
    /// By unit: revision tracked, own label.
    consumers: BTreeMap<String, (Option<u32>, Option<String>)>,
}

/// What a unit was given when its hook began.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) event: Event,
    pub(crate) state: State,
    /// Version of what the hook is about.
    version: u64,
    /// Boot id that a pebble-ready hook is about.
    boot: String,
}

/// The whole model.
#[derive(Default)]
pub(crate) struct Controller {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) applications: BTreeMap<String, Application>,
    pub(crate) relations: BTreeMap<u32, Relation>,
    secrets: BTreeMap<String, SecretRecord>,
    next_relation: u32,
    next_storage: u32,
}

/// Splits `app/0`.
pub(crate) fn split(unit: &str) -> Option<(&str, u32)> {
    let (app, number) = unit.split_once('/')?;
    Some((app, number.parse().ok()?))
}

/// Names for a message, `none` if there are none.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Why an option is refused, with the names of those that there are.
fn no_option(app: &str, option: &str, meta: &CharmMeta) -> String {
    let known = if meta.config.is_empty() { "none".to_owned() } else { listed(meta.config.keys()) };
    format!("{app} has no option {option:?}; it has {known}")
}

/// Ports in the order of their numbers.
pub(crate) fn by_number(ports: &BTreeSet<String>) -> Vec<String> {
    let mut ports: Vec<String> = ports.iter().cloned().collect();
    ports.sort_by_key(|port| port.split('/').next().and_then(|number| number.parse::<u32>().ok()));
    ports
}

impl Controller {
    /// A model without applications.
    pub(crate) fn new(name: &str, uuid: &str) -> Self {
        Self { name: name.to_owned(), uuid: uuid.to_owned(), ..Self::default() }
    }

    /// Adds an application without units, and its peer relations.
    pub(crate) fn deploy(
        &mut self,
        name: &str,
        source: Source,
        meta: Arc<CharmMeta>,
        spec: &ApplicationSpec,
    ) -> Result<()> {
        if self.applications.contains_key(name) {
            bail!("application {name:?} already exists");
        }
        for (option, value) in &spec.options {
            let known = meta.config.get(option);
            let known = known.with_context(|| no_option(name, option, &meta))?;
            if !known.kind.accepts(value) {
                bail!("option {option:?} of {name} should be of type {:?}, not {value}", known.kind);
            }
        }
        for (endpoint, declared) in &meta.endpoints {
            if declared.role == Role::Peer {
                let end = End { app: name.to_owned(), endpoint: endpoint.clone(), role: Role::Peer };
                self.relate(vec![end], &declared.interface);
            }
        }
        let application = Application {
            source,
            meta,
            revision: 0,
            options: spec.options.clone(),
            config_version: 1,
            images: spec.images.clone(),
            resources: spec.resources.clone(),
            trust: spec.trust,
            units: BTreeMap::new(),
            next_unit: 0,
            leader: None,
            status: Status::default(),
            version: String::new(),
            leader_settings: BTreeMap::new(),
            dying: false,
        };
        self.applications.insert(name.to_owned(), application);
        Ok(())
    }

    fn relate(&mut self, ends: Vec<End>, interface: &str) -> u32 {
        let id = self.next_relation;
        self.next_relation += 1;
        let relation = Relation {
            apps: ends.iter().map(|end| (end.app.clone(), Bag::default())).collect(),
            ends,
            interface: interface.to_owned(),
            units: BTreeMap::new(),
            departed: BTreeMap::new(),
            dying: false,
        };
        self.relations.insert(id, relation);
        id
    }

    pub(crate) fn application(&self, name: &str) -> Result<&Application> {
        self.applications.get(name).with_context(|| {
            let known: Vec<_> = self.applications.keys().map(String::as_str).collect();
            format!("application {name:?} not found; there are: {}", known.join(", "))
        })
    }

    pub(crate) fn application_mut(&mut self, name: &str) -> Result<&mut Application> {
        self.application(name)?;
        self.applications.get_mut(name).context("application not found")
    }

    pub(crate) fn unit(&self, name: &str) -> Option<&Unit> {
        let (app, number) = split(name)?;
        self.applications.get(app)?.units.get(&number)
    }

    pub(crate) fn unit_mut(&mut self, name: &str) -> Option<&mut Unit> {
        let (app, number) = split(name)?;
        self.applications.get_mut(app)?.units.get_mut(&number)
    }

    /// A unit by name, or an application's leader by `app/leader`.
    pub(crate) fn resolve(&self, name: &str) -> Result<String> {
        if let Some(app) = name.strip_suffix("/leader") {
            let leader = self.application(app)?.leader.with_context(|| format!("{app} has no leader"))?;
            return Ok(format!("{app}/{leader}"));
        }
        if self.unit(name).is_some() {
            return Ok(name.to_owned());
        }
        let known: Vec<_> = self.unit_names().collect();
        bail!("unit {name:?} not found; there are: {}", known.join(", "))
    }

    pub(crate) fn unit_names(&self) -> impl Iterator<Item = String> {
        self.applications.iter().flat_map(|(app, application)| {
            application.units.keys().map(move |number| format!("{app}/{number}"))
        })
    }

    /// Adds a unit: its name.
    pub(crate) fn add_unit(&mut self, app: &str) -> Result<String> {
        let application = self.application_mut(app)?;
        // Pods of a stateful set are numbered without gaps: the lowest free number, not one that was never used.
        let number = (0..=application.next_unit)
            .find(|n| !application.units.contains_key(n))
            .unwrap_or(application.next_unit);
        application.next_unit = application.next_unit.max(number + 1);
        let declared: Vec<String> = application.meta.storage.keys().cloned().collect();
        let storages = declared.into_iter().map(|name| {
            self.next_storage += 1;
            format!("{name}/{}", self.next_storage - 1)
        });
        let storages = storages.collect();
        let application = self.application_mut(app)?;
        let unit = Unit {
            status: Status::new("waiting", "installing agent"),
            containers: application.meta.containers.keys().cloned().collect(),
            storages,
            ..Unit::default()
        };
        application.units.insert(number, unit);
        self.elect(app);
        Ok(format!("{app}/{number}"))
    }

    /// Makes the first living unit leader where there is none.
    fn elect(&mut self, app: &str) {
        let Some(application) = self.applications.get_mut(app) else { return };
        let lives = |number: u32| application.units.get(&number).is_some_and(|unit| !unit.dying);
        if application.leader.is_some_and(lives) {
            return;
        }
        application.leader =
            application.units.iter().find(|(_, unit)| !unit.dying).map(|(number, _)| *number);
    }

    /// Takes leadership from the leader and gives it to another unit: the old leader's and the new one's name.
    pub(crate) fn depose(&mut self, app: &str) -> Result<(String, String)> {
        let application = self.application_mut(app)?;
        let old = application.leader.with_context(|| format!("{app} has no leader"))?;
        let next = application
            .units
            .iter()
            .find(|(number, unit)| **number != old && !unit.dying)
            .map(|(number, _)| *number);
        let new = next.with_context(|| {
            format!("{app} has no other unit that could lead; add one with: juju-sim add-unit {app}")
        })?;
        application.leader = Some(new);
        if let Some(unit) = application.units.get_mut(&old) {
            unit.leader_seen = false;
        }
        Ok((format!("{app}/{old}"), format!("{app}/{new}")))
    }

    /// Marks a unit for removal.
    pub(crate) fn remove_unit(&mut self, name: &str) -> Result<()> {
        let (app, _) = split(name).context("not a unit's name")?;
        let app = app.to_owned();
        self.unit_mut(name).with_context(|| format!("unit {name:?} not found"))?.dying = true;
        self.elect(&app);
        Ok(())
    }

    /// Lets a unit go without its last hooks.
    pub(crate) fn remove_unit_now(&mut self, name: &str) -> Result<()> {
        self.remove_unit(name)?;
        if let Some(unit) = self.unit_mut(name) {
            unit.removed = true;
        }
        Ok(())
    }

    /// Marks an application, its units and relations for removal.
    pub(crate) fn remove_application(&mut self, app: &str) -> Result<()> {
        let application = self.application_mut(app)?;
        application.dying = true;
        for unit in application.units.values_mut() {
            unit.dying = true;
        }
        for relation in
            self.relations.values_mut().filter(|relation| !relation.peer() && relation.local(app).is_some())
        {
            relation.dying = true;
        }
        self.tidy();
        Ok(())
    }

    /// Forgets a unit whose pod is gone.
    pub(crate) fn forget_unit(&mut self, name: &str) {
        let Some((app, number)) = split(name) else { return };
        if let Some(application) = self.applications.get_mut(app) {
            application.units.remove(&number);
        }
        for relation in self.relations.values_mut() {
            if let Some(bag) = relation.units.remove(name) {
                relation.departed.insert(name.to_owned(), bag.data);
            }
        }
        let tag = format!("unit-{}", name.replace('/', "-"));
        self.secrets.retain(|_, record| record.secret.owner != tag);
        self.elect(app);
        self.tidy();
    }

    /// A container is about to be ended: until a new one answers, its Pebble does not.
    pub(crate) fn container_killed(&mut self, name: &str, container: &str) {
        if let Some(unit) = self.unit_mut(name)
            && let Some(boot) = unit.boots.remove(container)
        {
            unit.boots_ended.insert(boot);
        }
    }

    /// A container's Pebble answered, or did not: whether that is news.
    pub(crate) fn container_seen(&mut self, name: &str, container: &str, boot: Option<String>) -> bool {
        let Some(unit) = self.unit_mut(name) else { return false };
        let boot = boot.filter(|boot| !unit.boots_ended.contains(boot));
        let news = unit.boots.get(container) != boot.as_ref();
        match boot {
            Some(boot) => unit.boots.insert(container.to_owned(), boot),
            None => unit.boots.remove(container),
        };
        news
    }

    /// Puts a pod's unit back to where a replaced pod begins: installed, but nothing running, nothing seen of its containers.
    pub(crate) fn pod_replaced(&mut self, name: &str) {
        if let Some(unit) = self.unit_mut(name) {
            unit.ready = false;
            unit.address = None;
            unit.started = false;
            unit.config_seen = None;
            unit.boots_ended.extend(std::mem::take(&mut unit.boots).into_values());
            unit.boots_seen.clear();
            unit.noticed.clear();
        }
    }

    /// Sets a unit's address once its pod is there.
    pub(crate) fn pod_ready(&mut self, name: &str, address: Option<Ipv4Addr>) {
        let Some(unit) = self.unit_mut(name) else { return };
        unit.address = address;
        unit.ready = true;
        unit.trouble.clear();
        if !unit.installed {
            unit.status = Status::new("maintenance", "installing charm software");
        }
        let own = own_data(address);
        for relation in self.relations.values_mut() {
            if let Some(bag) = relation.units.get_mut(name) {
                let mut data = bag.data.clone();
                data.extend(own.clone());
                bag.replace(&data);
            }
        }
    }

    /// Removes what nothing holds any more: relations all units have left, applications without units.
    fn tidy(&mut self) {
        let dying: Vec<u32> =
            self.relations.iter().filter(|(_, relation)| relation.dying).map(|(id, _)| *id).collect();
        for id in dying {
            let held = self.applications.values().flat_map(|app| app.units.values()).any(|unit| {
                let running =
                    unit.running.as_ref().and_then(Event::as_relation).is_some_and(|event| event.id == id);
                running || unit.relations.get(&id).is_some_and(|seen| seen.created && !seen.broken)
            });
            if !held && let Some(gone) = self.relations.remove(&id) {
                let scope = relation_tag(&gone);
                for record in self.secrets.values_mut() {
                    record.secret.access.retain(|access| access.scope != scope);
                }
                for application in self.applications.values_mut() {
                    for unit in application.units.values_mut() {
                        unit.relations.remove(&id);
                    }
                }
            }
        }
        let gone: Vec<String> = self
            .applications
            .iter()
            .filter(|(_, app)| app.dying && app.units.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.applications.remove(&name);
            self.relations.retain(|_, relation| !(relation.peer() && relation.local(&name).is_some()));
            let owner = format!("application-{name}");
            self.secrets.retain(|_, record| record.secret.owner != owner);
        }
    }

    /// Sets options from what a user typed, and puts others back to their defaults.
    pub(crate) fn configure(
        &mut self,
        app: &str,
        set: &BTreeMap<String, String>,
        reset: &[String],
    ) -> Result<()> {
        let application = self.application_mut(app)?;
        let mut options = application.options.clone();
        for (name, text) in set {
            let kind = application
                .meta
                .config
                .get(name)
                .with_context(|| no_option(app, name, &application.meta))?
                .kind;
            let value = match kind {
                OptionType::String | OptionType::Secret => Value::String(text.clone()),
                _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
            };
            // An empty text is a text; for every other type it means "not set".
            if text.is_empty() && kind != OptionType::String {
                options.remove(name);
            } else if kind.accepts(&value) {
                options.insert(name.clone(), value);
            } else {
                bail!(
                    "option {name:?} of {app}: {text:?} is not of the type {}",
                    format!("{kind:?}").to_lowercase()
                );
            }
        }
        for name in reset {
            if !application.meta.config.contains_key(name) {
                bail!("{}", no_option(app, name, &application.meta));
            }
            options.remove(name);
        }
        if options != application.options {
            application.options = options;
            application.config_version += 1;
        }
        Ok(())
    }

    /// Lets an application do everything in the cluster, or no more. Charms hear of it as of a changed option.
    pub(crate) fn trust(&mut self, app: &str, trust: bool) -> Result<()> {
        let application = self.application_mut(app)?;
        if application.trust != trust {
            application.trust = trust;
            application.config_version += 1;
        }
        Ok(())
    }

    /// Puts another revision of a charm in place.
    pub(crate) fn refresh(&mut self, app: &str, source: Source, meta: &Arc<CharmMeta>) -> Result<()> {
        for (id, relation) in &self.relations {
            if let Some(end) = relation.local(app)
                && meta.role(&end.endpoint) != Some(end.role)
            {
                bail!("the new charm has no endpoint {:?}, which relation {id} needs", end.endpoint);
            }
        }
        let application = self.application_mut(app)?;
        application.source = source;
        application.revision += 1;
        application
            .options
            .retain(|name, value| meta.config.get(name).is_some_and(|option| option.kind.accepts(value)));
        application.meta = Arc::clone(meta);
        for unit in application.units.values_mut() {
            unit.upgrade = true;
            unit.containers = meta.containers.keys().cloned().collect();
        }
        for (endpoint, declared) in &meta.endpoints {
            let exists = self.relations.values().any(|relation| {
                relation.peer() && relation.local(app).is_some_and(|end| end.endpoint == *endpoint)
            });
            if declared.role == Role::Peer && !exists {
                self.relate(
                    vec![End { app: app.to_owned(), endpoint: endpoint.clone(), role: Role::Peer }],
                    &declared.interface,
                );
            }
        }
        Ok(())
    }

    /// Relates two `application[:endpoint]`.
    pub(crate) fn integrate(&mut self, left: &str, right: &str) -> Result<u32> {
        let (ends, interface) = self.ends(left, right)?;
        if self.relations.values().any(|relation| relation.ends == ends) {
            bail!("{} and {} are related already", describe(&ends[0]), describe(&ends[1]));
        }
        for end in &ends {
            let limit = self
                .application(&end.app)?
                .meta
                .endpoints
                .get(&end.endpoint)
                .and_then(|endpoint| endpoint.limit);
            let used = self.relations.values().filter(|relation| relation.ends.contains(end)).count();
            if limit.is_some_and(|limit| used >= limit as usize) {
                bail!("{} takes no more relations: its limit is {used}", describe(end));
            }
        }
        Ok(self.relate(ends, &interface))
    }

    /// Starts the removal of a relation.
    pub(crate) fn remove_relation(&mut self, left: &str, right: &str) -> Result<()> {
        let named = |name: &str, end: &End| name == end.app || name == describe(end);
        let fits = |relation: &Relation| {
            let [a, b] = relation.ends.as_slice() else { return false };
            !relation.dying && ((named(left, a) && named(right, b)) || (named(left, b) && named(right, a)))
        };
        let found: Vec<u32> =
            self.relations.iter().filter(|(_, relation)| fits(relation)).map(|(id, _)| *id).collect();
        match found.as_slice() {
            [] => {
                // A name that is wrong is the likelier reason.
                for side in [left, right] {
                    self.endpoints(side, Role::Provider)?;
                }
                bail!("there is no relation between {left} and {right}")
            }
            [id] => {
                if let Some(relation) = self.relations.get_mut(id) {
                    relation.dying = true;
                }
                self.tidy();
                Ok(())
            }
            _ => bail!(
                "there are several relations between {left} and {right}: name the endpoints, as in app:endpoint"
            ),
        }
    }

    /// Finds the only pair of endpoints that two sides can mean: provider first, and the interface.
    fn ends(&self, left: &str, right: &str) -> Result<(Vec<End>, String)> {
        let mut found = Vec::new();
        for (provider, requirer) in [(left, right), (right, left)] {
            for (provided, interface) in self.endpoints(provider, Role::Provider)? {
                for (required, wanted) in self.endpoints(requirer, Role::Requirer)? {
                    if interface == wanted {
                        found.push((vec![provided.clone(), required], interface.clone()));
                    }
                }
            }
        }
        match found.len() {
            0 => bail!("{left} and {right} have no pair of endpoints with the same interface"),
            1 => Ok(found.remove(0)),
            _ => {
                let pairs: Vec<_> = found
                    .iter()
                    .map(|(ends, _)| format!("{} {}", describe(&ends[0]), describe(&ends[1])))
                    .collect();
                bail!("{left} and {right} can be related in several ways; choose one: {}", pairs.join(", "))
            }
        }
    }

    /// Endpoints of one role that `application[:endpoint]` can mean.
    fn endpoints(&self, side: &str, role: Role) -> Result<Vec<(End, String)>> {
        let (app, endpoint) =
            side.split_once(':').map_or((side, None), |(app, endpoint)| (app, Some(endpoint)));
        let meta = &self.application(app)?.meta;
        if let Some(endpoint) = endpoint
            && meta.role(endpoint).is_none()
        {
            bail!("{app} has no endpoint {endpoint:?}; it has {}", listed(meta.endpoints.keys()));
        }
        let fits = meta.endpoints.iter().filter(|(name, declared)| {
            declared.role == role && endpoint.is_none_or(|wanted| wanted == *name)
        });
        Ok(fits
            .map(|(name, declared)| {
                (End { app: app.to_owned(), endpoint: name.clone(), role }, declared.interface.clone())
            })
            .collect())
    }

    /// The hook that a unit should run now. `None` while one runs, or when there is nothing to do.
    pub(crate) fn next(&self, name: &str, now: Instant) -> Option<Event> {
        let (app, number) = split(name)?;
        let application = self.applications.get(app)?;
        let unit = application.units.get(&number)?;
        if !unit.ready || unit.running.is_some() || unit.removed {
            return None;
        }
        if let Some(failed) = &unit.failed {
            return (failed.due <= now).then(|| failed.event.clone());
        }
        self.due(name, app, application, unit, application.leader == Some(number))
    }

    fn due(
        &self,
        name: &str,
        app: &str,
        application: &Application,
        unit: &Unit,
        leads: bool,
    ) -> Option<Event> {
        if unit.installed {
            for (id, relation) in self.of(app) {
                let seen = unit.relations.get(&id).cloned().unwrap_or_default();
                if !seen.created && !relation.dying && !unit.dying {
                    return Some(Event::relation_created(&relation.local(app)?.endpoint, id));
                }
            }
            if leads && !unit.leader_seen && !unit.dying {
                return Some(Event::LeaderElected);
            }
            if unit.started && !unit.dying {
                for (container, boot) in &unit.boots {
                    if unit.boots_seen.get(container) != Some(boot) {
                        return Some(Event::pebble_ready(container));
                    }
                }
                if let Some(event) = unit.noticed.front() {
                    return Some(event.clone());
                }
            }
            if unit.started
                && !unit.dying
                && let Some(id) = unit.storages.iter().find(|id| !unit.attached.contains(*id))
            {
                return Some(Event::StorageAttached(id.clone()));
            }
            if let Some(event) = self.secret_event(name, unit, leads) {
                return Some(event);
            }
            if let Some(action) = unit.queue.iter().find(|event| event.is_action()) {
                return Some(action.clone());
            }
        }
        if unit.dying {
            return self.farewell(name, app, unit);
        }
        if !unit.installed {
            return Some(Event::Install);
        }
        if unit.upgrade {
            return Some(Event::UpgradeCharm);
        }
        if unit.config_seen != Some(application.config_version) {
            return Some(Event::ConfigChanged);
        }
        if !unit.started {
            return Some(Event::Start);
        }
        for (id, relation) in self.of(app) {
            if let Some(event) = Self::relation_event(name, app, unit, id, relation) {
                return Some(event);
            }
        }
        unit.queue.front().cloned()
    }

    fn of(&self, app: &str) -> impl Iterator<Item = (u32, &Relation)> {
        self.relations
            .iter()
            .filter(move |(_, relation)| relation.local(app).is_some())
            .map(|(id, relation)| (*id, relation))
    }

    /// What a dying unit still runs.
    fn farewell(&self, name: &str, app: &str, unit: &Unit) -> Option<Event> {
        for (id, relation) in self.of(app) {
            if let Some(event) = Self::relation_event(name, app, unit, id, relation) {
                return Some(event);
            }
        }
        if let Some(id) = unit.attached.first() {
            return Some(Event::StorageDetaching(id.clone()));
        }
        match (unit.installed, unit.stopped) {
            (false, _) => None,
            (true, false) => Some(Event::Stop),
            (true, true) => Some(Event::Remove),
        }
    }

    /// The next hook of one relation, relation-created apart.
    fn relation_event(name: &str, app: &str, unit: &Unit, id: u32, relation: &Relation) -> Option<Event> {
        let seen = unit.relations.get(&id).filter(|seen| seen.created && !seen.broken)?;
        let endpoint = &relation.local(app)?.endpoint;
        let leaving = relation.dying || unit.dying;
        if let Some((joined, _)) = seen.units.iter().find(|(_, version)| **version == 0) {
            // Also when the other left meanwhile: its data are still readable.
            return Some(Event::relation_changed_unit(endpoint, id, joined));
        }
        let members = Self::members(name, app, relation);
        if let Some(gone) = seen.units.keys().find(|other| leaving || !members.contains_key(other.as_str())) {
            let mut event = Event::relation_departed(endpoint, id, gone);
            if let Event::RelationDeparted(event) = &mut event
                && unit.dying
            {
                event.departing = Some(name.to_owned());
            }
            return Some(event);
        }
        if leaving {
            return (!relation.peer()).then(|| Event::relation_broken(endpoint, id));
        }
        if Self::remote_app_version(app, relation) > seen.app {
            return Some(Event::relation_changed(endpoint, id));
        }
        for (member, bag) in members {
            match seen.units.get(member) {
                None => return Some(Event::relation_joined(endpoint, id, member)),
                Some(version) if *version < bag.version => {
                    return Some(Event::relation_changed_unit(endpoint, id, member));
                }
                Some(_) => {}
            }
        }
        None
    }

    fn remote_app_version(app: &str, relation: &Relation) -> u64 {
        relation.remote(app).and_then(|end| relation.apps.get(&end.app)).map_or(0, |bag| bag.version)
    }

    /// Units that a unit sees in a relation, with their databags.
    fn members<'a>(name: &str, app: &str, relation: &'a Relation) -> BTreeMap<&'a str, &'a Bag> {
        let remote = relation.remote(app).map(|end| end.app.as_str());
        let other = |unit: &str| split(unit).map(|(app, _)| app) == remote && unit != name;
        relation
            .units
            .iter()
            .filter(|(unit, _)| other(unit))
            .map(|(unit, bag)| (unit.as_str(), bag))
            .collect()
    }

    /// A secret this unit reads has a revision it was not told of, or one it owns has a revision that nobody needs any more.
    fn secret_event(&self, name: &str, unit: &Unit, leads: bool) -> Option<Event> {
        for (id, record) in &self.secrets {
            let latest = record.secret.latest();
            if let Some((Some(tracked), label)) = record.consumers.get(name)
                && latest > *tracked
                && unit.secrets_seen.get(id).is_none_or(|seen| *seen < latest)
            {
                let label = label.clone().unwrap_or_default();
                let event = SecretEvent { uri: record.secret.uri(), label, revision: None };
                return Some(Event::SecretChanged(event));
            }
            if !owned(&record.secret, name, leads) {
                continue;
            }
            let read =
                |revision: u32| record.consumers.values().any(|(tracked, _)| *tracked == Some(revision));
            let told = |revision: u32| unit.secrets_removed.contains(&(id.clone(), revision));
            let obsolete = record.secret.revisions.keys().find(|r| **r < latest && !read(**r) && !told(**r));
            if let Some(revision) = obsolete {
                let label = record.secret.label.clone();
                let event = SecretEvent { uri: record.secret.uri(), label, revision: Some(*revision) };
                return Some(Event::SecretRemove(event));
            }
        }
        None
    }

    /// A secret that a unit looks after, by its label or its id.
    pub(crate) fn secret_of(&self, name: &str, label: &str) -> Result<SecretEvent> {
        let leads = split(name).is_some_and(|(app, number)| {
            self.applications.get(app).is_some_and(|application| application.leader == Some(number))
        });
        let mut mine =
            self.secrets.values().map(|record| &record.secret).filter(|secret| owned(secret, name, leads));
        let found = mine.find(|secret| secret.label == label || secret.id == bare(label));
        let secret = found.with_context(|| format!("{name} owns no secret {label:?}"))?;
        Ok(SecretEvent { uri: secret.uri(), label: secret.label.clone(), revision: None })
    }

    /// Marks a unit's hook as running, and says what the hook sees.
    pub(crate) fn begin(&mut self, name: &str, event: &Event) -> Result<Begun> {
        let address = self.unit(name).with_context(|| format!("unit {name:?} is gone"))?.address;
        let mut version = 0;
        match event {
            Event::RelationCreated(_) => {
                // The agent enters all relations that it finds at once, before the first of their hooks: that hook sees them all, and
                // others see the unit join whatever becomes of the hook.
                let app = split(name).map_or("", |(app, _)| app);
                let known = |relation: &&mut Relation| relation.local(app).is_some() && !relation.dying;
                for relation in self.relations.values_mut().filter(known) {
                    relation.departed.remove(name);
                    let bag = || Bag { data: own_data(address), version: 1 };
                    relation.units.entry(name.to_owned()).or_insert_with(bag);
                }
            }
            Event::RelationChanged(about) => {
                let relation = self.relations.get(&about.id);
                let app = split(name).map_or("", |(app, _)| app);
                version = match (&about.unit, relation) {
                    (_, None) => 0,
                    // A unit that left can change no more; any number but 0 ends its turn.
                    (Some(unit), Some(relation)) => {
                        relation.units.get(unit).map_or(u64::MAX, |bag| bag.version)
                    }
                    (None, Some(relation)) => Self::remote_app_version(app, relation),
                };
            }
            Event::ConfigChanged => {
                version = self.application(split(name).map_or("", |(app, _)| app))?.config_version;
            }
            Event::SecretChanged(about) => {
                version =
                    self.secrets.get(bare(&about.uri)).map_or(0, |record| u64::from(record.secret.latest()));
            }
            _ => {}
        }
        let state = self.state(name, event)?;
        let mut boot = String::new();
        if let Some(unit) = self.unit_mut(name) {
            unit.running = Some(event.clone());
            match event {
                Event::Stop => unit.status = Status::new("maintenance", "stopping charm software"),
                Event::Remove => {
                    unit.status = Status::new("maintenance", "cleaning up prior to charm deletion");
                }
                Event::PebbleReady(container) => {
                    boot = unit.boots.get(container).cloned().unwrap_or_default();
                }
                _ => {}
            }
        }
        Ok(Begun { event: event.clone(), state, version, boot })
    }

    /// What a unit sees.
    fn state(&self, name: &str, event: &Event) -> Result<State> {
        let (app, number) = split(name).context("not a unit's name")?;
        let application = self.application(app)?;
        let unit = application.units.get(&number).with_context(|| format!("unit {name:?} is gone"))?;
        let breaking = match event {
            Event::RelationBroken(about) => Some(about.id),
            _ => None,
        };
        let mut relations = Vec::new();
        for (id, relation) in self.of(app) {
            let seen = unit.relations.get(&id).cloned().unwrap_or_default();
            // Before it entered its relations a unit knows only its peers.
            let known = relation.peer() || seen.created || relation.units.contains_key(name);
            if known && (!seen.broken || breaking == Some(id)) {
                relations.push(Self::seen(name, app, id, relation, &seen));
            }
        }
        let address = unit.address.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
        let others = application.units.iter().filter(|(other, _)| **other != number);
        Ok(State {
            model: juju_sim::state::Model {
                name: self.name.clone(),
                uuid: self.uuid.clone(),
                ..juju_sim::state::Model::default()
            },
            unit: name.to_owned(),
            leader: application.leader == Some(number),
            trusted: application.trust,
            config: application.options.clone(),
            relations,
            secrets: self.secrets.values().map(|record| seen_secret(record, name)).collect(),
            opened_ports: unit.ports.clone(),
            endpoint_ports: unit.endpoint_ports.clone(),
            unit_status: unit.status.clone(),
            app_status: application.status.clone(),
            peer_statuses: others
                .map(|(other, unit)| (format!("{app}/{other}"), unit.status.clone()))
                .collect(),
            workload_version: unit.version.clone(),
            unit_state: unit.kept.clone(),
            leader_settings: application.leader_settings.clone(),
            network: Network { bind: vec![address.clone()], ingress: vec![address], egress: Vec::new() },
            planned_units: u32::try_from(application.units.values().filter(|unit| !unit.dying).count())
                .unwrap_or(u32::MAX),
            api_addresses: vec![format!("{}:17070", crate::host::BRIDGE)],
            ..State::default()
        })
    }

    fn seen(name: &str, app: &str, id: u32, relation: &Relation, seen: &Seen) -> SeenRelation {
        let endpoint = relation.local(app).map(|end| end.endpoint.clone()).unwrap_or_default();
        let remote = relation.remote(app);
        let remote_app = remote.map(|end| end.app.clone()).unwrap_or_default();
        let data = |app: &str| relation.apps.get(app).map(|bag| bag.data.clone()).unwrap_or_default();
        let siblings = relation
            .units
            .iter()
            .filter(|(unit, _)| split(unit).is_some_and(|(other, _)| other == app) && *unit != name);
        let members = Self::members(name, app, relation);
        SeenRelation {
            endpoint,
            id,
            interface: relation.interface.clone(),
            peer: relation.peer(),
            remote_app_data: if relation.peer() { Databag::new() } else { data(&remote_app) },
            local_app_data: data(app),
            local_unit_data: relation.units.get(name).map(|bag| bag.data.clone()).unwrap_or_default(),
            // Only units that joined are listed; data of the others are readable too, but no charm knows their names.
            remote_units: members
                .iter()
                .filter(|(unit, _)| seen.units.contains_key(**unit))
                .map(|(unit, bag)| ((*unit).to_owned(), bag.data.clone()))
                .collect(),
            departed_units: relation.departed.clone(),
            sibling_units: if relation.peer() {
                BTreeMap::new()
            } else {
                siblings.map(|(unit, bag)| (unit.clone(), bag.data.clone())).collect()
            },
            remote_endpoint: remote.map(|end| end.endpoint.clone()).unwrap_or_default(),
            remote_app,
            remote_model_uuid: None,
            dying: relation.dying,
        }
    }

    /// Takes over what a hook did: the unit's immediate effects in any case, the rest when the hook ended well.
    ///
    /// # Errors
    /// When the hook wrote what only a leader may and the unit leads no more: the whole change is refused.
    pub(crate) fn commit(&mut self, name: &str, before: &State, after: &State) -> Result<()> {
        let (app, number) = split(name).context("not a unit's name")?;
        let app = app.to_owned();
        let leads = self.application(&app)?.leader == Some(number);
        let wrote = after.relations.iter().any(|relation| {
            before
                .relation(&relation.endpoint, relation.id)
                .is_some_and(|old| old.local_app_data != relation.local_app_data)
        });
        let of_app = |state: &State| -> Vec<Secret> {
            let tag = state.app_tag();
            let secrets = state.secrets.iter().filter(|secret| secret.owner == tag);
            secrets.map(|secret| Secret { tracked: None, consumer_label: None, ..secret.clone() }).collect()
        };
        if (wrote || of_app(before) != of_app(after)) && !leads {
            bail!("prerequisites failed: {name} is not leader of {app:?}");
        }
        for relation in &after.relations {
            let Some(old) = before.relation(&relation.endpoint, relation.id) else { continue };
            let Some(kept) = self.relations.get_mut(&relation.id) else { continue };
            if old.local_app_data != relation.local_app_data
                && let Some(bag) = kept.apps.get_mut(&app)
                && bag.replace(&relation.local_app_data)
                && kept.ends.len() == 1
            {
                // Nobody is told of what it wrote itself, the leader's peer data included.
                let version = bag.version;
                let unit = self
                    .applications
                    .get_mut(&app)
                    .and_then(|application| application.units.get_mut(&number));
                if let Some(seen) = unit.and_then(|unit| unit.relations.get_mut(&relation.id)) {
                    seen.app = version;
                }
            }
            if old.local_unit_data != relation.local_unit_data
                && let Some(bag) = kept.units.get_mut(name)
            {
                bag.replace(&relation.local_unit_data);
            }
        }
        self.commit_secrets(name, before, after);
        let Some(application) = self.applications.get_mut(&app) else { return Ok(()) };
        if before.leader_settings != after.leader_settings {
            application.leader_settings.clone_from(&after.leader_settings);
        }
        if let Some(unit) = application.units.get_mut(&number) {
            unit.ports.clone_from(&after.opened_ports);
            unit.endpoint_ports.clone_from(&after.endpoint_ports);
            unit.kept.clone_from(&after.unit_state);
        }
        Ok(())
    }

    /// What takes effect at once, also from a hook that fails later.
    pub(crate) fn immediate(&mut self, name: &str, before: &State, after: &State) {
        let Some((app, number)) = split(name) else { return };
        let Some(application) = self.applications.get_mut(app) else { return };
        if before.app_status != after.app_status {
            application.status.clone_from(&after.app_status);
        }
        let Some(unit) = application.units.get_mut(&number) else { return };
        if before.unit_status != after.unit_status {
            unit.status.clone_from(&after.unit_status);
        }
        unit.version.clone_from(&after.workload_version);
        if !after.workload_version.is_empty() {
            application.version.clone_from(&after.workload_version);
        }
    }

    fn commit_secrets(&mut self, name: &str, before: &State, after: &State) {
        // A hook sees all secrets as they were when it began; only what it changed itself may be taken over.
        let shared = |secret: &Secret| Secret { tracked: None, consumer_label: None, ..secret.clone() };
        for secret in &after.secrets {
            let record = self.secrets.entry(secret.id.clone()).or_default();
            let old = before.secret(&secret.id);
            if old.map(shared) != Some(shared(secret)) {
                record.secret = shared(secret);
            }
            let read = (secret.tracked, secret.consumer_label.clone());
            if old.is_none_or(|old| (old.tracked, old.consumer_label.clone()) != read) && read != (None, None)
            {
                record.consumers.insert(name.to_owned(), read);
            }
        }
        for secret in &before.secrets {
            if after.secret(&secret.id).is_none() {
                self.secrets.remove(&secret.id);
            }
        }
    }

    /// A hook ended well, and what it did is committed.
    pub(crate) fn succeeded(&mut self, name: &str, begun: &Begun) {
        let Some((app, _)) = split(name) else { return };
        let app = app.to_owned();
        let Some(unit) = self.unit_mut(name) else { return };
        unit.running = None;
        unit.failed = None;
        unit.hooks.push(begun.event.hook_name());
        let relation = |unit: &mut Unit, id: u32, change: &mut dyn FnMut(&mut Seen)| {
            change(unit.relations.entry(id).or_default());
        };
        match &begun.event {
            Event::Install => unit.installed = true,
            Event::Start => {
                unit.started = true;
                if unit.status == Status::new("maintenance", "installing charm software") {
                    unit.status = Status::default();
                }
            }
            Event::Stop => unit.stopped = true,
            Event::Remove => unit.removed = true,
            Event::UpgradeCharm => {
                unit.upgrade = false;
                unit.config_seen = None;
            }
            Event::ConfigChanged => unit.config_seen = Some(begun.version),
            Event::LeaderElected => unit.leader_seen = true,
            Event::PebbleReady(container) => {
                unit.boots_seen.insert(container.clone(), begun.boot.clone());
            }
            Event::SecretChanged(about) => {
                unit.secrets_seen
                    .insert(bare(&about.uri).to_owned(), u32::try_from(begun.version).unwrap_or(u32::MAX));
            }
            Event::StorageAttached(id) => {
                unit.attached.insert(id.clone());
            }
            Event::StorageDetaching(id) => {
                unit.attached.remove(id);
            }
            Event::SecretRemove(about) => {
                unit.secrets_removed.insert((bare(&about.uri).to_owned(), about.revision.unwrap_or(0)));
            }
            Event::RelationCreated(about) => relation(unit, about.id, &mut |seen| seen.created = true),
            Event::RelationJoined(about) => relation(unit, about.id, &mut |seen| {
                seen.units.insert(about.unit.clone().unwrap_or_default(), 0);
            }),
            Event::RelationChanged(about) => relation(unit, about.id, &mut |seen| match &about.unit {
                Some(other) => {
                    seen.units.insert(other.clone(), begun.version);
                }
                None => seen.app = begun.version,
            }),
            Event::RelationDeparted(about) => relation(unit, about.id, &mut |seen| {
                seen.units.remove(about.unit.as_deref().unwrap_or_default());
            }),
            Event::RelationBroken(about) => {
                relation(unit, about.id, &mut |seen| seen.broken = true);
                if let Some(kept) = self.relations.get_mut(&about.id)
                    && let Some(bag) = kept.units.remove(name)
                {
                    kept.departed.insert(name.to_owned(), bag.data);
                }
            }
            _ => {}
        }
        self.dequeue(name, &begun.event);
        self.leave_peers(name, &app);
        self.tidy();
    }

    /// A dying unit leaves its peers without a broken hook, once it stops.
    fn leave_peers(&mut self, name: &str, app: &str) {
        if !self.unit(name).is_some_and(|unit| unit.stopped) {
            return;
        }
        for relation in
            self.relations.values_mut().filter(|relation| relation.peer() && relation.local(app).is_some())
        {
            if let Some(bag) = relation.units.remove(name) {
                relation.departed.insert(name.to_owned(), bag.data);
            }
        }
    }

    /// A hook failed, and nothing of it is committed. It is tried again, later each time.
    pub(crate) fn failed(&mut self, name: &str, event: &Event, now: Instant) {
        let Some(unit) = self.unit_mut(name) else { return };
        unit.running = None;
        if event.is_action() {
            self.dequeue(name, event);
            return;
        }
        let tries = unit.failed.as_ref().map_or(0, |failed| failed.tries) + 1;
        let pause = Duration::from_millis(500 * 2_u64.pow(tries.min(7) - 1)).min(Duration::from_secs(30));
        unit.failed = Some(Failed { event: event.clone(), tries, due: now + pause });
    }

    /// A hook was killed through no fault of its own: it is run again, and the unit is not in error.
    pub(crate) fn interrupted(&mut self, name: &str) {
        if let Some(unit) = self.unit_mut(name) {
            unit.running = None;
        }
    }

    /// Resolves a failed hook: tries it again at once, or counts it as done.
    pub(crate) fn resolved(&mut self, name: &str, retry: bool, now: Instant) -> Result<()> {
        let unit = self.unit_mut(name).with_context(|| format!("unit {name:?} not found"))?;
        let Some(failed) = &mut unit.failed else { bail!("{name} is not in error") };
        if retry {
            failed.due = now;
            return Ok(());
        }
        let event = failed.event.clone();
        let begun = self.begin(name, &event)?;
        self.succeeded(name, &begun);
        if let Some(unit) = self.unit_mut(name) {
            unit.hooks.pop();
        }
        Ok(())
    }

    fn dequeue(&mut self, name: &str, event: &Event) {
        let Some(unit) = self.unit_mut(name) else { return };
        for queue in [&mut unit.queue, &mut unit.noticed] {
            if let Some(position) = queue.iter().position(|queued| queued == event) {
                queue.remove(position);
                return;
            }
        }
    }

    /// What keeps the model from being settled; empty when nothing does.
    pub(crate) fn unsettled(&self, now: Instant) -> Vec<String> {
        let mut reasons = Vec::new();
        for name in self.unit_names() {
            let Some(unit) = self.unit(&name) else { continue };
            let missing: Vec<_> = unit
                .containers
                .iter()
                .filter(|name| !unit.boots.contains_key(*name) || !unit.boots_seen.contains_key(*name))
                .map(String::as_str)
                .collect();
            if let Some(failed) = &unit.failed {
                reasons.push(format!(
                    "{name}: hook failed: {:?} ({} times)",
                    failed.event.hook_name(),
                    failed.tries
                ));
            } else if let Some(event) = &unit.running {
                reasons.push(format!("{name}: running {}", event.hook_name()));
            } else if !unit.ready {
                let why = if unit.trouble.is_empty() { String::new() } else { format!(": {}", unit.trouble) };
                reasons.push(format!("{name}: its pod is not there yet{why}"));
            } else if unit.dying {
                reasons.push(format!("{name}: is being removed"));
            } else if let Some(event) = self.next(&name, now) {
                reasons.push(format!("{name}: about to run {}", event.hook_name()));
            } else if !missing.is_empty() {
                reasons.push(format!("{name}: Pebble does not answer in {}", missing.join(", ")));
            }
        }
        reasons
    }

    /// An application's status: the one the charm set, or else the worst of its units'.
    pub(crate) fn app_status(application: &Application) -> StatusText {
        if application.status.status != "unknown" {
            return text(&application.status);
        }
        let rank = |status: &str| {
            ["error", "blocked", "waiting", "maintenance", "active", "terminated", "unknown"]
                .iter()
                .position(|s| *s == status)
                .unwrap_or(7)
        };
        let all = application.units.values().map(workload);
        all.min_by_key(|status| rank(&status.current))
            .unwrap_or(StatusText { current: "unknown".into(), message: String::new() })
    }
}

/// A unit's workload status, with the agent's error in front of what the charm said.
pub(crate) fn workload(unit: &Unit) -> StatusText {
    match &unit.failed {
        Some(failed) => StatusText {
            current: "error".into(),
            message: format!("hook failed: \"{}\"", failed.event.hook_name()),
        },
        None => text(&unit.status),
    }
}

/// A unit's agent status.
pub(crate) fn agent(unit: &Unit) -> StatusText {
    let (current, message) = match (&unit.running, &unit.failed) {
        (Some(event), _) if event.is_action() => {
            ("executing", format!("running action {}", event.hook_name()))
        }
        (Some(event), _) => ("executing", format!("running {} hook", event.hook_name())),
        (None, Some(failed)) => ("error", format!("hook failed: \"{}\"", failed.event.hook_name())),
        (None, None) if !unit.ready => ("allocating", String::new()),
        (None, None) => ("idle", String::new()),
    };
    StatusText { current: current.into(), message }
}

fn text(status: &Status) -> StatusText {
    StatusText { current: status.status.clone(), message: status.message.clone() }
}

pub(crate) fn describe(end: &End) -> String {
    format!("{}:{}", end.app, end.endpoint)
}

/// What Juju itself puts into each unit's databag.
fn own_data(address: Option<Ipv4Addr>) -> Databag {
    let Some(ip) = address else { return Databag::new() };
    Databag::from(
        [
            ("egress-subnets", format!("{ip}/32")),
            ("ingress-address", ip.to_string()),
            ("private-address", ip.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    )
}

fn relation_tag(relation: &Relation) -> String {
    let mut ends: Vec<_> = relation.ends.iter().collect();
    ends.sort_by_key(|end| end.role != Role::Requirer);
    let ends: Vec<_> = ends.iter().map(|end| format!("{}.{}", end.app, end.endpoint)).collect();
    format!("relation-{}", ends.join("#"))
}

fn seen_secret(record: &SecretRecord, unit: &str) -> Secret {
    let (tracked, consumer_label) = record.consumers.get(unit).cloned().unwrap_or_default();
    Secret { tracked, consumer_label, ..record.secret.clone() }
}

/// Whether a unit looks after a secret: its own, or its application's if it leads.
fn owned(secret: &Secret, unit: &str, leads: bool) -> bool {
    let app = split(unit).map_or("", |(app, _)| app);
    secret.owner == format!("unit-{}", unit.replace('/', "-"))
        || (leads && secret.owner == format!("application-{app}"))
}

fn bare(uri: &str) -> &str {
    uri.rsplit([':', '/']).next().unwrap_or(uri)
}

#[cfg(test)]
mod tests;
