variable "certificates" {
  description = "An authority to deploy beside the cluster, which then encrypts everything. For one elsewhere, use `offers`."
  type = object({
    app_name = optional(string, "ca")
    channel  = optional(string, "1/stable")
    config   = optional(map(string), {})
    revision = optional(number)
  })
  default = null
}

variable "coordinator" {
  description = "The coordinator: what the module beside this one takes."
  type = object({
    app_name    = optional(string, "tempo")
    base        = optional(string)
    channel     = optional(string, "latest/edge")
    charm_name  = optional(string, "tempo-coordinator-k8s")
    config      = optional(map(string), {})
    constraints = optional(string, "arch=amd64")
    resources   = optional(map(string), {})
    revision    = optional(number)
    trust       = optional(bool, true)
    units       = optional(number, 1)
  })
  default = {}
}

variable "ingress" {
  description = "A Traefik to deploy beside the cluster. For one elsewhere, use `offers`."
  type = object({
    app_name = optional(string, "traefik")
    channel  = optional(string, "latest/stable")
    config   = optional(map(string), {})
    revision = optional(number)
  })
  default = null
}

variable "model_uuid" {
  description = "Identifier of the model to deploy into."
  type        = string
}

variable "offered" {
  description = "Endpoints of the coordinator to offer to other models."
  type        = set(string)
  default     = ["tracing"]

  validation {
    condition = alltrue([
      for endpoint in var.offered : contains([
        "grafana-dashboard",
        "grafana-source",
        "metrics-endpoint",
        "probes",
        "tempo-api",
        "tempo-cluster",
        "tracing",
      ], endpoint)
    ])
    error_message = "The coordinator provides no such endpoint to other models."
  }
}

variable "offers" {
  description = "URLs of offers that the coordinator is to be related to, by its endpoint: observability, an authority, an ingress."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for endpoint in keys(var.offers) : contains([
        "catalogue",
        "certificates",
        "grafana-dashboard",
        "grafana-source",
        "ingress",
        "istio-ingress",
        "logging",
        "metrics-endpoint",
        "probes",
        "receive-datasource",
        "self-charm-tracing",
        "self-workload-tracing",
        "send-remote-write",
      ], endpoint)
    ])
    error_message = "The coordinator has no such endpoint for offers of other models."
  }
}

variable "s3" {
  description = "The bucket, which has to exist, and the charm that tells the coordinator of it."
  type = object({
    bucket   = string
    endpoint = string
    app_name = optional(string, "s3")
    channel  = optional(string, "2/edge")
    config   = optional(map(string), {})
    revision = optional(number)
  })
}

variable "s3_access_key" {
  description = "Name of the key to the bucket."
  type        = string
  sensitive   = true
}

variable "s3_secret_key" {
  description = "The key to the bucket."
  type        = string
  sensitive   = true
}

variable "worker" {
  description = "What all workers have in common."
  type = object({
    channel     = optional(string, "dev/edge")
    charm_name  = optional(string, "tempo-worker-k8s")
    constraints = optional(string, "arch=amd64")
    revision    = optional(number)
  })
  default = {}
}

variable "workers" {
  description = "Workers by their role, each an application of its own; `{ all = {} }` is the smallest cluster. `metrics-generator` needs an offer for `send-remote-write`."
  type = map(object({
    app_name           = optional(string)
    config             = optional(map(string), {})
    storage_directives = optional(map(string), {})
    units              = optional(number, 1)
  }))
  default = {
    compactor      = {}
    distributor    = {}
    ingester       = { units = 3 }
    querier        = {}
    query-frontend = {}
  }

  validation {
    condition = alltrue([
      for role in keys(var.workers) : contains([
        "all",
        "compactor",
        "distributor",
        "ingester",
        "metrics-generator",
        "querier",
        "query-frontend",
      ], role)
    ])
    error_message = "Workers have no such role."
  }

  validation {
    condition = contains(keys(var.workers), "all") || alltrue([
      for role in ["compactor", "distributor", "ingester", "querier", "query-frontend"] : contains(keys(var.workers), role)
    ])
    error_message = "A cluster needs all of compactor, distributor, ingester, querier and query-frontend, or the role all."
  }
}
