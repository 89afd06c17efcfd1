"""The configuration of a registrar node: what CONFIG.json may say, and how it is refused.

::

    {"host": "host1", "host_index": 0, "sip": {"ip": "10.77.2.1", "port": 5060},
     "servers": [{"host": "host1", "ip": "10.77.1.1", "port": 6379}, null, …], "first_server": 0,
     "password": "…", "domain": "example.org", "registrar": {…}, "log": "host1.ndjson", "seed": 1}

`servers` has an entry for every host of the scenario, null for a host without Redis: a server's place is its number.
`registrar` is that section of a scenario. All else has a default, see docs/node.md. A file in Flexisip's own syntax
becomes the same thing in `flexisip_conf`.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Literal

import pydantic

from model.errors import UsageError
from model.scenario import MAX_HOSTS, RegistrarSection
from reference_node.node import bindings, proxy
from reference_node.sip import digest, transports
from reference_node.sip.fields import find, match_uri, uri_parameters
from reference_node.sip.transports import Point, StreamLimits

TRANSPORTS_HINT = "such as sip:host1.example.org:5060;maddr=10.0.0.1, sip:…;transport=tcp or sips:host1.example.org"


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class SipSection(_Section):
    """Where a node listens, over UDP and TCP; port 0 takes any free one."""

    ip: str
    port: int = pydantic.Field(ge=0, le=65_535)


class Server(_Section):
    """One Redis server."""

    host: str
    ip: str
    port: int = pydantic.Field(ge=1, le=65_535)


class TlsSection(_Section):
    """Files for TLS: of all transports that name none themselves."""

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    verifies_clients: bool = False


class ClusterSection(_Section):
    """The other nodes."""

    enabled: bool = False
    nodes: list[str] = []
    internal_transport: str = ""


class AuthSection(_Section):
    """Digest authentication."""

    enabled: bool = False
    realm: str = ""
    algorithms: list[Literal["SHA-256", "MD5"]] = pydantic.Field(["SHA-256", "MD5"], min_length=1)
    nonce_s: int = pydantic.Field(digest.NONCE_S, ge=1, le=86_400)
    users: dict[str, dict[Literal["password", "md5", "sha256"], str]] = {}
    users_file: str = ""


class LimitsSection(_Section):
    """What the registrar grants; see `bindings.Limits`."""

    max_contacts_by_aor: int = pydantic.Field(bindings.MAX_CONTACTS_BY_AOR, ge=1, le=1_000)
    max_contacts_per_registration: int = pydantic.Field(bindings.MAX_CONTACTS_PER_REGISTRATION, ge=1, le=1_000)
    min_expires_s: int = pydantic.Field(bindings.MIN_EXPIRES_S, ge=0, le=bindings.LONGEST_EXPIRES_S)
    max_expires_s: int = pydantic.Field(bindings.MAX_EXPIRES_S, ge=1, le=bindings.LONGEST_EXPIRES_S)
    default_expires_s: int = pydantic.Field(bindings.DEFAULT_EXPIRES_S, ge=1, le=bindings.LONGEST_EXPIRES_S)
    min_expires_action: Literal["clamp", "423"] = "clamp"
    unique_id_parameters: list[str] = list(bindings.UNIQUE_ID_PARAMETERS)

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> LimitsSection:
        if self.min_expires_s > self.max_expires_s:
            raise ValueError("min_expires_s must not be above max_expires_s")
        return self

    def limits(self) -> bindings.Limits:
        """As the registrar takes them."""
        values = self.model_dump()
        return bindings.Limits(**{**values, "unique_id_parameters": tuple(self.unique_id_parameters)})


class StreamsSection(_Section):
    """What connections may cost; see `transports.StreamLimits`."""

    max_connections: int = pydantic.Field(transports.MAX_CONNECTIONS, ge=1)
    idle_s: float = pydantic.Field(transports.IDLE_S, gt=0)
    message_s: float = pydantic.Field(transports.MESSAGE_S, gt=0)
    answers_ping: bool = True

    def limits(self) -> StreamLimits:
        """As the transports take them."""
        return StreamLimits(**self.model_dump())


class RouterSection(_Section):
    """How long forks take; see `proxy.RouterSettings`."""

    fork_s: float = pydantic.Field(proxy.FORK_S, gt=0)
    group_s: float = pydantic.Field(proxy.GROUP_S, gt=0)

    def settings(self) -> proxy.RouterSettings:
        """As the proxy takes them."""
        return proxy.RouterSettings(**self.model_dump())


class HttpSection(_Section):
    """Where metrics and health are served; port 0 takes any free one."""

    ip: str = "127.0.0.1"
    port: int = pydantic.Field(ge=0, le=65_535)


class ShutdownSection(_Section):
    """What SIGTERM does: end at once (as Flexisip), or let what is open end, and refuse or ignore the new meanwhile."""

    mode: Literal["immediate", "refuse", "silent"] = "immediate"
    drain_s: float = pydantic.Field(5.0, ge=0, le=3_600)
    retry_after_s: int = pydantic.Field(5, ge=0, le=3_600)


class NodeConfig(_Section):
    """Configuration of a node."""

    host: str
    host_index: int = pydantic.Field(ge=0, lt=MAX_HOSTS)
    sip: SipSection | None = None
    transports: list[str] = []
    tls: TlsSection = TlsSection()
    aliases: list[str] = []
    servers: list[Server | None] = pydantic.Field(min_length=1, max_length=MAX_HOSTS)
    learns_servers: bool = False
    first_server: int = pydantic.Field(ge=0)
    sentinels: list[Server | None] = pydantic.Field([], max_length=MAX_HOSTS)
    group: str = ""
    age_us: int = pydantic.Field(0, ge=0)
    password: str = ""
    domain: str = pydantic.Field(min_length=1)
    domains: list[str] = []
    registrar: RegistrarSection = RegistrarSection()
    limits: LimitsSection = LimitsSection()
    auth: AuthSection = AuthSection()
    cluster: ClusterSection = ClusterSection()
    router: RouterSection = RouterSection()
    streams: StreamsSection = StreamsSection()
    publish: bool = True
    shutdown: ShutdownSection = ShutdownSection()
    http: HttpSection | None = None
    log: str
    program_log: str = ""
    seed: int

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> NodeConfig:
        if self.first_server >= len(self.servers) or self.servers[self.first_server] is None:
            raise ValueError("first_server must be the number of an entry of `servers` that is not null")
        if (self.sip is None) == (not self.transports):
            raise ValueError("needs either `sip` or `transports`")
        self.points()
        if self.cluster.enabled and self.cluster.internal_transport:
            self.internal_point()
        return self

    def points(self) -> list[Point]:
        """Where the node listens for phones."""
        if self.sip:
            return [Point(kind, self.sip.ip, self.sip.ip, self.sip.port) for kind in ("udp", "tcp")]
        return [point for text in self.transports for point in read_transport(text, self.tls)]

    def internal_point(self) -> Point | None:
        """Where it listens for other nodes, with what goes into records as Path."""
        if not (self.cluster.enabled and self.cluster.internal_transport):
            return None
        return read_transport(self.cluster.internal_transport, self.tls)[0]

    def domain_names(self) -> frozenset[str]:
        """Domains that the registrar serves, in lower case; ``*`` for any."""
        return frozenset(name.lower() for name in (self.domain, *self.domains))

    def users(self) -> dict[str, digest.Secrets]:
        """Secrets of all users.

        Raises
        ------
        UsageError
            The file cannot be read.
        """
        realm = self.auth.realm or self.domain
        users: dict[str, digest.Secrets] = {}
        if self.auth.users_file:
            try:
                users = digest.read_users(Path(self.auth.users_file).read_text(encoding="utf-8"), realm)
            except OSError as error:
                raise UsageError(f"{self.auth.users_file}: {error.strerror}") from None
            except ValueError as error:
                raise UsageError(f"{self.auth.users_file}: {error}") from None
        for aor, given in self.auth.users.items():
            hashes = {"MD5": given.get("md5"), "SHA-256": given.get("sha256")}
            if "password" in given:
                users[aor] = digest.Secrets.of_password(aor.rpartition("@")[0], realm, given["password"])
            else:
                users[aor] = digest.Secrets({name: value.lower() for name, value in hashes.items() if value})
        return users


def read_transport(text: str, tls: TlsSection) -> list[Point]:
    """Points of a transport as Flexisip writes it: a URI, both UDP and TCP without ``transport``, TLS with ``sips``.

    Raises
    ------
    ValueError
        It is no such URI, or TLS has no certificate.
    """
    everywhere = text.replace("*", socket.gethostname(), 1) if re.match("sips?:[*]", text) else text
    match = match_uri(everywhere)
    if match is None or match["user"] or match["headers"]:
        raise ValueError(f"{text!r} is no transport; allowed: a URI {TRANSPORTS_HINT}")
    given = uri_parameters(everywhere)
    host = match["host"].strip("[]")
    ip = find(given, "maddr") or ("0.0.0.0" if everywhere != text else host)
    named = (find(given, "transport") or "").lower()
    if match["scheme"].lower() == "sips" or named == "tls":
        certificate = find(given, "tls-certificates-file") or tls.certificate
        if not certificate:
            raise ValueError(f"{text!r} needs a certificate: tls.certificate, or tls-certificates-file in the URI")
        point = Point(
            "tls",
            host,
            ip.strip("[]"),
            int(match["port"] or 5061),
            certificate,
            find(given, "tls-certificates-private-key") or tls.key,
            find(given, "tls-certificates-ca-file") or tls.authorities,
            find(given, "tls-verify-incoming") in ("1", "true") or tls.verifies_clients,
        )
        return [point]
    if named not in ("", "udp", "tcp"):
        raise ValueError(f"{text!r} has an unknown transport; allowed: udp, tcp, tls")
    port = int(match["port"] or 5060)
    kinds = ("udp", "tcp") if not named else (named,)
    return [Point(kind, host, ip.strip("[]"), port) for kind in kinds]  # type: ignore[arg-type]
