//! `double:s3`: hands out a bucket and credentials, as the s3-integrator charm does.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    s3::{INTERFACE, ProviderAppData, S3Provider},
};
use serde::Deserialize;

/// What it declares.
pub(crate) const META: &str = "
name: s3
summary: Hands out a bucket and the credentials for it.
provides:
  s3-credentials: {interface: s3}
config:
  options:
    endpoint: {type: string, default: 'http://s3.example.com:9000', description: URL of the service.}
    bucket: {type: string, default: tempo, description: Name of the bucket; empty for the one that is asked for.}
    access-key: {type: string, default: simulated-access-key, description: Name of the access key; empty withdraws everything.}
    secret-key: {type: string, default: simulated-secret-key, description: The secret that goes with it.}
    region: {type: string, default: '', description: Region of the bucket.}
    tls-ca-chain: {type: string, default: '', description: 'Certificates to trust the service by, PEM.'}
";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[derive(Default)]
struct Options {
    endpoint: String,
    bucket: String,
    access_key: String,
    secret_key: String,
    region: String,
    tls_ca_chain: String,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let provider = S3Provider::new(hook, EndpointMeta::provides("s3-credentials", INTERFACE))?;
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    for (relation, request) in provider.requests().await? {
        let wanted = request.ok().map(|request| request.bucket);
        let Some(bucket) = some(&options.bucket).or(wanted) else { continue };
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
