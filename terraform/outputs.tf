output "app_name" {
  description = "Name of the application in the model."
  value       = juju_application.coordinator.name
}

output "provides" {
  description = "Endpoints that others can use, by name."
  value = {
    grafana_dashboard = "grafana-dashboard"
    grafana_source    = "grafana-source"
    metrics_endpoint  = "metrics-endpoint"
    probes            = "probes"
    provide_cmr_mesh  = "provide-cmr-mesh"
    tempo_api         = "tempo-api"
    tempo_cluster     = "tempo-cluster"
    tracing           = "tracing"
  }
}

output "requires" {
  description = "Endpoints that use others, by name."
  value = {
    catalogue             = "catalogue"
    certificates          = "certificates"
    ingress               = "ingress"
    istio_ingress         = "istio-ingress"
    logging               = "logging"
    receive_datasource    = "receive-datasource"
    require_cmr_mesh      = "require-cmr-mesh"
    s3                    = "s3"
    self_charm_tracing    = "self-charm-tracing"
    self_workload_tracing = "self-workload-tracing"
    send_remote_write     = "send-remote-write"
    service_mesh          = "service-mesh"
  }
}
