"""An application of workers for each role."""

from __future__ import annotations

import pytest
from cluster import ALL_PROTOCOLS, ROLES, TEMPO, Cluster
from helpers import PORTS, QUERY_PORT, Endpoint, address, request

pytestmark = pytest.mark.cluster


def test_one_role_after_the_other_until_it_is_complete(cluster: Cluster) -> None:
    cluster.deploy_coordinator(options=ALL_PROTOCOLS)
    cluster.deploy_store()
    for role in ROLES[:-1]:
        cluster.deploy_worker(role, role)
    status = cluster.blocked(TEMPO)
    missing = status["applications"][TEMPO]["application-status"]["message"]
    assert ROLES[-1] in missing, f"the role that is missing is named: {missing}"
    cluster.deploy_worker(ROLES[-1], ROLES[-1])
    cluster.active(TEMPO, *ROLES)


def test_a_trace_in_every_protocol_is_read_back(cluster: Cluster) -> None:
    cluster.deliver(PORTS)


@pytest.mark.parametrize("app", ROLES)
def test_every_worker_serves_metrics(cluster: Cluster, app: str) -> None:
    where = Endpoint(address(cluster.status(), app), QUERY_PORT)
    code, page = request(where, "/metrics")
    assert code == 200
    assert b"tempo_build_info" in page
