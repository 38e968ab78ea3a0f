"""What the integration tests know of traces, of Juju's answers and of Tempo's.

Nothing in here needs a cluster: functions take URLs, documents and functions that read. So they are tested without one, in `unit/`; and
as a program this file sends a trace and looks for it, on any machine or in any pod that has Python:

    python helpers.py send --protocol otlp_http --url http://tempo.model.svc.cluster.local:4318
    python helpers.py find --url http://tempo.model.svc.cluster.local:3200 --trace 0123…
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import http.client
import json
import secrets
import socket
import ssl
import struct
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

Json = Mapping[str, Any]
"""A JSON object, as `json.loads` gives it."""

PORTS = {
    "jaeger_grpc": 14250,
    "jaeger_thrift_http": 14268,
    "otlp_grpc": 4317,
    "otlp_http": 4318,
    "zipkin": 9411,
}
"""Every protocol that Tempo takes, with the port that it has in Tempo and at the coordinator."""

QUERY_PORT = 3200
"""Where Tempo's HTTP API is."""


# ---- Traces -----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Trace:
    """A trace of one span."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    service: str
    name: str
    start: int
    """In nanoseconds since 1970."""
    duration: int = 5_000_000
    """In nanoseconds."""

    @classmethod
    def new(cls, service: str, name: str = "integration") -> Trace:
        """A trace that nobody has sent before."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), service, name, time.time_ns())

    @property
    def end(self) -> int:
        """In nanoseconds since 1970."""
        return self.start + self.duration


def otlp_json(trace: Trace) -> bytes:
    """The trace as a body for OTLP over HTTP."""
    span = {
        "traceId": trace.trace_id,
        "spanId": trace.span_id,
        "name": trace.name,
        "kind": 1,
        # 64 bits do not fit into a number of JSON.
        "startTimeUnixNano": str(trace.start),
        "endTimeUnixNano": str(trace.end),
    }
    service = {"key": "service.name", "value": {"stringValue": trace.service}}
    spans = {"scope": {"name": "integration-tests"}, "spans": [span]}
    return json.dumps({"resourceSpans": [{"resource": {"attributes": [service]}, "scopeSpans": [spans]}]}).encode()


def zipkin_json(trace: Trace) -> bytes:
    """The trace as a body for Zipkin's second API."""
    span = {
        "traceId": trace.trace_id,
        "id": trace.span_id,
        "name": trace.name,
        "timestamp": trace.start // 1000,
        "duration": trace.duration // 1000,
        "localEndpoint": {"serviceName": trace.service},
    }
    return json.dumps([span]).encode()


def otlp_protobuf(trace: Trace) -> bytes:
    """The trace as the message that OTLP sends over gRPC."""
    service = _text(1, "service.name") + _message(2, _text(1, trace.service))
    span = b"".join(
        [
            _bytes(1, bytes.fromhex(trace.trace_id)),
            _bytes(2, bytes.fromhex(trace.span_id)),
            _text(5, trace.name),
            _number(6, 1),
            _fixed64(7, trace.start),
            _fixed64(8, trace.end),
        ]
    )
    return _message(1, _message(1, _message(1, service)) + _message(2, _message(2, span)))


def jaeger_protobuf(trace: Trace) -> bytes:
    """The trace as the message that Jaeger's agents send over gRPC."""
    span = b"".join(
        [
            _bytes(1, bytes.fromhex(trace.trace_id)),
            _bytes(2, bytes.fromhex(trace.span_id)),
            _text(3, trace.name),
            _message(6, _number(1, trace.start // 10**9) + _number(2, trace.start % 10**9)),
            _message(7, _number(1, trace.duration // 10**9) + _number(2, trace.duration % 10**9)),
        ]
    )
    return _message(1, _message(1, span) + _message(2, _text(1, trace.service)))


def jaeger_thrift(trace: Trace) -> bytes:
    """The trace as a body for Jaeger's collector over HTTP: Thrift's binary protocol."""
    span = b"".join(
        [
            _thrift_i64(1, int(trace.trace_id[16:], 16)),
            _thrift_i64(2, int(trace.trace_id[:16], 16)),
            _thrift_i64(3, int(trace.span_id, 16)),
            _thrift_i64(4, 0),
            _thrift_text(5, trace.name),
            struct.pack(">bhi", 8, 7, 1),
            _thrift_i64(8, trace.start // 1000),
            _thrift_i64(9, trace.duration // 1000),
            b"\0",
        ]
    )
    process = _thrift_text(1, trace.service) + b"\0"
    # A batch: the process, and a list of structs that has one.
    return struct.pack(">bh", 12, 1) + process + struct.pack(">bhbi", 15, 2, 12, 1) + span + b"\0"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _fixed64(field: int, value: int) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<Q", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _message(field: int, value: bytes) -> bytes:
    return _bytes(field, value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _thrift_i64(field: int, value: int) -> bytes:
    # Identifiers are 64 bits without a sign, and Thrift has none without.
    return struct.pack(">bhQ", 10, field, value % 2**64)


def _thrift_text(field: int, value: str) -> bytes:
    text = value.encode()
    return struct.pack(">bhi", 11, field, len(text)) + text


# ---- Sending ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where something listens."""

    host: str
    port: int
    secure: bool = False
    address: str | None = None
    """Where to connect to instead of what the host's name means here: names of a cluster mean nothing outside of it. The name is
    still what is asked for, and what a certificate has to be for."""

    @classmethod
    def parse(cls, url: str, address: str | None = None, secure: bool | None = None) -> Endpoint:
        """The endpoint of a published URL; those for gRPC have no scheme, so that they do not say whether there is TLS."""
        split = urllib.parse.urlsplit(url if "://" in url else f"//{url}")
        if split.hostname is None or split.port is None:
            raise ValueError(f"no host and port in {url!r}")
        if secure is None:
            secure = split.scheme == "https"
        return cls(split.hostname, split.port, secure, address)

    def at(self, port: int) -> Endpoint:
        """The same host at another port."""
        return dataclasses.replace(self, port=port)

    @property
    def target(self) -> str:
        """Where to connect to."""
        host = self.address or self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class Refused(Exception):
    """A receiver that answers, and does not take what it is sent."""


class _Connection(http.client.HTTPConnection):
    """A connection that goes to another address than the host's name says."""

    def __init__(self, endpoint: Endpoint, ca: str | None, timeout: float) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=timeout)
        self._endpoint = endpoint
        self._context = ssl.create_default_context(cadata=ca) if endpoint.secure else None

    def connect(self) -> None:
        where = (self._endpoint.address or self._endpoint.host, self._endpoint.port)
        self.sock = socket.create_connection(where, timeout=self.timeout)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._endpoint.host)


def request(
    endpoint: Endpoint,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    ca: str | None = None,
    timeout: float = 10,
) -> tuple[int, bytes]:
    """The status and the body of an answer over HTTP. With a body it is a POST, else a GET. `ca` is in PEM."""
    connection = _Connection(endpoint, ca, timeout)
    try:
        connection.request("POST" if body is not None else "GET", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def call(endpoint: Endpoint, method: str, message: bytes, ca: str | None = None, timeout: float = 10) -> bytes:
    """The answer to a call over gRPC, undecoded."""
    # Only what is sent over gRPC needs the library, so that all else runs with Python alone.
    import grpc

    options = [("grpc.default_authority", endpoint.host)]
    if endpoint.secure:
        options.append(("grpc.ssl_target_name_override", endpoint.host))
        trusted = grpc.ssl_channel_credentials(ca.encode() if ca else None)
        channel = grpc.secure_channel(endpoint.target, trusted, options)
    else:
        channel = grpc.insecure_channel(endpoint.target, options)
    with channel:
        try:
            # Messages are bytes already, and stay so.
            unary = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            answer: bytes = unary(message, timeout=timeout)
        except grpc.RpcError as error:
            raise Refused(f"{endpoint.target} {method}: {error}") from error
        return answer


def send(protocol: str, endpoint: Endpoint, trace: Trace, ca: str | None = None) -> None:
    """Sends a trace; no return but an exception says that it was not taken."""
    match protocol:
        case "otlp_http":
            _post(endpoint, "/v1/traces", otlp_json(trace), "application/json", ca)
        case "zipkin":
            _post(endpoint, "/api/v2/spans", zipkin_json(trace), "application/json", ca)
        case "jaeger_thrift_http":
            _post(endpoint, "/api/traces", jaeger_thrift(trace), "application/x-thrift", ca)
        case "otlp_grpc":
            method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            call(endpoint, method, otlp_protobuf(trace), ca)
        case "jaeger_grpc":
            call(endpoint, "/jaeger.api_v2.CollectorService/PostSpans", jaeger_protobuf(trace), ca)
        case _:
            raise ValueError(f"no such protocol: {protocol}")


def _post(endpoint: Endpoint, path: str, body: bytes, content_type: str, ca: str | None) -> None:
    status, answer = request(endpoint, path, body, {"Content-Type": content_type}, ca)
    if not 200 <= status < 300:
        raise Refused(f"{endpoint.target}{path}: {status} {answer[:200].decode(errors='replace')}")


def is_open(endpoint: Endpoint, timeout: float = 5) -> bool:
    """Whether anything takes connections there."""
    try:
        socket.create_connection((endpoint.address or endpoint.host, endpoint.port), timeout).close()
    except OSError:
        return False
    return True


# ---- Reading back -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Span:
    """A span that Tempo gave back."""

    trace_id: str
    span_id: str
    name: str
    service: str


def spans(document: Json) -> Iterator[Span]:
    """All spans of a trace as Tempo's API gives it back, under any of the names that its versions have for the parts."""
    whole = document.get("trace", document)
    for batch in whole.get("batches") or whole.get("resourceSpans") or []:
        attributes = batch.get("resource", {}).get("attributes", [])
        names = [item["value"].get("stringValue", "") for item in attributes if item["key"] == "service.name"]
        service = names[0] if names else ""
        for scope in batch.get("scopeSpans") or batch.get("instrumentationLibrarySpans") or []:
            for span in scope.get("spans", []):
                identifiers = _hexadecimal(span["traceId"], 16), _hexadecimal(span["spanId"], 8)
                yield Span(*identifiers, span.get("name", ""), service)


def _hexadecimal(identifier: str, size: int) -> str:
    """An identifier as hexadecimal digits: JSON made from protobuf has base64 instead."""
    if len(identifier) == 2 * size:
        return identifier.lower()
    return base64.b64decode(identifier).rjust(size, b"\0").hex()


def read_trace(endpoint: Endpoint, trace_id: str, ca: str | None = None) -> list[Span] | None:
    """The spans of a trace, asked for by its identifier; `None` if Tempo does not know it (yet)."""
    status, body = request(endpoint, f"/api/traces/{trace_id}", headers={"Accept": "application/json"}, ca=ca)
    if status == 404:
        return None
    if status != 200:
        raise Refused(f"{endpoint.target}: {status} {body[:200].decode(errors='replace')}")
    # A trace without spans is none.
    return list(spans(json.loads(body))) or None


def has(found: Iterable[Span], trace: Trace) -> bool:
    """Whether what came back is what was sent: identifiers, names and service."""
    return Span(trace.trace_id, trace.span_id, trace.name, trace.service) in set(found)


def tag_values(endpoint: Endpoint, tag: str, ca: str | None = None) -> set[str]:
    """The values that a tag has in what Tempo knows."""
    status, body = request(endpoint, f"/api/search/tag/{tag}/values", ca=ca)
    if status != 200:
        raise Refused(f"{endpoint.target}: {status} {body[:200].decode(errors='replace')}")
    values = json.loads(body).get("tagValues", [])
    return {value if isinstance(value, str) else value["value"] for value in values}


def until(
    read: Callable[[], T | None],
    what: str,
    timeout: float,
    interval: float = 1,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Waits until a function gives an answer that is neither `None` nor false. What it raises over the network is waited out, too, and is
    what is reported in the end."""
    deadline = clock() + timeout
    trouble: Exception | None = None
    while True:
        try:
            answer = read()
            trouble = None
            if answer:
                return answer
        except (OSError, Refused, http.client.HTTPException) as error:
            trouble = error
        if clock() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s" + (f": {trouble}" if trouble else ""))
        pause(interval)


def deliver(
    protocol: str,
    receiver: Endpoint,
    reader: Endpoint,
    ca: str | None = None,
    service: str = "integration-tests",
    timeout: float = 120,
) -> Trace:
    """Sends a trace and waits until Tempo gives it back by its identifier. Nothing else counts as delivered."""
    trace = Trace.new(service, f"integration {protocol}")

    def sent() -> bool:
        send(protocol, receiver, trace, ca)
        return True

    def found() -> bool:
        return has(read_trace(reader, trace.trace_id, ca) or (), trace)

    until(sent, f"{protocol} to {receiver.target}", timeout)
    until(found, f"trace {trace.trace_id} sent with {protocol}", timeout)
    return trace


# ---- Juju -------------------------------------------------------------------------------------------------------------------


def application(status: Json, app: str) -> Json:
    """What `juju status --format json` says of an application."""
    found: Json | None = status["applications"].get(app)
    if found is None:
        raise LookupError(f"no application {app} among {', '.join(sorted(status['applications']))}")
    return found


def units(status: Json, app: str) -> Json:
    """The units of an application, by name."""
    # Juju leaves the key out where there are none.
    found: Json = application(status, app).get("units") or {}
    return found


def address(status: Json, app: str) -> str:
    """The address of an application's service."""
    return str(application(status, app)["address"])


def leader(status: Json, app: str) -> str:
    """The unit that leads an application."""
    for name, unit in units(status, app).items():
        if unit.get("leader"):
            return name
    raise LookupError(f"nobody leads {app}")


def open_ports(unit: Json) -> set[int]:
    """The ports that a unit has opened."""
    return {int(port.partition("/")[0]) for port in unit.get("open-ports") or []}


def problems(status: Json, workload: str, apps: Sequence[str], scale: Mapping[str, int] | None = None) -> list[str]:
    """Why applications are not yet as wanted: all units idle, in this state, and as many as wanted. Empty when they are."""
    found = []
    for app in apps:
        if app not in status["applications"]:
            found.append(f"{app} is not there")
            continue
        members = units(status, app)
        wanted = (scale or {}).get(app) or application(status, app).get("scale") or 1
        if len(members) != wanted:
            found.append(f"{app} has {len(members)} units of {wanted}")
        for name, unit in sorted(members.items()):
            state, agent = unit["workload-status"], unit["juju-status"]
            if state["current"] != workload:
                found.append(f"{name} is {state['current']}: {state.get('message', '')}")
            elif agent["current"] != "idle":
                found.append(f"{name} is {agent['current']}")
    return found


def failed(status: Json) -> list[str]:
    """Units of which a hook failed, with what Juju says about it."""
    found = []
    for app in status["applications"]:
        for name, unit in sorted(units(status, app).items()):
            if "error" in (unit["workload-status"]["current"], unit["juju-status"]["current"]):
                found.append(f"{name}: {unit['workload-status'].get('message', '')}")
    return found


class Failed(Exception):
    """A hook failed, which waiting does not mend."""


def settle(
    read: Callable[[], Json],
    workload: str,
    apps: Sequence[str],
    scale: Mapping[str, int] | None = None,
    timeout: float = 15 * 60,
    times: int = 3,
    interval: float = 2,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Json:
    """Waits until applications are as wanted, several times in a row, and gives the last status back. A hook that has failed
    in ten times as many looks ends the wait: Juju tries it again by itself, so that one look says little."""
    good = bad = 0
    deadline = clock() + timeout
    while True:
        status = read()
        missing, broken = problems(status, workload, apps, scale), failed(status)
        good = 0 if missing else good + 1
        bad = bad + 1 if broken else 0
        if good >= times:
            return status
        if bad >= 10 * times:
            raise Failed("; ".join(broken))
        if clock() >= deadline:
            raise TimeoutError(f"not {workload} within {timeout:g} s: {'; '.join(missing)}")
        pause(interval)


def listed_receivers(results: Json) -> dict[str, str]:
    """The URLs that the action list-receivers gave, by protocol as the relation names it."""
    # Keys of an action's results have no underscores; Juju adds some of its own.
    names = {protocol.replace("_", "-"): protocol for protocol in PORTS}
    unknown = set(results) - set(names) - {"return-code", "stdout", "stderr"}
    if unknown:
        raise ValueError(f"list-receivers has results that are no protocols: {', '.join(sorted(unknown))}")
    return {names[key]: str(url) for key, url in results.items() if key in names}


def published_receivers(shown: Json, endpoint: str = "tracing") -> dict[str, str]:
    """The URLs that a requirer's unit finds in its relation, by protocol, from `juju show-unit --format json` about that unit."""
    (unit,) = shown.values()
    urls: dict[str, str] = {}
    for relation in unit.get("relation-info") or []:
        if relation["endpoint"] != endpoint:
            continue
        for receiver in json.loads(relation.get("application-data", {}).get("receivers", "[]")):
            urls[receiver["protocol"]["name"]] = receiver["url"]
    return urls


# ---- As a program -----------------------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Sends a trace and prints its identifier, or looks for one."""
    parser = argparse.ArgumentParser(description="Send a trace, or look for it")
    verbs = parser.add_subparsers(dest="verb", required=True)
    sending = verbs.add_parser("send", help="send a trace of one span and print its identifier")
    sending.add_argument("--protocol", choices=sorted(PORTS), required=True)
    sending.add_argument("--service", default="integration-tests")
    finding = verbs.add_parser("find", help="wait until Tempo gives a trace back, and print its spans")
    finding.add_argument("--trace", required=True)
    finding.add_argument("--timeout", type=float, default=60)
    for verb in (sending, finding):
        verb.add_argument("--url", required=True)
        verb.add_argument("--address", help="connect to this address instead of the host's in the URL")
        verb.add_argument("--tls", action="store_true", default=None, help="also where the URL does not say so")
        verb.add_argument("--ca-file", type=argparse.FileType(), help="certificates to trust, in PEM")
    options = parser.parse_args(words)
    endpoint = Endpoint.parse(options.url, options.address, options.tls)
    ca = options.ca_file.read() if options.ca_file else None
    if options.verb == "send":
        trace = Trace.new(options.service)
        send(options.protocol, endpoint, trace, ca)
        print(trace.trace_id)
        return 0
    found = until(lambda: read_trace(endpoint, options.trace, ca), f"trace {options.trace}", options.timeout)
    for span in found:
        print(f"{span.span_id} {span.service} {span.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
