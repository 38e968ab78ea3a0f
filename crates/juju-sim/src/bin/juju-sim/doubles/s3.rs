//! `double:s3`: hands out a bucket and credentials, as the s3-integrator charm does.
//!
//! By default nobody listens at the endpoint. With the option `workload: versitygw` a real server runs in the unit's pod, has
//! the bucket, and is the endpoint.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use juju_ops::{Event, Hook};
use juju_relations::{
    EndpointMeta,
    s3::{INTERFACE, ProviderAppData, S3Provider},
};
use serde::Deserialize;

use super::{
    cluster_host,
    program::{self, Spec, State},
    worker::Files,
};
use crate::daemon::Model;

/// What it declares.
pub(crate) const META: &str = "
name: s3
summary: Hands out a bucket and the credentials for it.
provides:
  s3-credentials: {interface: s3}
config:
  options:
    endpoint: {type: string, default: 'http://s3.example.com:9000', description: URL of the service; that of the own server with a workload.}
    bucket: {type: string, default: tempo, description: Name of the bucket; empty for the one that is asked for.}
    access-key: {type: string, default: simulated-access-key, description: Name of the access key; empty withdraws everything.}
    secret-key: {type: string, default: simulated-secret-key, description: The secret that goes with it.}
    region: {type: string, default: '', description: Region of the bucket.}
    tls-ca-chain: {type: string, default: '', description: 'Certificates to trust the service by, PEM.'}
    workload: {type: string, default: none, description: 'What serves the bucket: none, or versitygw.'}
";

/// The program, among those for workloads.
const PROGRAM: &str = "versitygw";
/// Where it listens.
const PORT: u16 = 9000;
/// Where buckets are, each a folder, and what is known of their objects. A pod's file system may lack extended attributes.
const BUCKETS: &str = "/srv/s3/buckets";
const ATTRIBUTES: &str = "/srv/s3/attributes";
/// After how long it should be ready.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Options {
    endpoint: String,
    bucket: String,
    access_key: String,
    secret_key: String,
    region: String,
    tls_ca_chain: String,
    workload: Workload,
}

/// What serves the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Workload {
    None,
    Versitygw,
}

/// One hook.
pub(crate) async fn run(model: &Arc<Model>, hook: &Hook) -> Result<()> {
    let mut options: Options = hook.config().await?;
    let provider = S3Provider::new(hook, EndpointMeta::provides("s3-credentials", INTERFACE))?;
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut asking = Vec::new();
    for (relation, request) in provider.requests().await? {
        let wanted = request.ok().map(|request| request.bucket);
        if let Some(bucket) = some(&options.bucket).or(wanted) {
            asking.push((relation, bucket));
        }
    }
    let unit = hook.env().unit.to_string();
    let wanted = options.workload == Workload::Versitygw && !options.access_key.is_empty();
    if !wanted || matches!(hook.event(), Event::Stop) {
        program::end(model, &unit).await;
    } else {
        let buckets = asking.iter().map(|(_, bucket)| bucket.as_str());
        let buckets = buckets.chain([options.bucket.as_str()]).filter(|name| !name.is_empty()).collect();
        if let Err(reason) = program::available(model, &unit, PROGRAM) {
            hook.blocked(format!("option workload: {reason}")).await?;
            return Ok(());
        }
        let host = cluster_host(hook.env(), Some(&hook.env().unit));
        options.endpoint = format!("http://{host}:{PORT}");
        // Nobody is told a bucket before it is there.
        match program::run(model, &unit, spec(&options, &buckets)).await? {
            State::Ready => {}
            State::Starting => {
                hook.waiting("the server starts").await?;
                return Ok(());
            }
            State::Late(reason) => {
                hook.blocked(reason).await?;
                return Ok(());
            }
        }
    }
    for (relation, bucket) in asking {
        if options.access_key.is_empty() {
            if hook.is_leader().await? {
                relation.set_app(
                    ["access-key", "secret-key", "bucket", "endpoint"].map(|key| (key.to_owned(), None)),
                );
            }
            continue;
        }
        let data = ProviderAppData {
            access_key: options.access_key.as_str().into(),
            secret_key: options.secret_key.as_str().into(),
            bucket,
            endpoint: some(&options.endpoint),
            region: some(&options.region),
            tls_ca_chain: some(&options.tls_ca_chain).map(|chain| vec![chain]),
            ..ProviderAppData::default()
        };
        provider.publish(&relation, &data).await?;
    }
    if options.access_key.is_empty() {
        hook.blocked("no access-key set").await?;
    } else {
        hook.active("").await?;
    }
    Ok(())
}

/// The server, with these buckets.
fn spec(options: &Options, buckets: &BTreeSet<&str>) -> Spec {
    let mut environment = BTreeMap::from([
        ("ROOT_ACCESS_KEY".to_owned(), options.access_key.clone()),
        ("ROOT_SECRET_KEY".to_owned(), options.secret_key.clone()),
    ]);
    if !options.region.is_empty() {
        environment.insert("VGW_REGION".to_owned(), options.region.clone());
    }
    let port = format!(":{PORT}");
    let arguments =
        ["--port", &port, "--health", "/health", "--quiet", "posix", "--sidecar", ATTRIBUTES, BUCKETS];
    let folders = buckets.iter().map(|bucket| format!("{BUCKETS}/{bucket}"));
    Spec {
        name: PROGRAM,
        arguments: arguments.map(str::to_owned).into(),
        environment,
        files: Files::new(),
        folders: folders.chain([ATTRIBUTES.to_owned()]).collect(),
        ready: format!("http://127.0.0.1:{PORT}/health"),
        trust: None,
        patience: PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_has_a_folder_for_each_bucket_and_the_keys_in_its_environment() {
        let options = Options {
            endpoint: String::new(),
            bucket: String::new(),
            access_key: "key".into(),
            secret_key: "secret".into(),
            region: "eu".into(),
            tls_ca_chain: String::new(),
            workload: Workload::Versitygw,
        };
        let spec = spec(&options, &BTreeSet::from(["a", "b"]));
        assert_eq!(spec.folders, ["/srv/s3/buckets/a", "/srv/s3/buckets/b", "/srv/s3/attributes"]);
        assert!(!spec.arguments.iter().any(|word| word.contains("secret")));
        assert_eq!(spec.environment["ROOT_SECRET_KEY"], "secret");
        assert_eq!(spec.environment["VGW_REGION"], "eu");
    }
}
