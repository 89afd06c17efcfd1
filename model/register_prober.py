"""The register prober: a client that keeps registering and keeps count of what comes back.

The client sends a REGISTER every period, each one a new transaction, without waiting for the earlier ones, and calls
it *confirmed* (2xx), *refused* (any other final answer) or *unknown* (no final answer in time): three outcomes, never
two. Outcomes are settled in the order of sending and reported only when they change; so an outage of a node is one
report that is not `confirmed` (with the age of the first failing request) and one that is.

The easy way, one request at a time, would see a silent node only once a time-out and blur the end of every outage.

Left out: retransmissions (Timer E of RFC 3261, 17.1.2.2: a probe that is sent again would hide the very gap it is to
show), SRV, transports other than UDP, back-off: those are the business of `model.sip_client`.
"""

from __future__ import annotations

from model.effects import (
    CONFIRMED,
    REFUSED,
    REGISTER,
    RESPONSE,
    UNKNOWN,
    report,
    send,
    set_timer,
)
from model.records import FAR_FUTURE_US, Record, duration, instant, number

MAX_OPEN = 128
"""Most requests whose outcome is not settled: time-out / period must stay below. Kind: assumed."""

NODE_LINK = 0
"""The client's only flow: datagrams to its node."""

# Timers.
TIMER_SEND, TIMER_GIVE_UP = 0, 1

CLIENT = Record(
    "Client",
    "A client that registers periodically through one node.",
    [
        duration("period_us", "a REGISTER is sent this often"),
        duration("timeout_us", "without a final answer for this long the outcome is unknown"),
        number("node", "number of the host whose registrar is used", 0, 7),
        number("sent", "requests sent so far; the number of the next one", 0, FAR_FUTURE_US),
        number("settled", "requests settled so far; the oldest open one", 0, FAR_FUTURE_US),
        number("last", "outcome reported last: CONFIRMED, REFUSED or UNKNOWN, 0 = none yet", 0, 255),
        number("confirmed", "how many were confirmed", 0, FAR_FUTURE_US),
        number("refused", "how many were refused", 0, FAR_FUTURE_US),
        number("unknown", "how many stayed unknown", 0, FAR_FUTURE_US),
        instant("sent_us", "when an open request was sent", MAX_OPEN),
        instant("ended_us", "when its outcome was known, 0 = open", MAX_OPEN),
        number("code", "its status, 0 = none came", 0, 699, count=MAX_OPEN),
    ],
)


def on_timer(node, now_us, which, out):
    """A timer of this client has run down."""
    if which == TIMER_SEND:
        slot = node.sent % MAX_OPEN
        node.sent_us[slot] = now_us
        node.ended_us[slot] = 0
        node.code[slot] = 0
        send(out, NODE_LINK, REGISTER).request = node.sent
        node.sent += 1
        set_timer(out, TIMER_SEND, node.period_us)
        if node.sent == node.settled + 1:
            set_timer(out, TIMER_GIVE_UP, node.timeout_us)
    elif which == TIMER_GIVE_UP:
        for request in range(node.settled, node.sent):
            slot = request % MAX_OPEN
            if node.ended_us[slot] == 0 and now_us - node.sent_us[slot] >= node.timeout_us:
                node.ended_us[slot] = now_us
        _settle(node, now_us, out)


def on_message(node, now_us, source, message, out):
    """An answer has come. Provisional, late (the request was given up) and repeated ones are ignored."""
    is_final = message.kind == RESPONSE and message.code >= 200
    if not is_final or message.request < node.settled or message.request >= node.sent:
        return
    slot = message.request % MAX_OPEN
    if node.ended_us[slot] == 0:
        node.ended_us[slot] = now_us
        node.code[slot] = message.code
        _settle(node, now_us, out)


def _settle(node, now_us, out):
    """Settle the oldest requests as far as their outcomes are known, then wait for the oldest open one."""
    while node.settled < node.sent and node.ended_us[node.settled % MAX_OPEN] != 0:
        slot = node.settled % MAX_OPEN
        outcome = _outcome(node.code[slot])
        if outcome == CONFIRMED:
            node.confirmed += 1
        elif outcome == REFUSED:
            node.refused += 1
        else:
            node.unknown += 1
        if outcome != node.last:
            node.last = outcome
            effect = report(out, outcome, node.node + 1, node.ended_us[slot], node.code[slot])
            effect.detail_us = node.ended_us[slot] - node.sent_us[slot]
        node.settled += 1
    if node.settled < node.sent:
        due_us = node.sent_us[node.settled % MAX_OPEN] + node.timeout_us
        set_timer(out, TIMER_GIVE_UP, max(due_us - now_us, 0))


def _outcome(code):
    if code == 0:
        return UNKNOWN
    return CONFIRMED if 200 <= code < 300 else REFUSED
