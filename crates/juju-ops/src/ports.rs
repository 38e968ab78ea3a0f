//! Ports that Juju's firewall and service objects open for a unit.
//!
//! ```
//! use juju_ops::{Hook, Port};
//!
//! # async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//! // Exactly these are open when the hook ends.
//! hook.set_ports([Port::tcp(80), Port::tcp(443)]).await?;
//! # Ok(())
//! # }
//! ```

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{
    Feature, Hook,
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

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Transport {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(PortError(text.to_owned())),
        }
    }
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
        write!(f, "{}/{}", self.number, self.transport)
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
        let transport = transport.parse().map_err(|_| error())?;
        Ok(Self { number: number.parse().map_err(|_| error())?, transport })
    }
}

/// Ports that are open, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenedPorts {
    /// Which ports.
    pub ports: PortRange,
    /// Through which endpoints they can be reached; all if empty.
    pub endpoints: BTreeSet<String>,
}

/// One port, several in a row, or ICMP. Models on Kubernetes have single ports only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRange {
    /// ICMP, which has no ports.
    Icmp,
    /// The ports from the first to the second, both included.
    Ports(u16, u16, Transport),
}

impl PortRange {
    /// The port, if it is one.
    pub fn single(self) -> Option<Port> {
        match self {
            Self::Ports(from, to, transport) if from == to => Some(Port { number: from, transport }),
            _ => None,
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Ports(from, to, transport) if from == to => write!(f, "{from}/{transport}"),
            Self::Ports(from, to, transport) => write!(f, "{from}-{to}/{transport}"),
        }
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if text == "icmp" {
            return Ok(Self::Icmp);
        }
        let error = || PortError(text.to_owned());
        let (numbers, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let (from, to) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let number = |text: &str| text.parse::<u16>().map_err(|_| error());
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(error());
        }
        Ok(Self::Ports(from, to, transport.parse().map_err(|_| error())?))
    }
}

impl FromStr for OpenedPorts {
    type Err = PortError;

    /// Reads `80/tcp (*)` and `80/tcp (api, web)`.
    fn from_str(text: &str) -> Result<Self, PortError> {
        let (ports, endpoints) = text.split_once(" (").unwrap_or((text, "*)"));
        let endpoints = endpoints.strip_suffix(')').ok_or_else(|| PortError(text.to_owned()))?;
        let names = endpoints.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "*");
        Ok(Self { ports: ports.parse()?, endpoints: names.map(str::to_owned).collect() })
    }
}

impl Hook {
    /// Single ports that this unit has open, through whatever endpoint. Ranges and ICMP, which Kubernetes refuses, are
    /// left out.
    pub async fn opened_ports(&self) -> Result<BTreeSet<Port>, ToolError> {
        let ports: Vec<String> = self.read("opened-ports", ["--format=json".to_owned()]).await?;
        Ok(ports.iter().filter_map(|port| port.parse().ok()).collect())
    }

    /// Everything that this unit has open, with the endpoints it was opened for.
    pub async fn opened_ports_by_endpoint(&self) -> Result<BTreeSet<OpenedPorts>, ToolError> {
        let tool = "opened-ports";
        let args = ["--endpoints".to_owned(), "--format=json".into()];
        let ports: Vec<String> = self.read(tool, args).await?;
        let read = |text: &String| {
            text.parse().map_err(|error: PortError| ToolError::Output { tool, reason: error.to_string() })
        };
        ports.iter().map(read).collect()
    }

    /// Opens and closes what differs, so that exactly `wanted` is open when the hook ends. Returns how many changed.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] for port 0, and with a Juju that has no ports on Kubernetes yet
    /// ([`Feature::KubernetesPorts`]).
    pub async fn set_ports(&self, wanted: impl IntoIterator<Item = Port> + Send) -> Result<usize, ToolError> {
        let wanted: BTreeSet<Port> = wanted.into_iter().collect();
        let open = self.opened_ports().await?;
        let calls = wanted
            .difference(&open)
            .map(|port| ("open-port", port))
            .chain(open.difference(&wanted).map(|port| ("close-port", port)));
        let mut changed = 0;
        for (tool, port) in calls {
            self.switch_port(tool, *port, &[]).await?;
            changed += 1;
        }
        Ok(changed)
    }

    /// Opens a port for these endpoints only; for all if none is named. It takes effect when the hook succeeds.
    ///
    /// # Errors
    /// As [`Hook::set_ports`]. An endpoint that the charm does not have fails the hook at its end.
    pub async fn open_port(&self, port: Port, endpoints: &[&str]) -> Result<(), ToolError> {
        self.switch_port("open-port", port, endpoints).await
    }

    /// Closes a port for these endpoints only; for all if none is named. One that is closed already is no error.
    ///
    /// # Errors
    /// As [`Hook::open_port`].
    pub async fn close_port(&self, port: Port, endpoints: &[&str]) -> Result<(), ToolError> {
        self.switch_port("close-port", port, endpoints).await
    }

    async fn switch_port(&self, tool: &'static str, port: Port, endpoints: &[&str]) -> Result<(), ToolError> {
        if self.env().machine.is_none() {
            self.require_for(tool, Feature::KubernetesPorts)?;
        }
        // The tool takes it; what becomes of it shows after the hook.
        if port.number == 0 {
            return Err(ToolError::Invalid { tool, reason: "there is no port 0".into() });
        }
        let mut args = Vec::new();
        if !endpoints.is_empty() {
            args.extend(["--endpoints".to_owned(), endpoints.join(",")]);
        }
        args.extend(["--".to_owned(), port.to_string()]);
        self.change(ToolCall::new(tool, args)).await?;
        self.forget("opened-ports");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_read_as_juju_writes_it() {
        for (text, shown, single, endpoints) in [
            ("80/tcp (*)", "80/tcp", true, ""),
            ("1000-2000/udp (api, web)", "1000-2000/udp", false, "api web"),
            ("icmp (*)", "icmp", false, ""),
            ("9411/tcp (tracing)", "9411/tcp", true, "tracing"),
            ("443", "443/tcp", true, ""),
        ] {
            let opened: OpenedPorts = text.parse().unwrap();
            assert_eq!(opened.ports.to_string(), shown);
            assert_eq!(opened.ports.single().is_some(), single, "{text}");
            assert_eq!(opened.endpoints.iter().map(String::as_str).collect::<Vec<_>>().join(" "), endpoints);
        }
        for text in ["", "80/sctp", "2-1/tcp", "70000", "80/tcp (api", "-/tcp"] {
            assert!(text.parse::<OpenedPorts>().is_err(), "{text:?}");
        }
    }
}
