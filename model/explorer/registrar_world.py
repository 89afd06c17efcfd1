"""A registrar node in time, among Redis servers that fail, come back, and are given other roles.

The node is `model.registrar` with the knobs of a policy. The rest is an environment that may do whatever servers,
sentinels and networks may do, within bounds (`Setting`):

* A server's process dies (its connections end) or its host vanishes (they fall silent) and comes back, with or without
  its process. A replica notices a vanished primary after `repl-timeout`, and until then says that its link is up.
* While the primary is away, any replica that is there may be promoted; an operator may do so at any time. Others are
  pointed to it, and lose their sync until they have it again. Each of that cuts the server's clients, as Sentinel does.
* The followed sentinel says of a switch some time after it; its connection may break.
* A message is delivered at once (a refusal may take a grain), but before or after anything else that may happen at
  that instant; on a link to a silent host all waits, until it is back or the kernel gives up.
* A SIP client registers in one rhythm (`traffic_ms`), or there is none. The node has room for one request, and
  forgets or refuses what is too much, as it does with all its room.

At any moment at which the cluster is in order (one primary that all servers follow, all of them there) the faults may
stop: from then on nothing happens but what the programs do by themselves. The promise is that from there the node
always ends up on the primary, and how long that takes at most.

Periods are shortened (`PERIODS`): the space grows with each, and they are settings of an operator's. Left out: clock
steps (`wall_ahead_us`), servers that answer with errors (loading, scripts, wrong passwords), replicas in another order
than that of their numbers, several requests at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from model import policies, registrar
from model.effects import (
    AUTHENTICATE,
    AUTHENTICATED,
    CLOSE,
    CONNECT,
    DONE,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    PING,
    PONG,
    PRIMARY,
    READONLY_REPLY,
    REASONS,
    REGISTER,
    REPLICA,
    SEND,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    SWITCHED,
)
from model.explorer.clocked import PASS, Move, Outcome, Part, copy_of, decide, explore
from model.explorer.paths import Exchange, Step
from model.explorer.verdicts import Verdict
from model.registrar import LINKS, ON_PRIMARY, ON_REPLICA, REDIS_LINK, REGISTRAR, SENTINEL_LINK, TIMERS
from model.scenario import RegistrarSection

UP, DEAD, GONE = 0, 1, 2
"""A server answers; its process is gone, so its host refuses; its host is gone, and silent."""

NO_LINK, LIVE, HALF_OPEN = 0, 1, 2
"""A link of the node: none; alive; the other end has forgotten it and will say so when it is asked."""

_REQUESTS_OLD = 1 << 20
"""Number of a request that the node has forgotten; any that it does not know will do. Kind: assumed."""
_SIP_CLIENT = 1_000
"""Where requests come from; no link's number. Kind: assumed."""

PERIODS = {
    "info_period_ms": 2_000,
    "wait_poll_ms": 1_000,
    "ping_period_ms": 2_000,
    "write_retry_ms": 1_000,
}
"""What the search puts in place of a policy's periods, where it has them. Kind: assumed (as short as tells them from
the Redis time-out and the pauses, which stay)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A cluster and what may happen to it. Times in ms, multiples of the grain.

    Attributes
    ----------
    policy : str
        Of `model.policies`.
    follows_sentinel : bool
        The node listens to a sentinel.
    servers : int
        Server 1 is the first primary. The node is configured with server 2.
    faults : int
        Processes that die, hosts that vanish, connections to the sentinel that break, an operator's failovers, and
        restarts of the node, in all.
    restarts : bool
        The node may be started anew; then it knows only the server that it is configured with.
    all_return : bool
        The faults stop only when every server is back; else those that are away then stay away.
    traffic_ms : int
        A REGISTER comes so often, 0 = never.
    give_up_ms : int
        The kernel gives up a silent connection or connect after this (a true one after 127 s to 16 minutes).
    repl_timeout_ms, heard_ms : int
        A replica gives up a silent primary after so long; and hears from a live one at least so often.
    grain_ms : int
    """

    policy: policies.PolicyName = "guide"
    follows_sentinel: bool = False
    servers: int = 2
    faults: int = 2
    restarts: bool = False
    all_return: bool = True
    traffic_ms: int = 0
    give_up_ms: int = 3_000
    repl_timeout_ms: int = 2_000
    heard_ms: int = 1_000
    grain_ms: int = 500


KEPT = (
    "phase", "current", "target", "session[0]", "session[1]", "session[2]", "replicas", "cursor", "is_pausing",
    "lost_primary", "moves", "came_back", "is_asking", "is_subscribed", "owes_pong", "unanswered", "sentinel",
    "sentinel_owes_pong", "jobs", "open_requests", "job[0]", "request[0]", "source[0]", "is_query[0]", "seconds[0]",
    "tries[0]",
)  # fmt: skip
"""What a state keeps of the node, besides its instants."""


@dataclass(slots=True)
class _Scene:
    """A state, for changing it."""

    part: int
    is_calm: int
    faults: int
    elected: int
    named: int
    servers: list[tuple[int, int, int, int]]
    links: list[tuple[int, int, int, tuple]]
    traffic: int

    def state(self) -> tuple:
        return (
            self.part,
            self.is_calm,
            self.faults,
            self.elected,
            self.named,
            tuple(self.servers),
            tuple(self.links),
            self.traffic,
        )


_NOTHING = (NO_LINK, 0, 0, ())


class RegistrarWorld:
    """A node and its environment: see the module's head.

    A server is (power, whom it follows: 0 = nobody, else 1 + number, whether it is in sync, for how long it has been
    silent); a link (NO_LINK, LIVE or HALF_OPEN; its server; for how long it has waited for a silent one; what is under
    way: pairs of a kind of message and a number that goes with it).

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.machine = copy_of(registrar, MAX_REQUESTS=1)
        self.knobs = _knobs(setting)
        self.part = Part(self.machine, self._node(), REGISTRAR, self._kept(), TIMERS, setting.grain_ms * 1000,
                         tidy=_tidy)  # fmt: skip
        self.actors = ("node", *(f"server {1 + number}" for number in range(setting.servers)))
        if setting.follows_sentinel:
            self.actors += ("sentinel",)
        self.name = _name(setting)

    def _node(self) -> Any:
        node = REGISTRAR.new()
        self.machine.take_knobs(node, self.knobs)
        node.me = 1
        node.sentinels = 1 << node.me
        self.machine.begin(node, node.me)
        return node

    def _kept(self) -> dict[str, int | None]:
        setting = self.setting
        longest_heard_us = (setting.repl_timeout_ms + setting.heard_ms + 1_000) * 1000
        return {
            **dict.fromkeys(KEPT),
            "rotated_us": self.knobs.retry_pause_us,
            "lost_us": 0 if self.knobs.believes_link else longest_heard_us,
            "due_us[0]": 0,
        }

    # --- what may happen ---------------------------------------------------------------------------------------------

    def first(self) -> Iterable[tuple]:
        """A cluster that is in order, in which the node has just found the primary."""
        states = list(self._boots())
        while not any(map(self.is_good, states)):
            states = [after for state in states for _, after in (*self._of_node(state), *self._of_time(state))]
        return [state for state in states if self.is_good(state)]

    def _boots(self) -> Iterator[tuple]:
        servers = [(UP, 0, 1, 0), *((UP, 1, 1, 0) for _ in range(self.setting.servers - 1))]
        scene = _Scene(
            self.part.take(), 0, self.setting.faults, 0, 0, servers, [_NOTHING] * LINKS, self._traffic_period - 1
        )
        yield from self._booted(scene.state())

    def _booted(self, state: tuple) -> Iterator[tuple]:
        for outcome in self.part.call(state[0], ("boot",), lambda node, out: self.machine.boot(node, node.me, out)):
            yield self._after(_scene(state), outcome)

    @property
    def _traffic_period(self) -> int:
        return self.setting.traffic_ms // self.setting.grain_ms

    def moves(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        """What the node does, what the environment does, and time; nothing once the promise is kept."""
        if state[1] and self.is_good(state):
            return
        yield from self._of_node(state)
        if not state[1]:
            yield from self._of_environment(state)
        yield from self._of_time(state)

    def _of_node(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        """Timers that ring, messages that arrive."""
        for which, left in enumerate(self.part.left(state[0])):
            if left == 0:
                for outcome in self.part.on_timer(state[0], which):
                    yield Move("timer", which), self._after(_scene(state), outcome)
        for link in range(LINKS):
            if self._is_deliverable(state, link):
                for said in self._answers(state, link):
                    yield Move("deliver", link), self._delivered(state, link, said)
        if self._traffic_period and state[7] < 0:
            scene = _scene(state)
            scene.traffic = self._traffic_period - 1
            for outcome in self.part.on_message(state[0], _SIP_CLIENT, kind=REGISTER, request=1, seconds=60):
                yield Move("register"), self._after(scene, outcome)

    def _of_time(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        """A grain passes, unless something is due; a kernel gives up."""
        is_due = 0 in self.part.left(state[0]) or (self._traffic_period and state[7] < 0)
        if is_due or any(self._is_urgent(state, link) for link in range(LINKS)):
            return
        for link, (_, _, waited, under_way) in enumerate(state[6]):
            if waited == self.setting.give_up_ms // self.setting.grain_ms and under_way:
                scene = _scene(state)
                scene.links[link] = _ended(scene.links[link])
                yield Move("give up", link), scene.state()
                return
        yield Move(PASS, 0, self.setting.grain_ms), self._a_grain_later(state)

    def _a_grain_later(self, state: tuple) -> tuple:
        scene = _scene(state)
        scene.part = self.part.later(scene.part, 1)
        limit = self.setting.repl_timeout_ms // self.setting.grain_ms
        for number, (power, follows, in_sync, silent) in enumerate(scene.servers):
            if power == GONE:
                scene.servers[number] = (power, follows, in_sync, min(silent + 1, limit))
        for number, (power, follows, in_sync, silent) in enumerate(scene.servers):
            if follows and in_sync and scene.servers[follows - 1][3] == limit:
                scene.servers[number] = (power, follows, 0, silent)
        for link, (life, server, waited, under_way) in enumerate(scene.links):
            scene.links[link] = (life, server, waited + (1 if under_way else 0), under_way)
        scene.traffic -= 1 if self._traffic_period else 0
        return scene.state()

    def _is_deliverable(self, state: tuple, link: int) -> bool:
        _, server, _, under_way = state[6][link]
        if not under_way:
            return False
        return link == SENTINEL_LINK or under_way[0][0] == LINK_CLOSED or state[5][server][0] != GONE

    def _is_urgent(self, state: tuple, link: int) -> bool:
        """No message takes a grain but a refusal: else a node that knows only dead servers would need no time."""
        _, server, waited, under_way = state[6][link]
        may_wait = under_way[:1] == ((LINK_OPEN, 0),) and link != SENTINEL_LINK and state[5][server][0] == DEAD
        return self._is_deliverable(state, link) and (not may_wait or waited > 0)

    def _delivered(self, state: tuple, link: int, said: dict[str, int]) -> tuple:
        scene = _scene(state)
        life, server, _, under_way = scene.links[link]
        scene.links[link] = (life, server, 0, under_way[1:])
        if said["kind"] == LINK_CLOSED:
            scene.links[link] = _NOTHING
        (outcome,) = self.part.on_message(state[0], link, **said)
        return self._after(scene, outcome)

    def _answers(self, state: tuple, link: int) -> Iterator[dict[str, int]]:
        """What the first of what is under way brings the node."""
        _, server, _, under_way = state[6][link]
        kind, detail = under_way[0]
        if kind == LINK_CLOSED or (link != SENTINEL_LINK and state[5][server][0] == DEAD):
            yield {"kind": LINK_CLOSED}
        elif kind == LINK_OPEN:
            yield {"kind": LINK_OPEN}
        elif kind == AUTHENTICATE:
            yield {"kind": AUTHENTICATED, "code": REASONS if detail else DONE}
        elif kind == PING:
            yield {"kind": PONG}
        elif kind == LOOKUP:
            yield {"kind": LOOKUP_REPLY, "code": DONE, "job": detail}
        elif kind == STORE:
            refused = state[5][server][1] != 0
            yield {"kind": STORE_REPLY, "code": REASONS + READONLY_REPLY if refused else DONE, "job": detail}
        elif kind == SUBSCRIBE:
            yield {"kind": SWITCHED, "primary": state[4] + 1, "code": 1}
        elif kind == SWITCHED:
            yield {"kind": SWITCHED, "primary": detail}
        else:
            yield from self._info(state, server)

    def _info(self, state: tuple, server: int) -> Iterator[dict[str, int]]:
        """A primary lists who is in sync, by number; a replica may just have heard its primary, or not."""
        servers = state[5]
        _, follows, in_sync, _ = servers[server]
        if follows == 0:
            listed = 0
            for number in reversed(range(len(servers))):
                power, whom, is_synced, _ = servers[number]
                if whom == server + 1 and is_synced and power != DEAD:
                    listed = listed << 4 | number + 1
            yield {"kind": INFO_REPLY, "role": PRIMARY, "replicas": listed}
            return
        said = {"kind": INFO_REPLY, "role": REPLICA, "primary": follows, "link_up": in_sync}
        yield said
        if in_sync and not self.knobs.believes_link:
            silent_ms = servers[follows - 1][3] * self.setting.grain_ms
            yield {**said, "heard_s": (silent_ms + self.setting.heard_ms) // 1_000}

    # --- what the environment does -----------------------------------------------------------------------------------

    def _of_environment(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        elected, servers = state[3], state[5]
        for number, (power, _, _, _) in enumerate(servers):
            if power == UP:
                yield from self._to_live(state, number)
            else:
                yield Move("return", number), self._changed(state, number, UP)
            if power == GONE:
                yield Move("reboot", number), self._changed(state, number, DEAD)
        if self.setting.follows_sentinel:
            yield from self._of_sentinel(state)
        if self.setting.restarts and state[2]:
            scene = _scene(state)
            scene.faults -= 1
            scene.links = [_NOTHING] * LINKS
            for after in self._booted(scene.state()):
                yield Move("boot"), after
        if self._is_in_order(servers, elected) and state[4] == elected:
            yield Move("calm"), (state[0], 1, 0, *state[3:])

    def _to_live(self, state: tuple, number: int) -> Iterator[tuple[Move, tuple]]:
        faults, elected, servers = state[2], state[3], state[5]
        _, follows, in_sync, _ = servers[number]
        if faults:
            yield Move("kill", number), self._changed(state, number, DEAD)
            yield Move("vanish", number), self._changed(state, number, GONE)
        if number != elected and follows and (faults or servers[elected][0] != UP):
            yield Move("promote", number), self._promoted(state, number)
        if number != elected and follows != elected + 1 and servers[elected][0] == UP:
            yield Move("follow", number), self._given(state, number, (UP, elected + 1, 0, 0), elected)
        if follows and not in_sync and servers[follows - 1][0] == UP and self._has_data(servers, follows - 1):
            scene = _scene(state)
            scene.servers[number] = (UP, follows, 1, 0)
            yield Move("sync", number), scene.state()

    def _has_data(self, servers: tuple, number: int) -> bool:
        return servers[number][1] == 0 or servers[number][2] == 1

    def _changed(self, state: tuple, number: int, power: int) -> tuple:
        """A server goes away, or comes back as what it was; only to go away while it is up counts as a fault."""
        scene = _scene(state)
        before, follows, in_sync, _ = scene.servers[number]
        if before == UP:
            scene.faults -= 1
        if power == DEAD:
            self._lose_replicas(scene, number)
            in_sync = 0 if follows else 1
        scene.servers[number] = (power, follows, in_sync, 0)
        for link in range(SENTINEL_LINK):
            life, server, _, under_way = scene.links[link]
            if life == NO_LINK or server != number:
                continue
            if power == DEAD:
                # What reboots has forgotten the link, and says so when something is sent to it.
                told = before == UP or under_way
                scene.links[link] = _ended(scene.links[link]) if told else (HALF_OPEN, server, 0, ())
            else:
                scene.links[link] = (life, server, 0, under_way)
        return scene.state()

    def _lose_replicas(self, scene: _Scene, number: int) -> None:
        for other, (power, follows, _, silent) in enumerate(scene.servers):
            if follows == number + 1:
                scene.servers[other] = (power, follows, 0, silent)

    def _promoted(self, state: tuple, number: int) -> tuple:
        """By the sentinels when the primary is away, else by an operator, which counts as a fault."""
        scene = _scene(state)
        if scene.servers[scene.elected][0] == UP:
            scene.faults -= 1
        named = scene.named if self.setting.follows_sentinel else number
        return self._given((state[0], state[1], scene.faults, number, named, *state[5:]), number, (UP, 0, 1, 0), number)

    def _given(self, state: tuple, number: int, server: tuple[int, int, int, int], elected: int) -> tuple:
        """A server gets another role, which cuts its clients and its replicas."""
        scene = _scene(state)
        scene.servers[number] = server
        self._lose_replicas(scene, number)
        for link in range(SENTINEL_LINK):
            if scene.links[link][0] != NO_LINK and scene.links[link][1] == number:
                scene.links[link] = _ended(scene.links[link])
        return scene.state()

    def _of_sentinel(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        life, _, _, under_way = state[6][SENTINEL_LINK]
        if state[4] != state[3]:
            scene = _scene(state)
            scene.named = scene.elected
            if life == LIVE and (LINK_OPEN, 0) not in under_way:
                # Who is not yet subscribed is told by the answer to that, in any case.
                scene.links[SENTINEL_LINK] = (life, 0, 0, (*under_way, (SWITCHED, scene.named + 1)))
            yield Move("switch"), scene.state()
        if state[2] and life == LIVE:
            scene = _scene(state)
            scene.faults -= 1
            scene.links[SENTINEL_LINK] = _ended(scene.links[SENTINEL_LINK])
            yield Move("cut"), scene.state()

    def _is_in_order(self, servers: tuple, elected: int) -> bool:
        """One primary, whom all replicas that are there follow, in sync."""
        for number, (power, follows, in_sync, _) in enumerate(servers):
            if number == elected:
                if power != UP or follows != 0:
                    return False
            elif power == UP:
                if follows != elected + 1 or not in_sync:
                    return False
            elif self.setting.all_return:
                return False
        return True

    # --- what the node wants -----------------------------------------------------------------------------------------

    def _after(self, scene: _Scene, outcome: Outcome) -> tuple:
        scene.part = outcome.after
        for effect in outcome.effects:
            kind, link = effect[0], effect[1]
            if kind == CONNECT:
                scene.links[link] = (LIVE, effect[2] if link != SENTINEL_LINK else 0, 0, ((LINK_OPEN, 0),))
            elif kind == CLOSE:
                scene.links[link] = _NOTHING
            elif kind == SEND:
                scene.links[link] = _sent(scene.links[link], dict(effect[2]))
        return scene.state()

    # --- properties --------------------------------------------------------------------------------------------------

    def is_good(self, state: tuple) -> bool:
        """The node is on the primary, over a link that is alive."""
        life, server, _, _ = state[6][REDIS_LINK]
        is_there = self.part.get(state[0], "phase") == ON_PRIMARY and life == LIVE
        return is_there and server == state[3] and state[5][server][1] == 0

    # --- words -------------------------------------------------------------------------------------------------------

    def step(self, before: tuple, move: Move, after: tuple) -> Step:
        """A move in words."""
        notes = tuple(("node", text) for text in [self._standing(after)] if text != self._standing(before))
        if move.kind == PASS:
            return Step("node", PASS, f"{move.length / 1000:g} s pass", (), notes)
        if move.kind == "deliver":
            return self._delivery(before, move.about, after, notes)
        if move.kind in ("timer", "give up", "register", "boot"):
            return Step("node", move.kind, self._own_words(move), (), notes)
        if move.kind == "calm":
            return Step("node", "calm", "the faults stop: one primary, all there follow it", (), notes)
        if move.kind in ("switch", "cut"):
            text = {"switch": f"says that server {1 + after[4]} is the primary", "cut": "loses the node"}[move.kind]
            return Step("sentinel", move.kind, text, (), notes)
        return Step(self._server(move.about), move.kind, _WORDS[move.kind], (), notes)

    def _delivery(self, before: tuple, link: int, after: tuple, notes: tuple) -> Step:
        _, server, _, under_way = before[6][link]
        peer = "sentinel" if link == SENTINEL_LINK else self._server(server)
        kind, _ = under_way[0]
        said = next(said for said in self._answers(before, link) if self._delivered(before, link, said) == after)
        if said["kind"] == LINK_CLOSED:
            refused = kind == LINK_OPEN
            text = f"{peer} refuses the connection" if refused else f"its connection to {peer} ends"
            return Step("node", "answer", text, (Exchange(peer, "node", "refused" if refused else "closed"),), notes)
        answer = self._say(said)
        if kind == SWITCHED:
            return Step("node", "answer", answer, (Exchange(peer, "node", answer),), notes)
        asked = Exchange("node", peer, _ASKED[kind])
        return Step("node", "answer", f"{peer} answers: {answer}", (asked, Exchange(peer, "node", answer)), notes)

    def _say(self, said: dict[str, int]) -> str:
        kind = said["kind"]
        if kind == SWITCHED:
            return f"primary is server {said['primary']}"
        if kind == INFO_REPLY and said["role"] == PRIMARY:
            listed = [str(said["replicas"] >> 4 * place & 15) for place in range(self.setting.servers)]
            return f"primary, replicas: {', '.join(each for each in listed if each != '0') or 'none'}"
        if kind == INFO_REPLY:
            return f"replica of server {said['primary']}, link {'up' if said['link_up'] else 'down'}"
        if kind == STORE_REPLY:
            return "stored" if said["code"] == DONE else "read only"
        if kind == AUTHENTICATED:
            return "accepted" if said["code"] == DONE else "refused"
        return {LINK_OPEN: "open", PONG: "PONG", LOOKUP_REPLY: "found"}[kind]

    def _own_words(self, move: Move) -> str:
        if move.kind == "timer":
            return f"its {_TIMERS[move.about]} is due"
        if move.kind == "give up":
            return "its kernel gives up a silent connection"
        return {"register": "a client registers", "boot": "is started anew"}[move.kind]

    def _standing(self, state: tuple) -> str:
        server = f"server {1 + self.part.get(state[0], 'current')}"
        phase = self.part.get(state[0], "phase")
        if phase == ON_PRIMARY:
            return f"on {server} as primary"
        if phase == ON_REPLICA:
            return f"waits on {server}"
        return f"connects to {server}" if phase == registrar.CONNECTING else "has no connection"

    def _server(self, number: int) -> str:
        return f"server {1 + number}"


SENTENCE = "a registrar node always ends up on the primary once the cluster is in order and stays so"
SOURCE = (
    "deployment guide: nodes wait for a new master to be elected and then migrate to it automatically; "
    "how Flexisip does that: docs/flexisip.md"
)
CASES = {
    "idle": {},
    "asked": {"traffic_ms": 1_000},
    "restarted": {"restarts": True},
    "away": {"all_return": False},
    "away-asked": {"all_return": False, "traffic_ms": 1_000},
}
"""Under what it is decided: every server returns, and no client asks anything; clients keep registering; no client
asks, and the node itself may be started anew; servers may stay away for ever, and
no client asks; the same, and clients keep registering."""


def check_registrar(
    policy: policies.PolicyName,
    case: str = "idle",
    follows_sentinel: bool = False,
    faults: int = 1,
    servers: int = 2,
    max_states: int = 1_000_000,
) -> Verdict:
    """Decide whether a node always ends up on the primary.

    Parameters
    ----------
    policy : str
        Of `model.policies`.
    case : str
        Of `CASES`.
    follows_sentinel : bool
    faults, servers : int
        As in `Setting`.
    max_states : int
    """
    grain_ms = 500 if policy == "guide" else 1_000
    setting = Setting(
        policy, follows_sentinel, servers, faults, grain_ms=grain_ms, give_up_ms=2_000, repl_timeout_ms=1_000,
        **CASES[case],
    )  # fmt: skip
    world = RegistrarWorld(setting)
    graph = explore(world, max_states)
    key = "-".join(["registrar", policy, *(["sentinel"] if follows_sentinel else []), case])
    is_calm = graph.mask(lambda state: state[1] == 1)
    return decide(graph, key, SENTENCE, SOURCE, graph.mask(world.is_good), is_calm, by_chance=False)


_WORDS = {
    "kill": "its process dies",
    "vanish": "its host vanishes",
    "reboot": "its host is back, without the process",
    "return": "is back as what it was",
    "promote": "is promoted, which cuts its clients",
    "follow": "is pointed to the new primary, which cuts its clients",
    "sync": "is in sync with its primary",
}
_ASKED = {
    LINK_OPEN: "connect",
    AUTHENTICATE: "AUTH",
    INFO: "INFO",
    PING: "PING",
    LOOKUP: "look up",
    STORE: "store",
    SUBSCRIBE: "who is the primary?",
}
_TIMERS = ("Redis time-out", "question for the role", "next round", "second try of a write", "PING", "look at its "
           "sentinel")  # fmt: skip


def _knobs(setting: Setting) -> Any:
    knobs = registrar.KNOBS.new()
    section = RegistrarSection(policy=setting.policy, follow_sentinel=setting.follows_sentinel)
    policies.configure(knobs, section)
    for name, period_ms in PERIODS.items():
        field = name.replace("_ms", "_us")
        if getattr(knobs, field):
            setattr(knobs, field, min(getattr(knobs, field), period_ms * 1000))
    if knobs.keeps_phase:
        knobs.wait_poll_us = knobs.info_period_us
    return knobs


def _name(setting: Setting) -> str:
    follows = " that follows a sentinel" if setting.follows_sentinel else ""
    return f"registrar node with policy {setting.policy}{follows}, {setting.servers} servers, {setting.faults} faults"


def _tidy(node: Any) -> None:
    """The one request that is open is number 1. What is unanswered counts only for the Redis time-out."""
    node.jobs = node.job[0] = 1 if node.job[0] else 0
    if node.redis_timeout_us == 0:
        node.unanswered = 0
    if not node.job[0]:
        node.request[0] = node.client[0] = node.source[0] = node.is_query[0] = node.seconds[0] = 0
    if node.rotated_us < 0:
        node.rotated_us = 0


def _scene(state: tuple) -> _Scene:
    part, is_calm, faults, elected, named, servers, links, traffic = state
    return _Scene(part, is_calm, faults, elected, named, list(servers), list(links), traffic)


def _ended(link: tuple[int, int, int, tuple]) -> tuple[int, int, int, tuple]:
    """The other end is gone: all that is under way is void."""
    return (LIVE, link[1], 0, ((LINK_CLOSED, 0),))


def _sent(link: tuple[int, int, int, tuple], said: dict[str, int]) -> tuple[int, int, int, tuple]:
    life, server, waited, under_way = link
    if life == NO_LINK or (under_way and under_way[-1][0] == LINK_CLOSED):
        return link
    if life == HALF_OPEN:
        return _ended(link)
    kind, detail = said["kind"], 0
    if kind == AUTHENTICATE:
        detail = said.get("code", 0)
    elif kind == LOOKUP:
        # A new request: what is under way for an older one is answered to nobody.
        under_way = tuple((old, _REQUESTS_OLD if old in (LOOKUP, STORE) else number) for old, number in under_way)
        detail = 1
    elif kind == STORE:
        detail = 1
    return (life, server, waited, (*under_way, (kind, detail)))
