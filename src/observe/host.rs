//! What the charm container knows about its pod.

use std::io;
use std::path::Path;

use juju_ops::HookEnv;

use crate::snapshot::Host;

/// Reads host names, resolver and address families below `root`, normally `/`.
///
/// A file that is missing or odd only means that less is known.
pub fn host(root: &Path, env: &HookEnv) -> Host {
    let read = |path: &str| match std::fs::read(root.join(path)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("cannot read /{path}: {error}");
            }
            String::new()
        }
    };
    let hostname = read("proc/sys/kernel/hostname").trim().to_owned();
    let resolv_conf = read("etc/resolv.conf");
    Host {
        fqdn: canonical_name(&read("etc/hosts"), &hostname)
            .or_else(|| service_name(&resolv_conf, env))
            .unwrap_or(hostname),
        nameserver: words(&resolv_conf, "nameserver").next().and_then(|address| address.parse().ok()),
        ipv6: !read("proc/net/if_inet6").trim().is_empty(),
    }
}

/// The full name that `/etc/hosts` has for this host. Kubernetes writes `<address> <full name> <short name>` for pods
/// of a StatefulSet.
fn canonical_name(hosts: &str, hostname: &str) -> Option<String> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .map(|line| line.split_ascii_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| names.contains(&hostname))
        .find_map(|names| names.into_iter().find(|name| name.contains('.')))
        .map(str::to_owned)
}

/// The name that Juju's headless service gives this pod, with the cluster's domain from the resolver's search list.
fn service_name(resolv_conf: &str, env: &HookEnv) -> Option<String> {
    let domain = words(resolv_conf, "search").find(|domain| domain.starts_with("svc."))?;
    Some(format!("{}.{}-endpoints.{}.{domain}", env.unit.dashed(), env.app(), env.model_name))
}

/// The words after a keyword of `resolv.conf`.
fn words<'t>(resolv_conf: &'t str, keyword: &'t str) -> impl Iterator<Item = &'t str> {
    resolv_conf.lines().flat_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let wanted = words.next() == Some(keyword);
        words.filter(move |_| wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> HookEnv {
        HookEnv::from_vars(|name| {
            Some(match name {
                "JUJU_UNIT_NAME" => "tempo/1".to_owned(),
                "JUJU_MODEL_NAME" => "obs".to_owned(),
                _ => "x".to_owned(),
            })
        })
        .unwrap()
    }

    fn see(files: &[(&str, &str)]) -> Host {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        host(root.path(), &env())
    }

    #[test]
    fn a_pod_knows_its_full_name_from_its_hosts_file() {
        let host = see(&[
            ("proc/sys/kernel/hostname", "tempo-1\n"),
            (
                "etc/hosts",
                "127.0.0.1 localhost\n# tempo-1 no.such\n10.1.0.9\ttempo-1.tempo-endpoints.obs.svc.k8s.lan\ttempo-1\n",
            ),
            (
                "etc/resolv.conf",
                "search obs.svc.cluster.local svc.cluster.local\nnameserver fd00::10\nnameserver 10.0.0.10\n",
            ),
            ("proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80 lo\n"),
        ]);
        assert_eq!(host.fqdn, "tempo-1.tempo-endpoints.obs.svc.k8s.lan");
        assert_eq!(host.nameserver, Some("fd00::10".parse().unwrap()));
        assert!(host.ipv6);
    }

    #[test]
    fn without_a_hosts_entry_the_service_gives_the_name() {
        let host = see(&[
            ("proc/sys/kernel/hostname", "tempo-1"),
            ("etc/hosts", "127.0.0.1 localhost"),
            (
                "etc/resolv.conf",
                "nameserver 10.0.0.10 # first\nsearch obs.svc.cluster.local svc.cluster.local",
            ),
        ]);
        assert_eq!(host.fqdn, "tempo-1.tempo-endpoints.obs.svc.cluster.local");
        assert_eq!(host.nameserver, Some("10.0.0.10".parse().unwrap()));
        assert!(!host.ipv6);
    }

    #[test]
    fn a_bare_host_is_its_hostname() {
        let host =
            see(&[("proc/sys/kernel/hostname", "localhost\n"), ("etc/resolv.conf", "nameserver nonsense")]);
        assert_eq!(host, Host { fqdn: "localhost".into(), nameserver: None, ipv6: false });
    }
}
