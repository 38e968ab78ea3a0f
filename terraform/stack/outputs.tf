output "app_names" {
  description = "Names of all applications in the model, by what they are: workers by their role."
  value = merge(
    {
      coordinator = module.coordinator.app_name
      s3          = juju_application.s3.name
    },
    { for application in juju_application.certificates : "certificates" => application.name },
    { for application in juju_application.ingress : "ingress" => application.name },
    { for role, application in juju_application.worker : role => application.name },
  )
}

output "offers" {
  description = "URLs of the offers, by the coordinator's endpoint."
  value       = { for endpoint, offer in juju_offer.offered : endpoint => offer.url }
}

output "provides" {
  description = "Endpoints of the coordinator that others can use, by name."
  value       = module.coordinator.provides
}

output "requires" {
  description = "Endpoints of the coordinator that use others, by name."
  value       = module.coordinator.requires
}
