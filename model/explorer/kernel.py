"""Breadth-first expansion of states, in machine style: the same source runs interpreted and compiled.

States are numbered as they are found; `words` holds them one after the other, `parent` the number of the state that
each was found from. `table` finds a state by its words: open addressing, 1 + number, 0 = free; its length is a power of
two. The driver grows all three; an empty table is filled again before anything else.
"""

from __future__ import annotations

from model.explorer.election_steps import FORBIDDEN, LOOKED_FOR, observed, step, tidy
from model.explorer.packing import pack, unpack
from model.records import FAR_FUTURE_US, Record, flag, number

SEARCH = Record(
    "Search",
    "How far a search has come.",
    [
        number("states", "distinct states", 0, FAR_FUTURE_US),
        number("filed", "states that are in the table", 0, FAR_FUTURE_US),
        number("expanded", "states whose steps were all tried", 0, FAR_FUTURE_US),
        number("transitions", "steps tried", 0, FAR_FUTURE_US),
        number("depth", "steps to the states that are being expanded", 0, FAR_FUTURE_US),
        number("layer_end", "number of the first state that is farther away", 0, FAR_FUTURE_US),
        number("deepest", "steps to the farthest state", 0, FAR_FUTURE_US),
        number("seen", "what was seen of all that is looked for, as bits", 0, (1 << LOOKED_FOR) - 1),
        number("steps_to", "for each bit: steps to where it was seen first", 0, FAR_FUTURE_US, "", LOOKED_FOR),
        number("broken_at", "number of the state from which a step first led to something forbidden", 0, FAR_FUTURE_US),
        flag("goes_on", "something forbidden does not end the search"),
    ],
)


def expand(system, search, choices, renamings, words, parent, table, limit):
    """Expand at most `limit` states; fewer when something forbidden is seen, or `parent` may be too short for more."""
    for number_ in range(search.filed, search.states):
        table[_slot(system, words, number_ * system.sentinels, table)] = number_ + 1
    search.filed = search.states
    end = min(search.expanded + limit, search.states)
    while search.expanded < end and search.states + len(choices) <= len(parent):
        if search.expanded == search.layer_end:
            search.layer_end = search.states
            search.depth += 1
        _expand_one(system, search, choices, renamings, words, parent, table)
        if search.seen & FORBIDDEN != 0 and search.goes_on == 0:
            return
        search.expanded += 1


def _expand_one(system, search, choices, renamings, words, parent, table):
    at = search.expanded * system.sentinels
    unpack(system, words, at)
    for index in range(len(choices)):
        if step(system, choices[index]):
            search.transitions += 1
            _observe(system, search)
            tidy(system)
            pack(system, renamings)
            _file(system, search, words, parent, table)
            unpack(system, words, at)


def _observe(system, search):
    """Note what is seen for the first time: states come in order of their distance, so this is the shortest way."""
    fresh = observed(system) & ~search.seen
    if fresh == 0:
        return
    if fresh & FORBIDDEN != 0 and search.seen & FORBIDDEN == 0:
        search.broken_at = search.expanded
    search.seen |= fresh
    for bit in range(LOOKED_FOR):
        if fresh >> bit & 1 == 1:
            search.steps_to[bit] = search.depth + 1


def _file(system, search, words, parent, table):
    """Keep the state in `system.packed` if it is a new one."""
    at = search.states * system.sentinels
    for place in range(system.sentinels):
        words[at + place] = system.packed[place]
    slot = _slot(system, words, at, table)
    if table[slot] != 0:
        return
    parent[search.states] = search.expanded
    search.states += 1
    search.filed += 1
    table[slot] = search.states
    search.deepest = search.depth + 1


def _slot(system, words, at, table):
    """Where the state that starts at `words[at]` is in the table, or the free place where it belongs."""
    mask = len(table) - 1
    slot = _hash(system, words, at) & mask
    while table[slot] != 0 and not _are_equal(system, words, at, (table[slot] - 1) * system.sentinels):
        slot = (slot + 1) & mask
    return slot


def _are_equal(system, words, one, other):
    place = 0
    while place < system.sentinels and words[one + place] == words[other + place]:
        place += 1
    return place == system.sentinels


def _hash(system, words, at):
    """31 bits. Products stay below 2^63, so that plain and 64-bit integers agree."""
    mixed = 0
    for place in range(system.sentinels):
        word = words[at + place]
        mixed = _mix(mixed ^ (word & 0x7FFFFFFF))
        mixed = _mix(mixed ^ (word >> 31 & 0x7FFFFFFF))
        mixed = _mix(mixed ^ (word >> 62))
    return mixed


def _mix(value):
    product = value * 0x45D9F3B3
    return (product ^ product >> 31) & 0x7FFFFFFF
