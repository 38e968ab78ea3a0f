"""The cluster's own traces: in itself, and in another Tempo once there is one."""

from __future__ import annotations

import pytest
from cluster import STORE, TEMPO, WORKER, Cluster
from helpers import Endpoint, tag_values, until

pytestmark = pytest.mark.cluster

OTHER = "other"
OTHER_WORKER = "other-worker"


def applications(cluster: Cluster, reader: Endpoint, wanted: set[str]) -> set[str]:
    """Waits until applications are among those that have sent traces, and gives all back."""

    def seen() -> set[str] | None:
        values = tag_values(reader, "juju_application")
        return values if wanted <= values else None

    # Charms send their traces with the next hook, at the latest with Juju's heartbeat.
    return until(seen, f"traces of {', '.join(sorted(wanted))}", 10 * 60, interval=10)


def test_it_has_traces_of_itself(cluster: Cluster) -> None:
    cluster.juju.model_config({"update-status-hook-interval": "60s"})
    cluster.deploy_monolith()
    applications(cluster, cluster.reader(), {TEMPO, WORKER})
    services = tag_values(cluster.reader(), "service.name")
    assert any(service.startswith("tempo-") for service in services), f"Tempo's own: {services}"


def test_they_go_to_another_tempo_that_is_related(cluster: Cluster) -> None:
    cluster.deploy_coordinator(app=OTHER)
    cluster.deploy_worker(OTHER_WORKER, tempo=OTHER)
    cluster.juju.integrate(f"{OTHER}:s3", f"{STORE}:s3-credentials")
    cluster.active(OTHER, OTHER_WORKER)
    cluster.juju.integrate(f"{TEMPO}:self-charm-tracing", f"{OTHER}:tracing")
    cluster.juju.integrate(f"{TEMPO}:self-workload-tracing", f"{OTHER}:tracing")
    cluster.active(TEMPO, WORKER, OTHER, OTHER_WORKER)
    applications(cluster, cluster.reader(OTHER), {TEMPO, WORKER})
