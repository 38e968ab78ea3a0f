//! Addresses and ports.

use std::collections::BTreeMap;

use super::{
    Answer, Call, FORMAT, Format, OUTPUT, Out, RELATION, Refusal, flags, misused, no_more, quote, refused,
};
use crate::{
    session::{PortChange, Session},
    state::ModelKind,
};

pub(super) fn network_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[
        RELATION,
        FORMAT,
        OUTPUT,
        flags::switch(&["bind-address"]),
        flags::switch(&["ingress-address"]),
        flags::switch(&["egress-subnets"]),
        flags::switch(&["primary-address"]),
    ])?;
    let (binding, rest) = args.positional.split_first().ok_or_else(|| misused("no arguments specified"))?;
    no_more(rest)?;
    if !call.session.meta().has_binding(binding) {
        return Err(refused(format!("no network config found for binding {}", quote(binding))));
    }
    let state = call.session.state();
    let network = state.networks.get(binding).unwrap_or(&state.network);
    let first = |list: &[String]| list.first().map_or(Out::text(""), Out::text);
    let mut asked = Vec::new();
    if args.has("bind-address") {
        asked.push(("bind-address".to_owned(), first(&network.bind)));
    }
    if args.has("ingress-address") {
        asked.push(("ingress-address".to_owned(), first(&network.ingress)));
    }
    if args.has("egress-subnets") {
        asked.push(("egress-subnets".to_owned(), Out::Lines(network.egress_subnets())));
    }
    if args.has("primary-address") {
        return call.print(&args, Format::Smart, &first(&network.bind));
    }
    if asked.len() > 1 {
        return call.print(&args, Format::Smart, &Out::Map(asked));
    }
    if let Some((_, value)) = asked.pop() {
        return call.print(&args, Format::Smart, &value);
    }
    let json = args.get("format") == Some("json");
    let addresses = network.bind.iter().map(|address| {
        let mut fields = vec![
            ("hostname".to_owned(), Out::text("")),
            ("value".to_owned(), Out::text(address)),
            ("cidr".to_owned(), Out::text("")),
        ];
        if !json {
            // Old names, in the YAML form only.
            fields.push(("address".to_owned(), Out::text(address)));
        }
        Out::Struct(fields)
    });
    let mut interface = vec![
        ("mac-address".to_owned(), Out::text("")),
        ("interface-name".to_owned(), Out::text("")),
        ("addresses".to_owned(), Out::List(addresses.collect())),
    ];
    if !json {
        interface.push(("macaddress".to_owned(), Out::text("")));
        interface.push(("interfacename".to_owned(), Out::text("")));
    }
    let value = Out::fields([
        ("bind-addresses", Out::List(vec![Out::Struct(interface)])),
        ("egress-subnets", Out::Lines(network.egress_subnets())),
        ("ingress-addresses", Out::Lines(network.ingress.clone())),
    ]);
    call.print(&args, Format::Smart, &value)
}

pub(super) fn unit_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    let (setting, rest) = args.positional.split_first().ok_or_else(|| misused("no setting specified"))?;
    if setting != "private-address" && setting != "public-address" {
        return Err(misused(format!("unknown setting {}", quote(setting))));
    }
    no_more(rest)?;
    let state = call.session.state();
    if setting == "private-address" {
        // Pods have none.
        let bound = state.network.bind.first().filter(|_| state.model.kind == ModelKind::Lxd);
        let address = bound.ok_or_else(|| refused("private address not found"))?;
        return call.print(&args, Format::Smart, &Out::text(address));
    }
    let address = state.public_address.as_ref().or_else(|| state.network.ingress.first());
    let address = address.ok_or_else(|| refused("public address not found"))?;
    call.print(&args, Format::Smart, &Out::text(address))
}

/// `80`, `80/udp`, `icmp`, `80-90/tcp` to Juju's own form, and whether it is a range.
fn port(word: &str) -> Result<(String, bool), Refusal> {
    if word.eq_ignore_ascii_case("icmp") {
        return Ok(("icmp".to_owned(), false));
    }
    let (range, protocol) = match word.split_once('/') {
        Some((_, rest)) if rest.contains('/') => {
            return Err(misused(format!("expected <port>[/<protocol>] or icmp, got {}", quote(word))));
        }
        Some((range, protocol)) => (range, protocol.to_ascii_lowercase()),
        None => (word, "tcp".to_owned()),
    };
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            let text = quote(text);
            misused(format!("invalid port {text}: strconv.Atoi: parsing {text}: invalid syntax"))
        })
    };
    let (from, to) = match range.split_once('-') {
        Some((from, to)) if !from.is_empty() => (number(from)?, number(to)?),
        _ => (number(range)?, number(range)?),
    };
    if from > to {
        return Err(misused(format!("invalid port range {from}-{to}/{protocol}")));
    }
    if from < 0 || to > 65535 {
        return Err(misused(format!("port range bounds must be between 0 and 65535, got {from}-{to}")));
    }
    if protocol != "tcp" && protocol != "udp" {
        let protocol = quote(&protocol);
        return Err(misused(format!("invalid protocol {protocol}, expected \"tcp\", \"udp\", or \"icmp\"")));
    }
    Ok((
        if from == to { format!("{from}/{protocol}") } else { format!("{from}-{to}/{protocol}") },
        from != to,
    ))
}

/// The changes a command line asks for: one per endpoint, or one for all of them.
fn changes(call: &mut Call<'_>) -> Result<Vec<PortChange>, Refusal> {
    let args = call.parse(&[FORMAT, flags::value(&["endpoints"])])?;
    let (word, rest) = args.positional.split_first().ok_or_else(|| misused("no port or range specified"))?;
    let (port, range) = port(word)?;
    no_more(rest)?;
    call.warn_format(&args);
    if range && call.session.state().model.kind == ModelKind::Kubernetes {
        return Err(refused(
            "port ranges are not supported for k8s applications, please specify a single port",
        ));
    }
    let endpoints = args.get("endpoints").unwrap_or_default().split(',').map(str::trim);
    Ok(endpoints.map(|endpoint| PortChange { endpoint: endpoint.to_owned(), port: port.clone() }).collect())
}

fn is_open(session: &Session, change: &PortChange) -> bool {
    let state = session.state();
    if change.endpoint.is_empty() {
        state.opened_ports.contains(&change.port)
    } else {
        state.endpoint_ports.get(&change.endpoint).is_some_and(|ports| ports.contains(&change.port))
    }
}

pub(super) fn open_port(call: &mut Call<'_>) -> Answer {
    for change in changes(call)? {
        let open = is_open(call.session, &change);
        let pending = &mut call.session.pending;
        pending.close_ports.remove(&change);
        if !open {
            pending.open_ports.insert(change);
        }
    }
    Ok(String::new())
}

pub(super) fn close_port(call: &mut Call<'_>) -> Answer {
    for change in changes(call)? {
        let pending = &mut call.session.pending;
        if !pending.open_ports.remove(&change) {
            pending.close_ports.insert(change);
        }
    }
    Ok(String::new())
}

pub(super) fn opened_ports(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT, flags::switch(&["endpoints"])])?;
    no_more(&args.positional)?;
    let state = call.session.state();
    let everywhere = state.opened_ports.iter().map(|port| (port.clone(), String::new()));
    let single = state.endpoint_ports.iter();
    let single = single.flat_map(|(end, ports)| ports.iter().map(move |port| (port.clone(), end.clone())));
    let pending = &call.session.pending;
    let opened = pending.open_ports.iter().map(|change| (change.port.clone(), change.endpoint.clone()));
    let closed = |port: &str, endpoint: &str| {
        pending.close_ports.iter().any(|change| change.port == port && change.endpoint == endpoint)
    };
    let mut ports: BTreeMap<(String, u32, String), Vec<String>> = BTreeMap::new();
    for (port, endpoint) in everywhere.chain(single).chain(opened) {
        if !closed(&port, &endpoint) {
            let (number, protocol) = port.split_once('/').unwrap_or(("0", &port));
            let number = number.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            ports.entry((protocol.to_owned(), number, port.clone())).or_default().push(endpoint);
        }
    }
    let lines = ports.into_iter().map(|((_, _, port), mut endpoints)| {
        if !args.has("endpoints") {
            return port;
        }
        endpoints.sort();
        endpoints.dedup();
        if endpoints.iter().any(String::is_empty) {
            format!("{port} (*)")
        } else {
            format!("{port} ({})", endpoints.join(", "))
        }
    });
    call.print(&args, Format::Smart, &Out::Lines(lines.collect()))
}
