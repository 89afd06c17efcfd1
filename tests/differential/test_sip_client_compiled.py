"""The SIP client machine compiled does what it does interpreted: every class, the same events, state and effects."""

from __future__ import annotations

import random

import numpy as np
import pytest

from model import draws, effects, sip_client
from model.client_classes import CLASSES, configure
from model.compiled import compile_function, to_numpy
from model.effects import CRLF_PONG, LINK_CLOSED, LINK_OPEN, MAX_HOSTS, RESOLVED, RESPONSE
from model.sip_client import DNS_LINK, TIMERS

SEED = 20251125
EVENTS = 300
STATUS = (100, 200, 200, 200, 401, 403, 404, 423, 480, 500, 503, 600)

BOOT, SETTLE, TIMER, MESSAGE = range(4)


def step(node, message, out, kind, now_us, which):
    """One event; what `node`, `message` and `out` hold one of is an array for the compiled one and a list else."""
    if kind == BOOT:
        sip_client.boot(node[0], now_us, which, out[0])
    elif kind == SETTLE:
        sip_client.settle(node[0], now_us, 0, which, out[0])
        return sip_client.steady_age_us(node[0]) + sip_client.newest_flow(node[0])
    elif kind == TIMER:
        sip_client.on_timer(node[0], now_us, which, out[0])
    else:
        sip_client.on_message(node[0], now_us, which, message[0], out[0])
    return 0


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_compiled_and_interpreted_clients_agree(name):
    compiled = compile_function(step)
    chance = random.Random(f"{SEED} {name}")
    node, message, out = [sip_client.CLIENT.new()], [effects.MESSAGE.new()], [effects.OUT.new()]
    configure(node[0], CLASSES[name], chance.randrange(len(CLASSES[name].transports)), 3_600, 1, 0)
    draws.start(node[0].stream, SEED, 0, 0, 0)
    twin, twin_out = to_numpy(sip_client.CLIENT, node), to_numpy(effects.OUT, out)
    now_us = 5_000_000_000
    for number in range(EVENTS):
        now_us += chance.choice([0, 1_000, 700_000, 40_000_000])
        kind, which = _event(chance, number, node[0], message[0])
        for field in sip_client.CLIENT.fields:  # the driver's part of an answer of the DNS
            if field.name.startswith("answer_") and kind in (MESSAGE, SETTLE):
                twin[0][field.name] = getattr(node[0], field.name)
        returned = step(node, message, out, kind, now_us, which)
        assert compiled(twin, to_numpy(effects.MESSAGE, message), twin_out, kind, now_us, which) == returned
        seen = f"seed {SEED}, event {number}"
        assert np.array_equal(twin, to_numpy(sip_client.CLIENT, node)), seen
        made = out[0].n
        assert twin_out[0]["n"] == made, seen
        assert np.array_equal(twin_out[0]["effects"][:made], to_numpy(effects.EFFECT, out[0].effects[:made])), seen
        out[0].n = twin_out[0]["n"] = 0


def _event(chance, number, node, message):
    """(kind, timer, source or age) of the next event; fills what it needs."""
    if number == 0:
        return BOOT, 0
    if number == EVENTS // 2:
        _fill_answer(chance, node)
        return SETTLE, 100_000_000
    if chance.random() < 0.4:
        return TIMER, chance.randrange(TIMERS)
    effects.clear(message)
    message.kind = chance.choice([RESOLVED, LINK_OPEN, LINK_OPEN, LINK_CLOSED, RESPONSE, RESPONSE, CRLF_PONG])
    if message.kind == RESOLVED:
        _fill_answer(chance, node)
        message.code = chance.choice([0, 0, 0, 1, 2])
        return MESSAGE, DNS_LINK
    flow = chance.randrange(node.flows)
    message.request = node.flow[flow].transaction
    message.seconds = chance.choice([0, 5, 60, 3_600])
    message.code = {RESPONSE: chance.choice(STATUS), LINK_OPEN: chance.choice([9, 15, 1]), LINK_CLOSED: 0}.get(
        message.kind, 0
    )
    return MESSAGE, flow


def _fill_answer(chance, node):
    hosts = chance.sample(range(MAX_HOSTS), chance.randrange(1, MAX_HOSTS + 1))
    node.answer_count, node.answer_ttl_s = len(hosts), chance.choice([0, 30, 3_600])
    for at, host in enumerate(hosts):
        node.answer_host[at] = host
        node.answer_priority[at], node.answer_weight[at] = chance.choice([0, 0, 7]), chance.choice([0, 1, 100])
