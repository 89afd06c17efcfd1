"""The switch's laws, with a given clock; and its loop, with real sockets in the place of cards."""

from __future__ import annotations

import json
import os
import random
import socket
import threading

import pytest

from reference_node.lab.switch import OWN_US, Switch, serve, stamp_arrivals

SEED = 20
ALL = b"\xff" * 6
LATE = 10**12
"""A moment at which everything is due."""


def address(port: int) -> bytes:
    return bytes([2, 0, 0, 0, 0, port])


def frame(source: int, to: int | None, text: bytes = b"") -> bytes:
    return (ALL if to is None else address(to)) + address(source) + b"\x08\x00" + text


def known_switch(ports: int = 3, **order) -> Switch:
    """A switch that has seen a frame of every port, after an order."""
    switch = Switch(ports, random.Random(SEED))
    for port in range(ports):
        switch.take(port, frame(port, None), 0)
    assert len(list(switch.due(0))) == ports * (ports - 1)
    switch.obey(order)
    return switch


def ways(delay_us: int = 0, jitter_us: int = 0, loss_percent: int = 0, source: int = 0, to: int = 1) -> list:
    return [[source, to, delay_us, jitter_us, loss_percent]]


def receivers(switch: Switch, now_us: int = LATE) -> list[int]:
    return [to for to, _ in switch.due(now_us)]


def test_a_frame_to_all_reaches_each_by_the_law_of_its_way():
    switch = known_switch(ways=ways(delay_us=OWN_US + 700, to=1) + ways(delay_us=OWN_US + 300, to=2))
    switch.take(0, frame(0, None), 1000)
    assert switch.next_us == 1300
    assert receivers(switch, 1299) == []
    assert receivers(switch, 1300) == [2]
    assert receivers(switch, 1700) == [1]
    assert switch.next_us is None


def test_a_frame_goes_to_its_receiver_only_once_that_was_seen():
    switch = Switch(3, random.Random(SEED))
    switch.take(0, frame(0, 2), 0)
    assert receivers(switch) == [1, 2]
    switch.take(2, frame(2, 0), 0)
    assert receivers(switch) == [0]
    switch.take(0, frame(0, 2), 0)
    assert receivers(switch) == [2]


def test_a_delay_below_the_switchs_own_is_none_at_all():
    switch = known_switch(ways=ways(delay_us=OWN_US // 2))
    switch.take(0, frame(0, 1), 500)
    assert switch.next_us == 500


def test_nothing_overtakes_and_jitter_stays_within_its_bounds():
    switch = known_switch(ways=ways(delay_us=OWN_US + 1000, jitter_us=400))
    moments = []
    for number in range(500):
        switch.take(0, frame(0, 1, str(number).encode()), number * 50)
    arrived = []
    while switch.next_us is not None:
        now_us = switch.next_us
        for _, data in switch.due(now_us):
            arrived.append(int(data[14:]))
            moments.append(now_us - arrived[-1] * 50)
    assert arrived == list(range(500)), f"seed {SEED}"
    assert min(moments) >= 1000 and max(moments) <= 1400 and max(moments) - min(moments) > 200, f"seed {SEED}"


def test_a_shorter_delay_does_not_overtake_what_left_before():
    switch = known_switch(ways=ways(delay_us=OWN_US + 5000))
    switch.take(0, frame(0, 1, b"first"), 0)
    switch.obey({"ways": ways(delay_us=OWN_US + 100)})
    switch.take(0, frame(0, 1, b"second"), 1)
    assert [data[14:] for _, data in switch.due(5000)] == [b"first", b"second"]


def test_the_share_of_losses_is_the_one_asked_for():
    switch = known_switch(ways=ways(loss_percent=30))
    for _ in range(4000):
        switch.take(0, frame(0, 1), 0)
        switch.take(1, frame(1, 0), 0)
    got = receivers(switch)
    assert got.count(0) == 4000, "the other direction lost frames"
    assert abs(got.count(1) - 2800) < 5 * 29, f"seed {SEED}: {got.count(1)} of 4000"  # 5 standard deviations


@pytest.mark.parametrize(("order", "reached"), [
    ({"sides": [[1, 1]]}, {(0, 2), (2, 0)}),
    ({"sides": [[1, 1], [2, 1]]}, {(1, 2), (2, 1)}),
    ({"sides": [[1, 1], [2, 2]]}, set()),
    ({"sides": [[1, 1], [1, 0], [2, 3]]}, {(0, 1), (1, 0)}),
    ({"plugs": [[2, False]]}, {(0, 1), (1, 0)}),
    ({"plugs": [[2, False], [2, True]]}, {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}),
])  # fmt: skip
def test_only_ports_of_a_side_with_their_cables_in_reach_each_other(order, reached):
    switch = known_switch(**order)
    got = set()
    for source in range(3):
        for to in {0, 1, 2} - {source}:
            switch.take(source, frame(source, to), 0)
            got |= {(source, port) for port in receivers(switch)}
    assert got == reached


@pytest.mark.parametrize(("pulled", "got"), [(0, [1]), (1, [])], ids=["the sender's", "the receiver's"])
def test_what_is_on_its_way_when_a_cable_is_pulled_arrives_where_there_is_one(pulled, got):
    switch = known_switch(ways=ways(delay_us=OWN_US + 1000))
    switch.take(0, frame(0, 1), 0)
    switch.obey({"plugs": [[pulled, False]]})
    assert receivers(switch) == got


def test_lateness_is_the_worst_until_it_is_forgotten():
    switch = known_switch()
    for arrived_us, now_us in ((100, 130), (200, 205)):
        switch.take(0, frame(0, 1), arrived_us)
        assert receivers(switch, now_us) == [1]
    assert switch.obey({}) == {"late_us": 30}
    assert switch.obey({"forget": True}) == {"late_us": 0}


def test_the_loop_forwards_delayed_frames_obeys_at_once_and_ends_with_its_orders():
    hosts, ports = zip(*(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)), strict=True)
    for host, port in zip(hosts, ports, strict=True):
        host.settimeout(30)
        stamp_arrivals(port)
    order_in, order_out = os.pipe()
    answer_in, answer_out = os.pipe()
    switch = Switch(3, random.Random(SEED))
    loop = threading.Thread(target=serve, args=(switch, ports, order_in, answer_out), daemon=True)
    loop.start()

    def order(**changes) -> dict:
        os.write(order_out, json.dumps(changes).encode() + b"\n")
        return json.loads(os.read(answer_in, 4096))

    order(ways=ways(delay_us=50_000, to=2))
    hosts[0].send(frame(0, None, b"hello"))
    assert hosts[1].recv(99) == hosts[2].recv(99) == frame(0, None, b"hello")
    hosts[1].send(frame(1, 0, b"back"))
    assert hosts[0].recv(99) == frame(1, 0, b"back")
    order(plugs=[[0, False]])
    hosts[0].send(frame(0, None, b"lost"))
    assert "late_us" in order(plugs=[[0, True]], ways=ways(to=2))
    hosts[0].send(frame(0, None, b"again"))
    got = {host.recv(99) for host in hosts[1:]}
    assert got == {frame(0, None, b"again")}
    os.close(order_out)
    loop.join(30)
    assert not loop.is_alive()
