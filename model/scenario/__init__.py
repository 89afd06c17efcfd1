"""What a scenario is, its defaults with their sources, and its checks.

A scenario is one TOML file: hosts and what runs on them, settings of Sentinel and of the registrar, the network,
faults on a time line, what to probe and for how long. Both arms read the same resolved `Scenario`.

Keys carry their units; engines convert to integer microseconds once, on loading. Every default says its *kind*:
``specified`` (by a standard or by the program's documentation), ``vendor default``, ``recommended``, ``measured`` or
``assumed``. `assumptions` collects them for ``docs/assumptions.md``.
Tables are declared in `sections`, `sip` and `faults`, the whole in `schema`; `reading` reads files, `checks` refuses
contradictions.
"""

from model.scenario.base import MAX_CLIENTS, MAX_FAULTS, MAX_HOSTS, MAX_LINKS, SCHEMA, Kind, Section
from model.scenario.checks import warnings
from model.scenario.faults import (
    DNS,
    LEADER,
    NAMES_PROMOTED,
    PAIRS,
    PROCESSES,
    PROMOTED,
    STRIKES_PROCESS,
    Fault,
    FaultKind,
    Trigger,
)
from model.scenario.reading import load, parse
from model.scenario.schema import Scenario, assumptions
from model.scenario.sections import (
    Certificate,
    Claim,
    Host,
    Link,
    NetworkSection,
    ProbeSection,
    SentinelSection,
    ServerSection,
)
from model.scenario.sip import Client, DnsSection, RegistrarSection

__all__ = [
    "DNS",
    "LEADER",
    "MAX_CLIENTS",
    "MAX_FAULTS",
    "MAX_HOSTS",
    "MAX_LINKS",
    "NAMES_PROMOTED",
    "PAIRS",
    "PROCESSES",
    "PROMOTED",
    "SCHEMA",
    "STRIKES_PROCESS",
    "Certificate",
    "Claim",
    "Client",
    "DnsSection",
    "Fault",
    "FaultKind",
    "Host",
    "Kind",
    "Link",
    "NetworkSection",
    "ProbeSection",
    "RegistrarSection",
    "Scenario",
    "Section",
    "SentinelSection",
    "ServerSection",
    "Trigger",
    "assumptions",
    "load",
    "parse",
    "warnings",
]
