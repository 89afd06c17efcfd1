"""What is done to a foreign client to see how it behaves: one experiment is one rig, one client, one fault.

``python experiments.py CLIENT TRANSPORT EXPERIMENT`` carries one out inside the namespaces of a run and writes what was
seen as NDJSON, preceded by a line with client, version, transport and experiment. `measure` makes the namespaces.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from clients import CLIENTS, Client, Order
from rig import DOMAIN, AnswerLaw, Rig, at_least, challenge, grant, refuse, silence

SETTLE_S = 5.0
"""Pause between the first accepted REGISTER and the fault. Kind: assumed (longer than a client's start takes)."""

STREAMS = ("tcp", "tls")
ALL = ("udp", *STREAMS)

ASKED_S = 3600
"""Expiry that clients ask for, s; the hosts grant less. Source: linphone, reg_expires. Kind: vendor default."""

STARTS = 30
"""Starts of a client that show its shares. Kind: assumed (a share of 0.75 then has a standard error of 0.08)."""

RETURN_S = 150.0
"""How long a host stays away that comes back. Kind: assumed (longer than twice the expiry)."""

Before = Callable[[Rig], Awaitable[None]]
"""Sets a started rig up, before the client starts."""

Fault = Callable[[Rig, str], Awaitable[None]]
"""Does something to the host that the client is registered at."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment.

    Attributes
    ----------
    watch_s : float
        How long to look on after the fault, s.
    fault : Fault or None
        What happens once the client is registered; nothing for None.
    before : Before or None
        Sets the rig up. Without a fault, the client need not come to be registered.
    granted_s : int
        Expiry that the hosts grant, s.
    transports : tuple of str
    identities : tuple of str
        Names in the certificates.
    expired : bool
        Whether the certificates have expired.
    verify : str
        See `Order`.
    starts : int
        How often the client is started; it is ended once it is registered, but for the last time.
    accepted : int
        How many accepted REGISTERs make the client registered.
    enough : Callable or None
        Whether there is nothing more to see, from the rig and the host that was struck.
    """

    watch_s: float
    fault: Fault | None = None
    before: Before | None = None
    granted_s: int = 60
    transports: tuple[str, ...] = ALL
    identities: tuple[str, ...] = (DOMAIN, "{host}")
    expired: bool = False
    verify: str = "default"
    starts: int = 1
    accepted: int = 1
    enough: Callable[[Rig, str], bool] | None = None


def answering(status: int, retry_after_s: int | None = None) -> Fault:
    """The host refuses from now on; the other one is well."""

    async def fault(rig: Rig, host: str) -> None:
        rig.hosts[host].answer = refuse(status, retry_after_s)

    return fault


def answering_everywhere(status: int, retry_after_s: int | None = None) -> Fault:
    """All hosts refuse from now on."""

    async def fault(rig: Rig, host: str) -> None:
        for each in rig.hosts.values():
            each.answer = refuse(status, retry_after_s)

    return fault


async def close(rig: Rig, host: str) -> None:
    """The host closes the connection."""
    rig.hosts[host].close_streams()


async def reset(rig: Rig, host: str) -> None:
    """The host resets the connection."""
    rig.hosts[host].close_streams(reset=True)


async def kill(rig: Rig, host: str) -> None:
    """The host's process ends."""
    rig.hosts[host].kill()


async def hang(rig: Rig, host: str) -> None:
    """The host answers keep-alives only."""
    rig.hosts[host].answer = silence


async def vanish(rig: Rig, host: str) -> None:
    """The host is gone."""
    await rig.vanish(host)


async def vanish_unreachable(rig: Rig, host: str) -> None:
    """The host is gone, and so is its entry in the phone's neighbour table: the phone's kernel finds out."""
    await rig.vanish(host, resolved=False)


async def vanish_everywhere(rig: Rig, host: str) -> None:
    """All hosts are gone."""
    for name in rig.hosts:
        await rig.vanish(name)


async def withhold_pongs(rig: Rig, host: str) -> None:
    """Keep-alives are answered no more."""
    rig.hosts[host].pong = False


async def kill_and_return(rig: Rig, host: str) -> None:
    """The host's process ends, and is back once the client has been on the other host for a while."""
    rig.hosts[host].kill()
    await asyncio.sleep(RETURN_S)
    await rig.hosts[host].start()
    rig.step("return", host=host)


async def close_without_dns(rig: Rig, host: str) -> None:
    """The host closes the connection while the DNS server is silent."""
    rig.zone.alive = False
    rig.hosts[host].kill()


async def stop_serving(rig: Rig, host: str) -> None:
    """Whatever makes every client leave: connections are closed and refused, datagrams answered 503."""
    rig.hosts[host].refuse()
    rig.hosts[host].close_streams()
    rig.hosts[host].answer = refuse(503, 1)


def is_registered_elsewhere(rig: Rig, host: str) -> bool:
    """Whether another host has accepted the client since it was struck."""
    last = rig.seen("request", answer=200)[-1]
    return last["host"] != host and last["t"] > rig.seen("step", host=host)[-1]["t"]


async def prefer_a(rig: Rig) -> None:
    """hostA first, hostB when it fails."""
    rig.zone.order = [(0, 50, "hostA"), (10, 50, "hostB")]


def struck(fault: Fault) -> Before:
    """hostA comes first, and is struck from the start."""

    async def before(rig: Rig) -> None:
        await prefer_a(rig)
        await fault(rig, "hostA")

    return before


def granting(law: AnswerLaw) -> Before:
    """All hosts answer by a law of their own."""

    async def before(rig: Rig) -> None:
        for host in rig.hosts.values():
            host.answer = law

    return before


async def weigh(rig: Rig) -> None:
    """hostA is to get three starts of four."""
    rig.zone.order = [(0, 75, "hostA"), (0, 25, "hostB")]


async def weigh_otherwise(rig: Rig) -> None:
    """hostA is to get one start of four."""
    rig.zone.order = [(0, 25, "hostA"), (0, 75, "hostB")]


async def lone_first(rig: Rig) -> None:
    """hostA first; hostB and hostC share the load when it fails."""
    rig.zone.order = [(0, 50, "hostA"), (10, 50, "hostB"), (10, 50, "hostC")]


async def short_ttl(rig: Rig) -> None:
    """DNS answers that live for 10 s."""
    rig.zone.ttl_s = 10


OUTBOUND = grant(3600, ("Require", "outbound"), ("Supported", "outbound, path"))
"""What a host says that speaks RFC 5626."""

FLOW_TIMER = grant(3600, ("Require", "outbound"), ("Flow-Timer", "30"))
"""The same, and it names its patience."""

STATUSES = {
    f"status-{code}{'' if pause is None else f'-retry-{pause}'}": Experiment(330, answering(code, pause))
    for code, pause in [(500, None), (500, 5), (503, None), (503, 5), (480, None), (480, 5), (404, None), (403, None)]
    + [(408, None), (603, None)]
}

EXPERIMENTS = {
    "acceptance": Experiment(60, stop_serving, granted_s=20, accepted=2, enough=is_registered_elsewhere),
    **STATUSES,
    "close": Experiment(120, close, transports=STREAMS),
    "reset": Experiment(120, reset, transports=STREAMS),
    "kill": Experiment(330, kill),
    "hang": Experiment(330, hang),
    "vanish": Experiment(400, vanish),
    "vanish-long": Experiment(1300, vanish, granted_s=3600, transports=STREAMS),
    "vanish-all": Experiment(900, vanish_everywhere),
    "all-503": Experiment(1000, answering_everywhere(503)),
    "all-500": Experiment(700, answering_everywhere(500)),
    "all-500-retry-5": Experiment(120, answering_everywhere(500, 5)),
    "all-503-retry-5": Experiment(120, answering_everywhere(503, 5)),
    "refresh-20": Experiment(130, granted_s=20),
    "refresh-60": Experiment(280),
    "refresh-60-ttl-10": Experiment(280, before=short_ttl),
    "refresh-300": Experiment(900, granted_s=300),
    "keep-alive": Experiment(300, granted_s=3600),
    "no-pong": Experiment(300, withhold_pongs, granted_s=3600),
    "outbound": Experiment(300, before=granting(OUTBOUND)),
    "outbound-no-pong": Experiment(300, withhold_pongs, before=granting(OUTBOUND)),
    "outbound-close": Experiment(120, close, before=granting(OUTBOUND), transports=STREAMS),
    "outbound-flow-timer-30": Experiment(150, before=granting(FLOW_TIMER)),
    "fail-back": Experiment(450, kill_and_return, before=prefer_a),
    "no-dns": Experiment(300, close_without_dns, before=short_ttl),
    "start-503": Experiment(330, before=struck(answering(503))),
    "start-500": Experiment(330, before=struck(answering(500))),
    "start-refused": Experiment(200, before=struck(kill)),
    "start-silent": Experiment(300, before=struck(hang)),
    "start-vanished": Experiment(300, before=struck(vanish)),
    "credentials": Experiment(20, before=granting(challenge(grant(60)))),
    "min-expires": Experiment(30, before=granting(at_least(7200, grant(7200)))),
    "starts": Experiment(10, before=weigh, transports=("udp", "tcp"), starts=STARTS),
    "starts-light-first": Experiment(10, before=weigh_otherwise, transports=("udp", "tcp"), starts=STARTS),
    "starts-lone-first": Experiment(10, before=lone_first, transports=("udp", "tcp"), starts=10),
    "vanish-unreachable": Experiment(330, vanish_unreachable),
    **{
        f"certificate-{name}-{verify}": Experiment(
            25, transports=("tls",), identities=identities, expired=name == "expired", verify=verify
        )
        for verify in ("default", "yes")
        for name, identities in {
            "both": (DOMAIN, "{host}"),
            "domain": (DOMAIN,),
            "host": ("{host}",),
            "wildcard": (f"*.{DOMAIN}",),
            "other": ("other.example.net",),
            "expired": (DOMAIN, "{host}"),
        }.items()
    },
}


async def carry_out(rig: Rig, client: Client, order: Order, name: str) -> None:
    """Do one experiment; what was seen is in the rig's log."""
    experiment = EXPERIMENTS[name]
    for host in rig.hosts.values():
        host.answer = grant(experiment.granted_s)
    await rig.start()
    if experiment.before:
        await experiment.before(rig)
    for start in range(1, experiment.starts):
        rig.start_client(client.command(order, rig.folder))
        await rig.accepted(start)
        rig.stop_client()
    rig.start_client(client.command(order, rig.folder))
    struck = ""
    if experiment.fault:
        struck = await rig.accepted(experiment.accepted)
        await asyncio.sleep(SETTLE_S)
        rig.step(name, host=struck)
        await experiment.fault(rig, struck)
    await rig.until(lambda: experiment.enough and experiment.enough(rig, struck), experiment.watch_s)
    if rig.client_ended:
        rig.step("client ended")
    await rig.stop()


def main() -> None:
    """Carry out one experiment inside the namespaces."""
    name, transport, what = sys.argv[1:]
    client, experiment = CLIENTS[name], EXPERIMENTS[what]
    if client.version() is None:
        print(json.dumps({"missing": f"{name} is not installed ({client.hint})"}))
        return
    rig = Rig(experiment.identities, expired=experiment.expired)
    asyncio.run(carry_out(rig, client, Order(transport, ASKED_S, experiment.verify), what))
    about = {"client": name, "version": client.version(), "transport": transport, "experiment": what}
    for line in (about, *rig.events):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
