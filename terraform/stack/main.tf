module "coordinator" {
  source = "./.."

  app_name    = var.coordinator.app_name
  base        = var.coordinator.base
  channel     = var.coordinator.channel
  charm_name  = var.coordinator.charm_name
  config      = var.coordinator.config
  constraints = var.coordinator.constraints
  model_uuid  = var.model_uuid
  resources   = var.coordinator.resources
  revision    = var.coordinator.revision
  trust       = var.coordinator.trust
  units       = var.coordinator.units
}

# Workers

resource "juju_application" "worker" {
  for_each = var.workers

  name       = coalesce(each.value.app_name, "${var.coordinator.app_name}-${each.key}")
  model_uuid = var.model_uuid
  # Workers have every role unless they are told otherwise.
  config             = merge({ role-all = "false" }, { "role-${each.key}" = "true" }, each.value.config)
  constraints        = var.worker.constraints
  storage_directives = each.value.storage_directives
  trust              = true
  units              = each.value.units

  charm {
    name     = var.worker.charm_name
    channel  = var.worker.channel
    revision = var.worker.revision
  }
}

resource "juju_integration" "worker" {
  for_each = juju_application.worker

  model_uuid = var.model_uuid

  application {
    name     = module.coordinator.app_name
    endpoint = module.coordinator.provides.tempo_cluster
  }

  application {
    name     = each.value.name
    endpoint = "tempo-cluster"
  }
}

# The bucket

resource "juju_secret" "s3" {
  model_uuid = var.model_uuid
  name       = "${var.s3.app_name}-credentials"
  info       = "The key to the bucket of ${module.coordinator.app_name}."

  value = {
    access-key = var.s3_access_key
    secret-key = var.s3_secret_key
  }
}

resource "juju_access_secret" "s3" {
  model_uuid   = var.model_uuid
  applications = [juju_application.s3.name]
  secret_id    = juju_secret.s3.secret_id
}

resource "juju_application" "s3" {
  name       = var.s3.app_name
  model_uuid = var.model_uuid
  trust      = true
  units      = 1

  config = merge({
    bucket      = var.s3.bucket
    credentials = "secret:${juju_secret.s3.secret_id}"
    endpoint    = var.s3.endpoint
  }, var.s3.config)

  charm {
    name     = "s3-integrator"
    channel  = var.s3.channel
    revision = var.s3.revision
  }
}

resource "juju_integration" "s3" {
  model_uuid = var.model_uuid

  application {
    name     = module.coordinator.app_name
    endpoint = module.coordinator.requires.s3
  }

  application {
    name     = juju_application.s3.name
    endpoint = "s3-credentials"
  }
}

# Certificates

resource "juju_application" "certificates" {
  count = var.certificates == null ? 0 : 1

  name       = var.certificates.app_name
  model_uuid = var.model_uuid
  config     = var.certificates.config
  units      = 1

  charm {
    name     = "self-signed-certificates"
    channel  = var.certificates.channel
    revision = var.certificates.revision
  }
}

resource "juju_integration" "certificates" {
  count = var.certificates == null ? 0 : 1

  model_uuid = var.model_uuid

  application {
    name     = module.coordinator.app_name
    endpoint = module.coordinator.requires.certificates
  }

  application {
    name     = juju_application.certificates[0].name
    endpoint = "certificates"
  }
}

# Ingress

resource "juju_application" "ingress" {
  count = var.ingress == null ? 0 : 1

  name       = var.ingress.app_name
  model_uuid = var.model_uuid
  config     = var.ingress.config
  trust      = true
  units      = 1

  charm {
    name     = "traefik-k8s"
    channel  = var.ingress.channel
    revision = var.ingress.revision
  }
}

resource "juju_integration" "ingress" {
  count = var.ingress == null ? 0 : 1

  model_uuid = var.model_uuid

  application {
    name     = module.coordinator.app_name
    endpoint = module.coordinator.requires.ingress
  }

  application {
    name     = juju_application.ingress[0].name
    endpoint = "traefik-route"
  }
}

# Other models

resource "juju_integration" "offers" {
  for_each = var.offers

  model_uuid = var.model_uuid

  application {
    name     = module.coordinator.app_name
    endpoint = each.key
  }

  application {
    offer_url = each.value
  }
}

resource "juju_offer" "offered" {
  for_each = var.offered

  model_uuid       = var.model_uuid
  application_name = module.coordinator.app_name
  endpoints        = [each.value]
  name             = "${module.coordinator.app_name}-${each.value}"
}
