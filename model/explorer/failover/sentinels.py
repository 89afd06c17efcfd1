"""Sentinels of a failover: what the machine does, stepped by choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, combinations, product
from typing import Any

from model import sentinel
from model.effects import MESSAGE, OUT, PRIMARY, REPLICA, REPLICAOF, REPLY, REPORT, SEND, VOTE_FOR_LEADER, clear
from model.explorer.failover.masks import Bits
from model.explorer.failover.states import DOWN, LIMIT_US, LONG_PAST_US, NOW_US, UP, Setting, Watcher
from model.explorer.parts import Local, Message, Move, Received

_DOES = {
    "start": "{me} starts an attempt",
    "act": "{me} goes on{late}",
    "tilt-ends": "TILT of {me} ends",
    "suspect": "{me} holds server {about} for down",
    "trust": "{me} holds server {about} for up",
    "forget": "{me} forgets the answer of sentinel {about}",
    "order": "the order of {me} reaches {to}",
    "hold-order": "the order of {me} to server {about} is held up",
    "late-order": "the order of {me} reaches {to} at last",
    "lose-order": "the order of {me} to server {about} is lost",
    "info": "{me} reads INFO of {to}",
    "hello": "{to} hears {me}",
    "ask": "{me} asks {to}",
}


class Sentinels:
    """Moves, receptions, guards and marks of the sentinels.

    Parameters
    ----------
    setting : Setting
    bits : Bits
    """

    def __init__(self, setting: Setting, bits: Bits) -> None:
        self.setting, self.bits, self.count = setting, bits, setting.sentinels
        self._node = [_new_sentinel(number, self.count, setting.quorum) for number in range(self.count)]
        self._out, self._message = OUT.new(), MESSAGE.new()

    def moves(self, me: int, local: Local) -> Iterator[Move]:
        """All that it may do while its host is up."""
        watcher = Watcher(*local)
        if watcher.process == DOWN:
            return
        here = self.bits.host_down(me)
        for move in self._awake_moves(me, watcher):
            yield move._replace(without=move.without | here)

    def _awake_moves(self, me: int, watcher: Watcher) -> Iterator[Move]:
        if watcher.orders:
            yield from self._orders(me, watcher)
            return
        if watcher.tilt:
            yield Move("tilt-ends", watcher._replace(tilt=0))
        else:
            yield from self._acts(me, watcher)
            yield from self._judges(me, watcher)
        yield from self._delivers_late(me, watcher)
        yield from self._polls(me, watcher)
        yield from self._talks(me, watcher)

    def _acts(self, me: int, watcher: Watcher) -> Iterator[Move]:
        """The acting half of a tick, with all that it may find late, or too old."""
        if not watcher.in_progress:
            yield from self._starts(me, watcher)
            return
        for late in (0, 1):
            for stale in self._stale(watcher):
                after = self._after(me, watcher, lambda node, late=late, stale=stale: self._tick(node, late, stale))
                yield Move("act", after, about=(late,))

    def _starts(self, me: int, watcher: Watcher) -> Iterator[Move]:
        """An attempt begins: as many others as the quorum needs hold the same primary for down, and can say so."""
        if watcher.current_epoch >= self.setting.epochs or not watcher.views[watcher.primary][0]:
            return
        over = 1 << watcher.leader_epoch if watcher.is_gated else 0
        peers = [number for number in range(self.count) if number != me]
        for agreeing in chain.from_iterable(combinations(peers, count) for count in range(self.setting.quorum)):
            after = self._after(me, watcher, lambda node, agreeing=agreeing: self._start(node, agreeing))
            if after.in_progress and len(agreeing) < self.setting.quorum - 1:
                after = after._replace(is_hasty=1)
            elif not after.in_progress:
                continue
            with_all, deaf = 0, 0
            for peer in agreeing:
                with_all |= self.bits.suspects(peer, watcher.primary)
                deaf |= self._deaf(me, peer)
            yield Move("start", after, without=over | deaf, with_all=with_all)

    def _start(self, node: Any, agreeing: tuple[int, ...]) -> None:
        for peer in agreeing:
            node.peer[peer].down = 1
        self._tick(node, 1, ())

    def _tick(self, node: Any, late: int, stale: tuple[int, ...]) -> None:
        if late:
            node.state_us = LONG_PAST_US
            node.start_us = min(node.start_us, LONG_PAST_US)
        for number in stale:
            node.server[number].watch.avail_us = LONG_PAST_US
        sentinel.check_objectively_down(node, NOW_US, self._out)
        sentinel.act_on_primary(node, NOW_US, self._out)
        if node.state == sentinel.UPDATE_CONFIG:
            sentinel.switch_to_promoted(node, NOW_US, self._out)

    def _stale(self, watcher: Watcher) -> Iterator[tuple[int, ...]]:
        """Which replicas have not answered lately: matters when one of them is chosen."""
        if watcher.state != sentinel.SELECT:
            yield ()
            return
        replicas = [n for n in range(self.count) if n != watcher.primary and not watcher.views[n][0]]
        for chosen in product((False, True), repeat=len(replicas)):
            yield tuple(number for number, is_stale in zip(replicas, chosen, strict=True) if is_stale)

    def _judges(self, me: int, watcher: Watcher) -> Iterator[Move]:
        """A server is down when it is silent, the primary also when it says that it is none; answers grow old."""
        for number, (is_down, _) in enumerate(watcher.views):
            silent = self._silent(me, number)
            is_none = number == watcher.primary and watcher.primary_role == REPLICA
            if not is_down:
                down = self._after(me, watcher, lambda node, n=number: self._judge(node, n, True))
                yield Move("suspect", down, with_any=0 if is_none else silent, about=(number,))
            elif not is_none:
                up = self._after(me, watcher, lambda node, n=number: self._judge(node, n, False))
                yield Move("trust", up, without=silent, about=(number,))
        for peer, has_voted in enumerate(watcher.votes):
            if has_voted:
                forgotten = self._after(me, watcher, lambda node, n=peer: self._let_answer_age(node, n))
                yield Move("forget", forgotten, about=(peer,))

    def _judge(self, node: Any, number: int, is_down: bool) -> None:
        sentinel.mark(node.server[number].watch, NOW_US, number, 0, is_down, self._out)

    def _let_answer_age(self, node: Any, peer: int) -> None:
        node.peer[peer].answer_us = LONG_PAST_US
        sentinel.ask_others(node, NOW_US, False, self._out)

    def _orders(self, me: int, watcher: Watcher) -> Iterator[Move]:
        """Orders arrive at once, or are lost with their connection; a fault can hold one up."""
        (number, primary), *rest = watcher.orders
        after, silent = watcher._replace(orders=tuple(rest)), self._silent(me, number)
        yield Move("order", after, self.count + number, ("order", primary), without=silent)
        yield Move("lose-order", after, with_any=silent, about=(number,))
        if "delay" in self.setting.kinds:
            held = after._replace(held=(*after.held, (number, primary)))
            yield Move("hold-order", held, 2 * self.count, ("hold",), about=(number,))

    def _delivers_late(self, me: int, watcher: Watcher) -> Iterator[Move]:
        if watcher.held:
            (number, primary), *rest = watcher.held
            after, silent = watcher._replace(held=tuple(rest)), self._silent(me, number)
            yield Move("late-order", after, self.count + number, ("order", primary), without=silent)
            yield Move("lose-order", after, with_any=silent, about=(number,))

    def _polls(self, me: int, watcher: Watcher) -> Iterator[Move]:
        """INFO; who corrects a server that has been astray for long has heard the newest configuration by then."""
        newer = 0 if watcher.is_stray else self.bits.configured(watcher.config_epoch + 1)
        for number in range(self.count):
            for late in (0, 1):
                without = self._silent(me, number) | (newer if late else 0)
                yield Move("info", watcher, self.count + number, ("info?", number, late), without=without)

    def _talks(self, me: int, watcher: Watcher) -> Iterator[Move]:
        """Hellos always, requests for a vote in an attempt."""
        names = self._current_primary(watcher) + 1
        for peer in range(self.count):
            if peer != me:
                deaf = self._deaf(me, peer)
                hello = ("hello", me, watcher.current_epoch, watcher.config_epoch, names)
                yield Move("hello", watcher, peer, hello, without=deaf)
                if watcher.state == sentinel.WAIT_START:
                    ask = ("ask", me, watcher.primary + 1, watcher.current_epoch, me + 1)
                    yield Move("ask", watcher, peer, ask, without=deaf)

    def _deaf(self, me: int, peer: int) -> int:
        """What keeps another sentinel from hearing this one."""
        bits = self.bits
        return bits.sentinel_down(peer) | bits.host_down(peer) | bits.cut(me) | bits.cut(peer)

    def _silent(self, me: int, number: int) -> int:
        """What keeps a server from answering this sentinel."""
        bits = self.bits
        silent = bits.server_down(number) | bits.host_down(number)
        return silent | bits.cut(me) | bits.cut(number) if me != number else silent

    def receive(self, me: int, local: Local, message: Message) -> Received | None:
        """What a message, an answer or a fault does to it."""
        watcher = Watcher(*local)
        kind = message[0]
        if kind in ("cut", "heal"):
            return Received(self._settled(watcher._replace(is_stray=1 if kind == "cut" else watcher.in_progress)))
        if kind == "tilt":
            return Received(watcher._replace(tilt=1)) if watcher.process and not watcher.tilt else None
        if kind == "stop":
            return Received(self._stopped(watcher)) if watcher.process else None
        if kind == "start":
            return Received(self._after(me, self._stopped(watcher)._replace(process=UP), self._boot))
        if watcher.process == DOWN:
            return None
        if kind == "ask":
            return self._is_asked(me, watcher, message)
        after = self._after(me, watcher, lambda node: self._hear(node, message))
        return Received(after) if after != watcher else None

    def _hear(self, node: Any, message: Message) -> None:
        kind, who, *rest = message
        letter = self._message
        clear(letter)
        if kind == "hello":
            letter.sentinel = int(who) + 1
            letter.epoch, letter.config_epoch, letter.primary = (int(value) for value in rest)
            sentinel.on_hello(node, NOW_US, letter, self._out)
        elif kind == "answer":
            letter.down, letter.sentinel, letter.epoch = (int(value) for value in rest)
            sentinel.on_ask_reply(node.peer[who], NOW_US, letter)
        else:
            letter.role, letter.primary, letter.link_up, late = (int(value) for value in rest)
            letter.run_rank, letter.replica_priority = 1, 100
            _set_ages(node.server[who], letter, late)
            sentinel.on_info(node, NOW_US, who, letter, self._out)

    def _is_asked(self, me: int, watcher: Watcher, message: Message) -> Received:
        answer: list[int] = []

        def ask(node: Any) -> None:
            letter = self._message
            clear(letter)
            _, sender, letter.primary, letter.epoch, letter.sentinel = message
            sentinel.on_ask(node, NOW_US, int(sender), letter, self._out)
            told = next(effect for effect in self._effects() if effect.kind == REPLY)
            answer.extend((told.message.down, told.message.sentinel, told.message.epoch))

        after = self._after(me, watcher, ask)
        return Received(after, ("answer", me, *answer))

    def _boot(self, node: Any) -> None:
        sentinel.boot(node, NOW_US, self._out)

    def _stopped(self, watcher: Watcher) -> Watcher:
        """Only the file is left, and what properties remember."""
        first = first_of(self.count)
        current, config, leader_epoch, primary = watcher.file
        return first._replace(
            process=DOWN, current_epoch=current, config_epoch=config, leader_epoch=leader_epoch, primary=primary,
            file=watcher.file, cast=watcher.cast, led=watcher.led, voted_twice=watcher.voted_twice,
            fell_back=watcher.fell_back, is_hasty=watcher.is_hasty, is_stray=watcher.is_stray,
        )  # fmt: skip

    def _after(self, me: int, watcher: Watcher, does: Callable[[Any], None]) -> Watcher:
        """What is kept after the machine has done something."""
        node = self._restored(me, watcher)
        does(node)
        return self._kept(me, watcher)

    def _restored(self, me: int, watcher: Watcher) -> Any:
        """The machine in this state. What a state does not keep has fixed values: links stand, answers are fresh."""
        node = self._node[me]
        self._out.n = 0
        node.stream.count = node.busy_us = 0
        node.tilt, node.current_epoch, node.config_epoch = watcher.tilt, watcher.current_epoch, watcher.config_epoch
        node.leader_epoch, node.leader, node.primary = watcher.leader_epoch, watcher.leader, watcher.primary
        node.state, node.in_progress, node.failover_epoch = watcher.state, watcher.in_progress, watcher.failover_epoch
        node.promoted, node.o_down, node.forced = watcher.promoted, 0, 0
        node.start_us = NOW_US if watcher.is_gated else 0
        node.state_us = NOW_US
        for number, (is_down, reconf) in enumerate(watcher.views):
            _restore_server(node.server[number], is_down, reconf)
        node.server[watcher.primary].role = watcher.primary_role
        for peer, has_voted in enumerate(watcher.votes):
            view = node.peer[peer]
            view.watch.known = view.watch.connected = view.watch.cc = int(peer != me)
            view.watch.pending = view.down = 0
            view.leader, view.leader_epoch = (me + 1, watcher.current_epoch) if has_voted else (0, 0)
            view.answer_us = NOW_US
        file = node.file
        file.current_epoch, file.config_epoch, file.leader_epoch, file.primary = watcher.file
        for number in range(self.count):
            file.knows_server[number], file.knows_peer[number] = 1, int(number != me)
        return node

    def _kept(self, me: int, before: Watcher) -> Watcher:
        node = self._node[me]
        cast = before.cast if node.current_epoch == before.current_epoch else 0
        voted_twice, orders = before.voted_twice, list(before.orders)
        for effect in self._effects():
            if effect.kind == REPORT and effect.report == VOTE_FOR_LEADER:
                voted_twice |= int(effect.code <= before.current_epoch and before.cast not in (0, effect.about))
                cast = effect.about
            elif effect.kind == SEND and effect.message.kind == REPLICAOF:
                orders.append((effect.target // 2, effect.message.primary))
        leads = node.in_progress and node.state > sentinel.WAIT_START
        file = node.file
        return self._settled(before._replace(
            tilt=node.tilt, current_epoch=node.current_epoch, config_epoch=node.config_epoch,
            leader_epoch=node.leader_epoch, leader=node.leader, primary=node.primary,
            primary_role=node.server[node.primary].role, state=node.state, in_progress=node.in_progress,
            failover_epoch=node.failover_epoch, promoted=node.promoted, is_gated=int(node.start_us != 0),
            is_stray=before.is_stray,
            views=tuple((each.watch.s_down, each.reconf) for each in node.server[: self.count]),
            votes=tuple(
                int(each.leader == me + 1 and each.leader_epoch == node.current_epoch)
                for each in node.peer[: self.count]
            ),
            orders=tuple(dict.fromkeys(orders)),
            file=(file.current_epoch, file.config_epoch, file.leader_epoch, file.primary), cast=cast,
            led=before.led | (1 << node.failover_epoch if leads else 0), voted_twice=voted_twice,
            fell_back=before.fell_back | int(node.config_epoch < before.config_epoch),
        ))  # fmt: skip

    def _effects(self) -> list[Any]:
        return self._out.effects[: self._out.n]

    def _settled(self, watcher: Watcher) -> Watcher:
        """Without what no later step of the sentinel can read: see `model.explorer.election`."""
        if not watcher.in_progress:
            watcher = watcher._replace(failover_epoch=0, promoted=0)
        if watcher.state != sentinel.WAIT_START:
            watcher = watcher._replace(votes=(0,) * self.count)
        return watcher

    def guards(self, me: int, local: Local) -> int:
        """Whether it can be heard, what it suspects, and epochs whose attempts are not over."""
        watcher = Watcher(*local)
        if watcher.process == DOWN:
            return self.bits.sentinel_down(me)
        guards = 0
        if watcher.views[watcher.primary][0] and not watcher.tilt:
            guards |= self.bits.suspects(me, watcher.primary)
        asks = watcher.state == sentinel.WAIT_START
        for epoch in range(self.setting.epochs + 1):
            is_open = watcher.current_epoch < epoch or (asks and watcher.failover_epoch <= epoch)
            guards |= 1 << epoch if is_open and not watcher.is_stray else 0
            guards |= self.bits.configured(epoch) if epoch <= watcher.config_epoch and not watcher.is_stray else 0
        return guards

    def marks(self, me: int, local: Local) -> int:
        """What properties speak of."""
        watcher = Watcher(*local)
        bits = self.bits
        marks = bits.voted_twice * watcher.voted_twice | bits.fell_back * watcher.fell_back
        marks |= bits.hasty * watcher.is_hasty
        for epoch in range(1, self.setting.epochs + 1):
            marks |= bits.led(epoch, me) if watcher.led >> epoch & 1 else 0
        if watcher.process == DOWN or watcher.tilt or watcher.in_progress:
            marks |= bits.all_astray
        marks |= bits.all_astray & ~bits.astray(watcher.primary)
        if watcher.process != DOWN:
            marks |= bits.configures(watcher.config_epoch, self._current_primary(watcher))
            is_down = watcher.views[watcher.primary][0]
            marks |= bits.at_bound if is_down and watcher.current_epoch >= self.setting.epochs else 0
        if watcher.config_epoch:
            marks |= bits.switched
        return marks

    def _current_primary(self, watcher: Watcher) -> int:
        is_promoted = watcher.in_progress and watcher.state >= sentinel.RECONF
        return watcher.promoted - 1 if is_promoted else watcher.primary

    def renamed(self, local: Local, renaming: tuple[int, ...]) -> Local:
        """Under other names."""
        watcher = Watcher(*local)
        new = [renaming.index(old) for old in range(self.count)]
        name = [0, *(1 + number for number in new)]
        current, config, leader_epoch, primary = watcher.file
        return watcher._replace(
            leader=name[watcher.leader], primary=new[watcher.primary], promoted=name[watcher.promoted],
            views=tuple(watcher.views[old] for old in renaming),
            votes=tuple(watcher.votes[old] for old in renaming),
            orders=tuple((new[number], name[to]) for number, to in watcher.orders),
            held=tuple((new[number], name[to]) for number, to in watcher.held),
            file=(current, config, leader_epoch, new[primary]), cast=name[watcher.cast],
        )  # fmt: skip

    def _notes(self, old: Watcher, new: Watcher) -> Iterator[str]:
        if new.in_progress > old.in_progress:
            yield f"starts an attempt in epoch {new.failover_epoch}"
        elif new.current_epoch > old.current_epoch:
            yield f"is in epoch {new.current_epoch}"
        if new.cast not in (0, old.cast):
            yield f"votes for sentinel {new.cast} in epoch {new.leader_epoch}"
        if new.led != old.led:
            yield f"is elected for epoch {new.failover_epoch}"
        if new.promoted and new.promoted != old.promoted:
            yield f"selects server {new.promoted}"
        for number, primary in new.orders[len(old.orders) :]:
            to = f"REPLICAOF server {primary}" if primary else "REPLICAOF NO ONE"
            yield f"orders server {number + 1}: {to}"
        if new.state == sentinel.RECONF and old.state != new.state:
            yield "sees the promotion"
        if new.primary != old.primary:
            yield f"switches to server {new.primary + 1}, configuration epoch {new.config_epoch}"
        elif not new.in_progress and old.in_progress:
            yield "gives up"

    def is_urgent(self, local: Local) -> bool:
        """Orders leave, and arrive, at once."""
        return bool(Watcher(*local).orders)

    def colour(self, local: Local) -> int:
        """All that names nobody."""
        watcher = Watcher(*local)
        number = 0
        for value in (
            watcher.process, watcher.current_epoch, watcher.config_epoch, watcher.leader_epoch, watcher.state,
            watcher.failover_epoch, watcher.is_gated, watcher.in_progress, sum(view[0] for view in watcher.views),
        ):  # fmt: skip
            number = number << 3 | value
        return number << 8

    def say(self, me: str, to: str, move: Move) -> str:
        """A step in words."""
        about = 1 + move.about[0] if move.about else 0
        late = ", late" if move.kind == "act" and move.about[0] else ""
        return _DOES[move.kind].format(me=me, to=to, about=about, late=late)

    def note(self, before: Local, after: Local) -> str:
        """What a reader wants to know of a change."""
        return ", ".join(self._notes(Watcher(*before), Watcher(*after)))


def first_of(count: int) -> Watcher:
    """A sentinel that has just seen everybody well; server 1 is the primary."""
    return Watcher(
        process=UP, tilt=0, current_epoch=0, config_epoch=0, leader_epoch=0, leader=0, primary=0, primary_role=PRIMARY,
        state=sentinel.NONE, in_progress=0, failover_epoch=0, promoted=0, is_gated=0, is_stray=0,
        views=((0, 0),) * count, votes=(0,) * count, orders=(), held=(), file=(0, 0, 0, 0), cast=0, led=0,
        voted_twice=0, fell_back=0, is_hasty=0,
    )  # fmt: skip


def _set_ages(server: Any, letter: Any, late: int) -> None:
    """What it says now, it has said for long; or not."""
    if late:
        server.role, server.names = letter.role, letter.primary
    ages = LONG_PAST_US if late else NOW_US
    server.role_us = server.conf_us = ages
    server.watch.s_down_us = 0 if late else NOW_US


def _restore_server(server: Any, is_down: int, reconf: int) -> None:
    watch = server.watch
    watch.known = watch.connected = watch.cc = watch.pc = 1
    watch.pending = watch.ping_us = watch.rebooted = 0
    watch.pong_us = watch.avail_us = watch.heard_us = watch.publish_us = NOW_US
    watch.s_down, watch.s_down_us = is_down, NOW_US if is_down else 0
    server.info_us, server.role, server.reconf, server.reconf_us = NOW_US, REPLICA, reconf, NOW_US
    server.priority, server.run_rank, server.link_down_us, server.offset = 100, 1, 0, 0


def _new_sentinel(number: int, sentinels: int, quorum: int) -> Any:
    node = sentinel.SENTINEL.new()
    node.me, node.hosts, node.quorum, node.parallel_syncs = number, sentinels, quorum, 1
    node.down_after_us = node.failover_timeout_us = LIMIT_US
    return node
