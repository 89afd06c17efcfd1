"""A whole scenario."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pydantic

from model.scenario.base import MAX_CLIENTS, MAX_FAULTS, MAX_HOSTS, MAX_LINKS, SCHEMA, Section
from model.scenario.faults import Fault
from model.scenario.sections import (
    Claim,
    CompareSection,
    Host,
    Link,
    NetworkSection,
    ProbeSection,
    RunSection,
    SentinelSection,
    ServerSection,
)
from model.scenario.sip import Client, DnsSection, RegistrarSection
from model.versions import Version

_NOT_IN_DIGEST = ("question", "expects", "compare", "claim")


class Scenario(Section):
    """One resolved scenario; immutable.

    Build it with `load` or `parse`, which turn every fault in a file into one clear `ScenarioError`.
    """

    schema_: int = pydantic.Field(alias="schema", description="version of this file's schema", ge=SCHEMA, le=SCHEMA)
    name: str = pydantic.Field(description="unique name", pattern=r"^[a-z][a-z0-9_]{0,60}$")
    question: str = pydantic.Field(description="the question this scenario answers", min_length=1)
    expects: str = pydantic.Field("", description="what is expected, and why")
    host: tuple[Host, ...] = pydantic.Field(description="the hosts", min_length=1, max_length=MAX_HOSTS)
    fault: tuple[Fault, ...] = pydantic.Field((), description="the time line", max_length=MAX_FAULTS)
    link: tuple[Link, ...] = pydantic.Field(
        (), description="ways between hosts that differ from [network]; a later entry wins", max_length=MAX_LINKS
    )
    client: tuple[Client, ...] = pydantic.Field((), description="SIP clients", max_length=MAX_CLIENTS)
    claim: tuple[Claim, ...] = pydantic.Field((), description="what `expects` says, in numbers")
    server: ServerSection = ServerSection()
    sentinel: SentinelSection = SentinelSection()
    registrar: RegistrarSection = RegistrarSection()
    dns: DnsSection = DnsSection()
    network: NetworkSection = NetworkSection()
    probe: ProbeSection = ProbeSection()
    run: RunSection = RunSection()
    compare: CompareSection = CompareSection()

    def canonical(self) -> dict[str, Any]:
        """The resolved scenario as plain data, defaults filled in."""
        return self.model_dump(by_alias=True, mode="json")

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of all that a run depends on: not of words, nor of margins.

        Values that equal their default are left out, so that stored runs stay valid when a key is added. A default is
        therefore part of the schema: whoever changes one raises `SCHEMA`.
        """
        plain = self.model_dump(by_alias=True, mode="json", exclude_defaults=True)
        told = {key: value for key, value in plain.items() if key not in _NOT_IN_DIGEST}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def on_version(self, version: Version) -> Scenario:
        """The same scenario on servers of another family."""
        return self.model_copy(update={"server": self.server.model_copy(update={"version": version})})

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names in order; an index into this is a host's number everywhere."""
        return tuple(host.name for host in self.host)

    @property
    def sentinel_hosts(self) -> tuple[str, ...]:
        """Hosts that run a sentinel."""
        return tuple(host.name for host in self.host if host.sentinel)

    @property
    def margin_ms(self) -> int:
        """Margin of equivalence in ms: the file's, else max(150 ms, 2 % of the delay)."""
        return self.compare.margin_ms or max(150, self.sentinel.down_after_ms // 50)

    def margin_of(self, quantity: str) -> int:
        """Margin of equivalence of a milestone or an outage, in ms."""
        if quantity.startswith(("register@", "client:")):
            return self.compare.register_margin_ms or self.margin_ms
        return self.margin_ms


def assumptions() -> Iterator[tuple[str, Any, str, str, str, str]]:
    """Yield (key, default, unit, kind, source, meaning) of every setting that has a sourced default."""
    for section, model in {"host": Host, "client": Client, "fault": Fault, "link": Link, **_sections()}.items():
        for name, info in model.model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict):
                yield (
                    f"{section}.{name}",
                    info.default,
                    str(extra["unit"]),
                    str(extra["kind"]),
                    str(extra["source"]),
                    info.description or "",
                )


def _sections() -> dict[str, type[Section]]:
    return {
        name: info.annotation
        for name, info in Scenario.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
