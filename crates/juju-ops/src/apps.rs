//! Names of other applications, remembered from one hook to the next.
//!
//! The application on the other side of a relation never changes, and Juju gives no number to two relations of one model. So
//! the name is asked for once, and then found in a small file in the charm's folder: without it, every application databag
//! would cost two calls instead of one. The file is worth nothing: lost with the pod, unreadable, of another unit or out of
//! date, it only means that names are asked for again. It is believed about relations that Juju has listed in this hook, and
//! about no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

use crate::{HookEnv, RelationId, hook::lock};

const FILE: &str = ".juju-ops-relations.json";
/// Most names that are remembered, those of the newest relations.
const MOST: usize = 10_000;
/// Bytes of a file that is read; more than that many names take.
const LONGEST: u64 = 2 << 20;

/// The file. Names only mean something in one model, and what one unit knows it does not tell to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    model: String,
    unit: String,
    applications: BTreeMap<RelationId, String>,
}

/// What is remembered, and what is not yet.
pub(crate) struct Apps {
    /// `None` where the agent does not tell which model this is.
    path: Option<PathBuf>,
    model: String,
    unit: String,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    /// Empty until it is needed.
    known: Option<BTreeMap<RelationId, String>>,
    listed: BTreeMap<String, BTreeSet<u32>>,
    learnt: bool,
}

impl Apps {
    /// Of the unit whose hook runs. Nothing is read yet.
    pub(crate) fn of(env: &HookEnv) -> Self {
        Self {
            path: (!env.model_uuid.is_empty()).then(|| env.charm_dir.join(FILE)),
            model: env.model_uuid.clone(),
            unit: env.unit.to_string(),
            now: Mutex::default(),
        }
    }

    /// Takes note of the relations of an endpoint.
    pub(crate) fn listed(&self, endpoint: &str, ids: &[RelationId]) {
        let numbers = ids.iter().map(RelationId::number).collect();
        lock(&self.now).listed.insert(endpoint.to_owned(), numbers);
    }

    /// The other application of a relation that is listed.
    pub(crate) fn get(&self, id: &RelationId) -> Option<String> {
        let path = self.path.as_deref()?;
        let now = &mut *lock(&self.now);
        if !is_listed(&now.listed, id) {
            return None;
        }
        now.known.get_or_insert_with(|| self.load(path)).get(id).cloned()
    }

    /// Remembers the other application of a relation that is listed.
    pub(crate) fn learn(&self, id: &RelationId, app: &str) {
        let Some(path) = &self.path else { return };
        let now = &mut *lock(&self.now);
        if is_listed(&now.listed, id) {
            let known = now.known.get_or_insert_with(|| self.load(path));
            now.learnt |= known.insert(id.clone(), app.to_owned()).as_deref() != Some(app);
        }
    }

    /// Writes the file, if there is anything new to write. Names of relations that are not listed any more leave it.
    pub(crate) fn save(&self) {
        let Some(path) = &self.path else { return };
        let now = &mut *lock(&self.now);
        if !now.learnt {
            return;
        }
        now.learnt = false;
        let known = now.known.get_or_insert_default();
        known.retain(|id, _| now.listed.get(id.endpoint()).is_none_or(|ids| ids.contains(&id.number())));
        while known.len() > MOST {
            known.pop_first();
        }
        let file = File { model: self.model.clone(), unit: self.unit.clone(), applications: known.clone() };
        if let Err(error) = write(path, &file) {
            // A test has no such folder.
            tracing::debug!("cannot remember names of applications: {error}");
        }
    }

    fn load(&self, path: &Path) -> BTreeMap<RelationId, String> {
        let is_ours = |file: &File| file.model == self.model && file.unit == self.unit;
        read(path).filter(is_ours).map(|file| file.applications).unwrap_or_default()
    }
}

fn is_listed(listed: &BTreeMap<String, BTreeSet<u32>>, id: &RelationId) -> bool {
    listed.get(id.endpoint()).is_some_and(|ids| ids.contains(&id.number()))
}

fn read(path: &Path) -> Option<File> {
    let about = std::fs::symlink_metadata(path).ok()?;
    if !about.is_file() || about.len() > LONGEST {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Replaces the file as a whole, so that a hook that is killed leaves the one before. It is only its owner's to read.
fn write(path: &Path, file: &File) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&serde_json::to_vec(file)?)?;
    new.persist(path)?;
    Ok(())
}
