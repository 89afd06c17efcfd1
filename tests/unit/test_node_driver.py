"""The driver carries out what a machine wants, in order, on the right clock."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from model import effects
from model.effects import MESSAGE
from reference_node.driver import Driver, Hands, monotonic_us


class Recorder(Hands):
    """Hands that write down what they are asked."""

    def __init__(self) -> None:
        self.done: list[tuple] = []

    def send(self, link, message):
        self.done.append(("send", link, message.kind, message.request))

    def reply(self, source, message):
        self.done.append(("reply", source, message.kind))

    def connect(self, link, host):
        self.done.append(("connect", link, host))

    def close(self, link):
        self.done.append(("close", link))

    def report(self, event, about, wall_us, detail_us, code):
        self.done.append(("report", event, about, wall_us, detail_us, code))


def machine(on_timer=None, on_message=None) -> SimpleNamespace:
    return SimpleNamespace(on_timer=on_timer, on_message=on_message)


def test_effects_are_carried_out_in_the_order_of_the_machine():
    def on_message(node, now_us, source, message, out):
        effects.close(out, 3)
        effects.send(out, 1, effects.PING).request = 7
        effects.connect(out, 2, 5)
        effects.reply(out, source, effects.PONG)

    hands = Recorder()
    Driver(machine(on_message=on_message), None, hands).deliver(9, MESSAGE.new())
    assert hands.done == [("close", 3), ("send", 1, effects.PING, 7), ("connect", 2, 5), ("reply", 9, effects.PONG)]


def test_effects_of_one_call_are_not_carried_out_again_by_the_next():
    calls = iter([lambda out: effects.close(out, 1), lambda out: None])
    hands = Recorder()
    driver = Driver(machine(on_message=lambda node, now, source, message, out: next(calls)(out)), None, hands)
    driver.deliver(0, MESSAGE.new())
    driver.deliver(0, MESSAGE.new())
    assert hands.done == [("close", 1)]


def test_timers_ring_in_order_and_never_before_they_are_due():
    rung: list[tuple[int, int]] = []
    due: dict[int, int] = {}

    def start(node, out):
        now_us = monotonic_us()
        for which, delay_us in ((1, 3_000), (2, 1_000), (3, 2_000)):
            effects.set_timer(out, which, delay_us)
            due[which] = now_us + delay_us

    async def scenario() -> None:
        done = asyncio.Event()

        def on_timer(node, now_us, which, out):
            rung.append((which, now_us))
            if len(rung) == 3:
                done.set()

        Driver(machine(on_timer=on_timer), None, Recorder()).call(start)
        await done.wait()

    asyncio.run(scenario())
    assert [which for which, _ in rung] == [2, 3, 1]
    assert all(now_us >= due[which] for which, now_us in rung)


def test_a_timer_that_is_set_again_rings_once_and_at_the_later_time_and_a_cancelled_one_never():
    rung: list[tuple[int, int]] = []
    began: list[int] = []

    def start(node, out):
        began.append(monotonic_us())
        effects.set_timer(out, 1, 500)
        effects.set_timer(out, 1, 5_000)
        effects.set_timer(out, 2, 500)
        effects.cancel_timer(out, 2)
        effects.set_timer(out, 3, 10_000)

    async def scenario() -> None:
        done = asyncio.Event()

        def on_timer(node, now_us, which, out):
            rung.append((which, now_us - began[0]))
            if which == 3:
                done.set()

        Driver(machine(on_timer=on_timer), None, Recorder()).call(start)
        await done.wait()

    asyncio.run(scenario())
    assert [which for which, _ in rung] == [1, 3]
    assert rung[0][1] >= 5_000


def test_no_timer_rings_after_stop():
    rung: list[int] = []

    async def scenario() -> None:
        driver = Driver(machine(on_timer=lambda node, now, which, out: rung.append(which)), None, Recorder())
        driver.set_timer(1, 0)
        driver.stop()
        await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert rung == []


def test_a_report_of_the_past_carries_the_wall_clock_of_then():
    ago_us = 40_000_000

    def on_message(node, now_us, source, message, out):
        effects.report(out, effects.WRITABLE, 2, now_us - ago_us, 5).detail_us = 6

    hands = Recorder()
    before_us = time.time_ns() // 1_000
    Driver(machine(on_message=on_message), None, hands).deliver(0, MESSAGE.new())
    after_us = time.time_ns() // 1_000
    ((_, event, about, wall_us, detail_us, code),) = hands.done
    assert (event, about, detail_us, code) == ("writable", 2, 6, 5)
    assert before_us - 1_000 <= wall_us + ago_us <= after_us + 1_000


def test_hands_that_call_back_into_the_machine_are_a_mistake():
    class Nested(Hands):
        def close(self, link):
            driver.deliver(0, MESSAGE.new())

    driver = Driver(machine(on_message=lambda node, now, source, message, out: effects.close(out, 0)), None, Nested())
    with pytest.raises(AssertionError, match="while the effects"):
        driver.deliver(0, MESSAGE.new())


def test_effects_of_simulated_programs_are_refused():
    driver = Driver(machine(on_message=lambda node, now, source, message, out: effects.block(out, 1)), None, Recorder())
    with pytest.raises(AssertionError, match="no meaning"):
        driver.deliver(0, MESSAGE.new())


def test_a_machine_that_looks_at_the_wall_clock_is_shown_it_at_every_call(monkeypatch: pytest.MonkeyPatch):
    state, shown = SimpleNamespace(wall_ahead_us=0), []
    monkeypatch.setattr(time, "time_ns", lambda: 2_000_000_000)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 500_000_000)

    def on_message(node, now_us, source, message, out):
        shown.append(now_us + node.wall_ahead_us)

    driver = Driver(machine(on_message=on_message), state, Recorder())
    driver.deliver(0, MESSAGE.new())
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    driver.deliver(0, MESSAGE.new())
    assert shown == [2_000_000, 1_000_000]


def test_hands_are_told_of_a_request_that_gets_no_answer():
    hands = Recorder()
    hands.forget = lambda source, message: hands.done.append(("forget", source, message.request))

    def on_message(node, now_us, source, message, out):
        effects.forget(out, source, 7)

    Driver(machine(on_message=on_message), None, hands).deliver(9, MESSAGE.new())
    assert hands.done == [("forget", 9, 7)]
