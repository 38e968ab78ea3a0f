//! The bucket.

use juju_ops::Remote;
use juju_relations::Wire;
use juju_relations::s3::ProviderAppData;

use crate::names::Endpoint;
use crate::secret::Secret;
use crate::snapshot::RelationSnapshot;

use super::address::{Authority, Scheme};
use super::{Finding, Place, S3, S3Bucket, key_and_reason};

/// What the first provider has given. The endpoint takes one relation only; should there be more, the oldest counts.
pub(super) fn bucket(relations: &[&RelationSnapshot]) -> S3 {
    let Some(relation) = relations.iter().find(|relation| relation.remote_app.is_some()) else {
        return if relations.is_empty() { S3::Unrelated } else { S3::Pending };
    };
    match ProviderAppData::read(relation.remote_app_data.as_ref()) {
        Remote::Absent | Remote::Denied => S3::Pending,
        Remote::Invalid(reason) => S3::Invalid(finding(relation.id, &reason)),
        Remote::Ready(data) => match checked(&data) {
            Ok(bucket) => S3::Ready(Box::new(bucket)),
            Err(reason) => S3::Invalid(finding(relation.id, &reason)),
        },
    }
}

fn finding(id: u32, text: &str) -> Finding {
    let (key, reason) = key_and_reason(text);
    let place = Place::Relation { endpoint: Endpoint::S3, id, unit: None };
    Finding { place, key: key.to_owned(), reason: reason.to_owned() }
}

fn checked(data: &ProviderAppData) -> Result<S3Bucket, String> {
    let endpoint = data.endpoint.as_deref().ok_or("endpoint: missing")?;
    let authority = Authority::parse(endpoint).map_err(|error| format!("endpoint: {error}"))?;
    let ca_chain = data.ca_chain().map(<[String]>::to_vec);
    for (key, text) in [
        ("bucket", data.bucket.as_str()),
        ("access-key", data.access_key.expose()),
        ("secret-key", data.secret_key.expose()),
        ("region", data.region.as_deref().unwrap_or("-")),
    ] {
        // Nothing of this kind has a control character in it; YAML readers refuse most of them.
        if text.trim().is_empty()
            || text
                .chars()
                .any(|c| c.is_control() || c == '\u{feff}' || ('\u{fffe}'..='\u{ffff}').contains(&c))
        {
            return Err(format!("{key}: empty, or with control characters"));
        }
    }
    Ok(S3Bucket {
        bucket: data.bucket.clone(),
        endpoint: match authority.port {
            // Tempo's client takes `host:80` for a host of that name.
            Some(port) if port != 80 && port != 443 => format!("{}:{port}", authority.host),
            _ => authority.host.to_string(),
        },
        insecure: ca_chain.is_none() && authority.scheme != Some(Scheme::Https),
        region: data.region.clone(),
        access_key: Secret::new(data.access_key.expose()),
        secret_key: Secret::new(data.secret_key.expose()),
        ca_chain,
    })
}

#[cfg(test)]
mod tests {
    use juju_ops::Databag;

    use super::*;

    fn with(changes: &[(&str, Option<&str>)]) -> S3 {
        let mut bag = Databag::from([
            ("access-key", "AKEXAMPLE"),
            ("secret-key", "sekret"),
            ("bucket", "traces"),
            ("endpoint", "http://10.20.0.5:9000"),
        ]);
        for (key, value) in changes {
            match value {
                Some(value) => bag.insert(*key, *value),
                None => bag.remove(key),
            };
        }
        let relation = RelationSnapshot {
            id: 1,
            remote_app: Some("minio".into()),
            remote_app_data: Some(bag),
            ..RelationSnapshot::default()
        };
        bucket(&[&relation])
    }

    fn ready(changes: &[(&str, Option<&str>)]) -> S3Bucket {
        match with(changes) {
            S3::Ready(bucket) => *bucket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn endpoints_lose_scheme_path_and_default_ports() {
        for (endpoint, expect, insecure) in [
            ("http://10.20.0.5:9000", "10.20.0.5:9000", true),
            ("s3.example.org", "s3.example.org", true),
            ("s3.example.org:80", "s3.example.org", true),
            ("http://s3.example.org:80", "s3.example.org", true),
            ("http://s3.example.org:443", "s3.example.org", true),
            ("https://s3.example.org", "s3.example.org", false),
            ("https://s3.example.org:443", "s3.example.org", false),
            ("https://s3.example.org:443/", "s3.example.org", false),
            ("https://s3.example.org:8080/some/path", "s3.example.org:8080", false),
            ("http://s3.example.org:8000", "s3.example.org:8000", true),
            ("http://[fd00::5]:9000/", "[fd00::5]:9000", true),
        ] {
            let bucket = ready(&[("endpoint", Some(endpoint))]);
            assert_eq!((bucket.endpoint.as_str(), bucket.insecure), (expect, insecure), "{endpoint}");
        }
    }

    #[test]
    fn a_chain_of_certificates_means_tls() {
        let bucket = ready(&[("tls-ca-chain", Some(r#"["one", "two"]"#))]);
        assert!(!bucket.insecure);
        assert_eq!(bucket.ca_chain, Some(vec!["one".to_owned(), "two".to_owned()]));
        assert!(ready(&[("tls-ca-chain", Some("[]"))]).insecure);
    }

    #[test]
    fn credentials_that_look_like_numbers_are_credentials() {
        let bucket = ready(&[("access-key", Some("0123")), ("bucket", Some("1e3")), ("region", Some("yes"))]);
        assert_eq!(
            (bucket.access_key.expose(), bucket.bucket.as_str(), bucket.region.as_deref()),
            ("0123", "1e3", Some("yes"))
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        for (key, value) in [
            ("endpoint", None),
            ("secret-key", None),
            ("endpoint", Some("a b")),
            ("endpoint", Some("s3://x")),
            ("secret-key", Some("a\nb")),
            ("region", Some("\u{7}")),
            ("tls-ca-chain", Some("x")),
        ] {
            let S3::Invalid(finding) = with(&[(key, value)]) else { panic!("{key} {value:?}") };
            assert_eq!(finding.key, key);
            assert!(!finding.reason.contains(value.unwrap_or("sekret")), "{finding}");
        }
    }

    #[test]
    fn nothing_yet_is_pending() {
        assert_eq!(bucket(&[]), S3::Unrelated);
        let unwritten = RelationSnapshot { remote_app: Some("minio".into()), ..RelationSnapshot::default() };
        assert_eq!(bucket(&[&unwritten]), S3::Pending);
        assert_eq!(bucket(&[&RelationSnapshot::default()]), S3::Pending);
    }
}
