//! Routes that are asked of ingresses. Only the leader asks, in any state of the cluster, and before an ingress has said
//! anything: it may wait for a route before it does.
//!
//! All ports are asked for, whichever receivers are on: an ingress that had to open and close them would break
//! connections of others, and behind a port that is off nothing answers.

use std::collections::BTreeSet;

use juju_ops::Scope;
use juju_relations::istio_ingress_route::{self, Backend, GrpcRoute, HttpRoute, Listener, ProtocolType};
use juju_relations::traefik_route::{
    self, DynamicConfig, EntryPoint, Http, LoadBalancer, Middleware, RedirectScheme, Router, Server, Service,
    StaticConfig,
};

use crate::deployment::Deployment;
use crate::deployment::address::{Host, Scheme};
use crate::names::Endpoint;
use crate::tempo::{self, Protocol, TransportProtocol};

use super::DatabagWrite;

/// Requests from any IPv4 address.
const ANY_IPV4: &str = "ClientIP(`0.0.0.0/0`)";
/// Requests from any address.
const ANY: &str = "ClientIP(`0.0.0.0/0`) || ClientIP(`::/0`)";

/// Something that is reached on a port of its own.
struct Way {
    name: String,
    port: u16,
    transport: TransportProtocol,
}

/// Both APIs and every receiver.
fn ways() -> Vec<Way> {
    use TransportProtocol::{Grpc, Http};

    let apis = [("tempo-http", tempo::HTTP_PORT, Http), ("tempo-grpc", tempo::GRPC_PORT, Grpc)];
    let receivers = [
        Protocol::Zipkin,
        Protocol::OtlpGrpc,
        Protocol::OtlpHttp,
        Protocol::JaegerThriftHttp,
        Protocol::JaegerGrpc,
    ];
    let api = |(name, port, transport): (&str, u16, TransportProtocol)| Way {
        name: name.to_owned(),
        port,
        transport,
    };
    let receiver = |protocol: Protocol| Way {
        name: tempo::dashed(protocol),
        port: tempo::receiver_port(protocol),
        transport: protocol.transport(),
    };
    apis.map(api).into_iter().chain(receivers.map(receiver)).collect()
}

/// One databag for each ingress.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    if !d.identity.leader {
        return Vec::new();
    }
    let traefik = d.ingress.traefik.iter().map(|(id, scheme)| {
        let data = traefik_route::RequirerAppData::new(&dynamic(d, *scheme), &entry_points());
        DatabagWrite::new(Endpoint::Ingress, *id, Scope::App, &data)
    });
    let istio = d.links.of(Endpoint::IstioIngress).iter().map(|id| {
        let data = istio_ingress_route::RequirerAppData { config: routes(d) };
        DatabagWrite::new(Endpoint::IstioIngress, *id, Scope::App, &data)
    });
    traefik.chain(istio).collect()
}

/// What the names of everything begin with: an ingress serves other applications and models too.
fn prefix(d: &Deployment) -> String {
    format!("juju-{}-{}", d.identity.model, d.identity.app())
}

/// Where Traefik should listen.
fn entry_points() -> StaticConfig {
    let entry_points = ways().into_iter().map(|way| (way.name, EntryPoint::at(way.port)));
    StaticConfig { entry_points: entry_points.collect() }
}

/// Where Traefik should send what it gets there: to all coordinator units, each in front of all workers.
fn dynamic(d: &Deployment, outside: Option<Scheme>) -> DynamicConfig {
    let prefix = prefix(d);
    let rule = if d.ipv6 { ANY } else { ANY_IPV4 };
    let mut http = Http::default();
    for Way { name, port, transport } in ways() {
        let service = format!("{prefix}-service-{name}");
        let servers = units(d)
            .into_iter()
            .map(|host| Server { url: format!("{}://{host}:{port}", inside(d, transport)) });
        let balancer = LoadBalancer { servers: servers.collect() };
        http.services.insert(service.clone(), Service { load_balancer: Some(balancer) });
        // Traefik's charm adds the router with TLS beside this one; who comes without is sent there.
        let middlewares = if outside == Some(Scheme::Https) {
            let middleware = format!("{prefix}-middleware-{name}");
            let redirect =
                RedirectScheme { permanent: true, port: Some(port), scheme: Scheme::Https.as_str().into() };
            http.middlewares.insert(middleware.clone(), Middleware { redirect_scheme: Some(redirect) });
            vec![middleware]
        } else {
            Vec::new()
        };
        let router = Router { entry_points: vec![name.clone()], middlewares, rule: rule.into(), service };
        http.routers.insert(format!("{prefix}-{name}"), router);
    }
    DynamicConfig { http }
}

/// The scheme of the URLs behind Traefik. Its HTTP/2 without TLS, which gRPC needs, is called `h2c`.
fn inside(d: &Deployment, transport: TransportProtocol) -> &'static str {
    match transport {
        _ if d.exposure.internal.scheme == Scheme::Https => "https",
        TransportProtocol::Grpc => "h2c",
        TransportProtocol::Http => "http",
    }
}

/// This unit, then the others in the order of their numbers, each host once.
fn units(d: &Deployment) -> Vec<&Host> {
    let mut seen = BTreeSet::new();
    std::iter::once(&d.unit_host).chain(d.peers.values()).filter(|host| seen.insert(*host)).collect()
}

/// What Istio's gateway should listen on and where it should send what it gets there: to the application's service.
/// Whether that speaks TLS is between Istio and its sidecars.
fn routes(d: &Deployment) -> istio_ingress_route::Config {
    let prefix = prefix(d);
    let mut config = istio_ingress_route::Config {
        model: d.identity.model.clone(),
        ..istio_ingress_route::Config::default()
    };
    for Way { name, port, transport } in ways() {
        let name = format!("{prefix}-{name}");
        let backends = vec![Backend { service: d.identity.app().to_owned(), port, weight: Some(100) }];
        let (hostnames, matches, filters) = (None, None, None);
        match transport {
            TransportProtocol::Http => {
                let listener = Listener { port, protocol: ProtocolType::Http };
                config.listeners.push(listener);
                config.http_routes.push(HttpRoute { name, listener, backends, hostnames, matches, filters });
            }
            TransportProtocol::Grpc => {
                let (matches, filters) = (None, None);
                let listener = Listener { port, protocol: ProtocolType::Grpc };
                config.listeners.push(listener);
                config.grpc_routes.push(GrpcRoute { name, listener, backends, hostnames, matches, filters });
            }
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Cluster, complete};

    fn rule(cluster: &Cluster) -> BTreeSet<String> {
        let config = dynamic(&cluster.deployment(), None);
        config.http.routers.into_values().map(|router| router.rule).collect()
    }

    #[test]
    fn clients_with_ipv6_addresses_are_served_where_there_are_any() {
        let mut cluster = complete();
        assert_eq!(rule(&cluster), ["ClientIP(`0.0.0.0/0`)".to_owned()].into());
        cluster.host.ipv6 = true;
        assert_eq!(rule(&cluster), ["ClientIP(`0.0.0.0/0`) || ClientIP(`::/0`)".to_owned()].into());
    }

    #[test]
    fn each_host_is_behind_traefik_once() {
        let mut d = complete().deployment();
        let other = Host::parse("tempo-1.example").unwrap();
        let unit = |number| juju_ops::UnitName::new("tempo", number);
        d.peers =
            [(unit(2), other.clone()), (unit(10), d.unit_host.clone()), (unit(11), other.clone())].into();
        assert_eq!(units(&d), [&d.unit_host, &other]);
    }

    #[test]
    fn istio_does_not_care_whether_we_speak_tls() {
        assert_eq!(routes(&complete().with_tls().deployment()), routes(&complete().deployment()));
    }

    #[test]
    fn an_address_of_ipv6_has_brackets_in_urls() {
        let mut cluster = complete();
        cluster.host.fqdn = "fd00::5".into();
        let config = dynamic(&cluster.deployment(), Some(Scheme::Http));
        let service = &config.http.services["juju-obs-tempo-service-zipkin"];
        assert_eq!(service.load_balancer.as_ref().unwrap().servers[0].url, "http://[fd00::5]:9411");
        assert!(config.http.middlewares.is_empty());
    }
}
