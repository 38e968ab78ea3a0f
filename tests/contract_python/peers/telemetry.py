"""Those that collect metrics and logs: how they read who it is that they collect from."""

import json

import ops
from cosl import JujuTopology


class Collector(ops.CharmBase):
    """Names everybody and their labels, from the metadata under `KEY`."""

    def understood(self):
        return [self._topology(relation) for relation in self.model.relations[self.ENDPOINT]]

    def _topology(self, relation):
        topology = JujuTopology.from_dict(json.loads(relation.data[relation.app][self.KEY]))
        return {"identifier": topology.identifier, "labels": dict(topology.label_matcher_dict)}


class Prometheus(Collector):
    META = {"name": "prometheus", "requires": {"metrics-endpoint": {"interface": "prometheus_scrape"}}}
    ENDPOINT = "metrics-endpoint"
    KEY = "scrape_metadata"


class Loki(Collector):
    META = {"name": "loki", "provides": {"logging": {"interface": "loki_push_api"}}}
    ENDPOINT = "logging"
    KEY = "metadata"
