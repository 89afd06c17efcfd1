"""What a node tells its operators: counters for Prometheus, health for load balancers, a log of its own.

======================  ==========================================================================================
``GET /metrics``        Prometheus text format
``GET /healthz``        200 while the node takes registrations, else 503 with the reason
``GET /livez``          200 while its event loop turns
======================  ==========================================================================================

The HTTP server runs in the node's own event loop, so that it answers only if SIP is served, too. It takes one request
a connection, and little of that. The log is NDJSON, a line an event; passwords, nonces and credentials never get here.

Left out: TLS and authentication of the HTTP server (it belongs on a management network).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from model.errors import EnvironmentLacks

MAX_REQUEST_BYTES = 4_096
"""Longest HTTP request. Kind: assumed."""

REQUEST_S = 5.0
"""Longest time for one, s. Kind: assumed."""

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Bounds of the histogram of registrations: from a local Redis to a retried write. Kind: assumed."""

KNOWN_METHODS = frozenset(
    ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK")
    + ("SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "REFER", "MESSAGE", "UPDATE")
)
"""Methods with a label of their own; others are ``other``, or strangers could make as many labels as they like.
Source: IANA registry of SIP methods. Kind: specified."""


class Metrics:
    """Counters of one node.

    They are plain numbers, turned into Prometheus' own when somebody asks: the library's counters, made for threads,
    would cost a registration more than reading it.

    Parameters
    ----------
    gauges : mapping
        What is asked for when the metrics are: name without prefix, explanation, callable.
    """

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self._gauges = gauges
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._answers: Counter[tuple[str, ...]] = Counter()
        self._rejected: Counter[tuple[str, ...]] = Counter()
        self._events: Counter[tuple[str, ...]] = Counter()
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._seconds = 0.0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def request(self, method: str) -> None:
        """Count a request."""
        self._requests[(_label(method),)] += 1

    def answer(self, method: str, status: int) -> None:
        """Count a final answer."""
        self._answers[_label(method), str(status)] += 1

    def rejected(self, status: int) -> None:
        """Count a message that could not be read; status 0 for those that stay unanswered."""
        self._rejected[(str(status),)] += 1

    def event(self, name: str) -> None:
        """Count an event of the log."""
        self._events[(name,)] += 1

    def registered(self, seconds: float) -> None:
        """Note how long a REGISTER took."""
        self._buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._seconds += seconds

    def text(self) -> bytes:
        """All of it for Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All of it, as the library wants it."""
        counted = (
            ("sip_requests", "Requests read, by method.", ("method",), self._requests),
            ("sip_answers", "Final answers, our own or passed on.", ("method", "status"), self._answers),
            ("sip_rejected", "Messages that could not be read.", ("status",), self._rejected),
            ("events", "Events of the log.", ("event",), self._events),
        )
        for name, meaning, labels, values in counted:
            family = CounterMetricFamily(f"hastudy_{name}", meaning, labels=labels)
            for key, value in values.items():
                family.add_metric(key, value)
            yield family
        for name, (meaning, value_of) in self._gauges.items():
            yield GaugeMetricFamily(f"hastudy_{name}", meaning, value=value_of())
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._buckets), strict=True))
        yield HistogramMetricFamily(
            "hastudy_register_seconds", "From a REGISTER to its answer.", buckets=buckets, sum_value=self._seconds
        )


def _label(method: str) -> str:
    return method if method in KNOWN_METHODS else "other"


class Journal:
    """The node's log.

    Parameters
    ----------
    path : str
        File, appended to; ``-`` for standard error; empty for none.
    host : str
        Name of the node, in every line.

    Raises
    ------
    EnvironmentLacks
        The file cannot be written.
    """

    def __init__(self, path: str, host: str) -> None:
        self._host = host
        self._file: TextIO | None = None
        if path == "-":
            self._file = sys.stderr
        elif path:
            self._file = open_log(path)

    def note(self, event: str, **values: Any) -> None:
        """Write an event."""
        if self._file:
            line = {"t_us": time.time_ns() // 1_000, "host": self._host, "event": event, **values}
            print(json.dumps(line), file=self._file, flush=True)

    def close(self) -> None:
        """Close the file."""
        if self._file and self._file is not sys.stderr:
            self._file.close()


def open_log(path: str) -> TextIO:
    """A log file, line by line.

    Raises
    ------
    EnvironmentLacks
        It cannot be written.
    """
    try:
        return open(path, "a", buffering=1, encoding="utf-8")
    except OSError as error:
        raise EnvironmentLacks(f"cannot write the log {path}: {error.strerror}") from None


class Health:
    """The HTTP server.

    Parameters
    ----------
    metrics : Metrics
    reason : callable
        Why the node takes no registrations, in words; empty when it does.
    """

    def __init__(self, metrics: Metrics, reason: Callable[[], str]) -> None:
        self._metrics, self._reason = metrics, reason
        self._server: asyncio.Server | None = None

    async def listen(self, ip: str, port: int) -> int:
        """Bind; gives the port.

        Raises
        ------
        EnvironmentLacks
            The address cannot be bound.
        """
        try:
            self._server = await asyncio.start_server(self._serve, ip, port, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            raise EnvironmentLacks(f"cannot listen on HTTP {ip}:{port}: {error.strerror or error}") from None
        return self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readuntil(b"\r\n")
                while (await reader.readuntil(b"\r\n")) != b"\r\n":
                    pass
                status, kind, body = self._answer(*line.split()[:2])
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, TypeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks like that gets no answer
        finally:
            writer.close()

    def _answer(self, method: bytes, path: bytes) -> tuple[str, str, bytes]:
        if method != b"GET":
            return "405 Method Not Allowed", "text/plain", b"only GET\n"
        path = path.partition(b"?")[0]
        if path == b"/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, self._metrics.text()
        if path == b"/livez":
            return "200 OK", "text/plain", b"ok\n"
        if path == b"/healthz":
            reason = self._reason()
            status = "503 Service Unavailable" if reason else "200 OK"
            return status, "text/plain", f"{reason or 'ok'}\n".encode()
        return "404 Not Found", "text/plain", b"there are /metrics, /healthz and /livez\n"
