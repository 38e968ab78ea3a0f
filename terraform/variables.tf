variable "app_name" {
  description = "Name of the application in the model."
  type        = string
  default     = "tempo"
}

variable "base" {
  description = "Operating system of the charm's container; without one, the provider chooses."
  type        = string
  default     = null
}

variable "channel" {
  description = "Channel on Charmhub to deploy from."
  type        = string
  default     = "latest/edge"
}

variable "charm_name" {
  description = "Name of the charm on Charmhub, where it is published under another one."
  type        = string
  default     = "tempo-coordinator-k8s"
}

variable "config" {
  description = "Options of the charm. What is not given has the charm's default."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for option in keys(var.config) : contains([
        "always_enable_jaeger_grpc",
        "always_enable_jaeger_thrift_http",
        "always_enable_otlp_grpc",
        "always_enable_otlp_http",
        "always_enable_zipkin",
        "cpu_limit",
        "memory_limit",
        "retention-period",
      ], option)
    ])
    error_message = "There is no such option; `juju config` lists them."
  }
}

variable "constraints" {
  description = "Constraints of the application, such as `arch=amd64 mem=1G`."
  type        = string
  default     = "arch=amd64"
}

variable "model_uuid" {
  description = "Identifier of the model to deploy into."
  type        = string
}

variable "resources" {
  description = "Images of the charm's containers: revisions on Charmhub, or references to a registry. Without, those that were published with the charm."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for resource in keys(var.resources) : contains([
        "nginx-image",
        "nginx-prometheus-exporter-image",
      ], resource)
    ])
    error_message = "The charm has no such resource."
  }
}

variable "revision" {
  description = "Revision of the charm; without one, the newest of the channel."
  type        = number
  default     = null
}

variable "trust" {
  description = "Whether the charm may change its own objects in Kubernetes. Limits and policies of a mesh need it."
  type        = bool
  default     = true
}

variable "units" {
  description = "Number of units."
  type        = number
  default     = 1

  validation {
    condition     = var.units >= 0 && floor(var.units) == var.units
    error_message = "Units are a whole number."
  }
}
