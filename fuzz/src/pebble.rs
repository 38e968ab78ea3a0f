//! What a Pebble answers.

use std::cell::OnceCell;
use std::time::Duration;

use juju_pebble::{ChangeFilter, ChangeId, Client, Error, Layer, Limits, NoticeFilter, Pebble as _};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};

/// A layer, and every answer of a daemon, is read or refused in words. The first letter of an input says of what the rest
/// is an answer: `l` of nobody, it is a layer; `f` to a question for files, as parts of a form; `r` to any question, with
/// its own HTTP; and others to one question each, as JSON.
pub fn pebble(data: &[u8]) {
    let Some((kind, answer)) = data.split_first() else { return };
    if *kind == b'l' {
        return layer(&String::from_utf8_lossy(answer));
    }
    PEER.with(|peer| {
        let peer = peer.get_or_init(Peer::new);
        let (content_type, raw) = match kind {
            b'f' => ("multipart/form-data; boundary=01234567", false),
            _ => ("application/json", *kind == b'r'),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.len()
        );
        let bytes = if raw { answer.to_vec() } else { [head.as_bytes(), answer].concat() };
        if let Err(error) = peer.ask(*kind, &bytes) {
            assert!(!error.to_string().is_empty());
            assert!(!matches!(error, Error::Timeout(_)), "{error}");
        }
    });
}

/// A layer keeps its meaning when it is written, and is what it is with itself on top.
fn layer(text: &str) {
    let Ok(layer) = Layer::from_yaml(text) else { return };
    let mut plan = Layer::default();
    plan.combine(&layer);
    assert!(plan.same_as(&plan));
    let written = layer.to_yaml().expect("what was read can be written");
    let again = Layer::from_yaml(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert!(again.same_as(&layer), "{text:?} became {written:?}");
}

thread_local! {
    static PEER: OnceCell<Peer> = const { OnceCell::new() };
}

/// A client, and who answers it.
struct Peer {
    runtime: Runtime,
    listener: UnixListener,
    client: Client,
    _folder: TempDir,
}

impl Peer {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let listener = runtime.block_on(async { UnixListener::bind(&socket) }).expect("a socket");
        let limits = Limits { call: Duration::from_secs(5), size: 1 << 20, ..Limits::default() };
        let client = Client::new(socket).with_limits(limits);
        Self { runtime, listener, client, _folder: folder }
    }

    /// Asks one question, which is answered with these bytes before the connection ends.
    fn ask(&self, kind: u8, answer: &[u8]) -> Result<(), Error> {
        self.runtime.block_on(async {
            let serve = async {
                loop {
                    let Ok((mut stream, _)) = self.listener.accept().await else { continue };
                    // Questions are short, and come at once.
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(answer).await;
                }
            };
            tokio::select! {
                () = serve => Ok(()),
                result = self.question(kind) => result,
            }
        })
    }

    async fn question(&self, kind: u8) -> Result<(), Error> {
        let client = &self.client;
        match kind {
            b'f' => client.read_files(&["/a", "/b"]).await.map(drop),
            b'c' => client.changes(ChangeFilter::All, None).await.map(drop),
            b'd' => client.change(&ChangeId("1".to_owned())).await.map(drop),
            b'p' => client.plan().await.map(drop),
            b's' => client.services(&[]).await.map(drop),
            b'h' => client.checks(&[]).await.map(drop),
            b'n' => client.notices(&NoticeFilter::default()).await.map(drop),
            b'g' => client.logs(&[], 5).await.map(drop),
            b'i' => client.identities().await.map(drop),
            b't' => client.list_files("/", None).await.map(drop),
            _ => client.system_info().await.map(drop),
        }
    }
}
