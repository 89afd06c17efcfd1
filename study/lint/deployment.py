"""What a set of configuration files says: each file parsed, and all of them as one deployment.

Nothing here judges. Every directive is kept with its line, those that the kit does not know as well, so that a rule can
ask for whatever it needs, and `generate` has one place to write from.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from study.lint.findings import Finding, Place

if TYPE_CHECKING:
    from model.scenario import Scenario


PASSWORDS = ("requirepass", "masterauth", "auth-pass", "sentinel-pass")
"""Directives whose last word is a password."""

SIP_SERVICES = ("_sip", "_sips")
"""Services of SRV records that SIP phones ask for (RFC 3263 section 4.1)."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One line of redis.conf or sentinel.conf: ``sentinel down-after-milliseconds flexi1 10000``."""

    name: str
    """In lower case; that of a sentinel directive without its first word: ``down-after-milliseconds``."""
    words: tuple[str, ...]
    """What follows, quotes removed; for sentinel directives the name of the primary comes first."""
    place: Place


@dataclass(frozen=True, slots=True)
class ServerFile:
    """A redis.conf or a sentinel.conf."""

    file: str
    host: str
    """The host that it is for; empty: every host that no other file of this kind names."""
    directives: tuple[Directive, ...]

    def all(self, name: str) -> tuple[Directive, ...]:
        """Every directive of a name, in the order of the file."""
        return tuple(each for each in self.directives if each.name == name)

    def last(self, *names: str) -> Directive | None:
        """The one that counts: Redis lets the last win. Several names are spellings of one (slaveof, replicaof).

        An empty password is none: ``requirepass ""`` takes back what stands before it.
        """
        found = next((each for each in reversed(self.directives) if each.name in names), None)
        return None if found and found.name in PASSWORDS and found.words[-1:] == ("",) else found

    def place(self, *names: str) -> Place:
        """Where a directive stands, else the file as a whole."""
        found = self.last(*names)
        return found.place if found else Place(self.file)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of flexisip.conf: a key in a section."""

    section: str
    """Without brackets: ``module::Registrar``."""
    key: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class FlexisipFile:
    """A flexisip.conf."""

    file: str
    host: str
    settings: tuple[Setting, ...]

    def last(self, section: str, key: str) -> Setting | None:
        """The one that counts; upper and lower case are alike."""
        wanted = (section.lower(), key.lower())
        return next((s for s in reversed(self.settings) if (s.section.lower(), s.key.lower()) == wanted), None)

    def place(self, section: str, key: str = "") -> Place:
        """Where a key stands, else the file as a whole."""
        found = self.last(section, key)
        return found.place if found else Place(self.file)


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record of a zone file."""

    owner: str
    """Absolute, without the last dot, in lower case."""
    written: str
    """As the file has it: a name without a last dot is completed by the zone's origin."""
    ttl_s: int | None
    type: str
    """``SRV``, ``A``, ``AAAA``, ``CNAME``, ``NAPTR``, or another one."""
    words: tuple[str, ...]
    """Its data; for SRV: priority, weight, port, target (absolute, without the last dot)."""
    place: Place

    @property
    def is_sip_srv(self) -> bool:
        """It sends phones somewhere; a target ``.`` says that the service is not offered (RFC 2782)."""
        service, _, rest = self.owner.partition(".")
        return self.type == "SRV" and service in SIP_SERVICES and rest.startswith("_") and self.words[3] != "."


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that cannot be read as what its file is, kept as it stands."""

    text: str
    why: str
    place: Place


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone file, or a few lines of one."""

    file: str
    origin: str
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of a PEM file (the first one: that of the node itself)."""

    file: str
    host: str
    dns_names: tuple[str, ...]
    """Subject alternative names of type DNS."""
    common_name: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    self_signed: bool
    place: Place


@dataclass(frozen=True, slots=True)
class ClockReport:
    """What chrony or ntpd says of a host's clock (``chronyc tracking``, ``ntpq -p``)."""

    file: str
    host: str
    synchronised: bool
    offset_s: float
    """How far the clock is ahead (negative: behind) by the last measurement."""
    uncertainty_s: float
    """How far off it may be beyond that: root dispersion and half the root delay; 0 where the report has none."""
    place: Place


@dataclass(frozen=True, slots=True)
class Firewall:
    """A ruleset of nftables."""

    file: str
    host: str
    guarded: frozenset[int]
    """Ports that only listed addresses reach: all else is dropped."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A file of sysctl.d."""

    file: str
    host: str
    values: tuple[tuple[str, int], ...]
    """Settings that are whole numbers, such as ``net.ipv4.tcp_retries2``."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """All files together."""

    redis: tuple[ServerFile, ...] = ()
    sentinels: tuple[ServerFile, ...] = ()
    flexisip: tuple[FlexisipFile, ...] = ()
    zones: tuple[Zone, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    clocks: tuple[ClockReport, ...] = ()
    clock_files: tuple[str, ...] = ()
    """chrony.conf or ntp.conf: somebody keeps the clock, how well is not known."""
    firewalls: tuple[Firewall, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    broken: tuple[Broken, ...] = ()
    version: str = "7.0"
    """Family of the servers, as `model.versions` names it: told by the user, else assumed."""
    flexisip_version: str = "2.6"
    hosts: tuple[str, ...] = ()
    """Names of the hosts, first that of the primary: from folders, ``nodes=``, SRV targets, addresses; else made up."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Host by address, as far as the files tell."""
    sentinel_count: int = 0
    """Sentinels there are, as far as the files tell (one file for all: one on each host)."""
    assumptions: tuple[str, ...] = ()
    """What was taken for granted where the files are silent, in sentences."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of `lint`."""

    deployment: Deployment
    scenario: Scenario | None
    """What was understood; None where too little is known (the findings say what is missing)."""
    findings: tuple[Finding, ...]
