"""A bucket that s3-integrator names, in a store that knows nothing of Juju's relations."""

from __future__ import annotations

import pytest
from cluster import STORE, TEMPO, WORKER, Cluster
from helpers import published_receivers, units

pytestmark = pytest.mark.cluster

INTEGRATOR = "s3"
OWNER = "bucket-owner"


def test_a_bucket_of_an_integrator_makes_the_cluster_active(cluster: Cluster) -> None:
    cluster.deploy_coordinator()
    cluster.deploy_worker()
    cluster.deploy("seaweedfs-k8s", STORE)
    # The store makes buckets and credentials for whoever is related to it; the integrator then hands these to the cluster.
    cluster.deploy_coordinator(app=OWNER)
    cluster.juju.integrate(f"{OWNER}:s3", f"{STORE}:s3-credentials")
    cluster.active(STORE)
    cluster.blocked(OWNER)
    given = cluster.databag(f"{OWNER}/0", "s3")

    cluster.deploy("s3-integrator", INTEGRATOR, {"endpoint": given["endpoint"], "bucket": given["bucket"]}, trust=False)
    cluster.blocked(INTEGRATOR)
    keys = {"access-key": given["access-key"], "secret-key": given["secret-key"]}
    cluster.juju.run(f"{INTEGRATOR}/0", "sync-s3-credentials", keys, wait=120)
    cluster.juju.integrate(f"{TEMPO}:s3", f"{INTEGRATOR}:s3-credentials")
    cluster.active(TEMPO, WORKER, INTEGRATOR)


def test_traces_are_kept_there(cluster: Cluster) -> None:
    cluster.deliver()


def test_nobody_but_the_cluster_has_receivers(cluster: Cluster) -> None:
    for unit in units(cluster.status(), OWNER):
        assert published_receivers(cluster.show_unit(unit)) == {}
