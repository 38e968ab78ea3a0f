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
    /// Whether the message is all of the answer.
    plain: bool,
}

/// A field that somebody owns and another one applies a different value to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The owner.
    pub(super) manager: String,
    /// Whether it owns the field by applying, and not by an update.
    pub(super) applied: bool,
    /// The field, as messages have it.
    pub(super) path: String,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new(), plain: false }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        for (key, value) in [("name", name), ("group", resource.group), ("kind", resource.plural)] {
            if !value.is_empty() {
                self.details.insert(key.to_owned(), value.into());
            }
        }
        self
    }

    /// Plain text, as few answers are.
    pub(super) fn plain(code: u16, text: &str) -> Self {
        Self { plain: true, ..Self::new(code, "", text) }
    }

    /// Nothing is served at this path.
    pub(super) fn no_such_path() -> Self {
        Self::plain(404, "404 page not found\n")
    }

    /// Its group and version are served, but no such resource in it.
    pub(super) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
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

    /// Others own what was applied.
    pub(super) fn apply_conflict(api_version: &str, conflicts: &[Conflict]) -> Self {
        // Who owns by an update is named with the version of the update.
        let with = |conflict: &Conflict| {
            let using = if conflict.applied { String::new() } else { format!(" using {api_version}") };
            format!("with \"{}\"{using}", conflict.manager)
        };
        let mut owners: Vec<String> = conflicts.iter().map(with).collect();
        owners.dedup();
        let listed = if let [one] = conflicts {
            format!("conflict {}: {}", with(one), one.path)
        } else {
            let of = |owner: &String| {
                let theirs = conflicts.iter().filter(|conflict| with(conflict) == *owner);
                let lines: Vec<_> = theirs.map(|conflict| format!("- {}", conflict.path)).collect();
                format!("conflicts {owner}:\n{}", lines.join("\n"))
            };
            owners.iter().map(of).collect::<Vec<_>>().join("\n")
        };
        let plural = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
        let message = format!("Apply failed with {} {plural}: {listed}", conflicts.len());
        let mut refusal = Self::new(409, "Conflict", message);
        let cause = |conflict: &Conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict {}", with(conflict)),
                "field": conflict.path,
            })
        };
        refusal.details.insert("causes".to_owned(), conflicts.iter().map(cause).collect());
        refusal
    }

    /// A client names another object or version than the one there is.
    pub(super) fn precondition(
        resource: &Resource,
        name: &str,
        field: &str,
        wanted: &str,
        has: &str,
    ) -> Self {
        let lesson = if field == "UID" { "deleted and then recreated" } else { "modified" };
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the {field} in the precondition ({wanted}) does not \
             match the {field} in record ({has}). The object might have been {lesson}",
            resource.qualified_kind(),
        );
        let mut refusal = Self::new(409, "Conflict", message).about(resource, name);
        refusal.details.insert("kind".to_owned(), resource.kind.into());
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
        if self.plain {
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
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        Answer::json(self.code, &status)
    }
}

/// What a client is told whose copy is an old one.
pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";
