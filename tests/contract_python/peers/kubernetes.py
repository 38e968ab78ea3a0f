"""What a coordinator keeps in Kubernetes for a mesh, as the libraries of the mesh keep it."""

from canonical_service_mesh.enums import PolicyTargetType
from canonical_service_mesh.k8s.resource_manager import PolicyResourceManager
from canonical_service_mesh.utils.istio import reconcile_charm_labels
from charmlibs.interfaces.service_mesh import MeshPolicy
from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster, User
from service_mesh import Member


class Coordinator(Member):
    """Labels its own pods, and lets `options["workers"]` and itself talk to each other.

    `options["api"]` is the URL of the API, `options["token"]` who the charm is to it.
    """

    def __init__(self, framework):
        super().__init__(framework)
        framework.observe(self.on["service-mesh"].relation_changed, self._reconcile)

    def _client(self, manager):
        config = KubeConfig.from_one(
            cluster=Cluster(server=self.options["api"]), user=User(token=self.options["token"])
        )
        return Client(config, namespace=self.model.name, field_manager=manager, trust_env=False)

    def _reconcile(self, _):
        app, model = self.app.name, self.model.name
        part_of = {"app.kubernetes.io/part-of": app}
        for record, labels in (
            (f"{app}-pod-labels", part_of),
            (f"juju-service-mesh-{app}-labels", self.mesh.labels()),
        ):
            reconcile_charm_labels(self._client(app), app, model, record, labels)

        manager = f"{app}-{model}"
        labels = {
            "app.kubernetes.io/instance": manager,
            "kubernetes-resource-handler-scope": f"{manager}-cluster-internal",
        }
        policies = [self._to_pods(source, part_of) for source in (app, *self.options["workers"])]
        policies += [self._to_service(source) for source in self.options["workers"]]
        PolicyResourceManager(self, self._client(manager), labels).reconcile(policies, self.mesh.mesh_type())

    def _to_pods(self, source, labels):
        return MeshPolicy(
            **self._namespaces(source), target_selector_labels=labels, target_type=PolicyTargetType.unit
        )

    def _to_service(self, source):
        return MeshPolicy(
            **self._namespaces(source), target_app_name=self.app.name, target_type=PolicyTargetType.app
        )

    def _namespaces(self, source):
        model = self.model.name
        return {"source_namespace": model, "source_app_name": source, "target_namespace": model}

    def understood(self):
        return None
