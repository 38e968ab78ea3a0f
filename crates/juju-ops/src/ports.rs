//! Ports that Juju's firewall and service objects open for a unit.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{
    Hook,
    tools::{ToolCall, ToolError},
};

/// A port and its transport. Kubernetes models take single ports only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Port number.
    pub number: u16,
    /// Transport.
    pub transport: Transport,
}

/// Transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Port {
    /// A TCP port.
    pub fn tcp(number: u16) -> Self {
        Self { number, transport: Transport::Tcp }
    }

    /// A UDP port.
    pub fn udp(number: u16) -> Self {
        Self { number, transport: Transport::Udp }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{}/{transport}", self.number)
    }
}

/// Text that is not one port, for example a range or `icmp`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a port (number/tcp or number/udp)")]
pub struct PortError(pub String);

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let error = || PortError(text.to_owned());
        let (number, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(error()),
        };
        Ok(Self { number: number.parse().map_err(|_| error())?, transport })
    }
}

impl Hook {
    /// Ports this unit has open. Ranges and ICMP, which Kubernetes refuses, are left out.
    pub async fn opened_ports(&self) -> Result<BTreeSet<Port>, ToolError> {
        let ports: Vec<String> = self.read("opened-ports", ["--format=json".to_owned()]).await?;
        Ok(ports.iter().filter_map(|port| port.parse().ok()).collect())
    }

    /// Opens and closes what differs, so that exactly `wanted` is open when the hook ends. Returns how many changed.
    pub async fn set_ports(&self, wanted: &BTreeSet<Port>) -> Result<usize, ToolError> {
        let open = self.opened_ports().await?;
        let calls = wanted
            .difference(&open)
            .map(|port| ("open-port", port))
            .chain(open.difference(wanted).map(|port| ("close-port", port)));
        let mut changed = 0;
        for (tool, port) in calls {
            self.change(ToolCall::new(tool, ["--".to_owned(), port.to_string()])).await?;
            changed += 1;
        }
        if changed > 0 {
            self.forget("opened-ports");
        }
        Ok(changed)
    }
}
