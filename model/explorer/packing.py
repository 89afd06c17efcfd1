"""A state as one 64-bit word for each sentinel; states that differ only by the sentinels' names have the same words.

A word is a row of bit fields: first what names nobody (`_head`), then what does (names are 1 + number, 0 = nobody).
Of the renamings that put the heads in order, the one with the smallest words counts. Heads do not depend on names, so
that is the same choice for all states that differ by names only; usually a single renaming is left to be tried.

Machine style: serves interpreted and compiled search.
"""

from __future__ import annotations

from model.effects import MAX_HOSTS
from model.explorer.election_steps import LONG_PAST_US, NOW_US, settle
from model.records import Record, number

OWN_FIELDS = ("current_epoch", "leader_epoch", "in_progress", "state", "failover_epoch", "leader")
"""What a state keeps of a sentinel, besides whether `start_us` is recent and the votes that it has cast."""
PEER_FIELDS = ("leader", "leader_epoch")
"""What a state keeps of a sentinel's view of another one."""
FORGOTTEN_FIELDS = ("stream.count", "answer_us", "watch.pending", "down", "file.current_epoch", "file.leader_epoch")
"""What the machine changes here and a state does not keep. `answer_us` and `down` are put back before every step
(nobody ever says that the primary is up); nothing in this part of the machine reads the others (nobody restarts)."""

MAX_BITS = 63
"""Bits of a word; the sign stays free."""
EPOCH_BITS = NAME_BITS = 3
_HEAD_BITS = 3 * EPOCH_BITS + 2 + 1 + 1

RENAMING = Record(
    "Renaming",
    "Other names for the sentinels.",
    [
        number("order", "number of the sentinel that is called k", 0, MAX_HOSTS, "", MAX_HOSTS),
        number("name", "new value of a field that names a sentinel", 0, MAX_HOSTS, "", MAX_HOSTS + 1),
    ],
)


def bits(sentinels, epochs):
    """Bits that a word needs."""
    return _HEAD_BITS + NAME_BITS * (1 + epochs) + (sentinels - 1) * (NAME_BITS + EPOCH_BITS)


def pack(system, renamings):
    """Write the state to `system.packed`: the same words whatever the sentinels are called."""
    count = system.sentinels
    _write_heads(system)
    is_first = True
    for index in range(len(renamings)):
        if _is_in_order(system, renamings[index]):
            _write_words(system, renamings[index])
            if is_first or _is_smaller(system):
                for place in range(count):
                    system.packed[place] = system.word[place]
            is_first = False


def pack_as(system, renaming):
    """Write the state to `system.word` under one renaming."""
    _write_heads(system)
    _write_words(system, renaming)


def _write_heads(system):
    for number_ in range(system.sentinels):
        system.head[number_] = _head(system.node[number_])


def _write_words(system, renaming):
    for place in range(system.sentinels):
        system.word[place] = _word(system, renaming, place)


def _head(node):
    head = node.current_epoch
    head = head << EPOCH_BITS | node.leader_epoch
    head = head << EPOCH_BITS | node.failover_epoch
    head = head << 2 | node.state
    head = head << 1 | node.in_progress
    return head << 1 | (1 if node.start_us != LONG_PAST_US else 0)


def _is_in_order(system, renaming):
    for place in range(1, system.sentinels):
        if system.head[renaming.order[place - 1]] > system.head[renaming.order[place]]:
            return False
    return True


def _word(system, renaming, place):
    """The sentinel that is called `place` under a renaming."""
    number_ = renaming.order[place]
    node = system.node[number_]
    word = system.head[number_] << NAME_BITS | renaming.name[node.leader]
    for epoch in range(1, system.epochs + 1):
        word = word << NAME_BITS | renaming.name[system.cast[number_].vote[epoch]]
    for other in range(system.sentinels):
        if other != place:
            peer = renaming.order[other]
            word = word << NAME_BITS | renaming.name[node.peer[peer].leader]
            word = word << EPOCH_BITS | node.peer[peer].leader_epoch
    return word


def _is_smaller(system):
    for place in range(system.sentinels):
        if system.word[place] != system.packed[place]:
            return system.word[place] < system.packed[place]
    return False


def unpack(system, words, at):
    """Put all sentinels into the state that starts at `words[at]`."""
    for number_ in range(system.sentinels):
        settle(system, number_)
        _unpack_word(system, number_, words[at + number_])


def _unpack_word(system, number_, word):
    """The fields from last to first: `_word` and `_head` backwards."""
    node = system.node[number_]
    for back in range(1, system.sentinels + 1):
        peer = system.sentinels - back
        if peer != number_:
            node.peer[peer].leader_epoch = word & 7
            node.peer[peer].leader = word >> 3 & 7
            word >>= 6
    for back in range(system.epochs):
        system.cast[number_].vote[system.epochs - back] = word & 7
        word >>= 3
    node.leader = word & 7
    node.start_us = NOW_US if word >> 3 & 1 == 1 else LONG_PAST_US
    node.in_progress = word >> 4 & 1
    node.state = word >> 5 & 3
    node.failover_epoch = word >> 7 & 7
    node.leader_epoch = word >> 10 & 7
    node.current_epoch = word >> 13
