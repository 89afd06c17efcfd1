r"""Registrations as Flexisip stores them, and what a REGISTER changes: pure functions, no I/O.

A record is the Redis hash ``fs:user@host``. Each field is one device, named by its unique id; its value is a Contact
header value whose URI carries what the registrar has to remember::

    <sip:alice@192.0.2.7:5062;callid=…;expires=3600;cseq=20;updatedAt=1700000000;alias=no;usedAsRoute=no
        ?path=…&accept=…&user-agent=…>;+sip.instance="<urn:uuid:…>";pub-gruu

Written as Flexisip 2.3 and later writes it, order and escapes included, so that its nodes and this one can share a
Redis. Read tolerantly: missing or unreadable numbers are 0 (such a contact has expired), unknown parameters stay part
of the contact, unreadable values are left alone. Only what a REGISTER changes is ever written.

Expiry is decided on the clock of the host that decides, in whole seconds, as Flexisip does; that is what makes clock
skew between hosts a subject of its own.

Where an ``&`` stands in a User-Agent, Flexisip's reader takes what follows for another header; its writer does not
escape it, and neither does this one. This reader splits only before names that it knows.

The first contact of a REGISTER that came over TCP or TLS is stored with the name of that connection
(``fs-conn-id``): calls go back over it.

Left out: GRUU (``pub-gruu`` is always written without a value), the correction of Contact URIs behind NAT (the
connection is found by its name instead), ``reg-id`` (a device has one binding, as in Flexisip: that of its latest
REGISTER, whichever of its flows that came by), and the formats before 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Literal
from urllib.parse import quote

from reference_node.sip.fields import (
    NameAddr,
    Parameters,
    find,
    same_uri,
    split,
    uri_parameters,
    uri_without_headers,
    without_parameters,
    write_parameters,
)

UNIQUE_ID_PARAMETERS = ("+sip.instance", "pn-tok", "line")
"""Where a device's name is looked for, in order. Source: Flexisip, unique-id-parameters. Kind: vendor default."""

MAX_CONTACTS_BY_AOR = 12
"""Most contacts of a record; the oldest go. Source: Flexisip, max-contacts-by-aor. Kind: vendor default."""

MAX_CONTACTS_PER_REGISTRATION = 12
"""Most contacts of a REGISTER. Source: Flexisip, max-contacts-per-registration. Kind: vendor default."""

MIN_EXPIRES_S = 60
"""Shortest lifetime that an Expires header gets, s. Source: Flexisip, min-expires. Kind: vendor default."""

MAX_EXPIRES_S = 86_400
"""Longest lifetime that an Expires header gets, s. Source: Flexisip, max-expires. Kind: vendor default."""

DEFAULT_EXPIRES_S = 600
"""Lifetime when a REGISTER names none, s. Source: Flexisip, default-expires (10 min). Kind: vendor default."""

MALFORMED_EXPIRES_S = 3_600
"""What an unreadable lifetime counts as, s. Source: RFC 3261 section 10.2.1.1. Kind: specified."""

LONGEST_EXPIRES_S = 2**32 - 1
"""Upper limit of any lifetime in SIP, s. Source: RFC 3261 section 20.19. Kind: specified."""

NEVER_REFUSED_S = 3_600
"""A lifetime from here on must not be refused as too short, s. Source: RFC 3261 section 10.3. Kind: specified."""

GENERATED_PREFIX = "fs-gen-"
_GENERATED_LENGTH = 20
_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# Characters that are escaped besides space, control and non-ASCII ones. Source: Flexisip, but for the question mark of
# a Call-ID: unescaped, it ends the parameters of the URI for any reader, and with them the life of the contact.
_SAFE_IN_CALL_ID, _SAFE_IN_HEADERS = (
    "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in escaped)
    for escaped in ('"#%&,;<=>?@[\\]^`{|}', '"#%<>[\\]^`{|}:=,;')
)

CONNECTION_ID = "fs-conn-id"
"""URI parameter that names the connection of a device at its node. Source: Flexisip."""

_OWN_PARAMETERS = ("callid", "expires", "cseq", "updatedAt", "alias", "usedAsRoute")
_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)
_OWN_HEADERS = re.compile(r"[?&](path|accept|user-agent)=")
_STORED = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^"<])*)<([^>]*)>(.*)', re.DOTALL)

Command = tuple[bytes, ...]
"""A Redis command and its arguments."""


class Refused(Exception):
    """A REGISTER that cannot be carried out.

    Parameters
    ----------
    status : int
        SIP status of the answer.
    reason : str
        Its reason phrase.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What a registrar grants. Defaults are Flexisip's.

    Attributes
    ----------
    max_contacts_by_aor, max_contacts_per_registration : int
        Most contacts of a record and of a REGISTER.
    min_expires_s, max_expires_s, default_expires_s : int
        Lifetimes in s.
    min_expires_action : str
        ``clamp`` raises a short Expires header to the minimum without a word, as Flexisip does; ``423`` refuses
        short lifetimes (RFC 3261 section 10.3, step 6), but for removals and for an hour or more.
    unique_id_parameters : tuple of str
        Where a device's name is looked for, in order.
    """

    max_contacts_by_aor: int = MAX_CONTACTS_BY_AOR
    max_contacts_per_registration: int = MAX_CONTACTS_PER_REGISTRATION
    min_expires_s: int = MIN_EXPIRES_S
    max_expires_s: int = MAX_EXPIRES_S
    default_expires_s: int = DEFAULT_EXPIRES_S
    min_expires_action: Literal["clamp", "423"] = "clamp"
    unique_id_parameters: tuple[str, ...] = UNIQUE_ID_PARAMETERS


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Registration:
    """What a REGISTER asks for.

    Attributes
    ----------
    aor : str
        Address of record, ``user@host``.
    call_id, cseq : str, int
        Call-ID and number of CSeq.
    contacts : tuple of NameAddr
        Contacts in order; none for a query.
    clears : bool
        True for ``Contact: *``: everything is to go.
    expires_s : int or None
        Expires header, unclamped.
    path : tuple of str
        URIs of the Path, first hop first, without brackets.
    accept, user_agent : str
        Accept types, joined with commas; User-Agent.
    connection_id : str
        Of the connection that the REGISTER came on, empty for UDP.
    limits : Limits
        What the registrar grants.
    """

    aor: str
    call_id: str
    cseq: int
    contacts: tuple[NameAddr, ...] = ()
    clears: bool = False
    expires_s: int | None = None
    path: tuple[str, ...] = ()
    accept: str = ""
    user_agent: str = ""
    connection_id: str = ""
    limits: Limits = DEFAULT_LIMITS

    @property
    def is_query(self) -> bool:
        """True when nothing is to be changed."""
        return not self.contacts and not self.clears

    def lifetime_s(self, contact: NameAddr) -> int:
        """Seconds granted to a contact: its own ``expires`` as it is, else the Expires header clamped, else default."""
        own = contact.parameter("expires")
        if own is not None:
            return min(int(own), LONGEST_EXPIRES_S) if _is_number(own) else MALFORMED_EXPIRES_S
        if self.expires_s is None:
            return self.limits.default_expires_s
        shortest_s, longest_s = self.limits.min_expires_s, self.limits.max_expires_s
        return 0 if self.expires_s == 0 else min(max(self.expires_s, shortest_s), longest_s)

    def check_lifetimes(self) -> None:
        """Refuse what is too short, where that is not to be clamped.

        Raises
        ------
        Refused
            423.
        """
        if self.limits.min_expires_action == "clamp":
            return
        for contact in self.contacts:
            own = contact.parameter("expires")
            asked_s = self.expires_s if own is None else self.lifetime_s(contact)
            if asked_s and asked_s < min(self.limits.min_expires_s, NEVER_REFUSED_S):
                raise Refused(423, "Interval Too Brief")


@dataclass(frozen=True, slots=True)
class Binding:
    """One stored contact.

    Attributes
    ----------
    field : str
        Its field in the hash: the unique id of the device.
    contact : NameAddr
        The contact as the device wrote it.
    call_id, cseq : str, int
        Of the REGISTER that made it.
    expires_s, updated_s : int
        Granted lifetime in s; when it began, Unix seconds of the host that wrote it.
    path : tuple of str
        How to reach it, first hop first.
    accept, user_agent : str
        See `Registration`.
    is_alias, is_route : bool
        Flexisip's flags; this node writes both as ``no`` but for an AOR without user (``usedAsRoute``).
    """

    field: str
    contact: NameAddr
    call_id: str
    cseq: int
    expires_s: int
    updated_s: int
    path: tuple[str, ...] = ()
    accept: str = ""
    user_agent: str = ""
    is_alias: bool = False
    is_route: bool = False

    @property
    def sip_end_s(self) -> int:
        """Unix second at which the registration ends."""
        return self.updated_s + self.expires_s

    @property
    def end_s(self) -> int:
        """Unix second at which the entry may go: a ``message-expires``, when it comes first, may keep it longer."""
        name, value = (self.contact.parameters or (("", None),))[0]
        longer_s = _number(value) if name.lower() == "message-expires" else 0
        return self.updated_s + max(self.expires_s, longer_s)

    @property
    def connection_id(self) -> str:
        """Name of the device's connection at its node, empty without."""
        return find(uri_parameters(self.contact.uri), CONNECTION_ID) or ""

    @property
    def preference(self) -> int:
        """The contact's ``q`` in thousandths; 1000 when it has none (RFC 3261 section 20.10)."""
        text = self.contact.parameter("q") or ""
        return round(1_000 * float(text)) if _Q.fullmatch(text) else 1_000

    @property
    def is_generated(self) -> bool:
        """True when the device has no unique id of its own."""
        return self.field.startswith(GENERATED_PREFIX)


@dataclass(frozen=True, slots=True)
class Change:
    """What a REGISTER does to a record.

    Attributes
    ----------
    clears : bool
        The whole record goes.
    removed : tuple of str
        Fields to delete.
    stored : tuple of Binding
        Bindings to write.
    remaining : tuple of Binding
        The record afterwards.
    """

    clears: bool = False
    removed: tuple[str, ...] = ()
    stored: tuple[Binding, ...] = ()
    remaining: tuple[Binding, ...] = ()

    @property
    def expire_at_s(self) -> int:
        """When Redis is to drop the record: the largest end, 0 when nothing is left."""
        return max((binding.end_s for binding in self.remaining), default=0)


def key(aor: str) -> bytes:
    """Redis key of an address of record."""
    return b"fs:" + aor.encode()


def generated_field(random: Random) -> str:
    """A field for a device without unique id."""
    return GENERATED_PREFIX + "".join(random.choices(_BASE64URL, k=_GENERATED_LENGTH))


def encode(binding: Binding) -> bytes:
    """Value of a binding's field."""
    own: Parameters = (
        ("callid", quote(binding.call_id, _SAFE_IN_CALL_ID)),
        ("expires", str(binding.expires_s)),
        ("cseq", str(binding.cseq)),
        ("updatedAt", str(binding.updated_s)),
        ("alias", "yes" if binding.is_alias else "no"),
        ("usedAsRoute", "yes" if binding.is_route else "no"),
    )
    path = ",".join(f"<{uri}>" for uri in binding.path)
    parts = (("path", path), ("accept", binding.accept), ("user-agent", binding.user_agent))
    headers = "&".join(f"{name}={_escape_header(value)}" for name, value in parts)
    contact = binding.contact
    uri = f"{contact.uri}{write_parameters(own)}?{headers}"
    return str(NameAddr(contact.display, uri, (*contact.parameters, ("pub-gruu", None)))).encode()


def decode(field: bytes, value: bytes) -> Binding | None:
    """The binding in a field of a record; None when it cannot be read."""
    try:
        name, text = field.decode(), value.decode()
        # What is no Contact is read as a plain URI, as Flexisip does.
        display, stored_uri, rest = match.groups() if (match := _STORED.fullmatch(text)) else ("", text, "")
        uri, headers = _cut_headers(stored_uri)
        contact = NameAddr.read(f"{display}<{uri}>{rest}")
    except ValueError:
        return None
    own = uri_parameters(contact.uri)
    lifetime = contact.parameter("expires")
    return Binding(
        field=name,
        contact=NameAddr(
            contact.display,
            without_parameters(contact.uri, _OWN_PARAMETERS),
            tuple(pair for pair in contact.parameters if pair[0] != "pub-gruu"),
        ),
        call_id=_unescape(find(own, "callid") or ""),
        cseq=_number(find(own, "cseq")),
        expires_s=_number(find(own, "expires") if lifetime is None else lifetime),
        updated_s=_number(find(own, "updatedAt")),
        path=_read_path(headers.get("path", "")),
        accept=headers.get("accept", ""),
        user_agent=headers.get("user-agent", ""),
        is_alias="yes" in (find(own, "alias") or ""),
        is_route="yes" in (find(own, "usedAsRoute") or ""),
    )


def decode_record(reply: Sequence[bytes]) -> list[Binding]:
    """The readable bindings of a record, from Redis's answer to HGETALL: fields and values in turn."""
    bindings = (decode(field, value) for field, value in zip(reply[::2], reply[1::2], strict=True))
    return [binding for binding in bindings if binding]


def live(bindings: Iterable[Binding], now_s: int) -> tuple[Binding, ...]:
    """Bindings that have not ended yet on this host's clock."""
    return tuple(binding for binding in bindings if binding.end_s > now_s)


def change_set(record: Sequence[Binding], register: Registration, now_s: int, new_field: Callable[[], str]) -> Change:
    """What a REGISTER changes in a record.

    Parameters
    ----------
    record : sequence of Binding
        What is stored, expired bindings included.
    register : Registration
    now_s : int
        Unix seconds on this host's clock.
    new_field : callable
        Makes a field for a device without unique id.

    Raises
    ------
    Refused
        400 for a replayed CSeq, 403 for too many contacts.
    """
    if len(register.contacts) > register.limits.max_contacts_per_registration:
        raise Refused(403, "Too Many Contacts")
    if register.clears:
        return Change(clears=True)
    kept = {binding.field: binding for binding in live(record, now_s)}
    written: dict[str, Binding] = {}
    for number, contact in enumerate(register.contacts):
        binding = _new_binding(register, contact, now_s, register.connection_id if number == 0 else "")
        replaced = _replaced(kept.values(), binding)
        same_device = next((old for old in replaced if old.is_generated), None)
        field = binding.field or (same_device.field if same_device else new_field())
        for old in replaced:
            kept.pop(old.field)
            written.pop(old.field, None)
        if binding.expires_s > 0:
            kept[field] = written[field] = replace(binding, field=field)
    surplus = max(0, len(kept) - register.limits.max_contacts_by_aor)
    for old in sorted(kept.values(), key=lambda binding: binding.updated_s)[:surplus]:
        kept.pop(old.field)
        written.pop(old.field, None)
    gone = tuple(binding.field for binding in record if binding.field not in kept)
    return Change(removed=gone, stored=tuple(written.values()), remaining=tuple(kept.values()))


def commands(aor: str, change: Change, lives_from_s: int | None = None) -> list[Command]:
    """Redis commands that carry out a change: one transaction, or one DEL.

    Parameters
    ----------
    aor : str
    change : Change
    lives_from_s : int, optional
        Tell Redis the record's end as a time to live from this Unix second on (EXPIRE) in place of an instant.
    """
    name = key(aor)
    if change.clears:
        return [(b"DEL", name)]
    batch: list[Command] = [(b"MULTI",)]
    if change.removed:
        batch.append((b"HDEL", name, *(field.encode() for field in change.removed)))
    if change.stored:
        pairs = ((binding.field.encode(), encode(binding)) for binding in change.stored)
        batch.append((b"HMSET", name, *(part for pair in pairs for part in pair)))
    if lives_from_s is None:
        batch.append((b"EXPIREAT", name, str(change.expire_at_s).encode()))
    else:
        batch.append((b"EXPIRE", name, str(change.expire_at_s - lives_from_s).encode()))
    batch.append((b"EXEC",))
    return batch


def contact_header(binding: Binding, now_s: int) -> str:
    """The binding as a Contact of a 200 answer, with the seconds that are left to it."""
    contact = binding.contact
    others = tuple(pair for pair in contact.parameters if pair[0].lower() != "expires")
    remaining_s = max(0, binding.sip_end_s - now_s)
    return str(NameAddr(contact.display, _bare(contact.uri), (("expires", str(remaining_s)), *others)))


def _new_binding(register: Registration, contact: NameAddr, now_s: int, connection_id: str) -> Binding:
    """The binding that a contact asks for; its field is empty when the device has no unique id."""
    expires_s = register.lifetime_s(contact)
    return Binding(
        field=unique_id(contact, register.limits.unique_id_parameters),
        contact=_storable(contact, expires_s, connection_id),
        call_id=register.call_id,
        cseq=register.cseq,
        expires_s=expires_s,
        updated_s=now_s,
        path=register.path,
        accept=register.accept,
        user_agent=register.user_agent,
        is_route="@" not in register.aor,
    )


def unique_id(contact: NameAddr, names: Sequence[str]) -> str:
    """The name that a device has given itself, empty for none: the first of some parameters of header or URI."""
    in_uri = uri_parameters(contact.uri)
    for name in names:
        value = contact.parameter(name) or find(in_uri, name)
        if value:
            return value
    return ""


def _replaced(kept: Iterable[Binding], new: Binding) -> list[Binding]:
    """The bindings that a new one takes the place of.

    RFC 3261 section 10.3 (step 7) has every REGISTER fail that repeats an old CSeq of its Call-ID. Flexisip (2.3.0 on)
    does that only where it compares URIs; a unique id is taken to be enough. So here, too, a REGISTER that was kept on
    its way, by a stopped node or in the connection to a lost one, takes the place of a newer one through another node.
    That is part of what a phone meets, and `sim.bindings` says the same.

    Raises
    ------
    Refused
        A device without unique id repeats an old CSeq.
    """
    found = []
    for old in kept:
        if old.field == new.field or _same_push(old, new):
            found.append(old)
        elif not new.field and old.is_generated and same_uri(_bare(old.contact.uri), _bare(new.contact.uri)):
            if old.call_id == new.call_id and new.cseq <= old.cseq:
                raise Refused(400, "Replayed CSeq")
            found.append(old)
    return found


def _same_push(old: Binding, new: Binding) -> bool:
    """True when both are woken by the same push token, and the new one is not older."""
    ours, theirs = (
        [find(uri_parameters(binding.contact.uri), name) for name in ("pn-provider", "pn-prid", "pn-param")]
        for binding in (new, old)
    )
    return bool(ours[0]) and ours == theirs and new.updated_s >= old.updated_s


def _bare(uri: str) -> str:
    """The URI as the device wrote it: without the name of its connection."""
    return without_parameters(uri, (CONNECTION_ID,))


def _storable(contact: NameAddr, expires_s: int, connection_id: str) -> NameAddr:
    """The contact with its connection, without URI headers and what readers would take for the registrar's own."""

    def misleads(name: str, value: str | None) -> bool:
        # An `expires` of the header wins over that of the URI: it stays only where it says what was granted.
        return name.lower() == "pub-gruu" or (name.lower() == "expires" and _number(value) != expires_s)

    uri = without_parameters(uri_without_headers(contact.uri), (*_OWN_PARAMETERS, CONNECTION_ID))
    if connection_id:
        uri += f";{CONNECTION_ID}={connection_id}"
    return NameAddr(contact.display, uri, tuple(pair for pair in contact.parameters if not misleads(*pair)))


def _cut_headers(uri: str) -> tuple[str, Mapping[str, str]]:
    """Part a stored URI from the registrar's own headers, which hold what the grammar of URIs does not allow."""
    # Equal signs are escaped in the values, so the last "?path=" is the registrar's.
    found = list(_OWN_HEADERS.finditer(uri, max(uri.rfind("?path="), 0)))
    if not found or uri[found[0].start()] != "?":
        return uri, {}
    stops = [match.start() for match in found[1:]] + [len(uri)]
    values = {match[1]: _unescape(uri[match.end() : stop]) for match, stop in zip(found, stops, strict=True)}
    return uri[: found[0].start()], values


def _read_path(text: str) -> tuple[str, ...]:
    try:
        parts = split(text, ",")
    except ValueError:
        return ()
    return tuple(part.removeprefix("<").removesuffix(">") for part in parts if part)


@lru_cache(maxsize=1_024)
def _escape_header(text: str) -> str:
    """A value of the URI's headers; a node sees few different ones."""
    return quote(text, _SAFE_IN_HEADERS)


@lru_cache(maxsize=1_024)
def _unescape(text: str) -> str:
    data = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), text.encode())
    return data.decode(errors="replace")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST_EXPIRES_S))


def _number(text: str | None) -> int:
    """A number of a stored contact; missing or unreadable ones are 0, which ends the contact."""
    return int(text) if text and _is_number(text) else 0
