"""All states of a failover: sentinels and Redis servers, from the first suspicion to the end of it, with faults.

What is explored are the machines themselves, stepped by choice instead of by time: of `model.sentinel` the acting half
of a tick (`check_objectively_down`, `act_on_primary`, `switch_to_promoted`), the judgement of a server, `on_info`,
`on_hello`, `on_ask`, `on_ask_reply`, `boot`; of `model.redis_server` REPLICAOF and INFO. Here only the *order* is
chosen. Elections with answers that come late are the subject of `model.explorer.election`.

Abstraction:

* *Times.* What a machine decides by the age of an instant it may decide either way, at any moment: an attempt may be
  given up or go on, a server that says something odd may have said so for 8 s or not, a replica may have answered
  lately or not. Two orders that time forbids are left out. A server is suspected only while it is silent (down, frozen,
  cut off) or, as the configured primary, says that it is a replica. And a sentinel that gates its next attempt by its
  last vote (2 x failover-timeout) starts it only when attempts of that epoch are over; that is the argument of
  `model.explorer.election`, and it holds for sentinels that hear each other: an attempt begun while its host was
  cut off is never taken to be over.
* *Messages* between sentinels, INFO and its answer are delivered at once or not at all; what cannot be delivered is as
  if it had never been sent. So are orders (REPLICAOF). A resync is one step.
* *Faults*: at most `faults` of the `kinds` given. What has failed may return at any time, and returning is free.
  ``server``: the process is killed; ``sentinel``: likewise; ``host``: both, and nothing answers; ``cut``: the host
  hears nobody but itself; ``freeze``: the server answers nothing for any time and then goes on; ``tilt``: a sentinel's
  clock steps; ``delay``: an order is held up for any time.
* *Data*: whether a server holds a registration that all had before the first fault.

So more can happen here than in reality, but for the bounds (`faults`, `epochs`) and what is delivered at once. Hosts
are alike: states that differ by their names only are one.

Left out: several replicas reconfigured at once, priorities (the choice of the replica is free among those that answer),
RESET, operators' failovers, sentinels and servers that join or leave, hosts that hear some and not others.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

from model.effects import PRIMARY, REPLICA
from model.errors import UsageError
from model.explorer.failover.faults import Faults
from model.explorer.failover.masks import Bits, properties_of
from model.explorer.failover.sentinels import Sentinels, first_of
from model.explorer.failover.servers import Servers
from model.explorer.failover.states import HOST_UP, KINDS, MAX_EPOCHS, UP, Network, Server, Setting
from model.explorer.parts import Local, Message, Move, Pattern, Received

__all__ = ["KINDS", "Failover"]


class Failover:
    """Failovers of a group; a `model.explorer.parts.Model`.

    Parameters
    ----------
    sentinels : int
        Hosts, each with a sentinel and a server.
    quorum, epochs : int
        Attempts start only below `epochs`.
    faults : int
        At most so many.
    kinds : tuple of str
        Which, of `KINDS`.
    keeps_data : bool
        A server that restarts has its data.
    restarts : bool
        What has failed may return.

    Raises
    ------
    UsageError
        There is no room for so many, or a kind of fault does not exist.
    """

    def __init__(
        self,
        sentinels: int = 3,
        quorum: int = 2,
        epochs: int = 2,
        faults: int = 1,
        kinds: tuple[str, ...] = KINDS,
        keeps_data: bool = True,
        restarts: bool = True,
    ) -> None:
        if not 2 <= sentinels <= 5 or not 1 <= epochs <= MAX_EPOCHS:
            raise UsageError(f"failovers can be explored for 2 to 5 sentinels and 1 to {MAX_EPOCHS} epochs")
        if wrong := set(kinds) - set(KINDS):
            raise UsageError(f"no such fault: {', '.join(sorted(wrong))}; there are {', '.join(KINDS)}")
        setting = Setting(sentinels, quorum, epochs, faults, kinds, keeps_data, restarts)
        bits = Bits(sentinels, epochs)
        self.title = _title(setting)
        names = range(1, sentinels + 1)
        self.actors = (*(f"sentinel {n}" for n in names), *(f"server {n}" for n in names), "network")
        self.hosts = sentinels
        self.read_bits = 0
        self.renamings = tuple(permutations(range(sentinels)))
        self.properties, self.bound = properties_of(bits, sentinels, epochs, restarts), (Pattern(all_of=bits.at_bound),)
        self.first: tuple[Local, ...] = (*(first_of(sentinels),) * sentinels, *_first_servers(sentinels),
                                         Network((HOST_UP,) * sentinels, (0,) * sentinels, faults))  # fmt: skip
        self._rows = (Sentinels(setting, bits), Servers(setting, bits), Faults(setting, bits))

    def _row(self, part: int) -> Sentinels | Servers | Faults:
        return self._rows[part // self.hosts]

    def moves(self, part: int, local: Local) -> Iterable[Move]:
        """All that a sentinel, a server or the network may do."""
        return self._row(part).moves(part % self.hosts, local)

    def receive(self, part: int, local: Local, message: Message) -> Received | None:
        """What a message does."""
        return self._row(part).receive(part % self.hosts, local, message)

    def guards(self, part: int, local: Local) -> int:
        """What moves of others depend on."""
        return self._row(part).guards(part % self.hosts, local)

    def marks(self, part: int, local: Local) -> int:
        """What properties speak of."""
        return self._row(part).marks(part % self.hosts, local)

    def is_urgent(self, part: int, local: Local) -> bool:
        """What happens at once."""
        return self._row(part).is_urgent(local)

    def colour(self, part: int, local: Local) -> int:
        """All that names nobody."""
        return self._row(part).colour(local)

    def renamed(self, part: int, local: Local, renaming: tuple[int, ...]) -> Local:
        """Under other names."""
        return self._row(part).renamed(local, renaming)

    def reads(self, part: int, local: Local) -> int:
        """Nothing is simplified."""
        return 0

    def simplified(self, part: int, local: Local, read: int) -> Local:
        """Nothing is simplified."""
        return local

    def say(self, part: int, local: Local, move: Move) -> str:
        """The step in words."""
        return self._row(part).say(self.actors[part], self.actors[move.to] if move.to >= 0 else "", move)

    def note(self, part: int, before: Local, after: Local) -> str:
        """What a reader wants to know of a change."""
        return self._row(part).note(before, after)

    def label(self, message: Message) -> str:
        """A message in a few words."""
        kind, *rest = message
        if kind == "hello":
            _, epoch, config, primary = rest
            return f"epoch {epoch}; primary: server {primary}, configuration epoch {config}"
        if kind == "ask":
            return f"your vote in epoch {rest[2]}?"
        if kind == "answer":
            return f"my vote in epoch {rest[3]}: sentinel {rest[2]}"
        if kind == "info":
            return "role: primary" if rest[1] == PRIMARY else f"role: replica of server {rest[2]}"
        if kind == "order":
            return f"REPLICAOF server {rest[0]}" if rest[0] else "REPLICAOF NO ONE"
        return {"info?": "INFO", "sync?": "PSYNC", "synced": "in sync"}.get(str(kind), str(kind))


def _first_servers(count: int) -> list[Server]:
    """Server 1 is the primary, the others follow it; all are in sync."""
    replicas = [Server(UP, REPLICA, primary=1, is_linked=1, has_data=1) for _ in range(count - 1)]
    return [Server(UP, PRIMARY, primary=0, is_linked=0, has_data=1), *replicas]


def _title(setting: Setting) -> str:
    epochs = "1 epoch" if setting.epochs == 1 else f"{setting.epochs} epochs"
    faults = "1 fault" if setting.faults == 1 else f"{setting.faults} faults"
    title = f"failover of {setting.sentinels} hosts, quorum {setting.quorum}, up to {epochs} and {faults}"
    title += f" ({', '.join(setting.kinds)})"
    title += "" if setting.keeps_data else ", servers restart empty"
    return title + ("" if setting.restarts else ", nothing returns")
