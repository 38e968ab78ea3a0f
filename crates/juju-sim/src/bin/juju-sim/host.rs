//! What all pods of a model share: the network, the name server, the programs.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};
use juju_sim::{model::Image, tools::TOOLS};
use nix::mount::{MsFlags, mount};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    dns::{self, Zone},
    enter::{Enter, Exec},
};

/// The bridge's address: name server of all pods. The network is the one set apart for benchmarks, so it meets no real one.
pub(crate) const BRIDGE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Where commands are looked up inside containers.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The simulated machine.
pub(crate) struct Host {
    /// The daemon's own file system, gone with it.
    pub(crate) run: PathBuf,
    /// Logs of containers.
    pub(crate) logs: PathBuf,
    /// Programs that workloads use.
    pub(crate) tools: PathBuf,
    /// Names and addresses.
    pub(crate) zone: Zone,
    next: AtomicU32,
}

impl Host {
    /// Prepares network, name server and programs. Has to run in namespaces of its own.
    pub(crate) async fn prepare(dir: &Path, tools: &Path) -> Result<Self> {
        let run = dir.join("run");
        let logs = dir.join("logs");
        fs::create_dir_all(&run)?;
        fs::create_dir_all(&logs)?;
        mount(Some("tmpfs"), &run, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))
            .context("mounting the run folder")?;
        // Sockets are addressed relative to here: their whole paths could be longer than a socket's may be.
        std::env::set_current_dir(&run)?;
        let bin = run.join("bin");
        fs::create_dir(&bin)?;
        for (name, file) in [
            ("juju-sim", std::env::current_exe()?),
            ("jujuc", client()?),
            ("pebble", tools.join("bin/pebble")),
            ("tempo", tools.join("bin/tempo")),
            ("traefik", tools.join("bin/traefik")),
            ("prometheus", tools.join("bin/prometheus")),
            ("versitygw", tools.join("bin/versitygw")),
        ] {
            let target = bin.join(name);
            if file.is_file() {
                fs::File::create(&target)?;
                mount(Some(&file), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                    .with_context(|| format!("binding {}", file.display()))?;
            }
        }
        link_tools(&run.join("tools"), Path::new("/charm/bin/jujuc"))?;
        // A bridge without a hardware address of its own borrows one of its ports', and changes it when that pod goes: the others
        // would not find the name server until their memory of the old one fades.
        let bridge = "link add name sim0 address 02:00:c6:12:00:01 type bridge";
        ip(None, &format!("link set lo up\n{bridge}\naddr add {BRIDGE}/16 dev sim0\nlink set sim0 up\n"))
            .await?;
        let zone = Zone::default();
        dns::serve(zone.clone(), SocketAddr::from((BRIDGE, 53))).await?;
        Ok(Self { run, logs, tools: tools.to_owned(), zone, next: AtomicU32::new(0) })
    }

    /// The next free address, and the number that names the pod's cable.
    pub(crate) fn address(&self) -> (u32, Ipv4Addr) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, Ipv4Addr::from(u32::from(BRIDGE) + 9 + number))
    }

    /// What an image holds: what the simulator knows of it, and on top what the model file says.
    pub(crate) fn image(&self, resource: &str, maps: [&BTreeMap<String, Image>; 2]) -> Image {
        let mut image = Image::default();
        if resource.contains("nginx") && !resource.contains("exporter") {
            let types = self.tools.join("share/nginx/mime.types");
            if types.is_file() {
                image.files.insert("/etc/nginx/mime.types".into(), types);
            }
            image.dirs.extend(["/etc/nginx".into(), "/var/log/nginx".into(), "/var/cache/nginx".into()]);
        }
        for more in maps.into_iter().filter_map(|map| map.get(resource)) {
            image
                .files
                .extend(more.files.iter().map(|(inside, file)| (inside.clone(), self.tools.join(file))));
            image.dirs.extend(more.dirs.iter().cloned());
            image.environment.extend(more.environment.clone());
        }
        image
    }
}

/// The hook-tool client: beside this program, or else this program itself.
pub(crate) fn client() -> Result<PathBuf> {
    let myself = std::env::current_exe()?;
    let client = myself.with_file_name("jujuc");
    Ok(if client.is_file() { client } else { myself })
}

/// Makes a folder with one link for each hook tool.
pub(crate) fn link_tools(folder: &Path, client: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    for (tool, _) in TOOLS {
        symlink(client, folder.join(tool))?;
    }
    Ok(())
}

/// This program, to be run again under one of its hidden verbs.
pub(crate) fn myself(spec: &Enter) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("juju-sim")
        .arg("internal-enter")
        .arg(serde_json::to_string(spec).unwrap_or_default())
        .arg("--");
    command.kill_on_drop(true);
    command
}

/// Runs `ip` commands, one a line, here or in a pod.
pub(crate) async fn ip(pod: Option<u32>, lines: &str) -> Result<()> {
    let env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    let mut child = myself(&Enter { pod, exec: Exec { env, ..Exec::default() }, ..Enter::default() })
        .args(["ip", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting ip")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("setting up the network failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
