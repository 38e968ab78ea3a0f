resource "juju_application" "coordinator" {
  name        = var.app_name
  model_uuid  = var.model_uuid
  config      = var.config
  constraints = var.constraints
  resources   = var.resources
  trust       = var.trust
  units       = var.units

  charm {
    name     = var.charm_name
    base     = var.base
    channel  = var.channel
    revision = var.revision
  }
}
