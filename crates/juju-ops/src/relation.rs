//! Relations and their databags.

use std::collections::BTreeMap;

use crate::{
    Databag, Hook,
    names::{RelationId, UnitName},
    tools::{ToolCall, ToolError},
};

/// Whose databag on this side of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The application's: only the leader writes it.
    App,
    /// This unit's.
    Unit,
}

/// A relation that exists now; a breaking one is never handed out.
#[derive(Clone)]
pub struct Relation {
    hook: Hook,
    id: RelationId,
}

impl std::fmt::Debug for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relation({})", self.id)
    }
}

impl Relation {
    pub(crate) fn new(hook: Hook, id: RelationId) -> Self {
        Self { hook, id }
    }

    /// Id of the relation.
    pub fn id(&self) -> &RelationId {
        &self.id
    }

    /// Local endpoint.
    pub fn endpoint(&self) -> &str {
        self.id.endpoint()
    }

    /// The other application; for a peer relation this one. `None` where Juju does not know it (any more).
    ///
    /// It never changes, so it is asked for once and not once per hook: `.juju-ops-relations.json` in the charm's folder
    /// remembers it for relations that [`Hook::relations`] lists.
    pub async fn app(&self) -> Result<Option<String>, ToolError> {
        if let Some(known) = self.hook.apps().get(&self.id) {
            return Ok(Some(known));
        }
        let args = ["--format=json".to_owned(), "-r".into(), self.id.to_string(), "--app".into()];
        let app: Option<Option<String>> = found(self.hook.read("relation-list", args).await)?;
        let app = app.flatten().filter(|app| !app.is_empty());
        if let Some(app) = &app {
            self.hook.apps().learn(&self.id, app);
        }
        Ok(app)
    }

    /// Units of the other application (peers: the other units), in natural order.
    pub async fn units(&self) -> Result<Vec<UnitName>, ToolError> {
        let args = ["--format=json".to_owned(), "-r".into(), self.id.to_string()];
        let mut units: Vec<UnitName> =
            found(self.hook.read("relation-list", args).await)?.unwrap_or_default();
        units.sort();
        Ok(units)
    }

    /// The other application's databag; `None` when it is unknown, gone or withheld.
    pub async fn remote_app_data(&self) -> Result<Option<Databag>, ToolError> {
        match self.app().await? {
            Some(app) => self.databag(&app, Scope::App).await,
            None => Ok(None),
        }
    }

    /// A remote (or peer) unit's databag; `None` when it is gone or withheld.
    pub async fn remote_unit_data(&self, unit: &UnitName) -> Result<Option<Databag>, ToolError> {
        self.databag(&unit.to_string(), Scope::Unit).await
    }

    /// This application's databag as it will be after the hook; `None` where this unit may not read it.
    pub async fn local_app_data(&self) -> Result<Option<Databag>, ToolError> {
        let stored = self.databag(self.hook.env().app(), Scope::App).await?;
        Ok(stored.map(|bag| self.with_pending(bag, Scope::App)))
    }

    /// This unit's databag as it will be after the hook, without what Juju itself keeps in it.
    ///
    /// Once a databag was read or written, the unit keeps a copy at the controller, and this is read from the copy: reading
    /// the databag would make the agent write it back whole when the hook ends. What else than this crate has written is
    /// seen in the next `config-changed`, `upgrade-charm` or `start`.
    pub async fn local_unit_data(&self) -> Result<Databag, ToolError> {
        let stored = self.hook.copies().own(&self.hook, &self.id).await?;
        Ok(self.with_pending(stored.unwrap_or_default(), Scope::Unit))
    }

    /// Plans changes of the application databag; [`Hook::commit`] sends those that differ. `None` deletes a key, and
    /// keys that are not named stay.
    pub fn set_app(&self, data: impl IntoIterator<Item = (String, Option<String>)>) {
        self.hook.plan_write(&self.id, Scope::App, data);
    }

    /// Plans changes of this unit's databag, as [`Relation::set_app`] does for the application's.
    pub fn set_unit(&self, data: impl IntoIterator<Item = (String, Option<String>)>) {
        self.hook.plan_write(&self.id, Scope::Unit, data);
    }

    /// An own databag without what is planned; that of the unit with Juju's part of it where `whole` is asked for.
    pub(crate) async fn stored(&self, scope: Scope, whole: bool) -> Result<Option<Databag>, ToolError> {
        match scope {
            Scope::App => self.databag(self.hook.env().app(), Scope::App).await,
            Scope::Unit if whole => self.databag(&self.hook.env().unit.to_string(), Scope::Unit).await,
            Scope::Unit => self.hook.copies().own(&self.hook, &self.id).await,
        }
    }

    pub(crate) async fn databag(&self, whose: &str, scope: Scope) -> Result<Option<Databag>, ToolError> {
        let mut args = vec!["--format=json".to_owned(), "-r".into(), self.id.to_string()];
        if scope == Scope::App {
            args.push("--app".into());
        }
        args.extend(["--".into(), "-".into(), whose.to_owned()]);
        let bag: Option<Option<Databag>> = found(self.hook.read("relation-get", args).await)?;
        Ok(bag.map(Option::unwrap_or_default))
    }

    fn with_pending(&self, mut bag: Databag, scope: Scope) -> Databag {
        for (key, value) in self.hook.planned_writes(&self.id, scope) {
            match value {
                Some(value) => bag.insert(key, value),
                None => bag.remove(&key),
            };
        }
        bag
    }
}

/// What is gone or withheld is no error when reading: it is simply not there.
fn found<T>(result: Result<T, ToolError>) -> Result<Option<T>, ToolError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_not_found() || e.is_denied() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Builds the `relation-set` call that makes `changes`.
///
/// The agent reads the text as YAML 1.1, which refuses or alters some characters that JSON allows raw; those are
/// escaped.
pub(crate) fn relation_set(
    id: &RelationId,
    scope: Scope,
    changes: &BTreeMap<String, Option<String>>,
) -> Result<ToolCall, ToolError> {
    let tool = "relation-set";
    if let Some(key) = changes.keys().find(|key| key.is_empty() || key.len() > 1024) {
        let shown: String = key.chars().take(40).collect();
        let reason = format!("{id}: databag key {shown:?} is empty or longer than 1024 bytes");
        return Err(ToolError::Invalid { tool, reason });
    }
    let plain: BTreeMap<&str, &str> =
        changes.iter().map(|(k, v)| (k.as_str(), v.as_deref().unwrap_or_default())).collect();
    let json =
        serde_json::to_string(&plain).map_err(|e| ToolError::Invalid { tool, reason: e.to_string() })?;
    let mut args = vec!["-r".to_owned(), id.to_string()];
    if scope == Scope::App {
        args.push("--app".into());
    }
    args.extend(["--file".into(), "-".into()]);
    Ok(ToolCall { tool, args, stdin: Some(yaml_safe(&json).into_bytes()) })
}

/// Escapes what a YAML 1.1 reader refuses or changes in JSON text.
pub(crate) fn yaml_safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                use std::fmt::Write as _;
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_the_agent_is_json_and_yaml() {
        let changes = BTreeMap::from([
            ("gone".to_owned(), None),
            ("k".to_owned(), Some("\u{7f}\u{85}\u{9f}\u{fffe}\u{ffff}é😀/\u{2028}".to_owned())),
        ]);
        let call = relation_set(&RelationId::new("tracing", 3), Scope::App, &changes).unwrap();
        assert_eq!(call.args, ["-r", "tracing:3", "--app", "--file", "-"]);
        let text = String::from_utf8(call.stdin.unwrap()).unwrap();
        assert_eq!(text, "{\"gone\":\"\",\"k\":\"\\u007f\\u0085\\u009f\\ufffe\\uffffé😀/\u{2028}\"}");
        let back: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        assert_eq!(back["k"], changes["k"].clone().unwrap());
    }

    #[test]
    fn keys_that_the_agent_refuses_are_not_sent() {
        let changes = BTreeMap::from([("k".repeat(1025), Some(String::new()))]);
        assert!(matches!(
            relation_set(&RelationId::new("t", 1), Scope::Unit, &changes),
            Err(ToolError::Invalid { .. })
        ));
    }
}
