"""Requests that are not for the registrar: looked up and passed on, statefully (RFC 3261 section 16).

::

    request --> Routes to oneself popped --+--> a Route is left ------------------> that hop
                                           +--> fs-conn-id, in the Request-URI ---> that connection, else 503
                                           +--> a user of an own domain --> QUERY --> all contacts, by q
                                           '--> anything else ---------------------> where the Request-URI points

The look-up goes through the registrar machine, as a query does: it is answered by whatever server the node is on. What
the contacts' Path says decides the way: the own Path is taken off and the phone is sent to directly, on the connection
that its registration came on; the Path of another node becomes a Route, and that node does the same.

Contacts of equal q ring together; a lower q gets its turn when the ones before have failed, or do not answer for a
while. The best answer goes back: 2xx at once, then 6xx, then the lowest class.

Left out: 3xx recursion, collecting challenges of several branches (RFC 3261 section 16.7, step 7), strict routers, SRV
(names are looked up as addresses), late forking (Flexisip keeps a fork open for phones that register meanwhile), GRUU,
and correction of Contacts behind NAT.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

from reference_node.node import bindings
from reference_node.node.bindings import CONNECTION_ID, Binding, Command
from reference_node.sip import message as sip
from reference_node.sip.fields import address_of_record, find, match_uri, uri_parameters, without_parameters
from reference_node.sip.message import COOKIE, Envelope, Request, Response
from reference_node.sip.transactions import Client, InviteServer
from reference_node.sip.transports import Flow, Point, Transport, Transports

FORK_S = 90.0
"""A call that nobody has taken after this long ends, s. Source: Flexisip, call-fork-timeout. Kind: vendor default.
(RFC 3261's Timer C, over three minutes, never comes to it.)"""

GROUP_S = 10.0
"""Contacts of a lower q get their turn after this, s. Source: Flexisip, call-fork-current-branches-timeout.
Kind: vendor default."""

MAX_TRANSACTIONS = 10_000
"""Most transactions of the proxy at once, both sides counted; what comes then is refused with 503. Each is kept for up
to 32 s after its end, with its request. Kind: assumed (300 a second; some 100 MB at worst)."""

RETRY_AFTER_S = 5
"""Retry-After of that, s. Kind: assumed."""

RECORDED = frozenset(("INVITE", "SUBSCRIBE", "REFER", "NOTIFY", "UPDATE"))
"""Methods that get a Record-Route: those that make a dialog, or refresh its target."""

_PREFERRED = (401, 407, 415, 420, 484)
"""Answers that tell a caller how to go on: the best of class 4. Source: RFC 3261 section 16.7, step 6."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send a request to.

    Attributes
    ----------
    uri : str
        Request-URI for it.
    routes : tuple of str
        Routes before it.
    connection_id : str
        Connection to use, empty for none in particular.
    preference : int
        q in thousandths.
    """

    uri: str
    routes: tuple[str, ...] = ()
    connection_id: str = ""
    preference: int = 1_000

    @property
    def next_hop(self) -> str:
        """URI of where it goes first."""
        return self.routes[0] if self.routes else self.uri


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How long forks take; see the constants of this module."""

    fork_s: float = FORK_S
    group_s: float = GROUP_S


class Core(Protocol):
    """What a proxy needs of its node."""

    transports: Transports

    def ask(self, job: Any) -> None:
        """Give a job to the registrar machine."""

    def owns(self, uri: str) -> bool:
        """Whether a URI names this node."""

    def serves(self, uri: str) -> bool:
        """Whether a URI's host is a domain of the registrar."""

    def is_peer(self, host: str) -> bool:
        """Whether an address is that of another node of the cluster."""

    def point_towards(self, host: str) -> Point | None:
        """The internal transport, for other nodes of the cluster."""

    def finish(self, envelope: Envelope, flow: Flow, status: int, answer: bytes) -> None:
        """End a transaction other than INVITE with its answer."""

    def transmit(self, envelope: Envelope, flow: Flow, answer: bytes) -> None:
        """Send an answer."""

    def answered(self, method: str, status: int) -> None:
        """Count an answer."""


class Proxy:
    """All requests that are being passed on.

    Parameters
    ----------
    core : Core
    settings : RouterSettings
    """

    def __init__(self, core: Core, settings: RouterSettings) -> None:
        self.core, self.settings = core, settings
        self.clients: dict[tuple[str, str], Client] = {}
        self._invites: dict[sip.Key, _Upstream] = {}
        self._unanswered: set[_Upstream] = set()
        self._on_connection: dict[str, set[_Branch]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def n_open(self) -> int:
        """Requests that wait for an answer."""
        return len(self._unanswered)

    def stop(self) -> None:
        """Forget everything."""
        self._on_connection.clear()
        for task in self._tasks:
            task.cancel()
        for client in self.clients.values():
            client.stop()
        for upstream in (*self._invites.values(), *self._unanswered):
            upstream.stop()

    # What arrives.

    def is_known(self, request: Request) -> bool:
        """Whether an INVITE is a repetition; if so, it has been answered again."""
        upstream = self._invites.get(request.envelope.transaction)
        if upstream:
            upstream.again()
        return upstream is not None

    def acknowledge(self, request: Request, flow: Flow) -> None:
        """Take an ACK: to our own final answer, or, passed on, to a 2xx."""
        upstream = self._invites.get(request.envelope.invitation)
        if upstream and upstream.is_refused:
            return upstream.acknowledge()
        target = self._direct_target(request, flow.peer[0])
        if isinstance(target, Target) and hops_left(request) and not self._is_loop(request):
            self._send_once(request, target)

    def cancel(self, request: Request, flow: Flow) -> None:
        """Take a CANCEL (RFC 3261 section 16.10)."""
        upstream = self._invites.get(request.envelope.invitation)
        status = 200 if upstream else 481
        self.core.finish(request.envelope, flow, status, sip.answer(request.envelope, status))
        if upstream:
            upstream.cancel()

    def forward(self, request: Request, flow: Flow) -> None:
        """Pass a new request on, or say why not."""
        if len(self._invites) + len(self.clients) >= MAX_TRANSACTIONS:
            extra = ("Retry-After", str(RETRY_AFTER_S))
            answer = sip.answer(request.envelope, 503, "", extra)
            return self.core.finish(request.envelope, flow, 503, answer)
        upstream = _Upstream(self, request, flow)
        self._unanswered.add(upstream)
        if request.method == "INVITE":
            self._invites[request.envelope.transaction] = upstream
            upstream.provide(sip.answer(request.envelope, 100))
        hops = hops_left(request)
        if hops is None:
            upstream.refuse(400, "Bad Request: Max-Forwards")
        elif hops == 0:
            upstream.refuse(483)
        elif self._is_loop(request):
            upstream.refuse(482)
        elif extensions := sip.required(request, "proxy-require"):
            upstream.refuse(420, "", ("Unsupported", ", ".join(sorted(extensions))))
        else:
            target = self._direct_target(request, flow.peer[0])
            if isinstance(target, Target):
                upstream.fork([target])
            elif target is None:
                upstream.refuse(403)
            elif match_uri(request.uri)["user"] is None:  # type: ignore[index]  # a request's URI was checked
                upstream.refuse(404)
            else:
                self.core.ask(_Lookup(self, upstream, target))

    def respond(self, response: Response) -> None:
        """Take a response to what we have sent; one that nobody waits for is dropped (RFC 6026 section 7.3)."""
        client = self.clients.get((response.branch, response.method))
        if client:
            client.receive(response)

    def lost(self, flow: Flow) -> None:
        """A connection is gone: what waits for an answer on it has failed (RFC 3261 section 8.1.3.1)."""
        for branch in self._on_connection.pop(flow.id, ()):
            branch.lose()

    def watch(self, flow: Flow, branch: _Branch) -> None:
        """Tell a branch when its connection goes."""
        if flow.id:
            self._on_connection.setdefault(flow.id, set()).add(branch)

    def unwatch(self, flow: Flow, branch: _Branch) -> None:
        """A branch has its answer."""
        waiting = self._on_connection.get(flow.id)
        if waiting:
            waiting.discard(branch)
            if not waiting:
                del self._on_connection[flow.id]

    # What a request goes to.

    def _direct_target(self, request: Request, source: str) -> Target | str | None:
        """Where a request says itself that it goes; an address of record where that must be looked up.

        None where we would pass on a stranger's request to strangers: only what comes along a route that we are on,
        from a user of ours or from a node of the cluster is passed on.
        """
        routes = request.uris("route")
        is_ours = self.core.serves(request.sender.uri) or self.core.is_peer(source)
        while routes and self.core.owns(routes[0]):
            routes.pop(0)
            is_ours = True
        if routes:
            return Target(request.uri, tuple(routes)) if is_ours else None
        name = find(uri_parameters(request.uri), CONNECTION_ID)
        if name is not None:
            return Target(without_parameters(request.uri, (CONNECTION_ID,)), (), name)
        if self.core.serves(request.uri) or self.core.owns(request.uri):
            return address_of_record(request.uri)
        return Target(request.uri) if is_ours else None

    def target_of(self, binding: Binding) -> Target:
        """Where a contact is reached: directly when its Path is our own, else through its Path."""
        path = list(binding.path)
        while path and self.core.owns(path[0]):
            path.pop(0)
        uri = binding.contact.uri
        if path:
            return Target(uri, tuple(map(_loose, path)), "", binding.preference)
        bare = without_parameters(uri, (CONNECTION_ID,))
        return Target(bare, (), binding.connection_id, binding.preference)

    # Sending.

    def at_hand(self, target: Target) -> Flow | None:
        """The flow to a target that needs no waiting.

        Raises
        ------
        OSError
            The connection that the target is on is gone.
        """
        if target.connection_id:
            connection = self.core.transports.connection(target.connection_id)
            if connection is None:
                raise OSError("the phone's connection is gone")
            return connection
        transport, host, port = where(target.next_hop)
        if not _is_address(host):
            return None
        return self.core.transports.flow_at_hand(transport, (host, port), self._point(transport, host))

    async def reach(self, target: Target) -> Flow:
        """The flow to a target, after looking its name up and connecting.

        Raises
        ------
        OSError
            There is none.
        """
        transport, host, port = where(target.next_hop)
        address = (host, port)
        if not _is_address(host):
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
            address = found[0][4][:2]  # type: ignore[assignment]
        return await self.core.transports.flow_to(transport, address, host, self._point(transport, host))

    def with_flow(self, target: Target, use: Callable[[Flow], None], failed: Callable[[], None]) -> None:
        """Call `use` with the flow to a target, now or later, or `failed`."""
        try:
            flow = self.at_hand(target)
        except OSError:
            return failed()
        if flow:
            return use(flow)
        task = asyncio.ensure_future(self._with_flow_later(target, use, failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _with_flow_later(self, target: Target, use: Callable[[Flow], None], failed: Callable[[], None]) -> None:
        try:
            flow = await self.reach(target)
        except (OSError, UnicodeError):  # the latter from names that no resolver takes
            return failed()
        use(flow)

    def _point(self, transport: Transport, host: str) -> Point | None:
        point = self.core.point_towards(host)
        return point if point and point.transport == transport else None

    def _send_once(self, request: Request, target: Target) -> None:
        """Pass an ACK on; nothing comes back to it."""
        branch = new_branch(request)
        self.with_flow(
            target, lambda flow: flow.send(forwarded(request, target, flow.point, None, branch)), lambda: None
        )

    def _is_loop(self, request: Request) -> bool:
        """True when the very same request has been here before (RFC 3261 section 16.3, step 4)."""
        mark = loop_mark(request)
        own = {point.sent_by.split()[1] for point in self.core.transports.points}
        for via in request.envelope.vias:
            try:
                sent_by, branch = sip.via_parts(via)
            except (ValueError, IndexError):
                continue
            if sent_by in own and branch.endswith(mark):
                return True
        return False

    def answered(self, upstream: _Upstream) -> None:
        """A request has its final answer."""
        self._unanswered.discard(upstream)

    def drop_client(self, key: tuple[str, str]) -> None:
        """The client side of a request is over."""
        self.clients.pop(key, None)

    def drop_invite(self, key: sip.Key) -> None:
        """The server side of an INVITE is over."""
        self._invites.pop(key, None)


class _Lookup:
    """The look-up of a user: see `registrar_hands.Job`."""

    is_query = True

    def __init__(self, proxy: Proxy, upstream: _Upstream, aor: str) -> None:
        self._proxy, self._upstream = proxy, upstream
        self._contacts: Sequence[Binding] = ()
        self.aor = aor

    def found(self, record: list[Binding]) -> Sequence[Command] | None:
        """Keep the contacts that live; a MESSAGE may go to those that only `message-expires` keeps."""
        now_s = int(time.time())
        contacts = bindings.live(record, now_s)
        if self._upstream.request.method != "MESSAGE":
            contacts = tuple(binding for binding in contacts if binding.sip_end_s > now_s)
        self._contacts = contacts
        return ()

    def end(self, status: int, retry_after_s: int = 0) -> None:
        """Fork, or say why not."""
        upstream = self._upstream
        if status != 200:
            return upstream.refuse(500)
        if not self._contacts:
            return upstream.refuse(404)
        contacts = self._contacts
        if upstream.request.uri[:5].lower() == "sips:":
            contacts = [binding for binding in contacts if binding.contact.uri[:5].lower() == "sips:"]
            if not contacts:
                return upstream.refuse(480, "", ("Warning", '380 node "SIPS Not Allowed"'))
        upstream.fork([self._proxy.target_of(binding) for binding in contacts])

    def drop(self) -> None:
        """There will be no answer from Redis: the caller hears what a fork without answers would give."""
        self._upstream.refuse(408)


class _Upstream:
    """A request that is being passed on, seen from where it came from; with its fork (RFC 3261 section 16.7)."""

    def __init__(self, proxy: Proxy, request: Request, flow: Flow) -> None:
        self.proxy, self.request, self.flow = proxy, request, flow
        self._clock = asyncio.get_running_loop()
        self._server: InviteServer | None = None
        if request.method == "INVITE":
            self._server = InviteServer(self._transmit, flow.point.is_reliable, self._clock, self._gone)
        self._groups: list[list[Target]] = []
        self._branches: list[_Branch] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._best: Response | int = 0
        self._is_over = self._is_cancelled = False

    @property
    def is_refused(self) -> bool:
        """True when it was answered with 300 or more."""
        return self._server is not None and self._server.status >= 300

    def fork(self, targets: Sequence[Target]) -> None:
        """Send the request to targets, the preferred ones first."""
        levels = sorted({target.preference for target in targets}, reverse=True)
        self._groups = [[target for target in targets if target.preference == level] for level in levels]
        self._timers.append(self._clock.call_later(self.proxy.settings.fork_s, self._give_up))
        self._next_group()

    def refuse(self, status: int, reason: str = "", *extra: tuple[str, str]) -> None:
        """Answer by ourselves."""
        self._finish(status, sip.answer(self.request.envelope, status, reason, *extra))

    def provide(self, answer: bytes) -> None:
        """Send a provisional answer to an INVITE."""
        if self._server:
            self._server.provide(answer)

    def again(self) -> None:
        """The INVITE has come again."""
        if self._server:
            self._server.again()

    def acknowledge(self) -> None:
        """The ACK to our answer has come."""
        if self._server:
            self._server.acknowledge()

    def cancel(self) -> None:
        """Whoever asked does not want it any more."""
        self._is_cancelled = True
        self._groups.clear()
        for branch in self._branches:
            branch.cancel()
        self._settle()

    def stop(self) -> None:
        """Forget it."""
        for timer in self._timers:
            timer.cancel()
        if self._server:
            self._server.stop()

    # From the branches.

    def heard(self, response: Response) -> None:
        """A branch has a response: a final one of 300 or more comes back in `ended`."""
        if response.status == 100 or (response.status < 200 and self._server is None):
            return  # hop by hop; and nothing provisional for what is no INVITE (RFC 4320 section 4.1)
        if response.status < 200:
            if not self._is_over:
                self.provide(_backwards(response, self.request.envelope))
        elif response.status < 300:
            self._finish(response.status, _backwards(response, self.request.envelope))
            for branch in self._branches:
                branch.cancel()

    def ended(self, outcome: Response | int) -> None:
        """A branch has ended without a 2xx: with a response, or with a status of our own."""
        status = outcome if isinstance(outcome, int) else outcome.status
        best = self._best if isinstance(self._best, int) else self._best.status
        if best == 0 or _rank(status) < _rank(best):
            self._best = outcome
        if status >= 600:
            self._groups.clear()
            for branch in self._branches:
                branch.cancel()
        self._settle()

    def _settle(self) -> None:
        """Go on when all branches of the moment have ended."""
        if self._is_over or not all(branch.has_ended for branch in self._branches):
            return
        if self._groups:
            return self._next_group()
        self._conclude()

    def _next_group(self) -> None:
        if self._is_over or not self._groups:
            return
        group = self._groups.pop(0)
        if self._groups:
            self._timers.append(self._clock.call_later(self.proxy.settings.group_s, self._next_group))
        started = [_Branch(self, target) for target in group]
        self._branches += started
        for branch in started:
            branch.start()

    def _give_up(self) -> None:
        for branch in self._branches:
            branch.cancel()
        self._groups.clear()
        if not self._is_over:
            self._conclude()

    def _conclude(self) -> None:
        best = self._best
        if isinstance(best, Response):
            self._finish(best.status, _backwards(best, self.request.envelope))
        else:
            self.refuse(best or (487 if self._is_cancelled else 408))

    def _finish(self, status: int, answer: bytes) -> None:
        """Give the final answer: once, but for further 2xx to an INVITE."""
        if self._is_over and not (self._server and status < 300):
            return
        self._is_over = True
        self.proxy.answered(self)
        for timer in self._timers:
            timer.cancel()
        request = self.request
        if self._server:
            self.proxy.core.answered(request.method, status)
            self._server.answer(status, answer)
        else:
            self.proxy.core.finish(request.envelope, self.flow, status, answer)

    def _transmit(self, answer: bytes) -> None:
        self.proxy.core.transmit(self.request.envelope, self.flow, answer)

    def _gone(self) -> None:
        self.proxy.drop_invite(self.request.envelope.transaction)


class _Branch:
    """One copy of a request on its way."""

    def __init__(self, upstream: _Upstream, target: Target) -> None:
        self._upstream, self._target = upstream, target
        self._proxy, self._request = upstream.proxy, upstream.request
        self._id = new_branch(self._request)
        self._client: Client | None = None
        self._flow: Flow | None = None
        self._is_cancelled = False
        self._sent_cancel = False
        self.has_ended = False

    def start(self) -> None:
        """Send it."""
        self._proxy.with_flow(self._target, self._send, partial(self._end, 503))

    def cancel(self) -> None:
        """Take it back: at once if it has rung, else as soon as it does (RFC 3261 section 9.1)."""
        self._is_cancelled = True
        if self._client is None:
            self._end(487)
        elif 100 <= self._client.status < 200 and self._request.method == "INVITE" and not self._sent_cancel:
            self._sent_cancel = True
            self._start_client("CANCEL", self._made_of_request("CANCEL", self._request.envelope.receiver))

    def lose(self) -> None:
        """Its connection is gone."""
        self._end(503)

    def _send(self, flow: Flow) -> None:
        if self.has_ended:
            return
        self._flow = flow
        self._proxy.watch(flow, self)
        data = forwarded(self._request, self._target, flow.point, self._upstream.flow.point, self._id)
        self._client = self._start_client(self._request.method, data)

    def _start_client(self, method: str, data: bytes) -> Client:
        assert self._flow
        key = (self._id, method)
        is_own = method == self._request.method
        client = Client(
            method == "INVITE",
            partial(self._transmit, data, is_own),
            self._acknowledge,
            self._flow.point.is_reliable,
            asyncio.get_running_loop(),
            self._heard if is_own else lambda response: None,
            self._end if is_own else lambda status: None,
            partial(self._proxy.drop_client, key),
        )
        self._proxy.clients[key] = client
        client.start()
        return client

    def _transmit(self, data: bytes, is_own: bool) -> None:
        assert self._flow
        if not self._flow.send(data) and is_own:
            self._end(503)

    def _heard(self, response: Response) -> None:
        if 200 <= response.status < 300:
            self._leave()
        self._upstream.heard(response)
        if response.status >= 300:
            self._end(response)
        elif response.status < 200 and self._is_cancelled:
            self.cancel()

    def _end(self, outcome: Response | int) -> None:
        if not self.has_ended:
            self._leave()
            self._upstream.ended(outcome)

    def _leave(self) -> None:
        self.has_ended = True
        if self._flow:
            self._proxy.unwatch(self._flow, self)

    def _acknowledge(self, response: Response) -> None:
        """ACK a final answer that is no 2xx (RFC 3261 section 17.1.1.3)."""
        assert self._flow
        to = next(value for name, _, value in response.fields if name == "to")
        self._flow.send(self._made_of_request("ACK", to))

    def _made_of_request(self, method: str, to: str) -> bytes:
        """An ACK or a CANCEL that follows the request hop by hop."""
        assert self._flow
        envelope = self._request.envelope
        fields = [
            ("via", "Via", f"{self._flow.point.sent_by};rport;branch={self._id}"),
            *(("route", "Route", f"<{route}>") for route in self._target.routes),
            ("max-forwards", "Max-Forwards", str(sip.MAX_FORWARDS)),
            ("from", "From", envelope.sender),
            ("to", "To", to),
            ("call-id", "Call-ID", envelope.call_id),
            ("cseq", "CSeq", f"{self._request.cseq} {method}"),
        ]
        return sip.write(f"{method} {self._target.uri} SIP/2.0", fields, b"")


def forwarded(request: Request, target: Target, outgoing: Point, incoming: Point | None, branch: str) -> bytes:
    """A request as it is passed on (RFC 3261 section 16.6).

    Parameters
    ----------
    request : Request
    target : Target
    outgoing : Point
        Stands in Via, and in Record-Route.
    incoming : Point or None
        Where the request came in; its Record-Route is added below the other when the two differ.
    branch : str
    """
    hops = hops_left(request) or 1
    fields: sip.Fields = [("via", "Via", f"{outgoing.sent_by};rport;branch={branch}")]
    fields += [("via", "Via", via) for via in request.envelope.vias]
    if incoming and request.method in RECORDED:
        points = [outgoing] if outgoing == incoming else [outgoing, incoming]
        fields += [("record-route", "Record-Route", f"<{point.uri}>") for point in points]
    fields += [("route", "Route", f"<{route}>") for route in target.routes]
    fields.append(("max-forwards", "Max-Forwards", str(hops - 1)))
    fields += [line for line in request.fields if line[0] not in ("via", "route", "max-forwards")]
    return sip.write(f"{request.method} {target.uri} SIP/2.0", fields, request.body)


def hops_left(request: Request) -> int | None:
    """Max-Forwards of a request, one that it may have where it has none; None when it cannot be read."""
    text = request.headers.get("max-forwards", [str(sip.MAX_FORWARDS + 1)])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


def loop_mark(request: Request) -> str:
    """What is equal for a request that comes back unchanged (RFC 3261 section 16.6, step 8)."""
    envelope = request.envelope
    routes = request.headers.get("route", [])
    parts = (request.uri, envelope.sender, envelope.receiver, envelope.call_id, str(request.cseq), *routes)
    return "." + hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def new_branch(request: Request) -> str:
    """A branch that nobody else has, with the mark that shows loops."""
    return COOKIE + secrets.token_hex(8) + loop_mark(request)


def where(uri: str) -> tuple[Transport, str, int]:
    """Transport, host and port of a URI (RFC 3263 without its look-ups).

    Raises
    ------
    OSError
        There is no such port.
    """
    match = match_uri(uri)
    assert match, "URIs are checked where they come in"
    named = (find(uri_parameters(uri), "transport") or "").lower()
    transport: Transport = "udp"
    if match["scheme"].lower() == "sips" or named == "tls":
        transport = "tls"
    elif named == "tcp":
        transport = "tcp"
    port = int(match["port"] or (sip.DEFAULT_TLS_PORT if transport == "tls" else sip.DEFAULT_PORT))
    if not 0 < port < 65_536:
        raise OSError(f"no such port: {port}")
    return transport, match["host"].strip("[]"), port


def _backwards(response: Response, envelope: Envelope) -> bytes:
    """A response as it goes back: with the Vias of the request, whatever has become of them on the way."""
    fields = [("via", "Via", via) for via in envelope.vias]
    fields += [line for line in response.fields if line[0] != "via"]
    return sip.write(f"SIP/2.0 {response.status} {response.reason}", fields, response.body)


def _rank(status: int) -> tuple[int, int]:
    """Lower is better (RFC 3261 section 16.7, step 6)."""
    kind = status // 100
    return (0 if kind == 6 else kind, 0 if status in _PREFERRED else 1)


def _loose(uri: str) -> str:
    """A Path as a Route: with ``lr``, as Flexisip adds it."""
    return uri if find(uri_parameters(uri), "lr") is not None else f"{uri};lr"


@lru_cache(maxsize=4_096)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
