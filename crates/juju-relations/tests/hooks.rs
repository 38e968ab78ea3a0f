//! The sides of each interface in a hook: what they read, what they write and when they refuse.

mod agent;

use std::collections::BTreeSet;
use std::sync::Arc;

use agent::{Agent, Relation, about};
use juju_ops::{Event, Hook, UnitName};
use juju_relations::tracing::{
    self, Protocol, ProviderAppData, ProviderEvent, Requested, RequirerAppData, RequirerEvent, TracingError,
    TracingProvider, TracingRequirer, charm_tracing_config,
};
use juju_relations::{
    Change, EndpointError, EndpointMeta, Nothing, Remote, Wire, blackbox_exporter_probes, catalogue,
    cross_model_mesh, grafana_dashboard, grafana_datasource, grafana_datasource_exchange,
    istio_ingress_route, loki_push_api, prometheus_remote_write, prometheus_scrape, s3, service_mesh,
    tempo_api, tempo_cluster, tempo_peers, traefik_route,
};

const RECEIVES: EndpointMeta = EndpointMeta::provides("tracing", tracing::INTERFACE);
const SENDS: EndpointMeta = EndpointMeta::requires("traces", tracing::INTERFACE).limited(1);
const SENDS_TO_MANY: EndpointMeta = EndpointMeta::requires("traces", tracing::INTERFACE);

fn wants(protocols: impl IntoIterator<Item = Protocol>) -> RequirerAppData {
    RequirerAppData::new(protocols)
}

fn requirer(hook: &Hook) -> TracingRequirer {
    TracingRequirer::new(hook, SENDS).unwrap()
}

/// A requirer `grafana` that wants Zipkin, `loki` that wants OTLP and something odd, `old` that says nothing.
fn three_requirers() -> [Relation; 3] {
    [
        Relation::new("tracing", 3, "grafana").with("grafana", &wants([Protocol::Zipkin])),
        Relation::new("tracing", 4, "loki").with_text("loki", [("receivers", r#"["otlp_grpc", "tempo"]"#)]),
        Relation::new("tracing", 5, "old"),
    ]
}

/// A provider of the relation `traces:7` that receives OTLP over HTTP.
fn provider_of_otlp(own_request: &[Protocol]) -> Relation {
    Relation::new("traces", 7, "tempo")
        .with("tempo", &ProviderAppData::new([(Protocol::OtlpHttp, "http://tempo.example:4318")]))
        .with("me", &wants(own_request.iter().copied()))
}

#[test]
fn endpoints_are_checked_before_anything_is_asked() {
    let agent = Agent::new(true, []);
    let hook = agent.hook(Event::Start);
    assert!(matches!(
        TracingProvider::new(&hook, SENDS).err(),
        Some(EndpointError::RelationRoleMismatch { .. })
    ));
    assert!(matches!(
        TracingRequirer::new(&hook, EndpointMeta::requires("s3", "s3")).err(),
        Some(EndpointError::RelationInterfaceMismatch { .. })
    ));
    assert!(s3::S3Provider::new(&hook, EndpointMeta::requires("s3", "s3")).is_err());
    assert!(tempo_cluster::ClusterRequirer::new(&hook, RECEIVES).is_err());
    assert!(tempo_peers::TempoPeers::new(&hook, EndpointMeta::provides("p", "tempo_peers")).is_err());
}

#[tokio::test]
async fn a_provider_unites_what_is_asked_for() {
    let agent = Agent::new(true, three_requirers());
    let tracing = TracingProvider::new(&agent.hook(Event::UpdateStatus), RECEIVES).unwrap();
    assert_eq!(
        tracing.requested_protocols().await.unwrap(),
        BTreeSet::from([Protocol::OtlpGrpc, Protocol::Zipkin])
    );
    let relations = tracing.relations().await.unwrap();
    assert!(tracing.is_requirer_ready(&relations[1]).await.unwrap());
    assert!(!tracing.is_requirer_ready(&relations[2]).await.unwrap());
    assert_eq!(tracing.requested_by(&relations[1]).await.unwrap().unknown, ["tempo"]);
    assert!(matches!(tracing.requested_by(&relations[2]).await, Err(TracingError::NotReady { .. })));
}

#[tokio::test]
async fn a_request_that_cannot_be_understood_is_told_from_none() {
    let agent =
        Agent::new(true, [Relation::new("tracing", 3, "x").with_text("x", [("receivers", "zipkin")])]);
    let tracing = TracingProvider::new(&agent.hook(Event::UpdateStatus), RECEIVES).unwrap();
    let relation = tracing.relations().await.unwrap().remove(0);
    let error = tracing.requested_by(&relation).await.unwrap_err();
    assert_eq!(error.to_string(), "tracing:3: receivers: not valid JSON");
    assert!(!tracing.is_requirer_ready(&relation).await.unwrap());
    assert_eq!(tracing.requested_protocols().await.unwrap(), BTreeSet::new());
}

#[tokio::test]
async fn a_requirer_that_leaves_takes_its_protocol_with_it() {
    let agent = Agent::new(true, three_requirers());
    let hook = agent.hook(Event::RelationBroken(about("tracing", 3, "grafana")));
    let tracing = TracingProvider::new(&hook, RECEIVES).unwrap();
    assert_eq!(tracing.requested_protocols().await.unwrap(), BTreeSet::from([Protocol::OtlpGrpc]));
    let broken = tracing.event().await.unwrap();
    assert!(matches!(broken, Some(ProviderEvent::Broken { relation }) if relation.number() == 3));
}

#[tokio::test]
async fn receivers_go_to_everyone_once_and_not_to_a_dying_relation() {
    let mut relations = Vec::from(three_requirers());
    relations.push(Relation { gone: true, ..Relation::new("tracing", 6, "dying") });
    let agent = Agent::new(true, relations);
    let receivers = [(Protocol::Zipkin, "http://t:9411"), (Protocol::OtlpGrpc, "t:4317")];
    for expected in [3, 0] {
        let hook = agent.hook(Event::UpdateStatus);
        let tracing = TracingProvider::new(&hook, RECEIVES).unwrap();
        tracing.publish_receivers(receivers).await.unwrap();
        assert_eq!(agent.take_writes().len(), 0, "nothing is sent before the end of the hook");
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes().len(), expected);
    }
    for number in [3, 4, 5] {
        assert_eq!(
            ProviderAppData::read(Some(&agent.bag(number, "me"))),
            Remote::Ready(ProviderAppData::new(receivers))
        );
    }
}

#[tokio::test]
async fn a_follower_publishes_nothing() {
    let agent = Agent::new(false, three_requirers());
    let hook = agent.hook(Event::UpdateStatus);
    let tracing = TracingProvider::new(&hook, RECEIVES).unwrap();
    let refused = tracing.publish_receivers([(Protocol::Zipkin, "http://t:9411")]).await;
    assert!(matches!(refused, Err(TracingError::DataAccessPermission { .. })));
    hook.commit().await.unwrap();
    assert_eq!(agent.take_writes(), []);
}

#[tokio::test]
async fn a_provider_hears_what_its_event_means() {
    let agent = Agent::new(true, three_requirers());
    let event = |event: Event| {
        let tracing = TracingProvider::new(&agent.hook(event), RECEIVES).unwrap();
        async move { tracing.event().await.unwrap() }
    };
    assert_eq!(
        event(Event::RelationChanged(about("tracing", 3, "grafana"))).await,
        Some(ProviderEvent::Request {
            relation: about("tracing", 3, "grafana").id,
            requested: Requested { known: [Protocol::Zipkin].into(), unknown: vec![] },
        })
    );
    assert_eq!(event(Event::RelationChanged(about("tracing", 5, "old"))).await, None);
    assert_eq!(event(Event::Start).await, None);
}

#[tokio::test]
async fn a_request_is_made_by_the_leader_on_every_relation() {
    let relations = || [Relation::new("traces", 7, "tempo"), Relation::new("traces", 8, "other")];
    let agent = Agent::new(true, relations());
    let hook = agent.hook(Event::Start);
    // Asking needs no single relation.
    let tracing = TracingRequirer::new(&hook, SENDS_TO_MANY).unwrap();
    tracing.request([Protocol::Zipkin, Protocol::OtlpGrpc]).await.unwrap();
    hook.commit().await.unwrap();
    for number in [7, 8] {
        assert_eq!(agent.bag(number, "me")["receivers"], r#"["otlp_grpc", "zipkin"]"#);
    }

    let follower = Agent::new(false, relations());
    let hook = follower.hook(Event::Start);
    let tracing = TracingRequirer::new(&hook, SENDS_TO_MANY).unwrap();
    tracing.request([Protocol::Zipkin]).await.unwrap();
    let refused = tracing.request_protocols([Protocol::Zipkin]).await;
    assert!(matches!(refused, Err(TracingError::DataAccessPermission { .. })));
    // An empty request is a mistake wherever it is made.
    assert!(matches!(tracing.request([]).await, Err(TracingError::NothingRequested { .. })));
    hook.commit().await.unwrap();
    assert_eq!(follower.take_writes(), []);
}

#[tokio::test]
async fn one_relation_can_be_asked_alone() {
    let agent = Agent::new(true, [Relation::new("traces", 7, "tempo"), Relation::new("traces", 8, "other")]);
    let hook = agent.hook(Event::Start);
    let tracing = TracingRequirer::new(&hook, SENDS_TO_MANY).unwrap();
    let relation = tracing.relations().await.unwrap().remove(1);
    tracing.on(&relation).request([Protocol::Zipkin]).await.unwrap();
    hook.commit().await.unwrap();
    assert_eq!(agent.take_writes(), [("traces:8".to_owned(), "me".to_owned())]);
    assert!(!tracing.on(&relation).is_ready().await.unwrap());
    assert_eq!(tracing.on(&relation).endpoint(Protocol::Zipkin).await.unwrap(), None);
}

#[tokio::test]
async fn without_a_limit_the_relation_is_ambiguous() {
    let agent = Agent::new(true, [provider_of_otlp(&[])]);
    let tracing = TracingRequirer::new(&agent.hook(Event::Start), SENDS_TO_MANY).unwrap();
    assert!(matches!(tracing.is_ready().await, Err(TracingError::AmbiguousRelationUsage { .. })));
    assert!(matches!(tracing.all_endpoints().await, Err(TracingError::AmbiguousRelationUsage { .. })));
    let refused = tracing.endpoint(Protocol::Zipkin).await;
    assert!(matches!(refused, Err(TracingError::AmbiguousRelationUsage { .. })));
    let relation = tracing.relations().await.unwrap().remove(0);
    assert!(tracing.on(&relation).is_ready().await.unwrap());
}

#[tokio::test]
async fn an_endpoint_is_there_or_pending_or_was_never_asked_for() {
    let agent = Agent::new(true, [provider_of_otlp(&[Protocol::Zipkin])]);
    let tracing = requirer(&agent.hook(Event::Start));
    // Whatever is published can be used, asked for or not.
    let url = tracing.endpoint(Protocol::OtlpHttp).await.unwrap().unwrap();
    assert_eq!(url.as_str(), "http://tempo.example:4318");
    assert_eq!(tracing.endpoint(Protocol::Zipkin).await.unwrap(), None);
    let error = tracing.endpoint(Protocol::JaegerGrpc).await.unwrap_err();
    assert_eq!(error.to_string(), "traces: protocol jaeger_grpc is looked for, but was not requested");
    // A request of this very hook counts.
    tracing.request([Protocol::JaegerGrpc]).await.unwrap();
    assert_eq!(tracing.endpoint(Protocol::JaegerGrpc).await.unwrap(), None);
    assert_eq!(tracing.all_endpoints().await.unwrap().unwrap().receivers.len(), 1);
}

#[tokio::test]
async fn a_follower_gets_the_url_or_nothing_but_no_error() {
    let agent = Agent::new(false, [provider_of_otlp(&[])]);
    let tracing = requirer(&agent.hook(Event::Start));
    assert!(tracing.endpoint(Protocol::OtlpHttp).await.unwrap().is_some());
    assert_eq!(tracing.endpoint(Protocol::Zipkin).await.unwrap(), None);
}

#[tokio::test]
async fn without_a_relation_there_is_nothing_and_no_error() {
    let agent = Agent::new(true, []);
    let tracing = requirer(&agent.hook(Event::Start));
    tracing.request([Protocol::Zipkin]).await.unwrap();
    assert_eq!(tracing.published().await.unwrap(), Remote::Absent);
    assert_eq!(tracing.endpoint(Protocol::Zipkin).await.unwrap(), None);
    assert_eq!(tracing.all_endpoints().await.unwrap(), None);
}

#[tokio::test]
async fn an_old_provider_is_not_ready() {
    let old = [("host", r#""tempo.example""#), ("ingesters", r#"[{"protocol": "zipkin", "port": 9411}]"#)];
    let agent = Agent::new(true, [Relation::new("traces", 7, "tempo").with_text("tempo", old)]);
    let tracing = requirer(&agent.hook(Event::RelationChanged(about("traces", 7, "tempo"))));
    assert!(!tracing.is_ready().await.unwrap());
    assert!(tracing.published().await.unwrap().reason().unwrap().contains("version 0"));
    let event = tracing.event().await.unwrap();
    assert!(
        matches!(event, Some(RequirerEvent::EndpointRemoved { reason: Some(reason), .. }) if reason.contains("version 0"))
    );
}

#[tokio::test]
async fn a_requirer_hears_what_its_event_means() {
    let agent = Agent::new(true, [provider_of_otlp(&[])]);
    let changed = requirer(&agent.hook(Event::RelationChanged(about("traces", 7, "tempo"))));
    let event = changed.event().await.unwrap();
    assert!(matches!(event, Some(RequirerEvent::EndpointChanged { receivers, .. }) if receivers.len() == 1));
    let broken = requirer(&agent.hook(Event::RelationBroken(about("traces", 7, "tempo"))));
    assert!(matches!(
        broken.event().await.unwrap(),
        Some(RequirerEvent::EndpointRemoved { reason: None, .. })
    ));
    assert_eq!(broken.endpoint(Protocol::OtlpHttp).await.unwrap(), None);
}

#[tokio::test]
async fn a_charm_traces_itself_only_where_it_can_trust() {
    let at = |url: &str| {
        let data = ProviderAppData::new([(Protocol::OtlpHttp, url)]);
        Agent::new(true, [Relation::new("traces", 7, "tempo").with("tempo", &data)])
    };
    let certificate = tempfile::NamedTempFile::new().unwrap();
    let config = async |agent: &Arc<Agent>, path| {
        charm_tracing_config(&requirer(&agent.hook(Event::Start)), path).await.unwrap()
    };

    let plain = config(&at("http://t:4318"), Some(certificate.path())).await.unwrap();
    assert_eq!((plain.endpoint.as_str(), plain.certificate), ("http://t:4318", None));
    let secure = config(&at("https://t:4318"), Some(certificate.path())).await.unwrap();
    assert_eq!(secure.certificate.as_deref(), Some(certificate.path()));
    assert_eq!(config(&at("https://t:4318"), None).await, None);
    let missing = certificate.path().with_extension("missing");
    assert_eq!(config(&at("https://t:4318"), Some(&missing)).await, None);
    assert_eq!(config(&Agent::new(true, []), None).await, None);

    // The provider is ready and has other receivers: either nobody asked, which is a mistake, or it is to come.
    let zipkin = ProviderAppData::new([(Protocol::Zipkin, "http://t:9411")]);
    let other = Relation::new("traces", 7, "tempo").with("tempo", &zipkin);
    let agent = Agent::new(true, [other.clone()]);
    let refused = charm_tracing_config(&requirer(&agent.hook(Event::Start)), None).await;
    assert!(matches!(refused, Err(TracingError::ProtocolNotRequested { .. })));
    let agent = Agent::new(true, [other.with("me", &wants([Protocol::OtlpHttp]))]);
    assert_eq!(config(&agent, None).await, None);
}

mod cluster {
    use juju_relations::tempo_cluster::{
        ClusterProvider, ClusterRequirer, CoordinatorAppData, RequirerEvent, Role, Topology, WorkerAppData,
        WorkerUnitData, gather_roles,
    };

    use super::*;

    const COORDINATES: EndpointMeta = EndpointMeta::provides("tempo-cluster", tempo_cluster::INTERFACE);
    const WORKS: EndpointMeta = EndpointMeta::requires("tempo-cluster", tempo_cluster::INTERFACE).limited(1);

    fn unit(name: &str) -> WorkerUnitData {
        let topology = Topology { application: "w".into(), unit: name.into(), charm_name: "worker".into() };
        WorkerUnitData { juju_topology: topology, address: format!("{}.example", name.replace('/', "-")) }
    }

    #[tokio::test]
    async fn only_complete_applications_are_configured() {
        let agent = Agent::new(
            true,
            [
                Relation::new("tempo-cluster", 2, "readers")
                    .with("readers", &WorkerAppData::new([Role::Querier]))
                    .with("readers/0", &unit("readers/0"))
                    .with("readers/1", &unit("readers/1")),
                Relation::new("tempo-cluster", 3, "writers")
                    .with("writers", &WorkerAppData::new([Role::Ingester]))
                    .with("writers/0", &unit("writers/0"))
                    .with_text("writers/1", [("ingress-address", "10.1.2.3")]),
                Relation { app: None, ..Relation::new("tempo-cluster", 4, "") },
            ],
        );
        let hook = agent.hook(Event::UpdateStatus);
        let cluster = ClusterProvider::new(&hook, COORDINATES).unwrap();
        let workers: Vec<_> =
            cluster.workers().await.unwrap().into_iter().map(|(_, workers)| workers).collect();
        assert_eq!(gather_roles(&workers), [(Role::Ingester, 2), (Role::Querier, 2)].into());
        let problems = cluster.publish(&CoordinatorAppData::new("a: 1")).await.unwrap();
        assert_eq!(problems, ["writers/1: no address published yet"]);
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes(), [("tempo-cluster:2".to_owned(), "me".to_owned())]);
    }

    #[tokio::test]
    async fn a_worker_announces_itself_and_is_configured() {
        let agent = Agent::new(true, [Relation::new("tempo-cluster", 2, "tempo")]);
        let hook = agent.hook(Event::Start);
        let worker = ClusterRequirer::new(&hook, WORKS).unwrap();
        worker.announce(&unit("me/0"), [Role::All]).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.bag(2, "me")["role"], r#""all""#);
        assert_eq!(WorkerUnitData::read(Some(&agent.bag(2, "me/0"))), Remote::Ready(unit("me/0")));
        assert_eq!(worker.published().await.unwrap(), Remote::Absent);

        let changed = || Event::RelationChanged(about("tempo-cluster", 2, "tempo"));
        let event =
            async || ClusterRequirer::new(&agent.hook(changed()), WORKS).unwrap().event().await.unwrap();
        assert!(matches!(event().await, Some(RequirerEvent::Removed { reason: None, .. })));
        let bag = CoordinatorAppData::new("a: 1").write();
        agent.relations.lock().unwrap()[0].bags.insert("tempo".into(), bag);
        assert!(matches!(event().await, Some(RequirerEvent::ConfigReceived { .. })));
    }

    #[tokio::test]
    async fn a_follower_announces_only_its_unit() {
        let agent = Agent::new(false, [Relation::new("tempo-cluster", 2, "tempo")]);
        let hook = agent.hook(Event::Start);
        ClusterRequirer::new(&hook, WORKS).unwrap().announce(&unit("me/0"), [Role::All]).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes(), [("tempo-cluster:2".to_owned(), "me/0".to_owned())]);
    }
}

#[tokio::test]
async fn a_bucket_is_asked_for_and_given() {
    const NEEDS: EndpointMeta = EndpointMeta::requires("s3", s3::INTERFACE).limited(1);
    const HAS: EndpointMeta = EndpointMeta::provides("buckets", s3::INTERFACE);
    let given = s3::ProviderAppData {
        access_key: "AK".into(),
        secret_key: "SK".into(),
        bucket: "blocks".into(),
        ..Default::default()
    };

    let agent = Agent::new(true, [Relation::new("s3", 7, "minio").with("minio", &given)]);
    let hook = agent.hook(Event::RelationChanged(about("s3", 7, "minio")));
    let needs = s3::S3Requirer::new(&hook, NEEDS).unwrap();
    needs.request(None).await.unwrap();
    hook.commit().await.unwrap();
    assert_eq!(*agent.bag(7, "me"), [("bucket".to_owned(), "relation-7".to_owned())].into());
    assert_eq!(needs.published().await.unwrap(), Remote::Ready(given.clone()));
    assert!(matches!(needs.event().await.unwrap(), Some(s3::RequirerEvent::CredentialsChanged { .. })));

    let asked = s3::RequirerAppData { bucket: "relation-7".into() };
    let agent = Agent::new(true, [Relation::new("buckets", 9, "tempo").with("tempo", &asked)]);
    let hook = agent.hook(Event::UpdateStatus);
    let has = s3::S3Provider::new(&hook, HAS).unwrap();
    let (relation, request) = has.requests().await.unwrap().remove(0);
    assert_eq!(request, Remote::Ready(asked));
    has.publish(&relation, &given).await.unwrap();
    hook.commit().await.unwrap();
    let bag = agent.bag(9, "me");
    assert_eq!(bag["data"], r#"{"bucket": "relation-7"}"#);
    assert_eq!(s3::ProviderAppData::read(Some(&bag)), Remote::Ready(given.clone()));

    let follower = Agent::new(false, [Relation::new("s3", 7, "minio"), Relation::new("buckets", 9, "tempo")]);
    let hook = follower.hook(Event::UpdateStatus);
    s3::S3Requirer::new(&hook, NEEDS).unwrap().request(None).await.unwrap();
    let has = s3::S3Provider::new(&hook, HAS).unwrap();
    let (relation, _) = has.requests().await.unwrap().remove(0);
    has.publish(&relation, &given).await.unwrap();
    hook.commit().await.unwrap();
    assert_eq!(follower.take_writes(), []);
}

#[tokio::test]
async fn peers_know_each_other() {
    const PEERS: EndpointMeta = EndpointMeta::peer("peers", tempo_peers::INTERFACE);
    let agent = Agent::new(
        false,
        [Relation::new("peers", 1, "me")
            .with("me/1", &tempo_peers::UnitData::new("me-1.example"))
            .with_text("me/2", [("ingress-address", "10.1.2.3")])
            .with_text("me/10", [("fqdn", "[")])],
    );
    let hook = agent.hook(Event::UpdateStatus);
    let peers = tempo_peers::TempoPeers::new(&hook, PEERS).unwrap();
    peers.publish("me-0.example").await.unwrap();
    hook.commit().await.unwrap();
    assert_eq!(agent.bag(1, "me/0")["hostname"], "me-0.example");
    let seen = peers.peers().await.unwrap();
    assert_eq!(seen[&UnitName::new("me", 1)], Remote::Ready(tempo_peers::UnitData::new("me-1.example")));
    assert_eq!(seen[&UnitName::new("me", 2)], Remote::Absent);
    assert_eq!(seen[&UnitName::new("me", 10)].reason(), Some("fqdn: not valid JSON"));

    let alone = Agent::new(true, []);
    let peers = tempo_peers::TempoPeers::new(&alone.hook(Event::Install), PEERS).unwrap();
    peers.publish("me-0.example").await.unwrap();
    assert!(peers.peers().await.unwrap().is_empty());
}

mod exchanges {
    use std::fmt::Debug;

    use juju_relations::{Exchange, Party};

    use super::*;

    /// What one side of an interface publishes, the other one reads; a follower writes nothing, and the wrong side of an
    /// endpoint is refused.
    async fn check<P: Party<Own = T>, Q: Party<Other = T>, T: Wire + Clone + PartialEq + Debug>(data: T) {
        let endpoint = |role| EndpointMeta::new(role, "e", P::INTERFACE);
        let agent = Agent::new(true, [Relation::new("e", 7, "other"), Relation::new("e", 8, "third")]);
        let hook = agent.hook(Event::Start);
        assert!(Exchange::<P>::new(&hook, endpoint(Q::ROLE)).is_err());
        let side = Exchange::<P>::new(&hook, endpoint(P::ROLE)).unwrap();
        side.publish(&data).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes().len(), 2);
        let bag = agent.bag(7, "me");
        assert_eq!(bag, data.write());
        assert!(bag.keys().all(|key| T::KEYS.contains(&key.as_str())));

        let relation =
            Relation { bags: [("other".to_owned(), bag)].into(), ..Relation::new("e", 7, "other") };
        let reader = Agent::new(false, [relation, Relation::new("e", 9, "silent")]);
        let hook = reader.hook(Event::RelationChanged(about("e", 7, "other")));
        let other = Exchange::<Q>::new(&hook, endpoint(Q::ROLE)).unwrap().clone();
        let read: Vec<_> = other.published().await.unwrap().into_iter().map(|(_, data)| data).collect();
        assert_eq!(read, [Remote::Ready(data.clone()), Remote::Absent]);
        let id = about("e", 7, "other").id;
        let expect = Change::Published { relation: id.clone(), data: Box::new(data.clone()) };
        assert_eq!(other.event().await.unwrap(), Some(expect));
        let hook = reader.hook(Event::RelationBroken(about("e", 7, "other")));
        let other = Exchange::<Q>::new(&hook, endpoint(Q::ROLE)).unwrap();
        assert_eq!(other.event().await.unwrap(), Some(Change::Withdrawn { relation: id, reason: None }));

        let hook = agent.hook(Event::UpdateStatus);
        let side = Exchange::<P>::new(&hook, endpoint(P::ROLE)).unwrap();
        let (relation, _) = side.published().await.unwrap().remove(0);
        side.withdraw_from(&relation).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!((agent.bag(7, "me").len(), agent.bag(8, "me")), (0, data.write()));

        let follower = Agent::new(false, [Relation::new("e", 7, "other")]);
        let hook = follower.hook(Event::Start);
        let side = Exchange::<P>::new(&hook, endpoint(P::ROLE)).unwrap();
        side.publish(&data).await.unwrap();
        let (relation, _) = side.published().await.unwrap().remove(0);
        side.withdraw_from(&relation).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(follower.take_writes(), []);
    }

    #[tokio::test]
    async fn traefik_is_given_routes_and_gives_a_host() {
        use traefik_route::{
            DynamicConfig, EntryPoint, Provider, ProviderAppData, Requirer, RequirerAppData, StaticConfig,
        };

        let entry_points = StaticConfig { entry_points: [("e".to_owned(), EntryPoint::at(80))].into() };
        check::<Requirer, Provider, _>(RequirerAppData::new(&DynamicConfig::default(), &entry_points)).await;
        let data = ProviderAppData { external_host: "edge.example".into(), scheme: "http".into() };
        check::<Provider, Requirer, _>(data).await;
    }

    #[tokio::test]
    async fn istio_is_given_routes_and_gives_a_host() {
        use istio_ingress_route::{Config, Provider, ProviderAppData, Requirer, RequirerAppData};

        let config = Config { model: "obs".into(), ..Config::default() };
        check::<Requirer, Provider, _>(RequirerAppData { config }).await;
        check::<Provider, Requirer, _>(ProviderAppData {
            external_host: "edge.example".into(),
            tls_enabled: true,
        })
        .await;
    }

    #[tokio::test]
    async fn who_queries_is_told_where_the_api_is() {
        use tempo_api::{Api, HttpUrl, Provider, ProviderAppData, Requirer};

        let api = |port: u16| Api {
            direct_url: HttpUrl::parse(&format!("http://t:{port}")).unwrap(),
            ingress_url: None,
        };
        check::<Provider, Requirer, _>(ProviderAppData { http: api(3200), grpc: api(9096) }).await;
    }

    #[tokio::test]
    async fn the_catalogue_is_given_an_entry() {
        use catalogue::{Item, Provider, Requirer};

        check::<Requirer, Provider, _>(Item { name: "Tempo".into(), ..Item::default() }).await;
    }

    #[tokio::test]
    async fn the_exporter_is_given_probes() {
        use blackbox_exporter_probes::{Metadata, Probe, Provider, ProviderAppData, Requirer};

        let scrape_metadata = Metadata {
            model: "obs".into(),
            model_uuid: "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60".into(),
            application: "tempo".into(),
            unit: "tempo/0".into(),
            charm_name: None,
        };
        let scrape_probes = vec![Probe::new(scrape_metadata.prefix(), "http_2xx", ["http://t:1/ready"])];
        check::<Provider, Requirer, _>(ProviderAppData {
            scrape_metadata,
            scrape_probes,
            scrape_modules: [].into(),
        })
        .await;
    }

    #[tokio::test]
    async fn grafana_is_given_dashboards_and_says_what_it_thinks_of_them() {
        use grafana_dashboard::{Dashboards, Provider, ProviderAppData, Refusal, Requirer, RequirerAppData};

        let text = r#"{"charm": "tempo", "content": "/Td6WFoA", "juju_topology": {}}"#;
        let template = serde_json::from_str(text).unwrap();
        let dashboards = Dashboards::new([("file:tempo".to_owned(), template)], "u");
        check::<Provider, Requirer, _>(ProviderAppData { dashboards, problems: vec![] }).await;
        let refusal = Refusal { dashboard_id: "file:tempo".into(), error: "corrupt".into() };
        let verdict = grafana_dashboard::Verdict::new([refusal]);
        check::<Requirer, Provider, _>(RequirerAppData { verdict, problems: vec![] }).await;
    }

    #[tokio::test]
    async fn owners_of_data_sources_tell_each_other_of_them() {
        use grafana_datasource_exchange::{AppData, Datasource, Provider, Requirer};

        let data = AppData::new([Datasource::new("tempo", "u", "g")]);
        check::<Provider, Requirer, _>(data.clone()).await;
        check::<Requirer, Provider, _>(data).await;
    }

    #[tokio::test]
    async fn a_mesh_is_given_policies_and_gives_labels() {
        use service_mesh::{MeshPolicy, MeshType, Provider, ProviderAppData, Requirer, RequirerAppData};

        let policy = MeshPolicy::to_app(("apps", "otelcol"), ("obs", "tempo"), vec![]);
        check::<Requirer, Provider, _>(RequirerAppData::new([policy])).await;
        let labels = [("istio.io/dataplane-mode".to_owned(), "ambient".to_owned())].into();
        let data = ProviderAppData { labels, mesh_type: MeshType::Istio, problems: vec![] };
        check::<Provider, Requirer, _>(data).await;
    }

    #[tokio::test]
    async fn who_comes_from_another_model_introduces_itself() {
        use cross_model_mesh::{
            CrossModelMeshProvider, INTERFACE, Identity, Provider, Requirer, RequirerAppData,
        };

        let data = RequirerAppData::new("otelcol", "apps");
        check::<Requirer, Provider, _>(data.clone()).await;
        let agent = Agent::new(
            false,
            [
                Relation::new("e", 7, "masked").with("masked", &data),
                Relation::new("e", 8, "odd").with_text("odd", [("cmr_data", "x")]),
                Relation { app: None, ..Relation::new("e", 9, "") },
            ],
        );
        let endpoint = EndpointMeta::provides("e", INTERFACE);
        let side = CrossModelMeshProvider::new(&agent.hook(Event::UpdateStatus), endpoint).unwrap();
        let mut identities = side.identities().await.unwrap();
        assert_eq!(identities.remove("odd").unwrap().reason(), Some("cmr_data: not valid JSON"));
        let otelcol = Identity { app_name: "otelcol".into(), juju_model_name: "apps".into() };
        assert_eq!(identities, [("masked".to_owned(), Remote::Ready(otelcol))].into());
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_told_from_nothing() {
        let relation = Relation::new("e", 7, "other").with_text("other", [("http", "{")]);
        let agent = Agent::new(true, [relation]);
        let hook = agent.hook(Event::RelationChanged(about("e", 7, "other")));
        let endpoint = EndpointMeta::requires("e", tempo_api::INTERFACE).limited(1);
        let side = tempo_api::TempoApiRequirer::new(&hook, endpoint).unwrap();
        side.publish(&Nothing {}).await.unwrap();
        let change = side.event().await.unwrap();
        assert!(
            matches!(&change, Some(Change::Withdrawn { reason: Some(reason), .. }) if reason.starts_with("http")),
            "{change:?}"
        );
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes(), []);
    }
}

/// Interfaces in which single units say where they are.
mod units {
    use super::*;

    #[tokio::test]
    async fn grafana_is_offered_a_source_and_says_how_it_knows_it() {
        use grafana_datasource::{
            GrafanaAppData, GrafanaSourceProvider, GrafanaSourceRequirer, INTERFACE, SourceAppData,
            SourceData, SourceUnitData,
        };
        const OFFERS: EndpointMeta = EndpointMeta::provides("source", INTERFACE);
        const SHOWS: EndpointMeta = EndpointMeta::requires("shown", INTERFACE);

        let app = SourceAppData {
            data: SourceData::new("obs", "uuid", "me", "tempo"),
            app_url: Some("http://me.obs.svc.cluster.local:3200".into()),
        };
        let unit = SourceUnitData { url: Some("http://me-0:3200".into()) };
        for (leader, writes) in [(true, vec!["me", "me/0"]), (false, vec!["me/0"])] {
            let agent = Agent::new(leader, [Relation::new("source", 3, "grafana")]);
            let hook = agent.hook(Event::UpdateStatus);
            let source = GrafanaSourceProvider::new(&hook, OFFERS).unwrap();
            source.publish(&app, &unit).await.unwrap();
            hook.commit().await.unwrap();
            let mut owners: Vec<_> = agent.take_writes().into_iter().map(|(_, owner)| owner).collect();
            owners.sort();
            assert_eq!(owners, writes);
        }

        let offered = Relation::new("shown", 4, "tempo")
            .with("tempo", &app)
            .with("tempo/0", &SourceUnitData { url: Some("http://tempo-0:3200".into()) })
            .with_text("tempo/1", [("ingress-address", "10.1.2.3")]);
        let silent = Relation::new("shown", 5, "silent");
        let agent = Agent::new(true, [offered, silent]);
        let hook = agent.hook(Event::UpdateStatus);
        let grafana = GrafanaSourceRequirer::new(&hook, SHOWS).unwrap();
        for (relation, source) in grafana.sources().await.unwrap() {
            if let Some(answer) = source.answer("g-1", Some("http://grafana:3000")) {
                grafana.publish(&relation, &answer).await.unwrap();
            }
        }
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes(), [("shown:4".to_owned(), "me".to_owned())]);
        let answer = GrafanaAppData::read(Some(&agent.bag(4, "me"))).ok().unwrap();
        assert_eq!(answer.app_datasource_uid.as_deref(), Some("juju_obs_uuid_me"));
        assert_eq!(answer.datasource_uids, [("tempo/0".to_owned(), "juju_obs_uuid_me_0".to_owned())].into());

        let answered = Relation::new("source", 3, "grafana").with("grafana", &answer);
        let agent = Agent::new(false, [answered, Relation::new("source", 6, "new")]);
        let source = GrafanaSourceProvider::new(&agent.hook(Event::UpdateStatus), OFFERS).unwrap();
        let heard: Vec<_> = source.grafanas().await.unwrap().into_iter().map(|(_, data)| data).collect();
        assert_eq!(heard, [Remote::Ready(answer), Remote::Absent]);
        assert!(GrafanaSourceProvider::new(&agent.hook(Event::Start), SHOWS).is_err());
        assert!(GrafanaSourceRequirer::new(&agent.hook(Event::Start), OFFERS).is_err());
    }

    #[tokio::test]
    async fn metrics_are_taken_by_units_and_rules_come_from_the_leader() {
        use prometheus_remote_write::{
            INTERFACE, RemoteWriteProvider, RemoteWriteRequirer, RequirerAppData, UnitData,
        };
        const TAKES: EndpointMeta = EndpointMeta::provides("receive", INTERFACE);
        const SENDS: EndpointMeta = EndpointMeta::requires("send", INTERFACE);

        let data = UnitData::new("http://me-0:9090/api/v1/write");
        let sender = Relation::new("receive", 3, "tempo").with("tempo", &RequirerAppData::no_rules());
        let agent = Agent::new(false, [sender]);
        let hook = agent.hook(Event::UpdateStatus);
        let takes = RemoteWriteProvider::new(&hook, TAKES).unwrap();
        takes.publish(&data).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.bag(3, "me/0"), data.write());
        let (_, rules) = takes.rules().await.unwrap().remove(0);
        assert_eq!(rules, Remote::Ready(RequirerAppData::no_rules()));

        let receiver = || {
            Relation::new("send", 4, "prom")
                .with("prom/0", &data)
                .with_text("prom/1", [("ingress-address", "10.1.2.3")])
                .with_text("prom/2", [("remote_write", "x")])
        };
        for (leader, written) in [(true, 1), (false, 0)] {
            let agent = Agent::new(leader, [receiver()]);
            let hook = agent.hook(Event::UpdateStatus);
            let sends = RemoteWriteRequirer::new(&hook, SENDS).unwrap();
            sends.publish(&RequirerAppData::no_rules()).await.unwrap();
            hook.commit().await.unwrap();
            assert_eq!(agent.take_writes().len(), written);
            let units = sends.receivers().await.unwrap().remove(0).units;
            assert_eq!(units[&UnitName::new("prom", 0)], Remote::Ready(data.clone()));
            assert_eq!(units[&UnitName::new("prom", 1)], Remote::Absent);
            assert_eq!(units[&UnitName::new("prom", 2)].reason(), Some("remote_write: not valid JSON"));
        }
    }

    #[tokio::test]
    async fn jobs_come_from_the_leader_and_addresses_from_units() {
        use prometheus_scrape::{
            INTERFACE, ProviderAppData, RequirerAppData, ScrapeJob, ScrapeProvider, ScrapeRequirer, Source,
            UnitData, Verdict, scrape_configs,
        };
        const OFFERS: EndpointMeta = EndpointMeta::provides("metrics", INTERFACE);
        const SCRAPES: EndpointMeta = EndpointMeta::requires("scraped", INTERFACE);

        let event = Verdict { valid: false, errors: Some("no".into()), scrape_job_errors: None };
        let verdict = RequirerAppData { event: Some(event) };
        let app = ProviderAppData {
            scrape_jobs: vec![ScrapeJob::new("/metrics", ["elsewhere:80"])],
            ..ProviderAppData::default()
        };
        let unit = UnitData::new("me/0", "10.1.2.3");
        for (leader, writes) in [(true, vec!["me", "me/0"]), (false, vec!["me/0"])] {
            let agent = Agent::new(leader, [Relation::new("metrics", 3, "prom").with("prom", &verdict)]);
            let hook = agent.hook(Event::UpdateStatus);
            let offers = ScrapeProvider::new(&hook, OFFERS).unwrap();
            offers.publish(&app, &unit).await.unwrap();
            hook.commit().await.unwrap();
            let mut owners: Vec<_> = agent.take_writes().into_iter().map(|(_, owner)| owner).collect();
            owners.sort();
            assert_eq!(owners, writes);
            assert_eq!(offers.verdicts().await.unwrap().remove(0).1, Remote::Ready(verdict.clone()));
        }

        let offered = Relation::new("scraped", 4, "tempo")
            .with("tempo", &app)
            .with("tempo/0", &unit)
            .with_text("tempo/1", [("ingress-address", "10.1.2.4")]);
        let odd = Relation::new("scraped", 5, "odd").with_text("odd", [("scrape_jobs", "x")]);
        let agent = Agent::new(true, [offered, odd, Relation::new("scraped", 6, "silent")]);
        let hook = agent.hook(Event::UpdateStatus);
        let scrapes = ScrapeRequirer::new(&hook, SCRAPES).unwrap();
        let sources = scrapes.sources().await.unwrap();
        assert_eq!(sources[0].units[&UnitName::new("tempo", 0)], Remote::Ready(unit));
        assert_eq!(sources[0].units[&UnitName::new("tempo", 1)], Remote::Absent);
        assert_eq!(sources[1].data.reason(), Some("scrape_jobs: not valid JSON"));
        assert_eq!(sources[2].data, Remote::Absent);
        let jobs = scrape_configs(sources.iter().filter_map(Source::scraped));
        assert_eq!(jobs[0].static_configs, app.scrape_jobs[0].static_configs);
        scrapes.publish(&verdict).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes().len(), 3);
        assert!(ScrapeProvider::new(&agent.hook(Event::Start), SCRAPES).is_err());
        assert!(ScrapeRequirer::new(&agent.hook(Event::Start), OFFERS).is_err());
    }

    #[tokio::test]
    async fn logs_are_taken_by_units_and_rules_come_from_the_leader() {
        use loki_push_api::{INTERFACE, LokiPushProvider, LokiPushRequirer, RequirerAppData, UnitData};
        const TAKES: EndpointMeta = EndpointMeta::provides("logging", INTERFACE);
        const SENDS: EndpointMeta = EndpointMeta::requires("logging", INTERFACE);

        let data = UnitData::new("http://me-0:3100/loki/api/v1/push");
        let rules = RequirerAppData {
            alert_rules: Some(juju_relations::JsonText::empty()),
            ..RequirerAppData::default()
        };
        let agent = Agent::new(false, [Relation::new("logging", 3, "tempo").with("tempo", &rules)]);
        let hook = agent.hook(Event::UpdateStatus);
        let takes = LokiPushProvider::new(&hook, TAKES).unwrap();
        takes.publish(&data).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.bag(3, "me/0"), data.write());
        assert_eq!(takes.rules().await.unwrap().remove(0).1, Remote::Ready(rules.clone()));

        for (leader, written) in [(true, 1), (false, 0)] {
            let agent = Agent::new(leader, [Relation::new("logging", 4, "loki").with("loki/0", &data)]);
            let hook = agent.hook(Event::UpdateStatus);
            let sends = LokiPushRequirer::new(&hook, SENDS).unwrap();
            sends.publish(&rules).await.unwrap();
            hook.commit().await.unwrap();
            assert_eq!(agent.take_writes().len(), written);
            let units = sends.lokis().await.unwrap().remove(0).units;
            assert_eq!(units, [(UnitName::new("loki", 0), Remote::Ready(data.clone()))].into());
        }
    }
}

mod certificates {
    use juju_relations::tls_certificates::{
        self, CertificatesProvider, CertificatesRequirer, ErrorDetail, Issued, KeyScope, ProviderAppData,
        ProviderEvent, RequirerData, RequirerEvent, SigningRequest,
    };

    use super::*;

    const NEEDS: EndpointMeta =
        EndpointMeta::requires("certificates", tls_certificates::INTERFACE).limited(1);
    const SIGNS: EndpointMeta = EndpointMeta::provides("signs", tls_certificates::INTERFACE);

    fn asks<const N: usize>(csrs: [&str; N]) -> RequirerData {
        RequirerData::new(csrs.map(|csr| SigningRequest::new(csr, false)))
    }

    fn answer(csr: &str) -> Issued {
        Issued {
            ca: "ca".into(),
            certificate_signing_request: csr.into(),
            certificate: format!("certificate for {csr}"),
            chain: None,
            revoked: None,
        }
    }

    #[tokio::test]
    async fn a_unit_asks_for_itself_and_hears_the_answer() {
        let mut answers = ProviderAppData::default();
        answers.answer(answer("one"));
        answers.answer(answer("somebody else's"));
        let relation = Relation::new("certificates", 7, "ca").with("ca", &answers);
        let agent = Agent::new(false, [relation.with_text("me/0", [("ingress-address", "10.1.2.3")])]);
        let hook = agent.hook(Event::RelationChanged(about("certificates", 7, "ca")));
        let needs = CertificatesRequirer::for_unit(&hook, NEEDS).unwrap();
        assert_eq!(*needs.scope(), KeyScope::Unit(UnitName::new("me", 0)));
        assert_eq!(needs.requested().await.unwrap(), RequirerData::default());
        needs.request(&asks(["one", "two"])).await.unwrap();
        assert_eq!(needs.requested().await.unwrap(), asks(["one", "two"]));
        assert_eq!(needs.published().await.unwrap(), Remote::Ready(answers));
        assert!(matches!(needs.event().await.unwrap(), Some(RequirerEvent::Answered { .. })));
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes(), [("certificates:7".to_owned(), "me/0".to_owned())]);

        let hook = agent.hook(Event::UpdateStatus);
        let needs = CertificatesRequirer::for_unit(&hook, NEEDS).unwrap();
        needs.request(&RequirerData::default()).await.unwrap();
        hook.commit().await.unwrap();
        // Juju's own keys stay.
        assert_eq!(*agent.bag(7, "me/0"), [("ingress-address".to_owned(), "10.1.2.3".to_owned())].into());
    }

    #[tokio::test]
    async fn only_the_leader_asks_for_the_application() {
        for leader in [true, false] {
            let agent = Agent::new(leader, [Relation::new("certificates", 7, "ca")]);
            let hook = agent.hook(Event::RelationCreated(about("certificates", 7, "ca")));
            let needs = CertificatesRequirer::for_app(&hook, NEEDS).unwrap();
            needs.request(&asks(["one"])).await.unwrap();
            let seen = needs.requested().await.unwrap();
            assert_eq!(seen, if leader { asks(["one"]) } else { RequirerData::default() });
            assert!(matches!(needs.event().await.unwrap(), Some(RequirerEvent::Created { .. })));
            hook.commit().await.unwrap();
            assert_eq!(agent.take_writes().len(), usize::from(leader));
        }
    }

    #[tokio::test]
    async fn without_a_relation_nothing_is_asked() {
        let agent = Agent::new(true, []);
        let hook = agent.hook(Event::RelationBroken(about("certificates", 7, "ca")));
        let needs = CertificatesRequirer::for_unit(&hook, NEEDS).unwrap();
        needs.request(&asks(["one"])).await.unwrap();
        assert_eq!(needs.published().await.unwrap(), Remote::Absent);
        assert!(matches!(needs.event().await.unwrap(), Some(RequirerEvent::Gone { .. })));
        hook.commit().await.unwrap();
        assert!(CertificatesRequirer::for_unit(&hook, SIGNS).is_err());
        assert!(CertificatesProvider::new(&hook, NEEDS).is_err());
    }

    #[tokio::test]
    async fn a_provider_hears_units_and_applications_and_answers_each_relation() {
        let relations = || {
            [
                Relation::new("signs", 3, "web")
                    .with("web", &asks(["of all"]))
                    .with("web/0", &asks(["zero"]))
                    .with_text("web/1", [("certificate_signing_requests", "{")]),
                Relation::new("signs", 4, "silent"),
            ]
        };
        let agent = Agent::new(true, relations());
        let hook = agent.hook(Event::RelationDeparted(about("signs", 3, "web")));
        let signs = CertificatesProvider::new(&hook, SIGNS).unwrap();
        assert!(matches!(signs.event(), Some(ProviderEvent::Asked { relation }) if relation.number() == 3));
        let [web, silent] = <[_; 2]>::try_from(signs.requesters().await.unwrap()).unwrap();
        let mut csrs: Vec<&str> =
            web.requests().map(|request| request.certificate_signing_request.as_str()).collect();
        csrs.sort_unstable();
        assert_eq!((csrs, silent.requests().count()), (vec!["of all", "zero"], 0));
        assert!(web.asks_for("zero") && !silent.asks_for("zero"));

        let mut data = signs.published(&web.relation).await.unwrap();
        data.answer(answer("zero"));
        data.refuse("of all", ErrorDetail::new(ErrorDetail::OTHER, "no"));
        signs.publish(&web.relation, &data).await.unwrap();
        assert_eq!(signs.published(&web.relation).await.unwrap(), data);
        signs.publish(&silent.relation, &ProviderAppData::default()).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(agent.take_writes(), [("signs:3".to_owned(), "me".to_owned())]);
        assert_eq!(ProviderAppData::read(Some(&agent.bag(3, "me"))), Remote::Ready(data));

        let follower = Agent::new(false, relations());
        let hook = follower.hook(Event::UpdateStatus);
        let signs = CertificatesProvider::new(&hook, SIGNS).unwrap();
        let web = signs.requesters().await.unwrap().remove(0);
        assert_eq!(signs.published(&web.relation).await.unwrap(), ProviderAppData::default());
        signs.publish(&web.relation, &ProviderAppData::default()).await.unwrap();
        hook.commit().await.unwrap();
        assert_eq!(follower.take_writes(), []);
    }
}
