//! `double:certificates`: signs every request with an authority of its own, as the self-signed-certificates charm does.
//!
//! The authority is made once and lies in a secret of the application, so that all hooks and all leaders have the same.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use juju_ops::{Action, Hook, SecretContent, SecretId, SecretOwner, SecretRef};
use juju_relations::{
    EndpointMeta,
    tls_certificates::{
        Authority, Capabilities, CertificatesProvider, ErrorDetail, INTERFACE, ProviderAppData, Requester,
    },
};
use serde::Deserialize;

/// What it declares.
pub(crate) const META: &str = "
name: certificates
summary: Signs certificates with an authority of its own.
provides:
  certificates: {interface: tls-certificates}
config:
  options:
    validity: {type: string, default: 365d, description: 'How long new certificates are valid: a number and s, m, h or d.'}
    chain: {type: boolean, default: false, description: 'Sign new certificates with an authority between them and the root.'}
    deny: {type: string, default: '', description: 'Refuse new requests with this message.'}
    paused: {type: boolean, default: false, description: Leave new requests open.}
actions:
  revoke-all: {description: Say of every certificate that it must not be used any more.}
  renew: {description: Sign every request anew.}
  rotate-ca: {description: Replace the authority and sign every request anew.}
";

/// Label of the secret with the authority, and the only key in it.
const LABEL: &str = "authority";
const KEY: &str = "authority";
/// How long the authority itself is valid.
pub(super) const LIFE: Duration = Duration::from_hours(20 * 365 * 24);

#[derive(Deserialize)]
struct Options {
    validity: String,
    chain: bool,
    deny: String,
    paused: bool,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let provider = CertificatesProvider::new(hook, EndpointMeta::provides("certificates", INTERFACE))?;
    let running = hook.action();
    let action = running.as_ref().map(Action::name);
    if !hook.is_leader().await? {
        if let Some(action) = &running {
            action.fail("only the leader can do that").await?;
        }
        hook.active("").await?;
        return Ok(());
    }
    let validity = match duration(&options.validity) {
        Ok(validity) => validity,
        Err(error) => {
            hook.blocked(format!("option validity: {error}")).await?;
            return Ok(());
        }
    };
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())?;
    let rotate = action == Some("rotate-ca");
    let mut signer = authority(hook, now, rotate).await?;
    if !options.chain {
        signer = signer.without_intermediate();
    }
    let answers = Answers { options: &options, signer: &signer, now, until: now + seconds(validity)? };
    let mut count = 0;
    for requester in provider.requesters().await? {
        let mut data = provider.published(&requester.relation).await?;
        match action {
            Some("revoke-all") => data.revoke_all(),
            Some("renew" | "rotate-ca") => data.certificates.clear(),
            _ => {}
        }
        answers.bring_up_to_date(&mut data, &requester);
        count += data.certificates.len();
        provider.publish(&requester.relation, &data).await?;
    }
    if let Some(action) = &running {
        action.set_results(&BTreeMap::from([("certificates".to_owned(), count.to_string())])).await?;
    }
    let paused = if options.paused { "paused, " } else { "" };
    hook.active(format!("{paused}{count} signed")).await?;
    Ok(())
}

/// What new requests are answered with.
struct Answers<'a> {
    options: &'a Options,
    signer: &'a Authority,
    now: i64,
    until: i64,
}

impl Answers<'_> {
    /// Drops the answers that nobody waits for any more, and answers the requests that are open.
    fn bring_up_to_date(&self, data: &mut ProviderAppData, requester: &Requester) {
        data.retain(|csr| requester.asks_for(csr));
        data.capabilities = Some(Capabilities {
            supports_ip_sans: Some(true),
            supports_wildcard_dns: Some(true),
            supports_subdomain: Some(true),
            supports_ca_certificates: Some(false),
            allowed_domains: None,
            provider_type: Some("juju-sim".to_owned()),
        });
        if self.options.paused {
            return;
        }
        for request in requester.requests() {
            let csr = request.certificate_signing_request.as_str();
            // A certificate that was revoked is an answer too: whoever wants another one asks again.
            if data.issued(csr).next().is_some() {
                continue;
            }
            let refusal = if !self.options.deny.is_empty() {
                ErrorDetail::new(ErrorDetail::DOMAIN_NOT_ALLOWED, &self.options.deny)
            } else if request.is_ca() {
                ErrorDetail::new(ErrorDetail::OTHER, "certificates for authorities are not signed here")
            } else {
                match self.signer.sign(csr, self.now, self.until) {
                    Ok(issued) => {
                        data.answer(issued);
                        continue;
                    }
                    Err(error) => ErrorDetail::new(ErrorDetail::OTHER, error.to_string()),
                }
            };
            if data.refused(csr) != Some(&refusal) {
                data.refuse(csr, refusal);
            }
        }
    }
}

/// The authority of the application; a new one if there is none yet, or if it is to be replaced.
pub(super) async fn authority(hook: &Hook, now: i64, replace: bool) -> Result<Authority> {
    let secrets = hook.secrets();
    let stored = secrets.peek(SecretRef::Label(LABEL)).await?.ok();
    if let (Some(content), false) = (&stored, replace) {
        let text = content.get(KEY).context("the secret of the authority is empty")?;
        return Ok(Authority::from_pem(text)?);
    }
    // The names differ each time, so that nobody takes an old authority for the new one.
    let name = |what: &str| format!("{} {what} {now}", hook.env().app());
    let until = now + seconds(LIFE)?;
    let made = Authority::new(&name("root"), now, until)?.with_intermediate(&name("issuer"), now, until)?;
    let content: SecretContent = [(KEY, made.to_pem())].into_iter().collect();
    match secrets.info(SecretRef::Label(LABEL)).await? {
        Some((id, _)) => secrets.set(&id, &content).await?,
        None => drop::<SecretId>(secrets.add(&content, LABEL, SecretOwner::App).await?),
    }
    Ok(made)
}

fn seconds(duration: Duration) -> Result<i64> {
    Ok(i64::try_from(duration.as_secs())?)
}

/// Reads a number and its unit, such as `45s`, `2m`, `12h` or `30d`.
fn duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => bail!("{text:?} is not a number followed by s, m, h or d"),
    };
    let number: u32 = number.parse().with_context(|| format!("{text:?} begins with no usable number"))?;
    Ok(Duration::from_secs(u64::from(number) * unit).min(LIFE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("45s", 45), (" 2m ", 120), ("3h", 10_800), ("30d", 2_592_000)] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(duration("4000000000d").unwrap(), LIFE);
        for text in ["", "5", "d", "1w", "-1d", "1 d", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
