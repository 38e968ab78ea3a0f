//! A whole charm: it asks a tracing provider for protocols, and uses the URLs that it gets.
//!
//! What it asks for is the option `protocols`. Where a real charm would hand the URLs to its workload, this one shows
//! them in its status.

use std::process::ExitCode;

use juju_ops::{Error, Event, Hook};
use juju_relations::EndpointMeta;
use juju_relations::tracing::{self, Protocol, TracingRequirer, UnknownProtocol};
use serde::Deserialize;

/// As metadata.yaml declares it.
const TRACING: EndpointMeta = EndpointMeta::requires("tracing", tracing::INTERFACE).limited(1);

/// The options in charmcraft.yaml.
#[derive(Deserialize)]
struct Config {
    protocols: String,
}

impl Config {
    /// The protocols, or the first name that is none.
    fn protocols(&self) -> Result<Vec<Protocol>, UnknownProtocol> {
        self.protocols.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::parse).collect()
    }
}

fn main() -> ExitCode {
    juju_ops::run(reconcile)
}

/// Looks at all there is and does what follows from it, whatever event came.
async fn reconcile(hook: Hook) -> Result<(), Error> {
    if matches!(hook.event(), Event::Stop | Event::Remove) {
        return Ok(());
    }
    let config: Config = hook.config().await?;
    let protocols = match config.protocols() {
        Ok(protocols) if protocols.is_empty() => return blocked(&hook, "option protocols: empty").await,
        Ok(protocols) => protocols,
        Err(unknown) => return blocked(&hook, &format!("option protocols: {unknown}")).await,
    };

    let provider = TracingRequirer::new(&hook, TRACING)?;
    if provider.relations().await?.is_empty() {
        return blocked(&hook, "relate tracing to a provider").await;
    }
    provider.request(protocols.iter().copied()).await?;

    if let Some(reason) = provider.published().await?.reason() {
        return Ok(hook.waiting(format!("for a provider that can be understood: {reason}")).await?);
    }

    let (mut urls, mut missing) = (Vec::new(), Vec::new());
    for protocol in protocols {
        match provider.endpoint(protocol).await? {
            Some(url) => urls.push(format!("{protocol} to {url}")),
            None => missing.push(protocol.name()),
        }
    }
    if missing.is_empty() {
        Ok(hook.active(format!("sends {}", urls.join(", "))).await?)
    } else {
        Ok(hook.waiting(format!("for the endpoint of {}", missing.join(", "))).await?)
    }
}

async fn blocked(hook: &Hook, why: &str) -> Result<(), Error> {
    Ok(hook.blocked(why).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols(option: &str) -> Result<Vec<Protocol>, String> {
        Config { protocols: option.to_owned() }.protocols().map_err(|error| error.to_string())
    }

    #[test]
    fn the_option_is_a_list_with_commas() {
        assert_eq!(protocols("otlp_grpc, zipkin,"), Ok(vec![Protocol::OtlpGrpc, Protocol::Zipkin]));
        assert_eq!(protocols(""), Ok(vec![]));
    }

    #[test]
    fn a_name_that_is_no_protocol_is_named() {
        assert!(protocols("otlp_http,smoke").unwrap_err().contains("smoke"));
    }
}
