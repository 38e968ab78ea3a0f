"""The charm takes the place of the one on Charmhub, by `juju refresh`."""

from __future__ import annotations

import pathlib

import pytest
from cluster import ALL_PROTOCOLS, CA, RESOURCES, STORE, TEMPO, WORKER, Cluster
from helpers import PORTS, application, deliver, has, read_trace

pytestmark = pytest.mark.cluster

REQUIRER = "orders"


def test_urls_certificates_and_traces_outlive_the_charm_in_python(cluster: Cluster, requirer_charm: pathlib.Path) -> None:
    cluster.deploy("tempo-coordinator-k8s", TEMPO, ALL_PROTOCOLS, units=2)
    cluster.deploy_worker()
    cluster.deploy_store()
    cluster.juju.deploy(requirer_charm, REQUIRER, config={"protocols": "otlp_grpc,zipkin"})
    cluster.juju.integrate(f"{TEMPO}:tracing", f"{REQUIRER}:tracing")
    cluster.active(TEMPO, WORKER, STORE, REQUIRER, scale={TEMPO: 2})
    cluster.encrypt(waiting_for=(TEMPO, WORKER))
    urls = cluster.received(f"{REQUIRER}/0")
    certificates = cluster.databag(f"{TEMPO}/0", "certificates")["certificates"]
    receiver, reader = cluster.receiver("otlp_http", urls["otlp_http"]), cluster.reader()
    before = deliver("otlp_http", receiver, reader, cluster.ca)

    cluster.juju.refresh(TEMPO, path=cluster.charm, resources=RESOURCES)
    status = cluster.active(TEMPO, WORKER, STORE, CA, REQUIRER, scale={TEMPO: 2})
    assert application(status, TEMPO)["charm-origin"] == "local"

    assert cluster.received(f"{REQUIRER}/0") == urls
    assert cluster.databag(f"{TEMPO}/0", "certificates")["certificates"] == certificates, "nobody asked for another certificate"
    assert has(read_trace(cluster.reader(), before.trace_id, cluster.ca) or (), before), "what was sent before is still there"
    cluster.deliver(PORTS)
