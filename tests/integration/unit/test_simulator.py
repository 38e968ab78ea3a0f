"""The helpers against this repository's simulator: the charm under test in a model on this machine, with its real nginx.

`cargo xtask integration --check` says where everything is. What Juju's own answers look like is not shown by this: the simulator's `status` and
`show-unit` are like Juju's in what the helpers read. What is shown is that each message is one that a decoder understands which is not ours
in Python, that URLs are found where the charm publishes them, and that a real Tempo gives back what was sent, where there is one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from helpers import PORTS, QUERY_PORT, Json, application, failed, leader, listed_receivers, open_ports, published_receivers, settle, units

HERE = pathlib.Path(__file__).resolve().parent.parent
HOST = "tempo.helpers.svc.cluster.local"
OPTIONS = {f"always_enable_{protocol}": True for protocol in PORTS}


@dataclasses.dataclass
class Simulator:
    """A model of the simulator."""

    program: str
    environment: Mapping[str, str]
    shared: pathlib.Path
    """A folder that the pod of `orders` sees under the same path."""

    def run(self, *words: str, timeout: float = 240) -> str:
        """What a verb writes; an error if it fails."""
        command = [self.program, *words]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout)
        assert ended.returncode == 0, f"{' '.join(words)}: {ended.stderr or ended.stdout}"
        return ended.stdout

    def json(self, *words: str) -> Any:
        """What a verb answers, decoded."""
        return json.loads(self.run(*words, "--format", "json"))

    def status(self) -> Json:
        """What `status` says."""
        answer: Json = self.json("status")
        return answer

    def helpers(self, *words: str) -> str:
        """Runs the helpers as a program, in the pod of `orders`."""
        return self.run("exec", "orders/0", "--timeout", "120", "--", sys.executable, str(HERE / "helpers.py"), *words).strip()

    def trust(self) -> str:
        """The file with the authority's certificate, for the helpers."""
        (unit,) = self.json("show-unit", "tempo/0").values()
        (bag,) = [relation["application-data"] for relation in unit["relation-info"] if relation["endpoint"] == "certificates"]
        file = self.shared / "ca.pem"
        file.write_text(json.loads(bag["certificates"])[0]["ca"])
        return str(file)


def _given(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set; `cargo xtask integration --check` sets it")
    return value


def _simulator(folder: pathlib.Path, worker: Mapping[str, str], store: Mapping[str, str]) -> Iterator[Simulator]:
    environment = {**os.environ, "JUJU_SIM_HOME": str(folder / "home")}
    simulator = Simulator(_given("JUJU_SIM"), environment, folder / "shared")
    simulator.shared.mkdir()
    # Python is not in an ordinary charm's container: this environment, and the interpreter that it was made from.
    seen = {str(simulator.shared), str(HERE), sys.prefix}
    if not sys.base_prefix.startswith("/usr"):
        seen.add(sys.base_prefix)
    files = {path: path for path in sorted(seen)}
    model = {
        "name": "helpers",
        "applications": {
            "tempo": {"charm": _given("CHARM_PATH"), "scale": 2, "trust": True, "options": OPTIONS},
            "worker": {"charm": "double:tempo-worker", "options": {"role": "all", **worker}},
            "store": {"charm": "double:s3", "options": dict(store)},
            "ca": {"charm": "double:certificates"},
            "orders": {
                "charm": _given("REQUIRER_CHARM_PATH"),
                "options": {"protocols": "otlp_grpc,zipkin"},
                "images": {"charm-base": {"files": files}},
            },
        },
        "relations": [
            ["tempo:s3", "store:s3-credentials"],
            ["tempo:tempo-cluster", "worker:tempo-cluster"],
            ["tempo:tracing", "orders:tracing"],
        ],
    }
    file = folder / "model.yaml"
    # JSON is YAML, too.
    file.write_text(json.dumps(model))
    try:
        simulator.run("up", str(file))
        simulator.run("wait", "--timeout", "200")
        reasons = simulator.status()["simulator"]
        if not reasons["pods"]:
            pytest.skip(f"no pods on this machine: {'; '.join(reasons['reasons'])}")
        yield simulator
    finally:
        # However far it came; what it says matters to nobody.
        subprocess.run([simulator.program, "down"], env=environment, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A cluster with workers that count spans."""
    yield from _simulator(tmp_path_factory.mktemp("sink"), {}, {})


@pytest.fixture(scope="module")
def tempo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A cluster with a real Tempo over a real store."""
    tools = pathlib.Path(_given("JUJU_SIM_TOOLS")) / "bin"
    missing = [name for name in ("tempo", "versitygw") if not (tools / name).exists()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not built; `cargo xtask tools tempo versitygw` does it, in a quarter of an hour")
    yield from _simulator(tmp_path_factory.mktemp("tempo"), {"workload": "tempo"}, {"workload": "versitygw"})


def test_a_model_settles_in_the_eyes_of_the_helpers(simulator: Simulator) -> None:
    status = settle(simulator.status, "active", ["tempo", "worker", "store", "orders"], timeout=60, times=2, interval=0.1)
    assert failed(status) == []
    assert sorted(units(status, "tempo")) == ["tempo/0", "tempo/1"]
    assert leader(status, "tempo") in units(status, "tempo")
    assert application(status, "tempo")["address"] == HOST
    for unit in units(status, "tempo").values():
        assert set(PORTS.values()) < open_ports(unit)


def test_a_model_that_is_not_as_wanted_is_told_apart(simulator: Simulator) -> None:
    with pytest.raises(TimeoutError, match="tempo/0 is active"):
        settle(simulator.status, "blocked", ["tempo"], timeout=0)
    with pytest.raises(TimeoutError, match="tempo has 2 units of 3"):
        settle(simulator.status, "active", ["tempo"], {"tempo": 3}, timeout=0)


def test_listed_and_published_receivers_are_the_same(simulator: Simulator) -> None:
    listed = listed_receivers(simulator.json("run", "tempo/leader", "list-receivers")["results"])
    assert set(listed) == set(PORTS)
    assert published_receivers(simulator.json("show-unit", "orders/0")) == listed
    assert published_receivers(simulator.json("show-unit", "orders/0"), "logging") == {}


def _arrived(simulator: Simulator) -> dict[str, int]:
    counts = simulator.json("counts", "--service", "integration-tests")
    return {protocol: sum(unit.get(protocol, 0) for unit in counts.values()) for protocol in PORTS}


def _send_all(simulator: Simulator, *more: str) -> dict[str, int]:
    """Sends a trace in each protocol to the published URLs, and says how many more have arrived."""
    before = _arrived(simulator)
    for protocol, url in published_receivers(simulator.json("show-unit", "orders/0")).items():
        simulator.helpers("send", "--protocol", protocol, "--url", url, *more)
    after = _arrived(simulator)
    return {protocol: after[protocol] - before[protocol] for protocol in PORTS}


ONE_EACH = dict.fromkeys(PORTS, 1)


def test_a_trace_of_each_protocol_is_understood(simulator: Simulator) -> None:
    assert _send_all(simulator) == ONE_EACH


def test_with_tls_the_authority_is_trusted_and_nobody_else(simulator: Simulator) -> None:
    simulator.run("integrate", "tempo:certificates", "ca:certificates")
    simulator.run("wait", "--active", "--timeout", "200")
    assert _send_all(simulator, "--tls", "--ca-file", simulator.trust()) == ONE_EACH
    url = published_receivers(simulator.json("show-unit", "orders/0"))["otlp_http"]
    assert url == f"https://{HOST}:4318"
    with pytest.raises(AssertionError, match="CERTIFICATE_VERIFY_FAILED"):
        simulator.helpers("send", "--protocol", "otlp_http", "--url", url)


def test_a_real_tempo_gives_back_what_was_sent(tempo: Simulator) -> None:
    tempo.run("wait", "--active", "--timeout", "200", "tempo", "worker")
    for protocol, url in published_receivers(tempo.json("show-unit", "orders/0")).items():
        sent = tempo.helpers("send", "--protocol", protocol, "--url", url)
        found = tempo.helpers("find", "--trace", sent, "--url", f"http://{HOST}:{QUERY_PORT}", "--timeout", "60")
        assert found.endswith(" integration-tests integration"), protocol
