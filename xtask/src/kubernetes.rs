//! The tests against a real Kubernetes API: `etcd` and `kube-apiserver`, and nothing else of a cluster, in a folder that is
//! deleted afterwards.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, last_lines, show, text_of, which};
use crate::tools;

/// Options of `cargo xtask kubernetes`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Make the server, and run nothing
    #[arg(long)]
    only_tools: bool,
    /// Passed on to the tests, such as a test's name
    #[arg(last = true)]
    words: Vec<String>,
}

/// How many applications the tests may use: each is `tempo` in a namespace of its own, `obs-1` and so on.
const APPLICATIONS: u32 = 12;

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let server = tools::one("kube-apiserver")?;
    let Some(etcd) = which("etcd") else {
        bail!("etcd is not installed; on Debian, `apt-get install etcd-server` brings it");
    };
    if options.only_tools {
        println!("{}", server.display());
        return Ok(());
    }
    // The tests are compiled first: the servers need not wait for that.
    let words = ["test", "--locked", "--package", "tempo-coordinator-k8s", "--test", "kubernetes"];
    show(cargo().args(words).arg("--no-run"))?;

    let folder = Folder::new()?;
    let path = &folder.0;
    let [client, peer, api] = ports()?;
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut store = Command::new(etcd);
    store
        .args(["--unsafe-no-fsync", "--log-level=error", "--data-dir"])
        .arg(path.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")]);
    let mut store = Running::start(store, path, "etcd")?;

    let secret = secret()?;
    fs::write(path.join("secret"), &secret)?;
    fs::write(path.join("url"), format!("https://127.0.0.1:{api}"))?;
    fs::write(path.join("tokens.csv"), tokens(&secret))?;
    // The server makes this key and a certificate for itself. Nobody asks it for tokens, so that the key may serve for them too.
    let key = path.join("apiserver.key");
    let mut server = Command::new(server);
    server
        .args(["--bind-address=127.0.0.1", "--authorization-mode=RBAC"])
        .args(["--service-cluster-ip-range=10.152.183.0/24"])
        .args(["--service-account-issuer=https://kubernetes.default.svc"])
        .arg(format!("--secure-port={api}"))
        .arg(format!("--etcd-servers={client}"))
        .arg(with_path("--cert-dir", path))
        .arg(with_path("--token-auth-file", &path.join("tokens.csv")))
        .arg(with_path("--service-account-key-file", &key))
        .arg(with_path("--service-account-signing-key-file", &key));
    let mut server = Running::start(server, path, "kube-apiserver")?;

    // They wait for the server themselves.
    let tested = show(cargo().args(words).arg("--").args(&options.words).env("KUBERNETES_TEST", path));
    for process in [&mut store, &mut server] {
        if let Some(end) = process.ended()? {
            bail!("{end}");
        }
    }
    tested
}

fn with_path(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push("=");
    text.push(path);
    text
}

/// Who has which token: the administrator, an account without rights, and those of the applications.
fn tokens(secret: &str) -> String {
    let mut lines = vec![
        format!("{secret}-admin,admin,admin,system:masters"),
        format!("{secret}-nobody,system:serviceaccount:other:app,nobody,"),
    ];
    lines
        .extend((1..=APPLICATIONS).map(|n| format!("{secret}-{n},system:serviceaccount:obs-{n}:tempo,{n},")));
    lines.join("\n") + "\n"
}

/// What all tokens start with, so that nobody else on this machine knows them.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("reading /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Ports that nobody listens on at the moment.
fn ports<const N: usize>() -> Result<[u16; N]> {
    // All are held at once, so that they differ.
    let held = std::array::from_fn::<_, N, _>(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener.context("binding a port of 127.0.0.1")?.local_addr()?.port();
    }
    Ok(ports)
}

/// A folder that is deleted in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("kubernetes-{}", std::process::id()));
        // Tokens are in it.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with its output in a file; it ends with this value.
struct Running {
    child: Child,
    line: String,
    log: PathBuf,
}

impl Running {
    fn start(mut command: Command, folder: &Path, name: &str) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let line = text_of(&command);
        let child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self { child, line, log })
    }

    /// How it ended, if it did so by itself.
    fn ended(&mut self) -> Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        Ok(Some(format!("`{}` ended with {status}:\n{}", self.line, last_lines(&text, 20))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_application_has_a_token_of_its_own() {
        let text = tokens("s");
        assert_eq!(text.lines().count(), APPLICATIONS as usize + 2);
        assert!(text.contains("\ns-1,system:serviceaccount:obs-1:tempo,1,\n"), "{text}");
    }

    #[test]
    fn ports_differ_and_can_be_listened_on() {
        let [one, other] = ports().unwrap();
        assert_ne!(one, other);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, one)).is_ok());
    }

    #[test]
    fn a_server_that_ends_by_itself_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such store; exit 3"]);
        let mut running = Running::start(command, folder.path(), "sh").unwrap();
        running.child.wait().unwrap();
        let end = running.ended().unwrap().unwrap();
        assert!(end.contains("exit status: 3") && end.ends_with("no such store"), "{end}");
    }
}
