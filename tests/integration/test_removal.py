"""The coordinator leaves, and comes back."""

from __future__ import annotations

import pytest
from cluster import STORE, TEMPO, WORKER, Cluster

pytestmark = pytest.mark.cluster


def test_it_leaves_without_a_trace_of_trouble(cluster: Cluster) -> None:
    cluster.deploy_monolith()
    cluster.juju.remove_application(TEMPO)
    cluster.gone(TEMPO)
    cluster.blocked(WORKER)


def test_another_takes_its_place(cluster: Cluster) -> None:
    cluster.deploy_coordinator()
    cluster.juju.integrate(f"{TEMPO}:tempo-cluster", f"{WORKER}:tempo-cluster")
    cluster.juju.integrate(f"{TEMPO}:s3", f"{STORE}:s3-credentials")
    cluster.active(TEMPO, WORKER, STORE)
    cluster.deliver()
