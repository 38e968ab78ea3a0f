"""Records what OpenTelemetry's Python exporters send, one file for each exporter that is installed.

Usage: record.py FOLDER          (see README.md beside this file)
       record.py --send TARGETS  sends to running receivers instead; TARGETS is JSON, protocol -> host:port
"""

import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

START = 1_700_000_000_123_456_000


class Counting(IdGenerator):
    def __init__(self):
        self.spans = 0x1000000000000000
        self.traces = 0xA0000000000000000000000000000000

    def generate_span_id(self):
        self.spans += 1
        return self.spans

    def generate_trace_id(self):
        self.traces += 1
        return self.traces


class Keep(SpanExporter):
    def __init__(self):
        self.spans = []

    def export(self, spans):
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def make_spans():
    """Three spans in two traces, with every kind of attribute, an event, a link and text beyond ASCII."""
    keep = Keep()
    resource = Resource({"service.name": "shop", "juju_model": "demo", "replicas": 3})
    provider = TracerProvider(resource=resource, id_generator=Counting())
    provider.add_span_processor(SimpleSpanProcessor(keep))
    tracer = provider.get_tracer("recorder", "1.0")
    root = tracer.start_span("GET /café", start_time=START, kind=trace.SpanKind.SERVER)
    root.set_attributes({"http.method": "GET", "http.status_code": 200, "cached": True, "ratio": 0.5})
    inside = trace.set_span_in_context(root)
    child = tracer.start_span(
        "query", context=inside, start_time=START + 1_000_000, links=[trace.Link(root.get_span_context())]
    )
    child.set_attribute("tables", ["carts", "items"])
    child.add_event("row", {"n": 1}, timestamp=START + 1_500_000)
    child.set_status(trace.Status(trace.StatusCode.ERROR, "deadlock"))
    child.end(START + 3_000_000)
    root.end(START + 5_000_000)
    tracer.start_span("tick", start_time=START + 7_000_000).end(START + 7_250_000)
    return keep.spans


def exporters(url):
    """Name and exporter for all that can be imported here; `url` gives the receiver of a protocol."""
    found = []

    def offer(name, module, make):
        try:
            found.append((name, make(__import__(module, fromlist=["*"]))))
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)

    http = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    offer("otlp_http", http, lambda m: m.OTLPSpanExporter(url("otlp_http") + "/v1/traces"))
    offer(
        "otlp_http_gzip",
        http,
        lambda m: m.OTLPSpanExporter(url("otlp_http") + "/v1/traces", compression=m.Compression.Gzip),
    )
    offer(
        "otlp_http_json",
        "opentelemetry.exporter.otlp.json.http.trace_exporter",
        lambda m: m.OTLPSpanExporter(url("otlp_http") + "/v1/traces"),
    )
    offer(
        "otlp_grpc",
        "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
        lambda m: m.OTLPSpanExporter(url("otlp_grpc"), insecure=True),
    )
    offer(
        "zipkin",
        "opentelemetry.exporter.zipkin.json",
        lambda m: m.ZipkinExporter(endpoint=url("zipkin") + "/api/v2/spans"),
    )
    offer(
        "jaeger_thrift_http",
        "opentelemetry.exporter.jaeger.thrift",
        lambda m: m.JaegerExporter(
            collector_endpoint=url("jaeger_thrift_http") + "/api/traces?format=jaeger.thrift"
        ),
    )
    offer(
        "jaeger_grpc",
        "opentelemetry.exporter.jaeger.proto.grpc",
        lambda m: m.JaegerExporter(collector_endpoint=url("jaeger_grpc"), insecure=True),
    )
    return found


def export(exporter, spans):
    # The old SDK of the Jaeger exporters returns the result of one request, or nothing.
    result = exporter.export(spans)
    if result not in (None, SpanExportResult.SUCCESS):
        raise SystemExit(f"{type(exporter).__name__}: {result}")


def http_receiver(received):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            wanted = ("content-type", "content-encoding")
            headers = {k.lower(): v for k, v in self.headers.items() if k.lower() in wanted}
            received.append(({"path": self.path, **headers}, body))
            self.send_response(202 if "/api/" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def grpc_receiver(received):
    import grpc

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            def answer(request, context):
                received.append(({"path": details.method}, request))
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    grpc_receiver.keep = server
    return f"127.0.0.1:{port}"


def main():
    spans = make_spans()
    if sys.argv[1] == "--send":
        targets = json.loads(sys.argv[2])
        form = lambda protocol: ("" if protocol.endswith("grpc") else "http://") + targets[protocol]
        for name, exporter in exporters(form):
            export(exporter, spans)
            print(name)
        return
    folder = Path(sys.argv[1])
    received = []
    http, grpc = http_receiver(received), None

    def url(protocol):
        nonlocal grpc
        if not protocol.endswith("grpc"):
            return http
        grpc = grpc or grpc_receiver(received)
        return grpc

    for name, exporter in exporters(url):
        export(exporter, spans)
        headers, body = received.pop()
        assert not received
        (folder / f"{name}.bin").write_bytes(body)
        (folder / f"{name}.json").write_text(json.dumps(headers, indent=1, sort_keys=True) + "\n")
        print(name, len(body), headers)


if __name__ == "__main__":
    main()
