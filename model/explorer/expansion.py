"""Breadth-first expansion of a product of parts, in machine style: compiled, it is the inner loop of the search.

A state is a row of numbers, one local state for each part. What local states do is in tables that the driver fills by
running the machines (`model.explorer.tables`). Where entries are missing for a state, the expansion stops after it and
says so; the driver fills them in and calls again, and the state is expanded from its beginning.

States are numbered as they are found; `parent` holds the number of the state that each was found from, `table` finds a
state by its row: open addressing, 1 + number, 0 = free; its length is a power of two. The driver grows all three; an
empty table is filled again before anything else.
"""

from __future__ import annotations

from model.records import FAR_FUTURE_US, Record, flag, number

MAX_PARTS = 16
"""Most parts of a model. Kind: assumed."""
MAX_PROPERTIES = 32
"""Most properties of a model. Kind: assumed."""

MAX_MISSING = 64
"""Most entries that are asked for at once. Kind: assumed."""

# What can be missing.
MOVES, RECEPTION, SIMPLER, RENAMED, ROOM = range(5)

# Columns of the table of local states ...
MARKS, GUARDS, READS, COLOUR, URGENT, FIRST_MOVE, END_MOVE, LOCAL_WIDTH = range(8)
# ... of moves ...
AFTER, TO, SENDS, WITHOUT, WITH_ANY, WITH_ALL, MOVE_WIDTH = range(7)
# ... and of patterns.
ALL_OF, NONE_OF, ON_TWO, NOT_ON_TWO, PROPERTY, PATTERN_WIDTH = range(6)

UNKNOWN, IMPOSSIBLE = -2, -1
"""In the table of receptions, besides numbers of local states."""

SEARCH = Record(
    "Search",
    "How far a search has come.",
    [
        number("parts", "numbers in a row", 1, MAX_PARTS),
        number("hosts", "hosts that are alike", 0, MAX_PARTS),
        number("renamings", "how many, the identity among them", 1, FAR_FUTURE_US),
        number("read_bits", "bits of what is read; 0: nothing is simplified", 0, 16),
        number("messages", "width of the table of receptions", 0, FAR_FUTURE_US),
        number("states", "distinct states", 0, FAR_FUTURE_US),
        number("filed", "states that are in the table", 0, FAR_FUTURE_US),
        number("expanded", "states whose steps were all tried", 0, FAR_FUTURE_US),
        number("transitions", "steps out of expanded states", 0, FAR_FUTURE_US),
        number("tried", "steps out of the state that is being expanded", 0, FAR_FUTURE_US),
        number("depth", "steps to the states that are being expanded", 0, FAR_FUTURE_US),
        number("layer_end", "number of the first state that is farther away", 0, FAR_FUTURE_US),
        number("deepest", "steps to the farthest state", 0, FAR_FUTURE_US),
        number("seen", "properties whose patterns were seen, as bits", 0, FAR_FUTURE_US),
        number("forbidden", "properties that end the search when they are seen, as bits", 0, FAR_FUTURE_US),
        number("seen_at", "by property: number of the state where its patterns were seen first", 0, FAR_FUTURE_US,
               "", MAX_PROPERTIES),
        number("steps_to", "by property: steps to that state", 0, FAR_FUTURE_US, "", MAX_PROPERTIES),
        flag("lists", "successors are listed, not filed"),
        number("listed", "how many are listed", 0, FAR_FUTURE_US),
        number("missing", "how many entries are missing", 0, MAX_MISSING),
        number("kind", "for each: what it is", 0, 4, "", MAX_MISSING),
        number("of", "the local state that it is missing of", 0, FAR_FUTURE_US, "", MAX_MISSING),
        number("what", "the message, what is read, or the renaming", 0, FAR_FUTURE_US, "", MAX_MISSING),
        number("guards", "guards of all parts", 0, FAR_FUTURE_US),
        number("urgent", "the part that moves before all others, -1: none", -1, MAX_PARTS),
        number("now", "the state that is being expanded", 0, FAR_FUTURE_US, "", MAX_PARTS),
        number("next", "a state that follows", 0, FAR_FUTURE_US, "", MAX_PARTS),
        number("trial", "the same under one renaming", 0, FAR_FUTURE_US, "", MAX_PARTS),
        number("best", "the same under the smallest renaming so far", 0, FAR_FUTURE_US, "", MAX_PARTS),
        number("key", "colours of each host", 0, FAR_FUTURE_US, "", MAX_PARTS),
    ],
)  # fmt: skip


def expand(search, local, move, after, answer, simpler, renamed, places, patterns, states, parent, table, limit):
    """Expand at most `limit` states; fewer when something is missing or forbidden."""
    for number_ in range(search.filed, search.states):
        table[_slot(search, states, number_ * search.parts, table)] = number_ + 1
    search.filed = search.states
    search.missing = 0
    end = min(search.expanded + limit, search.states)
    while search.expanded < end:
        if search.expanded == search.layer_end:
            search.layer_end = search.states
            search.depth += 1
        _begin(search, local, states, search.expanded)
        _try_all(search, local, move, after, answer, simpler, renamed, places, patterns, states, parent, table)
        if search.missing > 0 or search.seen & search.forbidden != 0:
            return
        search.transitions += search.tried
        search.expanded += 1


def list_successors(search, local, move, after, answer, simpler, renamed, places, states, table, first, found, ends):
    """Write the numbers of the states that follow those from `first` on into `found`, one after the other.

    `ends[k]` is where those of the k-th end; returns for how many states there was room.
    """
    search.lists = 1
    search.listed = 0
    done = 0
    while done < len(ends) and first + done < search.expanded:
        search.missing = 0
        _begin(search, local, states, first + done)
        _try_all(search, local, move, after, answer, simpler, renamed, places, places, states, found, table)
        if search.missing > 0:
            break
        ends[done] = search.listed
        done += 1
    search.lists = 0
    return done


def file_first(search, local, renamed, places, patterns, states, parent, table):
    """File the state in `search.next` as the first one."""
    search.missing = 0
    if _rename(search, local, renamed, places):
        _file(search, local, patterns, states, parent, table)


def _begin(search, local, states, number_):
    search.tried = 0
    search.guards = 0
    search.urgent = -1
    for part in range(search.parts):
        here = states[number_ * search.parts + part]
        search.now[part] = here
        search.next[part] = here
        search.guards |= local[here * LOCAL_WIDTH + GUARDS]
        if local[here * LOCAL_WIDTH + URGENT] == 1:
            search.urgent = part


def _try_all(search, local, move, after, answer, simpler, renamed, places, patterns, states, parent, table):
    for part in range(search.parts):
        row = search.now[part] * LOCAL_WIDTH
        if search.urgent >= 0 and search.urgent != part:
            continue
        if local[row + FIRST_MOVE] < 0:
            _miss(search, MOVES, search.now[part], 0)
            continue
        for index in range(local[row + FIRST_MOVE], local[row + END_MOVE]):
            if _take(search, move, after, answer, part, index * MOVE_WIDTH):
                is_known = _simplify(search, local, simpler) and _rename(search, local, renamed, places)
                if is_known and search.missing == 0:  # else its turn comes when what is missing is there: same order
                    _file(search, local, patterns, states, parent, table)
                for place in range(search.parts):
                    search.next[place] = search.now[place]
            if search.missing == MAX_MISSING or (search.missing > 0 and search.kind[search.missing - 1] == ROOM):
                return


def _miss(search, kind, of, what):
    """Ask for an entry, unless it was the last that was asked for."""
    last = search.missing - 1
    if last >= 0 and search.kind[last] == kind and search.of[last] == of and search.what[last] == what:
        return
    search.kind[search.missing] = kind
    search.of[search.missing] = of
    search.what[search.missing] = what
    search.missing += 1


def _take(search, move, after, answer, part, at):
    """Take a move if it is possible; True if that leads to another state, which is then in `search.next`."""
    if not _is_open(move, at, search.guards):
        return False
    mine = move[at + AFTER]
    to = move[at + TO]
    if to >= 0:
        entry = search.now[to] * search.messages + move[at + SENDS]
        theirs = after[entry]
        if theirs == UNKNOWN:
            _miss(search, RECEPTION, search.now[to], move[at + SENDS])
        if theirs < 0:
            return False
        if answer[entry] >= 0:
            back = mine * search.messages + answer[entry]
            if after[back] == UNKNOWN:
                _miss(search, RECEPTION, mine, answer[entry])
                return False
            if after[back] >= 0:
                mine = after[back]
        search.next[to] = theirs
    search.next[part] = mine
    search.tried += 1
    return mine != search.now[part] or (to >= 0 and search.next[to] != search.now[to])


def _is_open(move, at, guards):
    """The masks of a move allow it."""
    with_any = move[at + WITH_ANY]
    with_all = move[at + WITH_ALL]
    if move[at + WITHOUT] & guards != 0 or with_all & guards != with_all:
        return False
    return with_any == 0 or with_any & guards != 0


def _simplify(search, local, simpler):
    """Drop of each part what no other will read; False if that is not known yet."""
    if search.read_bits == 0:
        return True
    for part in range(search.parts):
        read = 0
        for other in range(search.parts):
            if other != part:
                read |= local[search.next[other] * LOCAL_WIDTH + READS]
        entry = simpler[(search.next[part] << search.read_bits) + read]
        if entry < 0:
            _miss(search, SIMPLER, search.next[part], read)
            return False
        search.next[part] = entry
    return True


def _rename(search, local, renamed, places):
    """Of all renamings that put the hosts' colours in order, the one with the smallest row, into `search.best`.

    False if that is not known yet.
    """
    if search.renamings == 1:
        for part in range(search.parts):
            search.best[part] = search.next[part]
        return True
    for host in range(search.hosts):
        search.key[host] = 0
        for row in range(search.parts // search.hosts):
            search.key[host] += local[search.next[row * search.hosts + host] * LOCAL_WIDTH + COLOUR]
    is_first = True
    for renaming in range(search.renamings):
        if _is_in_order(search, places, renaming):
            for part in range(search.parts):
                here = search.next[places[renaming * search.parts + part]]
                entry = renamed[here * search.renamings + renaming]
                if entry < 0:
                    _miss(search, RENAMED, here, renaming)
                    return False
                search.trial[part] = entry
            if is_first or _is_smaller(search):
                for part in range(search.parts):
                    search.best[part] = search.trial[part]
            is_first = False
    return True


def _is_in_order(search, places, renaming):
    for host in range(1, search.hosts):
        before = places[renaming * search.parts + host - 1]
        if search.key[before] > search.key[places[renaming * search.parts + host]]:
            return False
    return True


def _is_smaller(search):
    for part in range(search.parts):
        if search.trial[part] != search.best[part]:
            return search.trial[part] < search.best[part]
    return False


def _file(search, local, patterns, states, parent, table):
    """Keep the state in `search.best` if it is a new one; or list its number."""
    count = search.listed if search.lists == 1 else search.states
    if count == len(parent):
        _miss(search, ROOM, 0, 0)
        return
    at = search.states * search.parts
    for part in range(search.parts):
        states[at + part] = search.best[part]
    slot = _slot(search, states, at, table)
    if search.lists == 1:
        parent[search.listed] = table[slot] - 1
        search.listed += 1
    elif table[slot] == 0:
        parent[search.states] = search.expanded
        search.states += 1
        search.filed += 1
        table[slot] = search.states
        search.deepest = search.depth + 1
        _look(search, local, patterns)


def _look(search, local, patterns):
    """Note what is seen for the first time: states come in order of their distance, so this is the shortest way."""
    joined = 0
    doubled = 0
    for part in range(search.parts):
        marks = local[search.best[part] * LOCAL_WIDTH + MARKS]
        doubled |= joined & marks
        joined |= marks
    for row in range(0, len(patterns), PATTERN_WIDTH):
        bit = 1 << patterns[row + PROPERTY]
        if search.seen & bit == 0 and _shows(patterns, row, joined, doubled):
            search.seen |= bit
            search.seen_at[patterns[row + PROPERTY]] = search.states - 1
            search.steps_to[patterns[row + PROPERTY]] = search.deepest


def _shows(patterns, row, joined, doubled):
    all_of = patterns[row + ALL_OF]
    on_two = patterns[row + ON_TWO]
    if joined & all_of != all_of or joined & patterns[row + NONE_OF] != 0:
        return False
    return (on_two == 0 or doubled & on_two != 0) and doubled & patterns[row + NOT_ON_TWO] == 0


def _slot(search, states, at, table):
    """Where the state that starts at `states[at]` is in the table, or the free place where it belongs."""
    mask = len(table) - 1
    slot = _hash(search, states, at) & mask
    while table[slot] != 0 and not _are_equal(search, states, at, (table[slot] - 1) * search.parts):
        slot = (slot + 1) & mask
    return slot


def _are_equal(search, states, one, other):
    part = 0
    while part < search.parts and states[one + part] == states[other + part]:
        part += 1
    return part == search.parts


def _hash(search, states, at):
    """31 bits."""
    mixed = 0
    for part in range(search.parts):
        product = (mixed ^ states[at + part]) * 0x45D9F3B3
        mixed = (product ^ product >> 31) & 0x7FFFFFFF
    return mixed
