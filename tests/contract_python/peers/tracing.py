"""Both sides of `tracing`, and the tracing that every charm gets with `ops[tracing]`."""

import ops
from charmlibs.interfaces.tracing import (
    ProtocolNotRequestedError,
    TracingEndpointProvider,
    TracingEndpointRequirer,
    charm_tracing_config,
)


class Requirer(ops.CharmBase):
    """Asks for `options["protocols"]`."""

    META = {"name": "requirer", "requires": {"traces": {"interface": "tracing", "limit": 1}}}

    def __init__(self, framework):
        super().__init__(framework)
        self.tracing = TracingEndpointRequirer(self, "traces", self.options["protocols"])

    def understood(self):
        published = self.tracing.get_all_endpoints()
        receivers = published and [[r.protocol.name, r.protocol.type, r.url] for r in published.receivers]
        protocols = ["jaeger_grpc", "otlp_grpc", "otlp_http", "zipkin"]
        return {
            "ready": self.tracing.is_ready(),
            "all": receivers,
            "endpoints": {protocol: self._endpoint(protocol) for protocol in protocols},
            "charm_tracing": charm_tracing_config(self.tracing, None),
        }

    def _endpoint(self, protocol):
        try:
            return self.tracing.get_endpoint(protocol)
        except ProtocolNotRequestedError:
            return "not requested"


class Follower(ops.CharmBase):
    """Looks for OTLP over HTTP, as a unit that may not read its own application's databag."""

    META = Requirer.META

    def __init__(self, framework):
        super().__init__(framework)
        self.tracing = TracingEndpointRequirer(self, "traces", ["otlp_http"])

    def understood(self):
        return self.tracing.get_endpoint("otlp_http") if self.tracing.is_ready() else None


class Provider(ops.CharmBase):
    """Publishes `options["receivers"]`, pairs of protocol and URL, as soon as anybody asks."""

    META = {"name": "provider", "provides": {"tracing": {"interface": "tracing"}}}

    def __init__(self, framework):
        super().__init__(framework)
        self.tracing = TracingEndpointProvider(self)
        framework.observe(self.tracing.on.request, self._on_request)

    def _on_request(self, _):
        self.tracing.publish_receivers([tuple(receiver) for receiver in self.options["receivers"]])

    def understood(self):
        return sorted(self.tracing.requested_protocols())


class Traced(ops.CharmBase):
    """Sends the traces of its own code to where the relation says."""

    META = Requirer.META

    def __init__(self, framework):
        super().__init__(framework)
        self.tracing = ops.tracing.Tracing(self, "traces")

    def understood(self):
        # Where it sends them is told to nobody but an exporter, which is not there outside Juju.
        return self.tracing._get_destination().url
