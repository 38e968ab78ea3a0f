"""Options of the integration tests, and the model in which each module of scenarios plays."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import jubilant
import pytest
from cluster import CHANNELS, Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what the scenarios have to be told."""
    group = parser.getgroup("tempo")
    group.addoption("--charm", help="the packed charm under test; else CHARM_PATH")
    group.addoption("--requirer-charm", help="the packed examples/requirer; else REQUIRER_CHARM_PATH")
    group.addoption("--keep-models", action="store_true", help="leave the models as they are in the end")
    group.addoption(
        "--channel", action="append", default=[], metavar="NAME=CHANNEL", help="take a charm of Charmhub from this channel"
    )


def _packed(config: pytest.Config, option: str, variable: str, how: str) -> pathlib.Path:
    given = config.getoption(option) or os.environ.get(variable)
    if not given:
        pytest.fail(f"no charm to test: pack one with `{how}`, and give its path with {option} or {variable}", pytrace=False)
    path = pathlib.Path(given).resolve()
    if not path.is_file():
        pytest.fail(f"there is no charm {path}; `{how}` packs it", pytrace=False)
    return path


@pytest.fixture(scope="session")
def charm(pytestconfig: pytest.Config) -> pathlib.Path:
    """The packed charm under test."""
    return _packed(pytestconfig, "--charm", "CHARM_PATH", "cargo xtask pack")


@pytest.fixture(scope="session")
def requirer_charm(pytestconfig: pytest.Config) -> pathlib.Path:
    """A packed charm that asks for the protocols that its option names."""
    how = "cargo xtask pack --charm examples/requirer --out tracing-requirer.charm"
    return _packed(pytestconfig, "--requirer-charm", "REQUIRER_CHARM_PATH", how)


@pytest.fixture(scope="session")
def channels(pytestconfig: pytest.Config) -> dict[str, str]:
    """Where other charms come from on Charmhub."""
    chosen = dict(CHANNELS)
    for word in pytestconfig.getoption("--channel"):
        name, _, channel = word.partition("=")
        if name not in chosen or not channel:
            raise pytest.UsageError(f"--channel {word}: NAME=CHANNEL, with one of {', '.join(chosen)}")
        chosen[name] = channel
    return chosen


@pytest.fixture(scope="module")
def juju(request: pytest.FixtureRequest) -> Iterator[jubilant.Juju]:
    """A model that is there as long as one module's tests."""
    keep = bool(request.config.getoption("--keep-models"))
    failed_before = request.session.testsfailed
    with jubilant.temp_model(keep=keep) as juju:
        # Pods that start workers pull images, which takes a while the first time.
        juju.wait_timeout = 15 * 60
        yield juju
        if request.session.testsfailed > failed_before:
            print(juju.cli("status", "--relations"))
            print(juju.debug_log(limit=500))


@pytest.fixture(scope="module")
def cluster(charm: pathlib.Path, channels: dict[str, str], juju: jubilant.Juju) -> Cluster:
    """An empty model for a Tempo stack. There is none without a charm to test."""
    return Cluster(juju, charm, channels)
