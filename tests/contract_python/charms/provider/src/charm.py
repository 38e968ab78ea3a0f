"""Publishes those of the endpoints in its option that are asked for, and logs the library's events."""

import logging

import ops
from charmlibs.interfaces.tracing import TracingEndpointProvider

logger = logging.getLogger(__name__)


class Collector(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        self.tracing = TracingEndpointProvider(self)
        framework.observe(self.tracing.on.request, self._on_request)
        framework.observe(self.tracing.on.broken, self._on_broken)
        framework.observe(self.on.config_changed, self._publish)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _on_request(self, event):
        logger.info("the library says requested: %s", " ".join(event.requested_receivers))
        self._publish(event)

    def _on_broken(self, _):
        logger.info("the library says broken")

    def _publish(self, _):
        endpoints = [pair.split("=", 1) for pair in self.config["endpoints"].split()]
        requested = self.tracing.requested_protocols()
        self.tracing.publish_receivers([(name, url) for name, url in endpoints if name in requested])

    def _on_collect_unit_status(self, event):
        event.add_status(ops.ActiveStatus(" ".join(sorted(self.tracing.requested_protocols()))))


if __name__ == "__main__":
    ops.main(Collector)
