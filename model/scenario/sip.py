"""The tables of a scenario file that concern SIP: registrar nodes, the DNS, clients."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pydantic
from pydantic import ConfigDict

from model.client_classes import ClassName
from model.policies import POLICIES, Policy, PolicyName
from model.scenario.base import NAME, Section, setting


class RegistrarSection(Section):
    """Settings of all registrar nodes."""

    policy: PolicyName = setting(
        "guide",
        "how a node follows the primary; `guide` is the deployment guide's behaviour 1 to 4, the others are Flexisip's",
        kind="specified",
        source="deployment guide; model/policies.py",
    )
    redis_timeout_ms: int | None = setting(
        None,
        "an unanswered Redis command counts as a lost connection after this, 0 = never",
        unit="ms",
        kind="vendor default",
        source="as the policy says: model/policies.py",
        ge=0,
        le=3_600_000,
    )
    info_period_ms: int | None = setting(
        None,
        "how often a node asks its primary for the replicas",
        unit="ms",
        kind="vendor default",
        source="as the policy says: model/policies.py",
        ge=100,
        le=3_600_000,
    )
    wait_poll_ms: int | None = setting(
        None,
        "how often a node that waits on a replica asks it for the primary",
        unit="ms",
        kind="vendor default",
        source="as the policy says: model/policies.py",
        ge=50,
        le=600_000,
    )
    retry_pause_ms: int | None = setting(
        None,
        "pause after all known servers were tried in vain",
        unit="ms",
        kind="vendor default",
        source="as the policy says: model/policies.py",
        ge=0,
        le=600_000,
    )
    tcp_keepalive_s: int = setting(
        0,
        "an idle Redis connection is probed after this and then as often, lost after 3 probes in vain, 0 = never; "
        "no help while data is unacknowledged",
        unit="s",
        kind="vendor default",
        source="hiredis does not switch keepalive on",
        ge=0,
        le=7_200,
    )
    tcp_user_timeout_ms: int = setting(
        0,
        "a Redis connection is lost when data stays unacknowledged for this long, 0 = as tcp_retries2 says",
        unit="ms",
        kind="vendor default",
        source="hiredis does not set TCP_USER_TIMEOUT",
        ge=0,
        le=3_600_000,
    )
    follow_sentinel: bool = setting(
        False,
        "the node subscribes to +switch-master at the sentinels and moves when it is told",
        kind="vendor default",
        source="no version of Flexisip talks to Sentinel",
    )
    unavailable_status: Literal[500, 503] = setting(
        500, "what a REGISTER gets that cannot be stored", kind="vendor default", source="Flexisip"
    )
    retry_after_s: int = setting(
        0,
        "Retry-After of that answer, 0 = none",
        unit="s",
        kind="vendor default",
        source="Flexisip",
        ge=0,
        le=3_600,
    )
    expiry_form: Literal["expireat", "expire"] = setting(
        "expireat",
        "how a node says the end of a registration to Redis: `expireat` is an instant by its own clock, in whole s; "
        "`expire` a time to live, which the primary turns into an instant by its own (docs/clocks.md)",
        kind="vendor default",
        source="Flexisip writes EXPIREAT",
    )
    pong_while_unavailable: bool = setting(
        True,
        "CRLF keep-alives are answered even while the node cannot store",
        kind="vendor default",
        source="Flexisip (sofia-sip answers below the application)",
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _forget_what_the_policy_says(cls, data: Any) -> Any:
        """A number that equals the policy's own is no setting of its own: it shall not change a digest."""
        if not isinstance(data, dict):
            return data
        own = POLICIES.get(data.get("policy", "guide"))
        return {key: value for key, value in data.items() if not own or value != getattr(own, key, None)}

    @property
    def resolved(self) -> Policy:
        """The policy with the numbers that this section replaces."""
        own = POLICIES[self.policy]
        given = {field.name: getattr(self, field.name, None) for field in dataclasses.fields(Policy)}
        return dataclasses.replace(own, **{name: value for name, value in given.items() if value is not None})


class DnsSection(Section):
    """The zone that clients look the registrar nodes up in: one SRV record for each node and transport."""

    ttl_s: int = setting(
        3_600,
        "how long an answer may be kept",
        unit="s",
        kind="recommended",
        source="deployment guide",
        ge=0,
        le=604_800,
    )
    negative_ttl_s: int = setting(
        300,
        "how long the absence of a record may be kept (SOA minimum)",
        unit="s",
        kind="assumed",
        source="RFC 2308 section 5 names 1 to 3 hours as sensible; a kit that breaks zones is more careful",
        ge=0,
        le=86_400,
    )


class Client(Section):
    """One SIP client (a phone) of some class."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    name: str = pydantic.Field(description="used in results; by default class-transport", pattern=NAME)
    class_: ClassName = pydantic.Field(alias="class", description="whose behaviour: see model/client_classes.py")
    transport: Literal["udp", "tcp", "tls"] = pydantic.Field(description="how it talks to the nodes")
    expires_s: int = setting(
        3_600,
        "lifetime that it asks for",
        unit="s",
        kind="vendor default",
        source="linphone, reg_expires",
        ge=10,
        le=86_400,
    )
    share: int = setting(
        1,
        "its part of a population of such clients, beside the other clients' parts",
        kind="assumed",
        source="equal parts",
        ge=1,
        le=1_000_000,
    )
    starts_on: str = setting(
        "",
        "host of the node that it is registered through at first; empty: as its SRV draw says",
        kind="specified",
        source="RFC 2782",
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _name_after_class(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("class"), str):
            return {"name": f"{data['class']}-{data.get('transport', '')}", **data}
        return data
