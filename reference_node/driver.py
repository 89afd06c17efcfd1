"""Drives a machine of `model` in real time, on asyncio.

A machine is pure: it is told the time and what has happened, and fills a buffer with effects. The driver is all that
lies between that and the world: it keeps the machine's state, calls its handlers with the time of a *monotonic* clock
in integer µs, and carries the effects out in order. Sockets are the business of `Hands`. Nothing here decides
anything, so that what is measured is the machine.

The wall clock would be the wrong one: it may be stepped while a time-out runs. Reports carry it, because logs of
several programs are laid side by side; they are translated the moment they are made. A machine that models a program
which does look at the wall clock has a field `wall_ahead_us`: how far that is ahead, at every call anew.

Left out: BLOCK, KILL_CLIENTS and DROP, which only machines of simulated servers ask for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from model.effects import (
    CANCEL_TIMER,
    CLOSE,
    CONNECT,
    FORGET,
    OUT,
    REPLY,
    REPORT,
    REPORTS,
    SEND,
    SET_TIMER,
)

US_PER_S = 1_000_000


class Hands:
    """What a machine can do to the world: a program implements what its machine uses.

    Nothing in here may call back into the driver before it returns, and a message is only lent: the driver fills it
    anew for the next effect.
    """

    def send(self, link: int, message: Any) -> None:
        """Send a message on an own link."""
        raise NotImplementedError

    def reply(self, source: int, message: Any) -> None:
        """Answer on the connection that a message came from."""
        raise NotImplementedError

    def forget(self, source: int, message: Any) -> None:
        """Let go of what is kept for a request that gets no answer."""
        raise NotImplementedError

    def connect(self, link: int, host: int) -> None:
        """Open a link to the host of that number; LINK_OPEN or LINK_CLOSED is delivered later."""
        raise NotImplementedError

    def close(self, link: int) -> None:
        """Close a link; nothing of it is delivered any more."""
        raise NotImplementedError

    def report(self, event: str, about: int, wall_us: int, detail_us: int, code: int) -> None:
        """Record an event: `about` is 1 + a host's number or 0, `wall_us` is µs since the Unix epoch."""
        raise NotImplementedError


def monotonic_us() -> int:
    """Now, in µs of the clock that the machines are told."""
    return time.monotonic_ns() // 1_000


class Driver:
    """One machine in real time.

    Parameters
    ----------
    machine : module
        A machine with `on_timer` and `on_message`.
    state : record
        Its state, configured.
    hands : Hands
        Carries out what concerns the world.
    """

    def __init__(self, machine: Any, state: Any, hands: Hands) -> None:
        self.state = state
        self._machine, self._hands = machine, hands
        self._out = OUT.new()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._acting = False
        self._shows_wall = hasattr(state, "wall_ahead_us")

    def deliver(self, source: int, message: Any) -> None:
        """Hand a message to the machine."""
        now_us = monotonic_us()
        self._act(now_us, self._machine.on_message, self.state, now_us, source, message)

    def call(self, handler: Callable[..., None], *arguments: int) -> None:
        """Call another entry of the machine: ``handler(state, *arguments, out)``."""
        self._act(monotonic_us(), handler, self.state, *arguments)

    def set_timer(self, which: int, delay_us: int) -> None:
        """(Re-)arm a timer, as the effect SET_TIMER does."""
        self._arm(which, monotonic_us() + delay_us)

    def stop(self) -> None:
        """Disarm all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _act(self, now_us: int, handler: Callable[..., None], *arguments: Any) -> None:
        assert not self._acting, "a handler was called while the effects of another were carried out"
        self._acting = True
        if self._shows_wall:
            self.state.wall_ahead_us = time.time_ns() // 1_000 - now_us
        try:
            handler(*arguments, self._out)
            for effect in self._out.effects[: self._out.n]:
                self._carry_out(now_us, effect)
        finally:
            self._out.n = 0
            self._acting = False

    def _carry_out(self, now_us: int, effect: Any) -> None:
        kind = effect.kind
        if kind == SEND:
            self._hands.send(effect.target, effect.message)
        elif kind == REPLY:
            self._hands.reply(effect.target, effect.message)
        elif kind == FORGET:
            self._hands.forget(effect.target, effect.message)
        elif kind == CONNECT:
            self._hands.connect(effect.target, effect.server)
        elif kind == CLOSE:
            self._hands.close(effect.target)
        elif kind == SET_TIMER:
            self._arm(effect.target, now_us + effect.delay_us)
        elif kind == CANCEL_TIMER:
            self._disarm(effect.target)
        elif kind == REPORT:
            age_us = monotonic_us() - effect.at_us
            wall_us = time.time_ns() // 1_000 - age_us
            self._hands.report(REPORTS[effect.report], effect.about, wall_us, effect.detail_us, effect.code)
        else:
            raise AssertionError(f"effect {kind} has no meaning for a real program")

    def _arm(self, which: int, due_us: int) -> None:
        self._disarm(which)
        loop = asyncio.get_running_loop()
        self._timers[which] = loop.call_at(due_us / US_PER_S, self._ring, which, due_us)

    def _disarm(self, which: int) -> None:
        timer = self._timers.pop(which, None)
        if timer:
            timer.cancel()

    def _ring(self, which: int, due_us: int) -> None:
        del self._timers[which]
        # asyncio may ring a clock tick early: a machine must never see its timer before it is due.
        now_us = max(monotonic_us(), due_us)
        self._act(now_us, self._machine.on_timer, self.state, now_us, which)
