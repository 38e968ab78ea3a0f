"""Both sides of `istio_ingress_route`."""

import ops
from charmlibs.interfaces.istio_ingress_route import (
    IstioIngressRouteConfig,
    IstioIngressRouteProvider,
    IstioIngressRouteRequirer,
    to_gateway_protocol,
)


class Gateway(ops.CharmBase):
    """A gateway at `options["host"]`, with TLS if `options["tls"]`; `options["wipe"]` takes both back."""

    META = {
        "name": "gateway",
        "provides": {"istio-ingress-route": {"interface": "istio_ingress_route"}},
    }

    def __init__(self, framework):
        super().__init__(framework)
        self.ingress = IstioIngressRouteProvider(
            self, external_host=self.options["host"], tls_enabled=self.options["tls"]
        )
        framework.observe(self.ingress.on.ready, self._on_ready)

    def _on_ready(self, event):
        if self.options.get("wipe"):
            self.ingress.wipe_ingress_data(event.relation)

    def understood(self):
        (relation,) = self.ingress.relations
        config = self.ingress.get_config(relation)
        return config and {
            "config": config.model_dump(mode="json"),
            "listeners": {
                listener.name: to_gateway_protocol(listener.protocol, self.options["tls"])
                for listener in config.listeners
            },
        }


class Requirer(ops.CharmBase):
    """Submits `options["config"]`, if there is one."""

    META = {
        "name": "requirer",
        "requires": {"ingress": {"interface": "istio_ingress_route", "limit": 1}},
    }

    def __init__(self, framework):
        super().__init__(framework)
        self.ingress = IstioIngressRouteRequirer(self)
        for event in (self.on["ingress"].relation_created, self.on["ingress"].relation_changed):
            framework.observe(event, self._submit)

    def _submit(self, _):
        if config := self.options["config"]:
            self.ingress.submit_config(IstioIngressRouteConfig.model_validate(config))

    def understood(self):
        return {"host": self.ingress.external_host, "tls": self.ingress.tls_enabled}
