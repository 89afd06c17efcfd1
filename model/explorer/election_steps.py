"""The explored system in the style of a machine: state, steps, properties. Serves interpreted and compiled search.

A step is one call of the sentinel machine's own functions. `model.explorer.election` says what is abstracted, and why
what holds here holds in real time.
"""

from __future__ import annotations

from model import sentinel
from model.effects import MAX_HOSTS, MESSAGE, OUT, REPORT, VOTE_FOR_LEADER, clear
from model.records import Record, flag, nested, number
from model.sentinel import SENTINEL

NOW_US = 1 << 40
"""The only instant there is; an instant before it by more than any limit is `LONG_PAST_US`."""
LONG_PAST_US = 1
LIMIT_US = 1_000_000
"""Every time limit of the explored sentinels: only recent and long past are told apart."""

MAX_EPOCHS = 7
"""Most epochs: a packed state has three bits for one. Kind: assumed."""

# Kinds of steps.
ACT, WAIT, FORGET, HEAR, ASKED, LEARN = range(6)

# What is looked for, as bits: what must never be ...
TWO_VOTES, TWO_LEADERS = 1, 2
FORBIDDEN = TWO_VOTES | TWO_LEADERS
# ... and what must be somewhere, lest the rest be empty truths.
IS_ELECTED, HAS_FAILED = 4, 8
LOOKED_FOR = 4
"""How many of these there are."""

CHOICE = Record(
    "Choice",
    "One step that may be possible.",
    [
        number("kind", "ACT .. LEARN", 0, 5),
        number("number", "number of the sentinel that takes the step", 0, MAX_HOSTS),
        number("peer", "number of the other sentinel concerned", 0, MAX_HOSTS),
        number("epoch", "epoch concerned", 0, MAX_EPOCHS),
    ],
)

BALLOTS = Record(
    "Ballots",
    "What a sentinel has ever voted.",
    [number("vote", "by epoch: 1 + number of the sentinel that got the vote, 0 = none", 0, MAX_HOSTS, "", 8)],
)
assert BALLOTS.fields[0].count == MAX_EPOCHS + 1

SYSTEM = Record(
    "Election",
    "The sentinels of one group, and what they have ever voted.",
    [
        number("sentinels", "how many", 1, MAX_HOSTS),
        number("epochs", "attempts start only below this epoch", 1, MAX_EPOCHS),
        nested("node", "the sentinels", SENTINEL, MAX_HOSTS),
        nested("cast", "their votes", BALLOTS, MAX_HOSTS),
        flag("stalls", "sentinels and messages may take any time: gates and time-outs come in any order"),
        flag("voted_twice", "the last step gave a second, other vote in an epoch"),
        nested("out", "effects of the last step", OUT),
        nested("message", "what the last step delivered", MESSAGE),
        number("head", "packing: the part of each sentinel that names nobody", 0, 1 << 62, "", MAX_HOSTS),
        number("word", "packing: the sentinels under one renaming", 0, 1 << 62, "", MAX_HOSTS),
        number("packed", "packing: the sentinels under the smallest renaming", 0, 1 << 62, "", MAX_HOSTS),
    ],
)


def set_up(system, sentinels, quorum, epochs, stalls):
    """Everybody sees the primary down, nobody has acted."""
    system.sentinels = sentinels
    system.epochs = epochs
    system.stalls = stalls
    for number_ in range(sentinels):
        node = system.node[number_]
        node.me = number_
        node.hosts = sentinels
        node.quorum = quorum
        node.parallel_syncs = 1
        node.down_after_us = LIMIT_US
        node.failover_timeout_us = LIMIT_US
        node.primary = 0
        node.o_down = 1
        node.start_us = LONG_PAST_US
        node.state_us = NOW_US
        node.server[0].watch.known = 1
        node.server[0].watch.s_down = 1
        for peer in range(sentinels):
            if peer != number_:
                watch = node.peer[peer].watch
                watch.known = 1
                watch.connected = 1
                watch.cc = 1
        sentinel.write_file(node)
        settle(system, number_)


def settle(system, number_):
    """Give the fields of a sentinel that a state does not keep their fixed values."""
    node = system.node[number_]
    node.stream.count = 0
    for peer in range(system.sentinels):
        if peer != number_:
            view = node.peer[peer]
            view.answer_us = NOW_US
            view.watch.pending = 0
            view.down = 1


# --- steps -----------------------------------------------------------------------------------------------------------


def step(system, choice):
    """Take a step if it is possible; True if it was."""
    node = system.node[choice.number]
    system.out.n = 0
    system.voted_twice = 0
    clear(system.message)
    system.message.epoch = choice.epoch
    kind = choice.kind
    if kind == ACT:
        is_taken = _act(system, node)
    elif kind == WAIT:
        is_taken = _wait(node)
    elif kind == FORGET:
        is_taken = _forget(system, node, choice.peer)
    elif kind == HEAR:
        is_taken = _hear(system, node, choice.epoch)
    elif kind == ASKED:
        is_taken = _asked(system, node, choice.peer, choice.epoch)
    else:
        is_taken = _learn(system, node, choice.peer, choice.epoch)
    if is_taken:
        _remember_votes(system, choice.number)
    return is_taken


def _act(system, node):
    """The acting half of a tick; an attempt starts only below the last epoch."""
    is_leader = node.state == sentinel.SELECT
    is_open = node.start_us == LONG_PAST_US and not _would_be_too_early(system, node)
    may_start = node.current_epoch < system.epochs and is_open
    if is_leader or (node.in_progress == 0 and not may_start):
        return False
    sentinel.act_on_primary(node, NOW_US, system.out)
    return True


def _would_be_too_early(system, node):
    """Since it voted in an epoch, 2 x failover-timeout have gone by: all know of it, older attempts are over."""
    too_early = False
    for other in range(system.sentinels):
        peer = system.node[other]
        is_old = peer.state == sentinel.WAIT_START and peer.failover_epoch <= node.leader_epoch
        has_not_heard = peer.current_epoch < node.leader_epoch
        too_early = too_early or (system.stalls == 0 and other != node.me and (is_old or has_not_heard))
    return too_early


def _wait(node):
    """The last start becomes long past."""
    if node.state == sentinel.SELECT or node.start_us == LONG_PAST_US:
        return False
    node.start_us = LONG_PAST_US
    return True


def _forget(system, node, peer):
    """The last answer of a peer becomes too old."""
    if node.state == sentinel.SELECT or node.peer[peer].leader == 0:
        return False
    node.peer[peer].answer_us = LONG_PAST_US
    sentinel.ask_others(node, NOW_US, False, system.out)
    return True


def _hear(system, node, epoch):
    """A hello with an epoch that somebody has reached."""
    highest = 0
    for number_ in range(system.sentinels):
        highest = max(highest, system.node[number_].current_epoch)
    if epoch > highest or epoch <= node.current_epoch:
        return False
    system.message.sentinel = (node.me + 1) % system.sentinels + 1
    sentinel.on_hello(node, NOW_US, system.message, system.out)
    return True


def _asked(system, node, peer, epoch):
    """A peer that has ever started an attempt asks for a vote in an epoch that it has reached."""
    candidate = system.node[peer]
    if candidate.failover_epoch == 0 or epoch > candidate.current_epoch:
        return False
    system.message.primary = node.primary + 1
    system.message.sentinel = peer + 1
    sentinel.on_ask(node, NOW_US, peer, system.message, system.out)
    return True


def _learn(system, node, peer, epoch):
    """An answer with a vote that a peer has cast."""
    if system.cast[peer].vote[epoch] == 0:
        return False
    system.message.sentinel = system.cast[peer].vote[epoch]
    system.message.down = 1
    sentinel.on_ask_reply(node.peer[peer], NOW_US, system.message)
    return True


def _remember_votes(system, number_):
    vote = system.cast[number_].vote
    for index in range(system.out.n):
        effect = system.out.effects[index]
        if effect.kind == REPORT and effect.report == VOTE_FOR_LEADER:
            if vote[effect.code] != 0 and vote[effect.code] != effect.about:
                system.voted_twice = 1
            vote[effect.code] = effect.about


# --- what can never be read again ------------------------------------------------------------------------------------


def tidy(system):
    """Set to 0 what no later step can read, so that states that behave alike are one.

    All of it rests on this: a current epoch only grows, and so does the epoch of a sentinel's last vote.
    """
    for number_ in range(system.sentinels):
        node = system.node[number_]
        _tidy_attempt(system, node)
        for peer in range(system.sentinels):
            _tidy_view(system, node, node.peer[peer])
    for number_ in range(system.sentinels):
        for epoch in range(1, system.epochs + 1):
            if epoch < system.node[number_].current_epoch and not _can_be_learnt(system, number_, epoch):
                system.cast[number_].vote[epoch] = 0


def counts_votes(system, node):
    """False for who is elected, or has no attempt and can start none: it counts no votes any more."""
    return node.state == sentinel.WAIT_START or (node.in_progress == 0 and node.current_epoch < system.epochs)


def _tidy_attempt(system, node):
    """Start and epoch of an attempt matter while it lasts; the own vote is counted in an attempt of its epoch only.

    Besides that, the epoch of the last vote bars votes in the current epoch, and an ended attempt shows that there was
    one.
    """
    if not counts_votes(system, node):
        node.start_us = LONG_PAST_US
    if node.state != sentinel.WAIT_START or node.leader_epoch != node.failover_epoch:
        node.leader = 0
        waits_for_others = system.stalls == 0 and node.current_epoch < system.epochs
        if node.leader_epoch < node.current_epoch and not waits_for_others:
            node.leader_epoch = 0
    if node.in_progress == 0:
        node.failover_epoch = min(node.failover_epoch, 1)


def _tidy_view(system, node, view):
    """A peer's vote counts in the current epoch; where an attempt must start first, in a later one."""
    if view.leader == 0 or not _can_count(system, node, view.leader_epoch):
        view.leader = 0
        view.leader_epoch = 0


def _can_count(system, node, epoch):
    """A vote of a peer in this epoch can count for `node`, now or later."""
    return counts_votes(system, node) and epoch >= node.current_epoch + 1 - node.in_progress


def _can_be_learnt(system, number_, epoch):
    """Another sentinel can still count the vote of this one in `epoch`."""
    can = False
    for other in range(system.sentinels):
        can = can or (other != number_ and _can_count(system, system.node[other], epoch))
    return can


# --- properties ------------------------------------------------------------------------------------------------------


def observed(system):
    """What is looked for and holds after the last step, as bits."""
    bits = TWO_VOTES if system.voted_twice == 1 else 0
    for number_ in range(system.sentinels):
        node = system.node[number_]
        if node.state == sentinel.SELECT:
            bits |= IS_ELECTED
            if _is_elected_too(system, number_, node.failover_epoch):
                bits |= TWO_LEADERS
        if node.in_progress == 0 and node.failover_epoch != 0:
            bits |= HAS_FAILED
    return bits


def _is_elected_too(system, number_, epoch):
    """A sentinel of lower number is elected for the same epoch."""
    for other in range(number_):
        node = system.node[other]
        if node.state == sentinel.SELECT and node.failover_epoch == epoch:
            return True
    return False
