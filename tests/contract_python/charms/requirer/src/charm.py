"""Asks for the protocols in its option, shows the endpoints in its status, and logs the library's events."""

import logging

import ops
from charmlibs.interfaces.tracing import TracingEndpointRequirer

logger = logging.getLogger(__name__)


class Shop(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        self.protocols = self.config["protocols"].split(",")
        self.tracing = TracingEndpointRequirer(self, "traces", self.protocols)
        framework.observe(self.tracing.on.endpoint_changed, self._on_endpoint_changed)
        framework.observe(self.tracing.on.endpoint_removed, self._on_endpoint_removed)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _on_endpoint_changed(self, event):
        logger.info("the library says changed: %s", " ".join(receiver.protocol.name for receiver in event.receivers))

    def _on_endpoint_removed(self, _):
        logger.info("the library says removed")

    def _on_collect_unit_status(self, event):
        event.add_status(self._status())

    def _status(self):
        if not self.tracing.relations:
            return ops.BlockedStatus("not related")
        if not self.tracing.is_ready():
            return ops.WaitingStatus("nothing is published")
        urls = {protocol: self._endpoint(protocol) for protocol in self.protocols}
        missing = [protocol for protocol, url in urls.items() if not url]
        if missing:
            return ops.WaitingStatus(f"without {' '.join(missing)}")
        return ops.ActiveStatus(" ".join(f"{protocol}={url}" for protocol, url in urls.items()))

    def _endpoint(self, protocol):
        try:
            return self.tracing.get_endpoint(protocol)
        except ops.RelationDataAccessError:
            # What is not published, the library looks for among what is asked for. Only the leader may read that.
            return None


if __name__ == "__main__":
    ops.main(Shop)
