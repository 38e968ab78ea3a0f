//! The JSON document around every answer but file contents and logs.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{ChangeId, Error};

/// What an answer says when it is not an error.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// The result, perhaps `null`.
    Sync(Value),
    /// Work goes on in this change; the result is what is known already.
    Async(ChangeId, Value),
}

impl Reply {
    /// The result of an answer that must be final.
    pub(crate) fn sync<T: DeserializeOwned>(self) -> Result<T, Error> {
        match self {
            Self::Sync(result) => typed(result),
            Self::Async(change, _) => Err(Error::Protocol(format!("expected a result, got change {change}"))),
        }
    }

    /// The change, and what is known already, of an answer that must start one.
    pub(crate) fn change<T: DeserializeOwned>(self) -> Result<(ChangeId, T), Error> {
        match self {
            Self::Async(change, result) => Ok((change, typed(result)?)),
            Self::Sync(_) => Err(Error::Protocol("expected a change, got a result".into())),
        }
    }
}

fn typed<T: DeserializeOwned>(result: Value) -> Result<T, Error> {
    serde_json::from_value(result).map_err(|error| Error::Protocol(error.to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    status_code: Option<u16>,
    change: Option<ChangeId>,
    #[serde(default)]
    result: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure {
    message: String,
    kind: String,
}

/// Reads an answer with this HTTP status.
///
/// The document's `type` decides, not the status: an unhealthy `/v1/health` is a result with status 502.
pub(crate) fn decode(status: u16, body: &[u8]) -> Result<Reply, Error> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // A path that the daemon's router moves or refuses, or no Pebble at all.
        Err(_) if status >= 300 => {
            return Err(Error::Api { status, kind: String::new(), message: excerpt(body) });
        }
        Err(error) => return Err(Error::Protocol(format!("{error}: {}", excerpt(body)))),
    };
    match envelope.kind.as_str() {
        "sync" => Ok(Reply::Sync(envelope.result)),
        "async" => match envelope.change {
            Some(change) if !change.0.is_empty() => Ok(Reply::Async(change, envelope.result)),
            _ => Err(Error::Protocol("an asynchronous answer without a change".into())),
        },
        "error" => {
            let failure: Failure = serde_json::from_value(envelope.result).unwrap_or_default();
            Err(Error::Api {
                status: envelope.status_code.unwrap_or(status),
                kind: failure.kind,
                message: if failure.message.is_empty() { "no reason given".into() } else { failure.message },
            })
        }
        other => Err(Error::Protocol(format!("unknown type {other:?} of an answer"))),
    }
}

/// The beginning of a body, for a message.
pub(crate) fn excerpt(body: &[u8]) -> String {
    const LENGTH: usize = 200;
    let text = String::from_utf8_lossy(&body[..body.len().min(LENGTH)]);
    let text = text.trim();
    if body.len() > LENGTH { format!("{text}…") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Reply, decode};
    use crate::{ChangeId, Error};

    #[test]
    fn a_result() {
        let reply = decode(200, br#"{"type":"sync","status-code":200,"status":"OK","result":[1]}"#).unwrap();
        assert_eq!(reply.sync::<Vec<u8>>().unwrap(), [1]);
    }

    #[test]
    fn a_result_may_be_absent_and_other_keys_present() {
        let body = br#"{"type":"sync","latest-warning":"2026-01-01T00:00:00Z","maintenance":{"kind":"daemon-restart","message":"m"}}"#;
        assert_eq!(decode(200, body).unwrap(), Reply::Sync(json!(null)));
    }

    #[test]
    fn the_type_decides_and_not_the_status() {
        let reply = decode(502, br#"{"type":"sync","status-code":502,"result":{"healthy":false}}"#).unwrap();
        assert_eq!(reply, Reply::Sync(json!({"healthy": false})));
    }

    #[test]
    fn a_change() {
        let body = br#"{"type":"async","status-code":202,"change":"7","result":null}"#;
        assert_eq!(decode(202, body).unwrap().change::<()>().unwrap(), (ChangeId("7".into()), ()));
        assert!(matches!(decode(202, br#"{"type":"async","change":""}"#), Err(Error::Protocol(_))));
        assert!(matches!(decode(202, body).unwrap().sync::<()>(), Err(Error::Protocol(_))));
        assert!(matches!(
            decode(200, br#"{"type":"sync"}"#).unwrap().change::<()>(),
            Err(Error::Protocol(_))
        ));
    }

    #[test]
    fn a_refusal() {
        let body = br#"{"type":"error","status-code":404,"result":{"message":"no","kind":"not-found"}}"#;
        let Err(Error::Api { status, kind, message }) = decode(400, body) else { panic!("not a refusal") };
        assert_eq!((status, kind.as_str(), message.as_str()), (404, "not-found", "no"));
    }

    #[test]
    fn a_refusal_without_kind_or_result() {
        let body = br#"{"type":"error","status-code":400,"result":{"message":"no"}}"#;
        assert!(matches!(decode(400, body), Err(Error::Api { kind, .. }) if kind.is_empty()));
        assert!(matches!(decode(500, br#"{"type":"error"}"#), Err(Error::Api { status: 500, .. })));
    }

    #[test]
    fn no_pebble_at_all() {
        assert!(
            matches!(decode(404, b"<html>"), Err(Error::Api { status: 404, message, .. }) if message == "<html>")
        );
        assert!(matches!(decode(301, b""), Err(Error::Api { status: 301, .. })));
        assert!(matches!(decode(200, b"<html>"), Err(Error::Protocol(_))));
        assert!(matches!(decode(200, br#"{"type":"other"}"#), Err(Error::Protocol(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(status in 100..600u16, body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(status, &body);
        }
    }
}
