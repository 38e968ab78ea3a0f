//! The client against servers that do what the real daemon does seldom or never.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use juju_pebble::{
    AddLayer, ChangeFilter, ChangeId, CheckAction, Client, Error, Exec, FileWrite, Layer, Limits, MakeDir,
    NoticeFilter, Notify, Owner, Pebble as _, PebbleExt as _,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::Instant,
};

/// A server that answers each request line with the bytes that a function gives, then hangs up; after no
/// bytes it keeps the connection open and says nothing.
struct Server {
    client: Client,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl Server {
    fn start(answer: impl Fn(&str, usize) -> Vec<u8> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let line = read_request(&mut stream).await;
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(line.clone());
                    seen.len()
                };
                let bytes = answer(&line, number);
                if bytes.is_empty() {
                    silent.push(stream);
                } else {
                    let _ = stream.write_all(&bytes).await;
                }
            }
        });
        let limits = Limits {
            call: Duration::from_millis(500),
            files: Duration::from_millis(500),
            ..Limits::default()
        };
        Self { client: Client::new(socket).with_limits(limits), requests, task, _folder: folder }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a whole request; returns its method and target.
async fn read_request(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body).await;
    head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned()
}

fn http(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn json(status: u16, body: &str) -> Vec<u8> {
    http(status, "application/json", body)
}

const READY: &str = r#"{"type":"sync","result":{"id":"1","ready":true,"status":"Done"}}"#;
const DOING: &str = r#"{"type":"sync","result":{"id":"1","ready":false,"status":"Doing"}}"#;
const LATER: &str = r#"{"type":"error","status-code":504,"result":{"message":"timed out"}}"#;
const NO_PAGE: &str =
    r#"{"type":"error","status-code":404,"result":{"message":"invalid API endpoint requested"}}"#;

fn change() -> ChangeId {
    ChangeId("1".into())
}

#[tokio::test]
async fn a_daemon_that_says_nothing_is_not_waited_for() {
    let server = Server::start(|_, _| Vec::new());
    let now = Instant::now();
    let result = server.client.system_info().await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
    assert!(now.elapsed() < Duration::from_secs(5));
    // The same where the daemon is asked to take its time.
    let result = server.client.wait_change(&change(), Duration::from_millis(300)).await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
    assert!(now.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_lost_connection() {
    for cut in [1, 10, 60, 100] {
        let server = Server::start(move |_, _| http(200, "application/json", DOING)[..cut].to_vec());
        let failure = server.client.system_info().await.unwrap_err();
        assert!(failure.is_connection(), "cut at {cut}: {failure:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_not_pebble() {
    let server = Server::start(|_, _| b"220 mail.example.com ESMTP\r\n\r\n".to_vec());
    let result = server.client.system_info().await;
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
}

#[tokio::test]
async fn waiting_goes_on_after_each_slice() {
    let server = Server::start(|_, number| if number < 4 { json(504, LATER) } else { json(200, READY) });
    assert!(server.client.wait_change(&change(), Duration::from_mins(1)).await.unwrap().ready);
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    // Each slice is shorter than the time of one call.
    assert!(requests.iter().all(|line| line == "GET /v1/changes/1/wait?timeout=400000us"), "{requests:?}");
}

#[tokio::test]
async fn waiting_has_a_limit_over_all_slices() {
    let server = Server::start(|_, _| json(504, LATER));
    let now = Instant::now();
    let result = server.client.wait_change(&change(), Duration::from_millis(200)).await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
    assert!(now.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_old_daemon_that_cannot_wait_is_asked_again_and_again() {
    let server = Server::start(|line, number| match (line.contains("/wait"), number) {
        (true, _) => json(404, NO_PAGE),
        (false, ..5) => json(200, DOING),
        (false, _) => json(200, READY),
    });
    assert!(server.client.wait_change(&change(), Duration::from_mins(1)).await.unwrap().ready);
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_command_whose_streams_are_refused_reports_the_reason_of_its_change() {
    let server = Server::start(|line, _| match line {
        "POST /v1/exec" => json(202, r#"{"type":"async","change":"1","result":{"task-id":"2"}}"#),
        "GET /v1/changes/1" => {
            json(200, r#"{"type":"sync","result":{"id":"1","ready":true,"err":"the real reason"}}"#)
        }
        _ => json(404, r#"{"type":"error","status-code":404,"result":{"message":"cannot find task \"2\""}}"#),
    });
    let exec = Exec { command: vec!["x".into()], ..Exec::default() };
    let result = server.client.exec(&exec).await;
    assert!(matches!(&result, Err(Error::Change { message }) if message == "the real reason"), "{result:?}");
    assert_eq!(server.requests()[1], "GET /v1/tasks/2/websocket/control");
}

#[tokio::test]
async fn files_and_results_must_fit_together() {
    let part = |name: &str, body: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n")
    };
    let good = r#"{"type":"sync","result":[{"path":"/a"}]}"#;
    for (body, expected) in [
        (part("files", "text") + &part("response", good) + "--b--", Some("text")),
        (part("response", good) + "--b--", None),
        (part("response", good) + &part("files", "text") + "--b--", None),
        (part("files", "text") + "--b--", None),
        (
            part("files", "text")
                + &part("response", r#"{"type":"sync","result":[{"path":"/b"}]}"#)
                + "--b--",
            None,
        ),
        (part("files", "text") + &part("response", r#"{"type":"sync","result":[]}"#) + "--b--", None),
        (part("files", "text") + &part("response", "{") + "--b--", None),
        (part("files", "text"), None),
        (String::new(), None),
    ] {
        let answer = http(200, "multipart/form-data; boundary=b", &body);
        let server = Server::start(move |_, _| answer.clone());
        match (server.client.read_file("/a").await, expected) {
            (Ok(Some(content)), Some(expected)) => assert_eq!(content, expected.as_bytes()),
            (Err(Error::Protocol(_)), None) => {}
            other => panic!("{other:?} of {body}"),
        }
    }
}

#[tokio::test]
async fn without_the_right_to_read_files_the_daemon_says_so() {
    let denied =
        r#"{"type":"error","status-code":401,"result":{"message":"access denied","kind":"login-required"}}"#;
    let server = Server::start(move |_, _| json(401, denied));
    let result = server.client.read_file("/a").await;
    assert!(
        matches!(&result, Err(Error::Api { status: 401, message, .. }) if message == "access denied"),
        "{result:?}"
    );
}

#[tokio::test]
async fn null_is_an_empty_list() {
    let server = Server::start(|_, _| json(200, r#"{"type":"sync","result":null}"#));
    let client = &server.client;
    assert_eq!(client.services(&[]).await.unwrap(), []);
    assert_eq!(client.checks(&[]).await.unwrap(), []);
    assert_eq!(client.changes(ChangeFilter::All, None).await.unwrap(), []);
    assert_eq!(client.notices(&NoticeFilter::default()).await.unwrap(), []);
    assert_eq!(client.list_files("/", None).await.unwrap(), []);
    assert_eq!(client.change_checks(CheckAction::Start, &["a"]).await.unwrap(), [""; 0]);
}

/// Whatever comes back, every verb returns, without a panic and in bounded time.
#[tokio::test]
async fn any_answer_is_survived() {
    let results = [
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "\"\"",
        "\"{\"",
        "\"a: [\"",
        "\"services: {a: 1}\"",
        "\"&a [*a]\"",
        "[]",
        "[null]",
        "[[]]",
        "[{}]",
        "[{\"path\":null}]",
        "[{\"error\":{}}]",
        "[{\"path\":\"/x\",\"error\":{\"kind\":\"not-found\"}}]",
        "{}",
        "{\"id\":1}",
        "{\"id\":\"1\",\"ready\":true}",
        "{\"id\":\"1\",\"ready\":true,\"tasks\":[{\"id\":\"1\",\"data\":{\"exit-code\":1e40}}]}",
        "{\"task-id\":\"../..?#\"}",
        "{\"healthy\":1}",
        "{\"boot-id\":\"\",\"version\":\"\"}",
    ];
    let mut bodies: Vec<String> = vec![String::new(), "{".into(), "[".repeat(10_000), "\u{0}".into()];
    for result in results {
        for kind in ["sync", "async", "error", "what"] {
            bodies.push(format!(r#"{{"type":"{kind}","change":"1","result":{result}}}"#));
        }
    }
    let (folder_count, file) = (bodies.len(), FileWrite { path: "/x".into(), content: vec![1], mode: 0o600 });
    assert!(folder_count > 90);
    for body in bodies {
        let text = body.clone();
        let server = Server::start(move |line, _| {
            let boundary = "multipart/form-data; boundary=b";
            let multipart =
                format!("--b\r\n\r\n\r\n--b\r\nContent-Disposition: a; name=response\r\n\r\n{text}\r\n--b--");
            if line.contains("action=read") {
                http(200, boundary, multipart)
            } else {
                http(200, "application/json", &text)
            }
        });
        let short = Limits {
            change: Duration::from_millis(20),
            exec: Duration::from_millis(20),
            ..server.client.limits()
        };
        let client = server.client.clone().with_limits(short);
        let exec = Exec { command: vec!["x".into()], ..Exec::default() };
        let all = async {
            let _ = client.system_info().await;
            let _ = client.plan().await;
            let _ = client.add_layer_with("l", &Layer::default(), AddLayer::default()).await;
            let _ = client.services(&["a"]).await;
            let _ = client.replan().await;
            let _ = client.signal("SIGHUP", &["a"]).await;
            let _ = client.read_file("/x").await;
            let _ = client.write_file(&file).await;
            let _ = client.remove_file("/x").await;
            let _ = client.exec(&exec).await;
            let _ = client.health(None, &["a"]).await;
            let _ = client.checks(&[]).await;
            let _ = client.change_checks(CheckAction::Stop, &["a"]).await;
            let _ = client.change(&change()).await;
            let _ = client.changes(ChangeFilter::Ready, Some("a")).await;
            let _ = client.abort_change(&change()).await;
            let _ = client.list_files("/x", Some("*")).await;
            let _ = client.file_info("/x").await;
            let _ = client.make_dir("/x", &MakeDir { owner: Owner::user("u"), ..MakeDir::default() }).await;
            let _ = client.remove_path("/x", true).await;
            let _ = client.notify(&Notify::default()).await;
            let _ = client.notices(&NoticeFilter::default()).await;
            let _ = client.logs(&[], 1).await;
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), all).await.is_ok(), "{body}");
    }
}
