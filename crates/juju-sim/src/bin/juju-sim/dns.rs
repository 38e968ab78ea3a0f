//! The cluster's name server: pods and services of one model, and nothing else.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result};
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

use crate::host::BRIDGE;

/// Seconds that an answer may be kept: what a Kubernetes cluster gives for its own names.
const TTL: u32 = 5;
/// The suffix of every name.
pub(crate) const CLUSTER: &str = "svc.cluster.local";

/// Names to addresses; shared between the controller, which writes, and the server, which reads.
#[derive(Clone, Default)]
pub(crate) struct Zone(Arc<Inner>);

#[derive(Default)]
struct Inner {
    names: Mutex<BTreeMap<String, Vec<Ipv4Addr>>>,
    turn: AtomicUsize,
}

impl Zone {
    /// Replaces all names by those of the units: (application, unit number, address).
    pub(crate) fn set(&self, model: &str, pods: impl IntoIterator<Item = (String, u32, Ipv4Addr)>) {
        let mut names: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        for (app, number, address) in pods {
            for name in [
                format!("{app}-{number}.{app}-endpoints.{model}.{CLUSTER}"),
                format!("{app}-endpoints.{model}.{CLUSTER}"),
                format!("{app}.{model}.{CLUSTER}"),
            ] {
                names.entry(name.to_ascii_lowercase()).or_default().push(address);
            }
        }
        names.insert(format!("kubernetes.default.{CLUSTER}"), vec![BRIDGE]);
        *self.0.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The addresses of a name, each time starting with another one; `None` for a name that does not exist.
    fn lookup(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses = names.get(name.trim_end_matches('.').to_ascii_lowercase().as_str())?.clone();
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
        addresses.rotate_left(turn);
        Some(addresses)
    }

    /// The answer to one request; `None` when it is not worth one.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let request = Message::from_vec(request).ok()?;
        if request.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.metadata.authoritative = true;
        response.queries.clone_from(&request.queries);
        match request.queries.first() {
            _ if request.metadata.op_code != OpCode::Query => {
                response.metadata.response_code = ResponseCode::NotImp;
            }
            None => response.metadata.response_code = ResponseCode::FormErr,
            Some(query) => match self.lookup(&query.name().to_ascii()) {
                None => response.metadata.response_code = ResponseCode::NXDomain,
                // A name without addresses of the asked type (IPv6) exists: an empty answer, not "no such name".
                Some(addresses) if query.query_type() == RecordType::A => {
                    response.answers = addresses
                        .into_iter()
                        .map(|ip| Record::from_rdata(query.name().clone(), TTL, RData::A(A(ip))))
                        .collect();
                }
                Some(_) => {}
            },
        }
        response.to_vec().ok()
    }
}

/// Serves the zone over UDP and TCP until the daemon ends.
pub(crate) async fn serve(zone: Zone, address: SocketAddr) -> Result<()> {
    let udp =
        UdpSocket::bind(address).await.with_context(|| format!("binding the name server to {address}"))?;
    let tcp =
        TcpListener::bind(address).await.with_context(|| format!("binding the name server to {address}"))?;
    let over_udp = zone.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            if let Some(mut answer) = over_udp.answer(&buffer[..length]) {
                if answer.len() > 512
                    && Message::from_vec(&buffer[..length])
                        .is_ok_and(|m| usize::from(m.max_payload()) < answer.len())
                {
                    // Too long for this client: say so, it will ask again over TCP.
                    answer = Message::from_vec(&answer)
                        .ok()
                        .and_then(|m| m.truncate().to_vec().ok())
                        .unwrap_or_default();
                }
                let _ = udp.send_to(&answer, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            tokio::spawn(converse(zone.clone(), stream));
        }
    });
    Ok(())
}

async fn converse(zone: Zone, mut stream: TcpStream) -> Option<()> {
    loop {
        let mut request = vec![0; usize::from(stream.read_u16().await.ok()?)];
        stream.read_exact(&mut request).await.ok()?;
        let answer = zone.answer(&request)?;
        stream.write_u16(u16::try_from(answer.len()).ok()?).await.ok()?;
        stream.write_all(&answer).await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::{op::Query, rr::Name};

    use super::*;

    fn ask(zone: &Zone, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = Message::from_vec(&zone.answer(&message.to_vec().unwrap()).unwrap()).unwrap();
        assert_eq!(answer.metadata.id, message.metadata.id);
        (answer.metadata.response_code, answer.answers.iter().map(|r| r.data.to_string()).collect())
    }

    #[test]
    fn units_and_services_have_names_and_services_rotate() {
        let zone = Zone::default();
        zone.set(
            "m",
            [
                ("app".into(), 0, Ipv4Addr::new(198, 18, 0, 2)),
                ("app".into(), 1, Ipv4Addr::new(198, 18, 0, 3)),
            ],
        );
        let (code, one) = ask(&zone, "app-1.App-endpoints.m.svc.cluster.local.", RecordType::A);
        assert_eq!((code, one), (ResponseCode::NoError, vec!["198.18.0.3".to_owned()]));
        let (_, first) = ask(&zone, "app.m.svc.cluster.local.", RecordType::A);
        let (_, second) = ask(&zone, "app.m.svc.cluster.local.", RecordType::A);
        assert_eq!(first.len(), 2);
        assert_ne!(first, second);
    }

    #[test]
    fn unknown_names_do_not_exist_but_known_ones_without_ipv6_do() {
        let zone = Zone::default();
        zone.set("m", [("app".into(), 0, Ipv4Addr::new(198, 18, 0, 2))]);
        assert_eq!(ask(&zone, "example.com.", RecordType::A), (ResponseCode::NXDomain, vec![]));
        assert_eq!(ask(&zone, "app.m.svc.cluster.local.", RecordType::AAAA), (ResponseCode::NoError, vec![]));
        assert!(zone.answer(b"nonsense").is_none());
    }
}
