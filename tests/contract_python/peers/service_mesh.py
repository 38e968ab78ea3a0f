"""Both sides of `service_mesh` and of `cross_model_mesh`."""

import ops
from charmlibs.interfaces.service_mesh import (
    AppPolicy,
    Endpoint,
    MeshType,
    Method,
    ServiceMeshConsumer,
    ServiceMeshProvider,
    UnitPolicy,
    get_data_from_cmr_relation,
)


class Mesh(ops.CharmBase):
    """A mesh whose members carry `options["labels"]`."""

    META = {"name": "beacon", "provides": {"service-mesh": {"interface": "service_mesh"}}}

    def __init__(self, framework):
        super().__init__(framework)
        self.mesh = ServiceMeshProvider(self, self.options["labels"], MeshType.istio)

    def understood(self):
        return [policy.model_dump(mode="json") for policy in self.mesh.mesh_info()]


class Member(ops.CharmBase):
    """Joins a mesh; `options["units"]` and `options["apps"]` say who may do what, each `[endpoint, ports, ...]`."""

    META = {
        "name": "member",
        "provides": {
            "provide-cmr-mesh": {"interface": "cross_model_mesh"},
            "metrics-endpoint": {"interface": "prometheus_scrape"},
            "tempo-api": {"interface": "tempo_api"},
            "tracing": {"interface": "tracing"},
            "grafana-source": {"interface": "grafana_datasource"},
            "probes": {"interface": "blackbox_exporter_probes"},
        },
        "requires": {
            "service-mesh": {"interface": "service_mesh", "limit": 1},
            "require-cmr-mesh": {"interface": "cross_model_mesh"},
        },
    }
    ENDPOINT = "service-mesh"

    def __init__(self, framework):
        super().__init__(framework)
        self.mesh = ServiceMeshConsumer(
            self,
            policies=[self._policy(*policy) for policy in self.options.get("policies", [])],
            # Labels are for Kubernetes, which is not here.
            auto_join=False,
        )

    @staticmethod
    def _policy(kind, endpoint, ports, methods=None, paths=None):
        if kind == "unit":
            return UnitPolicy(relation=endpoint, ports=ports)
        methods = methods and [Method(method) for method in methods]
        return AppPolicy(relation=endpoint, endpoints=[Endpoint(ports=ports, methods=methods, paths=paths)])

    def understood(self):
        return {
            "enabled": self.mesh.enabled,
            "labels": self.mesh.labels(),
            "type": self.mesh.mesh_type(),
        }


class Guest(Member):
    """Tells another model who it is."""

    ENDPOINT = "require-cmr-mesh"

    def understood(self):
        return None


class Host(Member):
    """Learns who its guests from other models are."""

    ENDPOINT = "provide-cmr-mesh"

    def understood(self):
        identities = get_data_from_cmr_relation(self.model.relations["provide-cmr-mesh"])
        return {app: identity.model_dump() for app, identity in identities.items()}
