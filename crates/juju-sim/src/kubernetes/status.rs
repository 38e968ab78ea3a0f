//! Answers that are not objects: `Status`, as the real server words it.

use serde_json::{Map, Value, json};

use super::{cluster::Answer, resource::Resource};

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new() }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        for (key, value) in [("name", name), ("group", resource.group), ("kind", resource.plural)] {
            if !value.is_empty() {
                self.details.insert(key.to_owned(), value.into());
            }
        }
        self
    }

    /// Nothing is served at this path: the one answer that is plain text.
    pub(super) fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub(super) fn exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// The object is another one than the client thinks.
    pub(super) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// Others own what was applied: pairs of manager and path.
    pub(super) fn apply_conflict(api_version: &str, conflicts: &[(String, String)]) -> Self {
        let plural = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
        let mut managers: Vec<&str> = conflicts.iter().map(|(manager, _)| manager.as_str()).collect();
        managers.dedup();
        let with = |manager: &str| format!("with \"{manager}\" using {api_version}");
        let listed = match (&managers[..], conflicts) {
            ([manager], [(_, path)]) => format!("conflict {}: {path}", with(manager)),
            _ => {
                let of = |manager: &str| {
                    let paths = conflicts.iter().filter(|(other, _)| other == manager);
                    let lines: Vec<_> = paths.map(|(_, path)| format!("- {path}")).collect();
                    format!("conflicts {}:\n{}", with(manager), lines.join("\n"))
                };
                managers.iter().map(|manager| of(manager)).collect::<Vec<_>>().join("\n")
            }
        };
        let message = format!("Apply failed with {} {plural}: {listed}", conflicts.len());
        let mut refusal = Self::new(409, "Conflict", message);
        let cause = |(manager, path): &(String, String)| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict {}", with(manager)),
                "field": path,
            })
        };
        refusal.details.insert("causes".to_owned(), conflicts.iter().map(cause).collect());
        refusal
    }

    pub(super) fn forbidden(resource: &Resource, name: &str, user: &str, verb: &str, place: &str) -> Self {
        let named = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        let message = format!(
            "{}{named} is forbidden: User \"{user}\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
            resource.qualified(),
            resource.plural,
            resource.group,
        );
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The object would not be a valid one: `field: what is wrong`.
    pub(super) fn invalid(resource: &Resource, name: &str, problems: &[String]) -> Self {
        let listed = match problems {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {listed}", resource.qualified_kind());
        let mut refusal = Self::new(422, "Invalid", message).about(resource, name);
        refusal.details.insert("kind".to_owned(), resource.kind.into());
        refusal
    }

    pub(super) fn method() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// A fault that a test asked for.
    pub(super) fn of_code(
        code: u16,
        resource: Option<&Resource>,
        name: &str,
        user: &str,
        verb: &str,
    ) -> Self {
        match (code, resource) {
            (401, _) => Self::unauthorized(),
            (403, Some(resource)) => Self::forbidden(resource, name, user, verb, "at the cluster scope"),
            (404, Some(resource)) => Self::not_found(resource, name),
            (409, Some(resource)) => Self::conflict(resource, name, MODIFIED),
            (500, _) => Self::new(500, "InternalError", "Internal error occurred: simulated"),
            (503, _) => {
                Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")
            }
            (504, _) => {
                Self::new(504, "Timeout", "the server was unable to return a response in the time allotted")
            }
            (429, _) => Self::new(429, "TooManyRequests", "the server has received too many requests"),
            _ => Self::new(code, "Unknown", "simulated"),
        }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(super) fn answer(&self) -> Answer {
        if self.reason.is_empty() {
            return Answer {
                status: self.code,
                content_type: "text/plain; charset=utf-8",
                body: self.message.clone().into_bytes(),
            };
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        Answer::json(self.code, &status)
    }
}

/// What a client is told whose copy is an old one.
pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";
