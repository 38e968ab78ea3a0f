"""A Tempo stack in a Juju model: how it is deployed, related, asked and waited for."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping

import jubilant
from helpers import PORTS, QUERY_PORT, Endpoint, Json, address, deliver, leader, listed_receivers, published_receivers, settle, units

TEMPO = "tempo"
WORKER = "worker"
STORE = "store"
CA = "ca"

ROLES = ("compactor", "distributor", "ingester", "querier", "query-frontend")
"""Those without which there is no cluster; `metrics-generator` needs somewhere to write metrics to."""

RESOURCES = {
    "nginx-image": "ubuntu/nginx:1.27-24.10_beta",
    "nginx-prometheus-exporter-image": "nginx/nginx-prometheus-exporter:1.4.2",
}
"""The images of the charm's containers, as metadata.yaml names them."""

CHANNELS = {
    "grafana-k8s": "2/stable",
    "loki-k8s": "2/stable",
    "prometheus-k8s": "2/stable",
    "s3-integrator": "1/stable",
    "seaweedfs-k8s": "latest/edge",
    "self-signed-certificates": "1/stable",
    "tempo-coordinator-k8s": "dev/edge",
    "tempo-worker-k8s": "dev/edge",
    "traefik-k8s": "latest/stable",
}
"""Where other charms come from on Charmhub, if not said otherwise with `--channel NAME=CHANNEL`."""

ALL_PROTOCOLS = {f"always_enable_{protocol}": True for protocol in PORTS}
"""Options that turn every protocol on."""


@dataclasses.dataclass
class Cluster:
    """A Tempo stack in a model of its own."""

    juju: jubilant.Juju
    charm: pathlib.Path
    channels: Mapping[str, str]
    ca: str | None = None
    """The certificate of the authority, once there is one, in PEM."""

    # ---- Deploying

    def deploy_coordinator(self, units: int = 1, app: str = TEMPO, options: Mapping[str, bool | int | str] | None = None) -> None:
        """Deploys the charm under test."""
        self.juju.deploy(self.charm, app, config=options, num_units=units, resources=RESOURCES, trust=True)

    def deploy(
        self, charm: str, app: str, options: Mapping[str, bool | int | str] | None = None, units: int = 1, trust: bool = True
    ) -> None:
        """Deploys a charm from Charmhub."""
        self.juju.deploy(charm, app, channel=self.channels[charm], config=options, num_units=units, trust=trust)

    def deploy_worker(self, app: str = WORKER, role: str = "all", units: int = 1, tempo: str = TEMPO) -> None:
        """Deploys workers of one role, and makes them part of a cluster."""
        options: dict[str, bool | int | str] = {"role-all": role == "all"}
        if role != "all":
            options[f"role-{role}"] = True
        self.deploy("tempo-worker-k8s", app, options, units)
        self.juju.integrate(f"{tempo}:tempo-cluster", f"{app}:tempo-cluster")

    def deploy_store(self, app: str = STORE, tempo: str = TEMPO) -> None:
        """Deploys object storage that hands out a bucket by itself."""
        self.deploy("seaweedfs-k8s", app)
        self.juju.integrate(f"{tempo}:s3", f"{app}:s3-credentials")

    def deploy_monolith(self, units: int = 1, options: Mapping[str, bool | int | str] | None = None) -> None:
        """Deploys the smallest cluster, and waits for it."""
        self.deploy_coordinator(units, options=options)
        self.deploy_worker()
        self.deploy_store()
        self.active(TEMPO, WORKER, STORE)

    def deploy_distributed(self, units: int = 1, options: Mapping[str, bool | int | str] | None = None) -> tuple[str, ...]:
        """Deploys a cluster with an application for each role, waits for it, and names the workers."""
        self.deploy_coordinator(units, options=options)
        for role in ROLES:
            self.deploy_worker(role, role)
        self.deploy_store()
        self.active(TEMPO, STORE, *ROLES)
        return ROLES

    def encrypt(self, *, waiting_for: Iterable[str]) -> None:
        """Deploys an authority, lets it sign the coordinator's certificates, and trusts it."""
        self.deploy("self-signed-certificates", CA, trust=False)
        self.juju.integrate(f"{TEMPO}:certificates", f"{CA}:certificates")
        self.active(CA, *waiting_for)
        self.ca = str(self.action(f"{CA}/0", "get-ca-certificate")["ca-certificate"])

    # ---- Asking

    def status(self) -> Json:
        """What `juju status` says."""
        answer: Json = json.loads(self.juju.cli("status", "--format", "json"))
        return answer

    def show_unit(self, unit: str) -> Json:
        """What `juju show-unit` says."""
        answer: Json = json.loads(self.juju.cli("show-unit", unit, "--format", "json"))
        return answer

    def action(self, unit: str, name: str) -> Json:
        """The results of an action that has to succeed."""
        task = self.juju.run(unit, name, wait=120)
        return task.results

    def active(self, *apps: str, scale: Mapping[str, int] | None = None) -> Json:
        """Waits until all units of applications are active and idle."""
        return settle(self.status, "active", apps, scale)

    def blocked(self, *apps: str, scale: Mapping[str, int] | None = None) -> Json:
        """Waits until all units of applications are blocked and idle."""
        return settle(self.status, "blocked", apps, scale)

    def gone(self, app: str) -> None:
        """Waits until an application is no more."""
        self.juju.wait(lambda status: app not in status.apps, timeout=10 * 60)

    def receivers(self, tempo: str = TEMPO) -> dict[str, str]:
        """The URLs that the action list-receivers gives, by protocol."""
        return listed_receivers(self.action(leader(self.status(), tempo), "list-receivers"))

    def received(self, unit: str, endpoint: str = "tracing") -> dict[str, str]:
        """The URLs that a requirer's unit finds in its relation, by protocol."""
        return published_receivers(self.show_unit(unit), endpoint)

    def databag(self, unit: str, endpoint: str) -> Json:
        """What the other application has written into a unit's only relation at an endpoint."""
        (shown,) = self.show_unit(unit).values()
        (bag,) = [relation["application-data"] for relation in shown["relation-info"] if relation["endpoint"] == endpoint]
        data: Json = bag
        return data

    def receiver(self, protocol: str, url: str, at: str | None = None) -> Endpoint:
        """Where spans for a published URL go to, from outside of the cluster: through the service, or to the given address."""
        secure = self.ca is not None if protocol.endswith("_grpc") else None
        return Endpoint.parse(url, at or address(self.status(), TEMPO), secure)

    def reader(self, tempo: str = TEMPO) -> Endpoint:
        """Where traces are asked for: through the coordinator."""
        host = f"{tempo}.{self.model}.svc.cluster.local"
        return Endpoint(host, QUERY_PORT, self.ca is not None, address(self.status(), tempo))

    @property
    def model(self) -> str:
        """The name of the model, without that of its controller."""
        return (self.juju.model or "").rpartition(":")[2]

    # ---- Traces

    def deliver(self, protocols: Iterable[str] | None = None, at: str | None = None) -> None:
        """Sends a trace in each protocol that is on, and reads each back by its identifier."""
        published = self.receivers()
        reader = self.reader()
        for protocol in sorted(published if protocols is None else protocols):
            deliver(protocol, self.receiver(protocol, published[protocol], at), reader, self.ca)

    def addresses(self, app: str) -> list[str]:
        """The addresses of an application's units."""
        return [str(unit["address"]) for unit in units(self.status(), app).values()]
