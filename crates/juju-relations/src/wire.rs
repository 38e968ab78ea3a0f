//! From databags to types and back.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::{Serialize, de::DeserializeOwned};

use juju_ops::{Databag, DatabagError, Encoding, Event, Hook, Relation, Remote, ToolError, UnitName};

use crate::EndpointMeta;

/// What one side of an interface writes into one databag.
pub trait Wire: Serialize + DeserializeOwned {
    /// The keys that the writer owns, and so the only ones it ever deletes.
    const KEYS: &'static [&'static str];

    /// How values become text, for types that do not mix encodings.
    const ENCODING: Encoding = Encoding::Json;

    /// Reads a databag of the other side. `None`, and one in which only Juju has written, is [`Remote::Absent`].
    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| !bag.is_unwritten()) else { return Remote::Absent };
        match bag.decode(Self::ENCODING) {
            Ok(data) => Remote::Ready(data),
            Err(error) => Remote::Invalid(Self::explain(bag, &error)),
        }
    }

    /// Why a databag cannot be used, in words fit for a status message: names older versions of the interface.
    fn explain(_bag: &Databag, error: &DatabagError) -> String {
        error.to_string()
    }

    /// The databag that says this, without keys that have nothing in them.
    fn write(&self) -> Databag {
        // Texts, numbers, lists of them and maps with texts as keys always have a JSON form, and the wire types are
        // made of nothing else.
        Databag::encode(self, Self::ENCODING).unwrap_or_default()
    }

    /// The same as changes for [`Relation::set_app`](juju_ops::Relation::set_app) or `set_unit`: every key of
    /// [`Wire::KEYS`], deleted if it has nothing in it.
    fn changes(&self) -> Vec<(String, Option<String>)> {
        let mut bag = self.write();
        Self::KEYS.iter().map(|key| ((*key).to_owned(), bag.remove(key))).collect()
    }
}

/// The relation that the hook's event is about, if it is one of this endpoint's and is not breaking.
pub(crate) async fn relation_of_event(
    hook: &Hook,
    endpoint: &EndpointMeta,
) -> Result<Option<Relation>, ToolError> {
    let id = match hook.event() {
        Event::RelationCreated(of)
        | Event::RelationJoined(of)
        | Event::RelationChanged(of)
        | Event::RelationDeparted(of)
            if of.id.endpoint() == endpoint.name =>
        {
            &of.id
        }
        _ => return Ok(None),
    };
    Ok(hook.relations(&endpoint.name).await?.into_iter().find(|relation| relation.id() == id))
}

/// Each relation of an endpoint with what the other application has written.
pub(crate) async fn remote_apps<T: Wire>(
    hook: &Hook,
    endpoint: &EndpointMeta,
) -> Result<Vec<(Relation, Remote<T>)>, ToolError> {
    let read = |relation: Relation| async move {
        let data = T::read(relation.remote_app_data().await?.as_ref());
        Ok((relation, data))
    };
    try_join_all(hook.relations(&endpoint.name).await?.into_iter().map(read)).await
}

/// Plans to write the same into the application's databag of every relation of an endpoint, on the leader; other units
/// do nothing.
pub(crate) async fn tell_as_leader(
    hook: &Hook,
    endpoint: &EndpointMeta,
    data: &impl Wire,
) -> Result<(), ToolError> {
    if hook.is_leader().await? {
        for relation in hook.relations(&endpoint.name).await? {
            relation.set_app(data.changes());
        }
    }
    Ok(())
}

/// Plans to write the same into this unit's databag of every relation of an endpoint.
pub(crate) async fn tell_as_unit(
    hook: &Hook,
    endpoint: &EndpointMeta,
    data: &impl Wire,
) -> Result<(), ToolError> {
    for relation in hook.relations(&endpoint.name).await? {
        relation.set_unit(data.changes());
    }
    Ok(())
}

/// The units on the other side with what each of them has written.
pub(crate) async fn remote_units<T: Wire>(
    relation: &Relation,
) -> Result<BTreeMap<UnitName, Remote<T>>, ToolError> {
    let read = |unit: UnitName| async move {
        let data = T::read(relation.remote_unit_data(&unit).await?.as_ref());
        Ok((unit, data))
    };
    Ok(try_join_all(relation.units().await?.into_iter().map(read)).await?.into_iter().collect())
}

/// Text of another charm for a log line or status message: one line, not long.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    juju_ops::one_line(text, LIMIT)
}

/// Several such texts, and how many more there are.
pub(crate) fn list_shown<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    const LIMIT: usize = 5;
    let mut texts = texts.into_iter();
    let list = texts.by_ref().take(LIMIT).map(shown).collect::<Vec<_>>().join(", ");
    match texts.count() {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_to_one_short_line() {
        assert_eq!(shown("a\nb"), "a b");
        assert_eq!(shown(&"é".repeat(50)), format!("{}…", "é".repeat(40)));
        assert_eq!(list_shown(["a", "b"]), "a, b");
        assert_eq!(list_shown(["x"; 7]), "x, x, x, x, x and 2 more");
    }
}
