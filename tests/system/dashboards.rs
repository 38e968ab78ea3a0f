//! What the charms that watch a cluster are given.

use crate::model::up_with;

#[test]
fn grafana_shows_six_dashboards() {
    let model = up_with(
        "",
        &["grafana: {charm: 'double:grafana'}"],
        &["'tempo:grafana-dashboard', 'grafana:grafana-dashboard'"],
    );
    let message = model.unit("grafana/0").workload.message;
    let shown = "6 dashboards: Tempo / Reads, Tempo / Tenants, Tempo / Writes, Tempo Coordinator, Tempo Operational, Tempo Overview";
    assert!(message.ends_with(shown), "{message}");
    let said = model.relation("tempo/0", "grafana-dashboard").application_data;
    assert_eq!(said["event"], r#"{"errors": [], "valid": true}"#);
}
