//! `s3`, with `object_storage`: what integrators of today do for a charm that speaks the first version.

use juju_relations::s3::{ProviderAppData, memory};
use juju_relations::{Databag, Sensitive};
use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::bags::{said, written};
use crate::peer::Peer;
use crate::scene::{WORKERS, after, complete, without};

const S3: u32 = 2;
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIBexample\n-----END CERTIFICATE-----";

/// The complete cluster, whose integrator has not said anything yet.
fn waiting() -> State {
    let relation = Relation::new("s3", S3, "s3", "s3").with_remote_unit(0, [] as [(&str, &str); 0]);
    after(&without(&complete(), S3).with_relation(relation), Event::relation_created("s3", S3))
}

fn bucket() -> Value {
    json!({
        "access-key": "AKEXAMPLE",
        "secret-key": "s3cr3t/with+chars",
        "bucket": "traces",
        "endpoint": "https://minio.example:9000",
        "region": "eu-west-1",
        "path": "",
        "tls-ca-chain": [PEM],
        "delete-older-than-days": 30,
        "s3-uri-style": null,
    })
}

fn integrator() -> Peer {
    Peer::opposite("s3.Integrator", json!({"bucket": bucket()}))
}

#[test]
fn a_python_integrator_gives_us_a_bucket() {
    let mut state = waiting();
    let mut integrator = integrator();
    integrator.hook("created", &mut state, S3);
    let heard = integrator.hook("changed", &mut state, S3);
    assert_eq!(heard.emitted, ["StorageConnectionInfoRequestedEvent"]);
    assert!(!integrator.has_secrets(), "we did not ask for secrets");

    let data: ProviderAppData = said(&state.relation("s3", S3).unwrap().remote_app_data).expect("a bucket");
    assert_eq!(data.secret_key.expose(), "s3cr3t/with+chars");
    assert_eq!(data.ca_chain(), Some(&[PEM.to_owned()][..]));
    assert_eq!(data.delete_older_than_days.as_deref(), Some("30"));

    let state = after(&state, Event::relation_changed("s3", S3));
    assert!(state.unit_status.is_active(), "{:?}", state.unit_status);
    let told = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data;
    assert!(
        told["worker_config"].contains("minio.example:9000") && told["worker_config"].contains("s3cr3t/")
    );
    assert_eq!(serde_json::from_str::<String>(&told["s3_tls_ca_chain"]).unwrap(), PEM);
}

#[test]
fn a_python_integrator_that_has_not_answered_yet_is_waited_for() {
    let mut state = waiting();
    integrator().hook("created", &mut state, S3);
    let bag = &state.relation("s3", S3).unwrap().remote_app_data;
    assert!(!bag.is_empty(), "it says which version it speaks");
    assert_eq!(said::<ProviderAppData>(bag), None);
}

#[test]
fn a_python_requirer_takes_the_bucket_that_we_give() {
    let mut state = without(&complete(), S3).with_relation(Relation::new("s3", S3, "s3", "other"));
    let mut requirer = Peer::opposite("s3.Requirer", json!({}));
    requirer.hook("created", &mut state, S3);
    let data = ProviderAppData {
        access_key: Sensitive::new("AKEXAMPLE"),
        secret_key: Sensitive::new("s3cr3t/with+chars"),
        bucket: "traces".into(),
        endpoint: Some("https://minio.example:9000".into()),
        tls_ca_chain: Some(vec![PEM.to_owned()]),
        ..ProviderAppData::default()
    };
    let relation = state.relation_mut("s3", S3).unwrap();
    let request: Databag = relation.remote_app_data.clone().into_iter().collect();
    relation.local_app_data = written(&data);
    relation.local_app_data.insert("data".into(), memory(&request));
    // It sees from the answer that we speak the first version, and asks once more in that.
    requirer.hook("changed", &mut state, S3);
    assert_eq!(state.relation("s3", S3).unwrap().remote_app_data["bucket"], format!("relation-{S3}"));
    let heard = requirer.hook("changed", &mut state, S3);
    assert_eq!(heard.emitted, ["StorageConnectionInfoChangedEvent"]);
    let said = &heard.said;
    assert_eq!(
        (&said["access-key"], &said["secret-key"], &said["bucket"], &said["tls-ca-chain"]),
        (&json!("AKEXAMPLE"), &json!("s3cr3t/with+chars"), &json!("traces"), &json!([PEM]))
    );
}
