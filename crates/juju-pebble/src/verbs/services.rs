//! Services: what they do now, and what they should do.

use serde::Serialize;

#[cfg(doc)]
use crate::Pebble;
use crate::{ChangeId, Client, Error, LogEntry, ServiceAction, ServiceInfo, wire};

impl Client {
    pub(crate) async fn list_services(&self, names: &[&str]) -> Result<Vec<ServiceInfo>, Error> {
        let services: Option<_> = self.get(named("/v1/services", names)).await?;
        Ok(services.unwrap_or_default())
    }

    /// Begins what [`Pebble::change_services`] does, and leaves it to the caller to wait.
    pub async fn begin_change(&self, action: ServiceAction, names: &[&str]) -> Result<ChangeId, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            action: ServiceAction,
            services: &'a [&'a str],
        }
        let reply = self.post("/v1/services", &Body { action, services: names }).await?;
        Ok(reply.change::<serde_json::Value>()?.0)
    }

    pub(crate) async fn send_signal(&self, signal: &str, names: &[&str]) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            signal: &'a str,
            services: &'a [&'a str],
        }
        self.order("/v1/signals", &Body { signal, services: names }).await
    }

    /// The last `count` lines that the named services wrote, or all services when none is named.
    pub(crate) async fn read_logs(&self, names: &[&str], count: u32) -> Result<Vec<LogEntry>, Error> {
        let count = count.to_string();
        let names = names.join(",");
        let mut query = vec![("n", count.as_str())];
        if !names.is_empty() {
            query.push(("services", names.as_str()));
        }
        let request = self.request(hyper::Method::GET, wire::target("/v1/logs", &query));
        let answer = self.transport.send(request).await?;
        if answer.status != 200 || answer.content_type.starts_with("application/json") {
            // Not lines but one document, which says why.
            return wire::envelope::decode(answer.status, &answer.body)?.sync();
        }
        let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).map_err(|error| Error::Protocol(error.to_string())))
            .collect()
    }
}

impl Client {
    /// Pebble's own metrics (starts of services, results of checks) in the text format of OpenMetrics.
    ///
    /// # Errors
    /// [`Error::Api`] with status 401 for who has no [`Access::Metrics`](crate::Access).
    pub async fn metrics(&self) -> Result<String, Error> {
        let answer = self.transport.send(self.request(hyper::Method::GET, "/v1/metrics".into())).await?;
        if answer.status != 200 {
            return wire::envelope::decode(answer.status, &answer.body)?.sync();
        }
        String::from_utf8(answer.body).map_err(|error| Error::Protocol(error.to_string()))
    }
}

/// A path that asks for the things of these names, or all.
pub(crate) fn named(path: &str, names: &[&str]) -> String {
    if names.is_empty() { path.to_owned() } else { wire::target(path, &[("names", &names.join(","))]) }
}
