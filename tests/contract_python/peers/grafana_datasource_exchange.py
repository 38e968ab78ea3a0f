"""Both sides of `grafana_datasource_exchange`."""

import ops
from cosl.interfaces.datasource_exchange import DatasourceExchange


class _Charm(ops.CharmBase):
    """Publishes `options["datasources"]`."""

    ENDPOINTS = {}

    def __init__(self, framework):
        super().__init__(framework)
        self.exchange = DatasourceExchange(
            self, **{"provider_endpoint": None, "requirer_endpoint": None, **self.ENDPOINTS}
        )
        framework.observe(self.on["sources"].relation_changed, self._publish)

    def _publish(self, _):
        self.exchange.publish(self.options["datasources"])

    def understood(self):
        return [datasource.model_dump() for datasource in self.exchange.received_datasources]


class Provider(_Charm):
    """The side that provides."""

    META = {"name": "loki", "provides": {"sources": {"interface": "grafana_datasource_exchange"}}}
    ENDPOINTS = {"provider_endpoint": "sources"}


class Requirer(_Charm):
    """The side that requires."""

    META = {"name": "mimir", "requires": {"sources": {"interface": "grafana_datasource_exchange"}}}
    ENDPOINTS = {"requirer_endpoint": "sources"}
