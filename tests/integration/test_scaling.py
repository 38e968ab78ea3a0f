"""Units come and go, of the coordinator and of workers."""

from __future__ import annotations

import pytest
from cluster import STORE, TEMPO, WORKER, Cluster
from helpers import units

pytestmark = pytest.mark.cluster


def test_more_coordinators_are_blocked_as_the_first_is(cluster: Cluster) -> None:
    cluster.deploy_coordinator()
    cluster.blocked(TEMPO)
    cluster.juju.add_unit(TEMPO, num_units=2)
    cluster.blocked(TEMPO, scale={TEMPO: 3})


def test_all_become_active(cluster: Cluster) -> None:
    cluster.deploy_worker()
    cluster.deploy_store()
    cluster.active(TEMPO, WORKER, STORE, scale={TEMPO: 3})
    cluster.deliver()


def test_workers_come(cluster: Cluster) -> None:
    cluster.juju.add_unit(WORKER, num_units=2)
    cluster.active(TEMPO, WORKER, scale={TEMPO: 3, WORKER: 3})
    for unit in cluster.addresses(TEMPO):
        cluster.deliver(at=unit)


def test_workers_go(cluster: Cluster) -> None:
    cluster.juju.remove_unit(WORKER, num_units=2)
    cluster.active(TEMPO, WORKER, scale={TEMPO: 3, WORKER: 1})
    for unit in cluster.addresses(TEMPO):
        cluster.deliver(at=unit)


def test_coordinators_go(cluster: Cluster) -> None:
    cluster.juju.remove_unit(TEMPO, num_units=2)
    status = cluster.active(TEMPO, WORKER, scale={TEMPO: 1})
    assert len(units(status, TEMPO)) == 1
    cluster.deliver()


def test_without_its_bucket_it_is_blocked_and_with_it_active_again(cluster: Cluster) -> None:
    cluster.juju.remove_relation(f"{TEMPO}:s3", f"{STORE}:s3-credentials")
    cluster.blocked(TEMPO)
    cluster.juju.integrate(f"{TEMPO}:s3", f"{STORE}:s3-credentials")
    cluster.active(TEMPO, WORKER)
    cluster.deliver()
