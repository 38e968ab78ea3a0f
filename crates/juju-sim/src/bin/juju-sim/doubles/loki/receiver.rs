//! What takes lines in the place of a Loki: it counts them by their labels, and keeps the newest of each kind.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;

/// Where lines are pushed to.
pub(crate) const PUSH: &str = "/loki/api/v1/push";
/// Where to see what has come.
pub(crate) const STREAMS: &str = "/streams";
/// The most bytes of a request.
const LIMIT: usize = 16 << 20;
/// The most kinds of lines that are told apart; further ones are refused, as Loki does.
const MOST: usize = 1000;
/// How many lines of a kind are kept.
const KEPT: usize = 100;

/// How it is started.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
}

/// The lines that have the same labels.
#[derive(Debug, Default)]
struct Stream {
    count: u64,
    newest: VecDeque<String>,
}

/// What has come, by labels.
#[derive(Debug, Default)]
struct Streams(BTreeMap<BTreeMap<String, String>, Stream>);

/// A request to take lines.
#[derive(Deserialize)]
struct Push {
    streams: Vec<Pushed>,
}

#[derive(Deserialize)]
struct Pushed {
    stream: BTreeMap<String, String>,
    /// Nanoseconds since 1970, the line, and what newer senders add.
    values: Vec<Vec<serde_json::Value>>,
}

impl Streams {
    /// Takes the lines of one request: all, or none and why.
    fn push(&mut self, body: &[u8]) -> Result<(), String> {
        let push: Push = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut lines = Vec::new();
        for Pushed { stream, values } in push.streams {
            if stream.is_empty() {
                return Err("at least one label pair is required per stream".to_owned());
            }
            for value in values {
                let line = match &value[..] {
                    [time, line, ..] if time.as_str().is_some_and(|time| time.parse::<u64>().is_ok()) => {
                        line.as_str()
                    }
                    _ => None,
                };
                lines.push((stream.clone(), line.ok_or("a value is not a time and a line")?.to_owned()));
            }
        }
        for (labels, line) in lines {
            if self.0.len() >= MOST && !self.0.contains_key(&labels) {
                return Err("too many streams".to_owned());
            }
            let stream = self.0.entry(labels).or_default();
            stream.count += 1;
            stream.newest.push_back(line);
            if stream.newest.len() > KEPT {
                stream.newest.pop_front();
            }
        }
        Ok(())
    }

    /// A list of objects with `labels`, `count` and the `newest` lines.
    fn shown(&self) -> serde_json::Value {
        let shown = |(labels, stream): (&BTreeMap<String, String>, &Stream)| serde_json::json!({"labels": labels, "count": stream.count, "newest": stream.newest});
        self.0.iter().map(shown).collect()
    }
}

impl ReceiverArgs {
    /// Takes lines until it is ended.
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let listener =
            TcpListener::bind(self.listen).await.with_context(|| format!("listening on {}", self.listen))?;
        let streams = Arc::new(Mutex::new(Streams::default()));
        loop {
            let (stream, _) = listener.accept().await?;
            let streams = Arc::clone(&streams);
            let service = service_fn(move |request| {
                let streams = Arc::clone(&streams);
                async move { Ok::<_, Infallible>(answer(request, &streams).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }
}

async fn answer(request: Request<Incoming>, streams: &Mutex<Streams>) -> Response<Full<Bytes>> {
    let respond = |status, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/ready") => respond(StatusCode::OK, "ready\n".to_owned()),
        (&Method::GET, STREAMS) => {
            let shown = streams.lock().unwrap_or_else(PoisonError::into_inner).shown();
            respond(StatusCode::OK, shown.to_string())
        }
        (&Method::POST, PUSH) => {
            let body = match Limited::new(request.into_body(), LIMIT).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return respond(StatusCode::BAD_REQUEST, error.to_string()),
            };
            match streams.lock().unwrap_or_else(PoisonError::into_inner).push(&body) {
                Ok(()) => respond(StatusCode::NO_CONTENT, String::new()),
                Err(reason) => respond(StatusCode::BAD_REQUEST, reason),
            }
        }
        _ => respond(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_their_labels() {
        let mut streams = Streams::default();
        let push = r#"{"streams": [
            {"stream": {"juju_unit": "a/0"}, "values": [["1", "one"], ["2", "two", {"more": "x"}]]},
            {"stream": {"juju_unit": "a/1"}, "values": [["1", "three"]]}
        ]}"#;
        streams.push(push.as_bytes()).unwrap();
        streams
            .push(br#"{"streams": [{"stream": {"juju_unit": "a/1"}, "values": [["3", "four"]]}]}"#)
            .unwrap();
        assert_eq!(
            streams.shown(),
            serde_json::json!([
                {"labels": {"juju_unit": "a/0"}, "count": 2, "newest": ["one", "two"]},
                {"labels": {"juju_unit": "a/1"}, "count": 2, "newest": ["three", "four"]},
            ])
        );
    }

    #[test]
    fn of_a_request_that_makes_no_sense_nothing_is_taken() {
        let mut streams = Streams::default();
        for push in [
            "",
            "{}",
            r#"{"streams": [{"stream": {}, "values": [["1", "x"]]}]}"#,
            r#"{"streams": [{"stream": {"a": "b"}, "values": [["1", "x"], ["now", "x"]]}]}"#,
            r#"{"streams": [{"stream": {"a": "b"}, "values": [["1"]]}]}"#,
        ] {
            assert!(streams.push(push.as_bytes()).is_err(), "{push}");
        }
        assert_eq!(streams.shown(), serde_json::json!([]));
    }
}
