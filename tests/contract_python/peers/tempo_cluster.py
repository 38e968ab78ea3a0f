"""Both sides of `tempo_cluster`, as the framework of coordinators and workers has them."""

import ops
from coordinated_workers.interfaces.cluster import ClusterProvider, ClusterRequirer

ROLES = frozenset(
    ["querier", "query-frontend", "ingester", "distributor", "compactor", "metrics-generator"]
)


class Worker(ops.CharmBase):
    """A worker with the roles `options["roles"]`, at `options["address"]`."""

    META = {
        "name": "tempo-worker-k8s",
        "requires": {"tempo-cluster": {"interface": "tempo_cluster", "limit": 1}},
    }

    def __init__(self, framework):
        super().__init__(framework)
        self.cluster = ClusterRequirer(self, endpoint="tempo-cluster")
        events = self.on["tempo-cluster"]
        for event in (events.relation_created, events.relation_joined, events.relation_changed):
            framework.observe(event, self._publish)

    def _publish(self, _):
        self.cluster.publish_unit_address(self.options["address"])
        if self.unit.is_leader():
            self.cluster.publish_app_roles(self.options["roles"])

    def understood(self):
        tls = self.cluster.get_tls_data()
        return {
            "published": self.cluster.is_published(),
            "config": self.cluster.get_worker_config(),
            "ports": self.cluster.get_worker_ports(),
            "loki": self.cluster.get_loki_endpoints(),
            "charm_tracing": self.cluster.get_charm_tracing_receivers(),
            "workload_tracing": self.cluster.get_workload_tracing_receivers(),
            "remote_write": self.cluster.get_remote_write_endpoints(),
            "labels": self.cluster.get_worker_labels(),
            "tls": tls and self._tls(tls),
        }

    def _tls(self, tls):
        secret = self.model.get_secret(id=tls.privkey_secret_id)
        return {
            "ca": tls.ca_cert,
            "certificate": tls.server_cert,
            "key": secret.get_content()["private-key"],
            "s3_ca": tls.s3_tls_ca_chain,
        }


class Coordinator(ops.CharmBase):
    """Publishes `options["publish"]` to its workers; the ports are `options["ports"]` for every role."""

    META = {
        "name": "tempo-coordinator-k8s",
        "provides": {"tempo-cluster": {"interface": "tempo_cluster"}},
    }

    def __init__(self, framework):
        super().__init__(framework)
        self.cluster = ClusterProvider(
            self,
            roles=ROLES | {"all"},
            meta_roles={"all": ROLES},
            endpoint="tempo-cluster",
            worker_ports=lambda role: self.options["ports"],
        )
        framework.observe(self.cluster.on.changed, self._publish)

    def _publish(self, _):
        if self.options["publish"]:
            self.cluster.publish_data(**self.options["publish"])

    def understood(self):
        by_role = self.cluster.gather_addresses_by_role()
        return {
            "roles": self.cluster.gather_roles(),
            "addresses": self.cluster.gather_addresses(),
            "addresses_by_role": {role: sorted(addresses) for role, addresses in by_role.items()},
            "topology": self.cluster.gather_topology(),
        }
