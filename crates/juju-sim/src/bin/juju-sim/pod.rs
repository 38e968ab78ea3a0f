//! Pods: one network namespace each, and in it the charm's container and the workloads', each with its own root and processes.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use juju_sim::model::Image;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    dns::CLUSTER,
    enter::{Bind, Enter, Exec, INSIDE, Root},
    host::{BRIDGE, Host, PATH, ip, myself},
    kubernetes::FOLDER,
};

/// How long a pod or container may take to appear.
const START: Duration = Duration::from_secs(20);
/// The charm's own container.
pub(crate) const CHARM: &str = "charm";
/// The name of its image.
pub(crate) const CHARM_IMAGE: &str = "charm-base";

/// What to make.
pub(crate) struct PodSpec {
    pub(crate) model: String,
    pub(crate) app: String,
    pub(crate) number: u32,
    /// Whether the workload containers run here; if not, somebody else answers for their Pebbles.
    pub(crate) workloads: bool,
    /// Image of the charm's own container. Hooks see nothing of its environment.
    pub(crate) charm: Image,
    /// Images by container.
    pub(crate) containers: BTreeMap<String, Image>,
    /// Storage of the unit.
    pub(crate) storages: Vec<StorageMount>,
    /// Files of the service account, by name.
    pub(crate) account: BTreeMap<&'static str, String>,
    /// What every workload container has in its environment.
    pub(crate) environment: BTreeMap<String, String>,
}

/// One storage instance: a folder that outlives containers, and pods.
pub(crate) struct StorageMount {
    pub(crate) folder: PathBuf,
    /// Where the charm's container has it.
    pub(crate) charm: PathBuf,
    /// Where workload containers have it: container and path.
    pub(crate) workloads: Vec<(String, PathBuf)>,
}

/// A running pod. Dropping it ends all that runs in it.
pub(crate) struct Pod {
    pub(crate) address: Ipv4Addr,
    /// Its folder, relative to the daemon's working directory.
    pub(crate) dir: PathBuf,
    unit_tag: String,
    hostname: String,
    cable: String,
    pause: u32,
    /// The pod's first process and the charm container's.
    processes: Mutex<Vec<Child>>,
    supervisors: Vec<JoinHandle<()>>,
}

impl Pod {
    /// Makes the network and the containers, and waits until commands can run in them. The charm's folder has to be in place:
    /// see [`agent_dir`].
    pub(crate) async fn start(host: &Arc<Host>, spec: PodSpec) -> Result<Self> {
        let PodSpec { model, app, number, workloads, charm, containers, storages, account, environment } =
            spec;
        let hostname = format!("{app}-{number}");
        let fqdn = format!("{hostname}.{app}-endpoints.{model}.{CLUSTER}");
        let unit_tag = format!("unit-{app}-{number}");
        let dir = pod_dir(&app, number);
        let (cable, address) = host.address();
        let cable = format!("pod{cable}");

        let mut pause = myself(&Enter { new_pod: Some(hostname.clone()), ..Enter::default() })
            .args(["/proc/self/exe", "internal-pause", "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the pod")?;
        ready(&mut pause).await.context("starting the pod")?;
        let pod = pause.id().context("the pod ended at once")?;
        ip(None, &format!("link add name {cable} type veth peer name eth0 netns {pod}\nlink set {cable} master sim0 up\n")).await?;
        ip(Some(pod), &format!("link set lo up\naddr add {address}/16 dev eth0\nlink set eth0 up\n")).await?;

        let mut files: BTreeMap<PathBuf, String> = [
            ("/etc/hostname", format!("{hostname}\n")),
            ("/etc/hosts", format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{address}\t{fqdn}\t{hostname}\n")),
            (
                "/etc/resolv.conf",
                format!("search {model}.{CLUSTER} {CLUSTER} cluster.local\nnameserver {BRIDGE}\noptions ndots:5\n"),
            ),
        ]
        .map(|(path, text)| (path.into(), text))
        .into();
        files.extend(account.into_iter().map(|(name, text)| (Path::new(FOLDER).join(name), text)));
        let here = host.run.join(&dir);
        let root = |name: &str| Root {
            base: here.join("roots").join(name),
            binds: vec![],
            dirs: vec![],
            files: files.clone(),
        };
        let bind =
            |source: PathBuf, target: String, writable| Bind { source, target: target.into(), writable };

        let mut charm_root = root(CHARM);
        charm_root.binds = vec![
            bind(host.run.join("bin"), "/charm/bin".into(), true),
            bind(here.join("containers"), "/charm/containers".into(), true),
            bind(here.join("agent"), format!("/var/lib/juju/agents/{unit_tag}"), true),
            bind(host.run.join("tools"), format!("/var/lib/juju/tools/{unit_tag}"), true),
        ];
        charm_root.binds.extend(shown(&charm));
        charm_root.dirs = charm.dirs;
        for storage in &storages {
            fs::create_dir_all(&storage.folder)?;
            let (source, target) = (storage.folder.clone(), storage.charm.clone());
            charm_root.binds.push(Bind { source, target, writable: true });
        }
        fs::create_dir_all(here.join("containers"))?;
        for name in containers.keys() {
            fs::create_dir_all(here.join("containers").join(name))?;
        }
        fs::create_dir_all(here.join("agent"))?;
        let mut charm = myself(&Enter {
            pod: Some(pod),
            new_container: Some(charm_root),
            pid_file: Some(here.join(pid_file(CHARM))),
            ..Enter::default()
        })
        .args([INSIDE, "internal-pause"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the charm's container")?;
        ready(&mut charm).await.context("starting the charm's container")?;

        let mut supervisors = Vec::new();
        for (name, image) in containers.into_iter().filter(|_| workloads) {
            let mut root = root(&name);
            root.binds = vec![
                bind(host.run.join("bin"), "/charm/bin".into(), true),
                bind(here.join("containers").join(&name), "/charm/container".into(), true),
            ];
            if host.tools.join("bin").is_dir() {
                root.binds.push(bind(host.tools.join("bin"), "/charm/tools".into(), false));
            }
            root.binds.extend(shown(&image));
            root.dirs = image.dirs;
            for storage in &storages {
                let here = storage.workloads.iter().filter(|(container, _)| *container == name);
                root.binds.extend(here.map(|(_, target)| Bind {
                    source: storage.folder.clone(),
                    target: target.clone(),
                    writable: true,
                }));
            }
            let mut env = BTreeMap::from(
                [
                    ("PATH", format!("/charm/tools:{PATH}")),
                    ("HOME", "/root".into()),
                    ("HOSTNAME", hostname.clone()),
                    ("PEBBLE", "/charm/container/pebble".into()),
                    ("PEBBLE_SOCKET", "/charm/container/pebble.socket".into()),
                ]
                .map(|(key, value)| (key.to_owned(), value)),
            );
            env.extend(environment.clone());
            env.extend(image.environment);
            let enter = Enter {
                pod: Some(pod),
                new_container: Some(root),
                pid_file: Some(here.join(pid_file(&name))),
                exec: Exec { env, cwd: Some("/".into()), ..Exec::default() },
                ..Enter::default()
            };
            let log = host.logs.join(format!("{hostname}-{name}.log"));
            supervisors.push(tokio::spawn(supervise(enter, here.join("containers").join(&name), log)));
        }
        Ok(Self {
            address,
            dir,
            unit_tag,
            hostname,
            cable,
            pause: pod,
            processes: Mutex::new(vec![charm, pause]),
            supervisors,
        })
    }

    /// A command in a container; its environment is exactly `env`.
    pub(crate) fn command(
        &self,
        container: &str,
        env: BTreeMap<String, String>,
        cwd: Option<PathBuf>,
        argv: &[String],
    ) -> Result<Command> {
        let pid = self
            .container_pid(container)
            .with_context(|| format!("container {container} of {} is not running", self.hostname))?;
        let mut command = myself(&Enter {
            pod: Some(self.pause),
            container: Some(pid),
            exec: Exec { env, cwd, ..Exec::default() },
            ..Enter::default()
        });
        command.args(argv);
        Ok(command)
    }

    /// The environment of commands run for people: what a shell in the container would have.
    pub(crate) fn shell_env(container: &str) -> BTreeMap<String, String> {
        let path = if container == CHARM {
            format!("/charm/bin:{PATH}")
        } else {
            format!("/charm/tools:/charm/bin:{PATH}")
        };
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), "/root".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        if container != CHARM {
            env.insert("PEBBLE".into(), "/charm/container/pebble".into());
            env.insert("PEBBLE_SOCKET".into(), "/charm/container/pebble.socket".into());
        }
        env
    }

    /// Ends a workload container as a crash would: the kubelet's part, a fresh one, follows by itself.
    pub(crate) fn kill_container(&self, container: &str) -> Result<()> {
        self.signal(container, Signal::SIGKILL)
    }

    /// Stops the first process of a workload container, its Pebble, where it is, or lets it go on.
    pub(crate) fn freeze(&self, container: &str, frozen: bool) -> Result<()> {
        self.signal(container, if frozen { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    fn signal(&self, container: &str, signal: Signal) -> Result<()> {
        let Some(pid) = self.container_pid(container) else {
            bail!("container {container} of {} is not running", self.hostname)
        };
        kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        Ok(())
    }

    /// Pulls the pod's network cable, or puts it back.
    pub(crate) async fn connect(&self, connected: bool) -> Result<()> {
        ip(None, &format!("link set {} {}\n", self.cable, if connected { "up" } else { "down" })).await
    }

    /// `unit-app-0`.
    pub(crate) fn unit_tag(&self) -> &str {
        &self.unit_tag
    }

    /// Ends all that runs in the pod, also while somebody still holds it.
    pub(crate) fn end(&self) {
        for supervisor in &self.supervisors {
            supervisor.abort();
        }
        for process in self.processes.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let _ = process.start_kill();
        }
    }

    /// Where this process finds the root of a running container.
    pub(crate) fn root(&self, container: &str) -> Option<PathBuf> {
        Some(Path::new("/proc").join(self.container_pid(container)?.to_string()).join("root"))
    }

    fn container_pid(&self, container: &str) -> Option<u32> {
        let pid = fs::read_to_string(self.dir.join(pid_file(container))).ok()?.parse().ok()?;
        Path::new("/proc").join(u32::to_string(&pid)).exists().then_some(pid)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.end();
    }
}

/// A pod's folder, relative to the daemon's working directory.
pub(crate) fn pod_dir(app: &str, number: u32) -> PathBuf {
    format!("{app}-{number}").into()
}

/// The folder that the charm's container sees as the unit agent's: the charm goes into `charm` in it.
pub(crate) fn agent_dir(app: &str, number: u32) -> PathBuf {
    pod_dir(app, number).join("agent")
}

/// The files of an image as a container sees them.
fn shown(image: &Image) -> impl Iterator<Item = Bind> {
    image.files.iter().map(|(inside, file)| Bind {
        source: file.clone(),
        target: inside.clone(),
        writable: false,
    })
}

fn pid_file(container: &str) -> String {
    format!("{container}.pid")
}

/// Waits for the one line with which `internal-pause` says that it is inside.
async fn ready(child: &mut Child) -> Result<()> {
    let output = child.stdout.take().context("no output to wait for")?;
    let mut errors = child.stderr.take().context("no errors to read")?;
    let mut line = String::new();
    tokio::time::timeout(START, BufReader::new(output).read_line(&mut line))
        .await
        .context("took too long")??;
    if line.trim() != "ready" {
        let mut said = String::new();
        let _ = errors.read_to_string(&mut said).await;
        bail!("{}", said.trim().trim_start_matches("ERROR "));
    }
    Ok(())
}

/// The kubelet's part: runs a workload container's Pebble, and a fresh one each time it ends.
async fn supervise(enter: Enter, volume: PathBuf, log: PathBuf) {
    loop {
        // What the last container left: plan, layers, socket. A new container knows nothing of it.
        for name in ["pebble", "pebble.socket", "pebble.socket.untrusted"] {
            let path = volume.join(name);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
        let ran = async {
            let log = fs::File::options().create(true).append(true).open(&log)?;
            let mut child = myself(&enter)
                .args(["/charm/bin/pebble", "run", "--create-dirs", "--hold", "--verbose"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let (status, (), ()) = tokio::join!(child.wait(), keep(stdout, &log), keep(stderr, &log));
            status
        };
        if let Err(error) = ran.await {
            eprintln!("juju-sim: a container could not be started: {error}");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Writes lines to a log, but for those in which Pebble tells that the agent asked it for notices once more.
async fn keep(stream: Option<impl AsyncRead + Unpin>, mut log: &fs::File) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(count) if count > 0) {
        if !String::from_utf8_lossy(&line)
            .contains("[pebble] GET /v1/notices?types=custom&types=change-update")
        {
            // A full disk is not the container's concern.
            let _ = log.write_all(&line);
        }
        line.clear();
    }
}
