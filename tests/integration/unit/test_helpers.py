"""The helpers without a cluster, against what Juju and Tempo are known to answer."""

from __future__ import annotations

import base64
import http.server
import json
import pathlib
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from helpers import (
    PORTS,
    Endpoint,
    Failed,
    Json,
    Refused,
    Span,
    Trace,
    address,
    deliver,
    failed,
    has,
    is_open,
    jaeger_protobuf,
    jaeger_thrift,
    leader,
    listed_receivers,
    open_ports,
    otlp_json,
    otlp_protobuf,
    problems,
    published_receivers,
    read_trace,
    send,
    settle,
    spans,
    tag_values,
    units,
    until,
    zipkin_json,
)

TRACE = Trace("00112233445566778899aabbccddeeff", "0102030405060708", "orders", "buy", 1_700_000_000_123_456_789)


# ---- Messages


def fields(message: bytes) -> dict[int, list[int | bytes]]:
    """A protobuf message taken apart, by the numbers of its fields."""
    found: dict[int, list[int | bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        value: int | bytes
        if kind == 0:
            value = varint()
        elif kind == 1:
            (value,) = struct.unpack("<Q", message[at : at + 8])
            at += 8
        else:
            assert kind == 2
            size = varint()
            value = message[at : at + size]
            assert len(value) == size
            at += size
        found.setdefault(number, []).append(value)
    return found


def inner(message: bytes, *path: int) -> bytes:
    """The only message at a path of fields."""
    for number in path:
        (value,) = fields(message)[number]
        assert isinstance(value, bytes)
        message = value
    return message


def test_otlp_over_http_has_hexadecimal_identifiers_and_times_as_text() -> None:
    (resource,) = json.loads(otlp_json(TRACE))["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "orders"}}]
    (span,) = resource["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["spanId"], span["name"]) == (TRACE.trace_id, TRACE.span_id, "buy")
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("1700000000123456789", "1700000000128456789")


def test_otlp_over_grpc_is_the_same_as_a_message() -> None:
    span = fields(inner(otlp_protobuf(TRACE), 1, 2, 2))
    assert span[1] == [bytes.fromhex(TRACE.trace_id)]
    assert span[2] == [bytes.fromhex(TRACE.span_id)]
    assert (span[5], span[7], span[8]) == ([b"buy"], [TRACE.start], [TRACE.end])
    service = fields(inner(otlp_protobuf(TRACE), 1, 1, 1))
    assert service[1] == [b"service.name"]
    assert service[2] == [b"\x0a\x06orders"]


def test_jaeger_over_grpc_has_the_time_in_two_parts() -> None:
    span = fields(inner(jaeger_protobuf(TRACE), 1, 1))
    assert span[1] == [bytes.fromhex(TRACE.trace_id)]
    assert span[3] == [b"buy"]
    start = fields(inner(jaeger_protobuf(TRACE), 1, 1, 6))
    assert start == {1: [1_700_000_000], 2: [123_456_789]}
    assert fields(inner(jaeger_protobuf(TRACE), 1, 2)) == {1: [b"orders"]}


def test_jaeger_over_http_is_thrift() -> None:
    message = jaeger_thrift(TRACE)
    assert message.startswith(b"\x0c\0\x01\x0b\0\x01\0\0\0\x06orders\0")
    # The lower half of the identifier comes first.
    assert bytes.fromhex("0a0001" + TRACE.trace_id[16:] + "0a0002" + TRACE.trace_id[:16] + "0a0003" + TRACE.span_id) in message
    assert message.endswith(b"\0\0")


def test_zipkin_has_microseconds() -> None:
    (span,) = json.loads(zipkin_json(TRACE))
    assert (span["traceId"], span["id"], span["localEndpoint"]) == (TRACE.trace_id, TRACE.span_id, {"serviceName": "orders"})
    assert (span["timestamp"], span["duration"]) == (1_700_000_000_123_456, 5_000)


def test_no_two_traces_are_the_same() -> None:
    one, two = Trace.new("a"), Trace.new("a")
    assert one.trace_id != two.trace_id and one.span_id != two.span_id
    assert (len(one.trace_id), len(one.span_id)) == (32, 16)


# ---- Endpoints, sending, reading


@pytest.mark.parametrize(
    ("url", "host", "port", "secure"),
    [
        ("http://tempo.m.svc.cluster.local:4318", "tempo.m.svc.cluster.local", 4318, False),
        ("https://tempo.m.svc.cluster.local:9411", "tempo.m.svc.cluster.local", 9411, True),
        ("tempo.m.svc.cluster.local:4317", "tempo.m.svc.cluster.local", 4317, False),
        ("http://[fd00::1]:4318", "fd00::1", 4318, False),
    ],
)
def test_urls_are_taken_apart(url: str, host: str, port: int, secure: bool) -> None:
    assert Endpoint.parse(url) == Endpoint(host, port, secure)


def test_what_is_no_url_of_a_receiver_is_refused() -> None:
    for text in ("", "tempo", "http://tempo", "http://:4318"):
        with pytest.raises(ValueError, match="no host and port"):
            Endpoint.parse(text)


def test_a_target_is_the_address_if_there_is_one() -> None:
    assert Endpoint("tempo", 4317).target == "tempo:4317"
    assert Endpoint("tempo", 4317, address="fd00::1").target == "[fd00::1]:4317"
    assert Endpoint.parse("tempo:4317", "10.1.1.1", True) == Endpoint("tempo", 4317, True, "10.1.1.1")
    assert Endpoint("tempo", 1, True, "a").at(2) == Endpoint("tempo", 2, True, "a")


Answer = Callable[[str, Mapping[str, str], bytes], tuple[int, bytes]]


class Server:
    """A server on this machine that answers with a function, and keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = dict(self.headers.items())
                outer.asked.append((self.command, self.path, headers, body))
                status, content = answer(self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.endpoint = Endpoint("tempo.m.svc.cluster.local", self._server.server_port, address="127.0.0.1")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize(
    ("protocol", "path", "content_type"),
    [
        ("otlp_http", "/v1/traces", "application/json"),
        ("zipkin", "/api/v2/spans", "application/json"),
        ("jaeger_thrift_http", "/api/traces", "application/x-thrift"),
    ],
)
def test_traces_are_sent_to_the_address_under_the_name(
    serve: Callable[[Answer], Server], protocol: str, path: str, content_type: str
) -> None:
    server = serve(lambda *_: (202, b""))
    send(protocol, server.endpoint, TRACE)
    ((command, asked, headers, body),) = server.asked
    assert (command, asked, headers["Content-Type"]) == ("POST", path, content_type)
    assert headers["Host"] == f"tempo.m.svc.cluster.local:{server.endpoint.port}"
    assert b"orders" in body


def test_a_receiver_that_does_not_take_it_is_an_error_with_its_words(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda *_: (503, b"no workers"))
    with pytest.raises(Refused, match="503 no workers"):
        send("otlp_http", server.endpoint, TRACE)


def test_a_port_without_a_listener_is_closed(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda *_: (200, b""))
    assert is_open(server.endpoint)
    server.stop()
    assert not is_open(server.endpoint)
    for protocol in PORTS:
        with pytest.raises((OSError, Refused)):
            send(protocol, server.endpoint, TRACE)


def test_protocols_have_to_be_known() -> None:
    with pytest.raises(ValueError, match="no such protocol: otlp"):
        send("otlp", Endpoint("tempo", 1), TRACE)


def document(trace: Trace, parts: str = "batches", encode: Callable[[str], str] = str) -> Json:
    """A trace as Tempo gives it back."""
    span = {"traceId": encode(trace.trace_id), "spanId": encode(trace.span_id), "name": trace.name}
    service = {"key": "service.name", "value": {"stringValue": trace.service}}
    return {parts: [{"resource": {"attributes": [service]}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


def in_base64(identifier: str) -> str:
    # Tempo leaves zeros at the beginning out.
    return base64.b64encode(bytes.fromhex(identifier).lstrip(b"\0")).decode()


@pytest.mark.parametrize(
    "answer",
    [
        document(TRACE),
        document(TRACE, encode=in_base64),
        document(TRACE, parts="resourceSpans", encode=in_base64),
        {"trace": document(TRACE, parts="resourceSpans", encode=in_base64)},
    ],
)
def test_a_trace_is_recognised_in_every_form_that_tempo_gives_it(answer: Json) -> None:
    (found,) = spans(answer)
    assert found == Span(TRACE.trace_id, TRACE.span_id, "buy", "orders")
    assert has([found], TRACE)


def test_another_span_is_not_what_was_sent() -> None:
    other = Trace(TRACE.trace_id, "ff" * 8, TRACE.service, TRACE.name, TRACE.start)
    assert not has(spans(document(other)), TRACE)
    assert not has([], TRACE)


def test_a_trace_that_tempo_does_not_know_is_none(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda *_: (404, b"trace not found"))
    assert read_trace(server.endpoint, TRACE.trace_id) is None
    assert server.asked[0][1] == f"/api/traces/{TRACE.trace_id}"


def test_an_empty_trace_is_none(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda *_: (200, b'{"batches": []}'))
    assert read_trace(server.endpoint, TRACE.trace_id) is None


def test_a_tempo_in_trouble_is_an_error(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda *_: (500, b"empty ring"))
    with pytest.raises(Refused, match="500 empty ring"):
        read_trace(server.endpoint, TRACE.trace_id)


def test_a_trace_counts_when_it_was_read_back(serve: Callable[[Answer], Server]) -> None:
    kept: dict[str, bytes] = {}

    def tempo(path: str, _: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if body:
            kept[json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]] = body
            return 200, b"{}"
        return (200, kept[path.rpartition("/")[2]]) if path.rpartition("/")[2] in kept else (404, b"")

    server = serve(tempo)
    trace = deliver("otlp_http", server.endpoint, server.endpoint)
    assert list(kept) == [trace.trace_id]


def test_a_trace_that_is_taken_and_lost_does_not_count(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda _path, _headers, body: (200, b"{}") if body else (404, b""))
    with pytest.raises(TimeoutError, match="sent with otlp_http: not within 0 s"):
        deliver("otlp_http", server.endpoint, server.endpoint, timeout=0)


def test_values_of_a_tag_are_read_in_both_forms(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda *_: (200, b'{"tagValues": ["tempo", {"type": "string", "value": "worker"}]}'))
    assert tag_values(server.endpoint, "juju_application") == {"tempo", "worker"}


# ---- Waiting


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_waiting_ends_with_the_first_answer() -> None:
    clock = Clock()
    answers: Iterator[object] = iter([None, [], OSError("no route"), "here"])

    def read() -> object:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert until(read, "it", 10, 2, clock.read, clock.pause) == "here"
    assert clock.now == 6


def test_waiting_in_vain_says_what_for_and_what_went_wrong_last() -> None:
    clock = Clock()

    def read() -> None:
        raise Refused("503")

    with pytest.raises(TimeoutError, match="a trace: not within 10 s: 503"):
        until(read, "a trace", 10, 2, clock.read, clock.pause)
    assert clock.now == 10


def test_mistakes_are_not_waited_out() -> None:
    def read() -> None:
        raise KeyError("tempo")

    with pytest.raises(KeyError):
        until(read, "it", 10)


# ---- Juju


def model(state: str = "active", agent: str = "idle", count: int = 2, message: str = "") -> Json:
    """The status of a model with one application."""
    members = {
        f"tempo/{number}": {
            "workload-status": {"current": state, "message": message, "since": "28 Nov 2026 01:00:00Z"},
            "juju-status": {"current": agent, "since": "28 Nov 2026 01:00:00Z", "version": "3.6.26"},
            "leader": number == 1,
            "open-ports": ["3200/tcp", "4318/tcp"],
            "address": f"10.1.0.{number}",
        }
        for number in range(count)
    }
    app = {"charm-name": "tempo-coordinator-k8s", "scale": 2, "address": "10.152.183.9", "units": members}
    return {"model": {"name": "m", "type": "caas"}, "applications": {"tempo": app}}


def test_parts_of_a_status_are_found() -> None:
    status = model()
    assert address(status, "tempo") == "10.152.183.9"
    assert leader(status, "tempo") == "tempo/1"
    assert open_ports(units(status, "tempo")["tempo/0"]) == {3200, 4318}
    with pytest.raises(LookupError, match="no application worker among tempo"):
        address(status, "worker")


def test_an_application_without_units_has_none_and_no_leader() -> None:
    status: Json = {"applications": {"tempo": {"scale": 0}}}
    assert units(status, "tempo") == {}
    with pytest.raises(LookupError, match="nobody leads tempo"):
        leader(status, "tempo")


def test_an_application_is_as_wanted_when_all_units_are_there_idle_and_in_that_state() -> None:
    assert problems(model(), "active", ["tempo"]) == []
    assert problems(model("blocked", message="no s3"), "active", ["tempo"])[0] == "tempo/0 is blocked: no s3"
    assert problems(model(agent="executing"), "active", ["tempo"])[1] == "tempo/1 is executing"
    assert problems(model(count=1), "active", ["tempo"]) == ["tempo has 1 units of 2"]
    assert problems(model(), "active", ["tempo"], {"tempo": 3}) == ["tempo has 2 units of 3"]
    assert problems(model(), "active", ["worker"]) == ["worker is not there"]


def test_a_failed_hook_is_named() -> None:
    assert failed(model()) == []
    assert failed(model("error", message='hook failed: "start"'))[0] == 'tempo/0: hook failed: "start"'


def settled(*looks: Json, timeout: float = 100, times: int = 2) -> tuple[Json, float]:
    """What settling says after some looks, of which the last goes on for ever, and when."""
    clock, seen = Clock(), list(looks)

    def read() -> Json:
        return seen.pop(0) if len(seen) > 1 else seen[0]

    status = settle(read, "active", ["tempo"], timeout=timeout, times=times, interval=1, clock=clock.read, pause=clock.pause)
    return status, clock.now


def test_settled_is_what_stays_so() -> None:
    busy, done = model(agent="executing"), model()
    assert settled(done) == (done, 1)
    # A unit that was only between two hooks.
    assert settled(busy, done, busy, done)[1] == 4


def test_a_model_that_does_not_settle_says_why() -> None:
    with pytest.raises(TimeoutError, match="not active within 5 s: tempo/0 is blocked: no s3"):
        settled(model("blocked", message="no s3"), timeout=5)


def test_a_hook_that_fails_for_good_ends_the_wait_and_one_that_is_repeated_does_not() -> None:
    broken, done = model("error", message="hook failed"), model()
    assert settled(*[broken] * 19, done)[0] == done
    with pytest.raises(Failed, match="tempo/0: hook failed"):
        settled(broken)


def test_listed_receivers_have_the_names_of_the_relation() -> None:
    results = {"otlp-http": "http://tempo:4318", "jaeger-thrift-http": "http://tempo:14268", "return-code": 0}
    assert listed_receivers(results) == {"otlp_http": "http://tempo:4318", "jaeger_thrift_http": "http://tempo:14268"}
    with pytest.raises(ValueError, match="no protocols: opencensus"):
        listed_receivers({"opencensus": "tempo:55678"})


def test_published_receivers_are_those_of_the_endpoint() -> None:
    receivers = [{"protocol": {"name": "zipkin", "type": "http"}, "url": "http://tempo:9411"}]
    relations = [
        {"endpoint": "tracing", "application-data": {"receivers": json.dumps(receivers)}},
        {"endpoint": "database", "application-data": {"endpoints": "db:5432"}},
    ]
    assert published_receivers({"orders/0": {"relation-info": relations}}) == {"zipkin": "http://tempo:9411"}
    assert published_receivers({"orders/0": {"relation-info": relations[1:]}}) == {}
    # A provider that has not said anything yet.
    assert published_receivers({"orders/0": {"relation-info": [{"endpoint": "tracing", "application-data": {}}]}}) == {}


# ---- What a person sees


@pytest.mark.parametrize("words", [(), ("--charm=/nowhere/tempo.charm",)])
def test_without_a_charm_one_is_told_how_to_pack_it(words: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    scenarios = pathlib.Path(__file__).parent.parent
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_retention.py", *words]
    # No Juju is to be found either: it is not asked for anything before there is a charm.
    environment = {"PATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, cwd=scenarios, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "cargo xtask pack" in ended.stdout, ended.stdout
