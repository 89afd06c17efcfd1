"""REGISTER: who may, what for, and what comes of it.

A REGISTER becomes a job for the registrar machine (`registrar_hands`): a look-up, a change of the record, the answer.
What SIP refuses between the two reaches the machine as a failed look-up, and its 500 goes out as the status that fits.

After a registration that has changed contacts its address of record is published, as Flexisip does: nodes that hold a
call for the phone would hear of it.

``outbound`` (RFC 5626) is treated as Flexisip does: asked for (Supported), it is passed over; required, it is refused
with 420. A device has one binding whatever its ``reg-id``, so that a promise to keep several flows would be a lie.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random
from typing import Protocol

from reference_node.node import bindings
from reference_node.node.bindings import DEFAULT_LIMITS, Binding, Command, Limits, Refused, Registration
from reference_node.node.registrar_hands import RegistrarHands
from reference_node.sip import message as sip
from reference_node.sip.message import Envelope, Request
from reference_node.sip.transports import Flow

SUPPORTED = ("path",)
"""SIP extensions that a request may require. Source: RFC 3327."""


Identity = tuple[str, str, str]
"""From tag, Call-ID and CSeq: equal for copies of one request that came by several ways."""


class Core(Protocol):
    """What a registrar needs of its node."""

    hands: RegistrarHands

    def serves(self, uri: str) -> bool:
        """Whether a URI's host is a domain of the registrar."""

    def path(self, flow: Flow) -> str:
        """URI under which the holder of a flow is reached through this node."""

    def finish(self, envelope: Envelope, flow: Flow, status: int, answer: bytes) -> None:
        """End a transaction with its answer."""

    def registered(self, seconds: float) -> None:
        """Note how long a REGISTER took."""


class Registering:
    """The registrar's side of a node.

    Parameters
    ----------
    core : Core
    limits : Limits
    random : Random
        Names devices that have no name.
    publishes : bool
        Whether registrations are published.
    writes_lifetimes : bool
        Whether Redis is told a time to live (EXPIRE) in place of an instant (EXPIREAT).
    """

    def __init__(
        self, core: Core, limits: Limits, random: Random, publishes: bool, writes_lifetimes: bool = False
    ) -> None:
        self.core, self.publishes, self.writes_lifetimes = core, publishes, writes_lifetimes
        self._limits, self._random = limits, random
        self._at_work: set[Identity] = set()

    def register(self, request: Request, flow: Flow) -> None:
        """Take a REGISTER that is new and whose sender may send it.

        Raises
        ------
        Rejected
            It cannot be carried out, whatever Redis says.
        """
        envelope = request.envelope
        unsupported = sip.required(request) - set(SUPPORTED)
        if unsupported:
            raise sip.Rejected(420, "extension", envelope, ("Unsupported", ", ".join(sorted(unsupported))))
        if not self.core.serves(request.sender.uri):
            raise sip.Rejected(404, "another domain", envelope)
        asked = registration(request, self.core.path(flow), self._limits, flow.id)
        identity = (request.sender.parameter("tag") or "", envelope.call_id, envelope.cseq)
        if identity in self._at_work:
            # The same request by another way (RFC 3261 section 8.2.2.2).
            raise sip.Rejected(482, "merged", envelope)
        self._at_work.add(identity)
        self.core.hands.ask(_Job(self, request, flow, asked, identity))

    def new_field(self) -> str:
        """A field for a device without unique id."""
        return bindings.generated_field(self._random)

    def leave(self, identity: Identity) -> None:
        """A REGISTER is over."""
        self._at_work.discard(identity)


class _Job:
    """A REGISTER that the machine works on, and what has come of it so far: see `registrar_hands.Job`."""

    def __init__(
        self,
        registering: Registering,
        request: Request,
        flow: Flow,
        asked: Registration,
        identity: Identity,
    ) -> None:
        self._registering, self._asked, self._identity = registering, asked, identity
        self._envelope, self._flow = request.envelope, flow
        self._began_s = time.monotonic()
        self._contacts: Sequence[Binding] = ()
        self._refusal: bindings.Refused | None = None
        self.aor, self.is_query = asked.aor, asked.is_query

    def found(self, record: list[Binding]) -> Sequence[Command] | None:
        """Work out what the REGISTER changes."""
        now_s = int(time.time())
        if self.is_query:
            self._contacts = bindings.live(record, now_s)
            return ()
        try:
            change = bindings.change_set(record, self._asked, now_s, self._registering.new_field)
        except bindings.Refused as refusal:
            self._refusal = refusal
            return None
        self._contacts = change.remaining
        return bindings.commands(self.aor, change, now_s if self._registering.writes_lifetimes else None)

    def end(self, status: int, retry_after_s: int = 0) -> None:
        """Answer the client, and tell the other nodes."""
        core = self._registering.core
        self._registering.leave(self._identity)
        if self._refusal:
            status = self._refusal.status
            answer = sip.answer(self._envelope, status, self._refusal.reason)
        elif status == 200:
            now_s = int(time.time())
            contacts = [("Contact", bindings.contact_header(binding, now_s)) for binding in self._contacts]
            answer = sip.answer(self._envelope, 200, "", *contacts, sip.date_header())
        else:
            extra = [("Retry-After", str(retry_after_s))] if retry_after_s else []
            answer = sip.answer(self._envelope, status, "", *extra)
        core.finish(self._envelope, self._flow, status, answer)
        core.registered(time.monotonic() - self._began_s)
        if status == 200 and self._asked.contacts and self._registering.publishes:
            core.hands.publish(self.aor, self._unique_id())

    def drop(self) -> None:
        """There will be no answer."""
        self._registering.leave(self._identity)

    def _unique_id(self) -> str:
        """Name of the device, empty when it has none of its own."""
        return bindings.unique_id(self._asked.contacts[0], self._asked.limits.unique_id_parameters)


def registration(
    request: Request,
    own_path: str,
    limits: Limits = DEFAULT_LIMITS,
    connection_id: str = "",
) -> Registration:
    """What a REGISTER asks for.

    Parameters
    ----------
    request : Request
    own_path : str
        URI under which this node is reached by its peers; becomes the first hop of the Path.
    limits : Limits
        Of lifetimes and contacts.
    connection_id : str
        Of the client's connection, empty for UDP.

    Raises
    ------
    Rejected
        400: Contact, Expires or Path cannot be read or contradict each other. 423: too short, where that is refused.
    """
    headers, envelope = request.headers, request.envelope
    expires = headers.get("expires", [""])[0]
    contacts = request.listed("contact")
    clears = "*" in contacts
    if clears and (len(contacts) > 1 or expires != "0"):
        # RFC 3261 section 10.3, step 6
        raise sip.Rejected(400, "Contact * needs Expires 0 and no other Contact", envelope)
    asked = Registration(
        aor=request.aor,
        call_id=envelope.call_id,
        cseq=request.cseq,
        contacts=() if clears else sip.addresses(contacts, "Contact", envelope),
        clears=clears,
        expires_s=_expires_s(expires),
        path=(own_path, *request.uris("path")),
        accept=",".join(request.listed("accept")),
        user_agent=headers.get("user-agent", [""])[0],
        connection_id=connection_id,
        limits=limits,
    )
    try:
        asked.check_lifetimes()
    except Refused as refused:
        shortest = ("Min-Expires", str(limits.min_expires_s))
        raise sip.Rejected(refused.status, refused.reason, envelope, shortest) from None
    return asked


def _expires_s(text: str) -> int | None:
    """Seconds of an Expires header; one that cannot be read counts as absent."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
