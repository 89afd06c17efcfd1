"""The SIP clients of a run, who calls them, and the name server that they find the nodes by.

All live in the observer: on the client network, beside the probers. At the first fault they shall be as clients that
have long been there: registered some time ago, uniformly up to their refresh period. So most start just that long
before the fault. Those that would have to start before the cluster is steady start as clients that have registered
already (`model.sip_client.boot`); so do those of a class that must have had an answer to a keep-alive.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from model.scenario import Client as Section
from model.scenario import Scenario
from reference_node.client.program import Client, ClientConfig
from reference_node.dns_server import ClusterZone, NameServer, Target
from reference_node.lab import config
from reference_node.lab.callers import Callers
from reference_node.lab.network import Network
from reference_node.lab.recorder import Recorder
from reference_node.sip.message import Address

YOUNGEST_S = 3.0
"""Age of the youngest registration at the first fault: its client must be registered by then. Kind: assumed."""


class Clients:
    """All clients of a run; none, and no name server, if the scenario has none.

    Parameters
    ----------
    scenario : Scenario
    network : Network
    authorities : Path
        Certificates that clients trust.
    rng : random.Random
        Of ages, phases and ids.
    recorder : Recorder
        Gets the events of clients and callers.
    """

    def __init__(
        self, scenario: Scenario, network: Network, authorities: Path, rng: random.Random, recorder: Recorder
    ) -> None:
        self._recorder = recorder
        ip, port = network.name_server
        self.zone = zone_of(scenario, network) if scenario.client else None
        self._name_server = NameServer(self.zone, ip, port) if self.zone else None
        self._clients = [
            self._make(scenario, section, number, (ip, port), authorities, rng)
            for number, section in enumerate(scenario.client)
        ]
        self._ages_s = [rng.uniform(YOUNGEST_S, max(YOUNGEST_S, client.refresh_s)) for client in self._clients]
        self._coming: list[asyncio.TimerHandle] = []
        nodes = {
            host.name: (network.client_address(host.name), config.SIP_PORT) for host in scenario.host if host.registrar
        }
        self.callers = Callers(
            [section.name for section in scenario.client],
            nodes,
            config.SIP_DOMAIN,
            scenario.probe.call_period_ms,
            scenario.probe.call_timeout_ms,
            rng,
            self._on_call,
        )

    @property
    def settling_s(self) -> float:
        """How long until all of them are as if they had always been there."""
        return max((client.settling_s for client in self._clients), default=0.0)

    def start(self, pause_s: float) -> None:
        """Start the name server, and each client in time.

        Parameters
        ----------
        pause_s : float
            From now to the first fault.
        """
        if self._name_server:
            self._name_server.start()
        loop = asyncio.get_running_loop()
        for client, age_s in zip(self._clients, self._ages_s, strict=True):
            if client.settling_s:
                client.start((age_s - pause_s) % client.refresh_s)
            elif age_s >= pause_s:
                client.start(age_s - pause_s)
            else:
                self._coming.append(loop.call_later(pause_s - age_s, client.start))

    def note_counts(self, t_us: int) -> None:
        """Note how many calls there were, and how many of them the clients did not answer."""
        for (client, host), (calls, failed) in self.callers.counts().items():
            self._recorder.add(t_us, client, "caller", "count-calls", host, code=calls)
            self._recorder.add(t_us, client, "caller", "count-calls-failed", host, code=failed)

    def end(self) -> None:
        """End the clients without a word, then the name server."""
        for start in self._coming:
            start.cancel()
        for client in self._clients:
            client.stop()
        if self._name_server:
            self._name_server.close()

    def _make(
        self,
        scenario: Scenario,
        section: Section,
        number: int,
        name_server: Address,
        authorities: Path,
        rng: random.Random,
    ) -> Client:
        def report(event: str, about: str, t_us: int, detail_us: int, code: int) -> None:
            host = about.partition(".")[0]
            self._recorder.add(t_us, section.name, "ua", event, host, detail_us, code)

        return Client(
            ClientConfig(
                name=section.name,
                domain=config.SIP_DOMAIN,
                class_=section.class_,
                transport=section.transport,
                expires_s=section.expires_s,
                name_server={"ip": name_server[0], "port": name_server[1]},
                authorities=str(authorities),
                targets=tuple(config.full_name(host) for host in scenario.host_names),
                starts_on=config.full_name(section.starts_on) if section.starts_on else "",
                seed=rng.getrandbits(32),
            ),
            number,
            report,
        )

    def _on_call(self, client: str, host: str, event: str, t_us: int, age_us: int, status: int) -> None:
        self._recorder.add(t_us, client, "caller", event, host, age_us, status)


def zone_of(scenario: Scenario, network: Network) -> ClusterZone:
    """The zone that a scenario's clients look their nodes up in."""
    targets = {
        host.name: Target(network.client_address(host.name), host.srv_priority, host.srv_weight)
        for host in scenario.host
        if host.registrar
    }
    return ClusterZone(config.SIP_DOMAIN, targets, scenario.dns.ttl_s, scenario.dns.negative_ttl_s)
