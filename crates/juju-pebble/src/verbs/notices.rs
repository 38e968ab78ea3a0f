//! Notices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Client, Error, Notice, NoticeFilter, Notify, wire, wire::duration};

impl Client {
    /// Records an occurrence of a custom notice; returns the notice's number.
    ///
    /// # Errors
    /// [`Error::Api`] with status 400 when the key has no `domain/path` form or is too long.
    pub(crate) async fn add_notice(&self, notice: &Notify) -> Result<String, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Add<'a> {
            action: &'static str,
            r#type: &'static str,
            key: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            repeat_after: Option<String>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            data: &'a BTreeMap<String, String>,
        }
        #[derive(Deserialize)]
        struct Added {
            id: String,
        }
        let body = Add {
            action: "add",
            r#type: "custom",
            key: &notice.key,
            repeat_after: notice.repeat_after.map(duration::to_go),
            data: &notice.data,
        };
        Ok(self.post("/v1/notices", &body).await?.sync::<Added>()?.id)
    }

    /// Notices that the caller may see, the one repeated last at the end.
    pub(crate) async fn read_notices(&self, filter: &NoticeFilter) -> Result<Vec<Notice>, Error> {
        let mut query: Vec<(&str, &str)> = Vec::new();
        query.extend(filter.types.iter().map(|kind| ("types", kind.as_str())));
        query.extend(filter.keys.iter().map(|key| ("keys", key.as_str())));
        query.extend(filter.after.iter().map(|after| ("after", after.as_str())));
        let notices: Option<_> = self.get(wire::target("/v1/notices", &query)).await?;
        Ok(notices.unwrap_or_default())
    }
}
