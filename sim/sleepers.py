"""Members of a population while nothing happens to them: packed, and filed by when they wake.

A member awake is a record of a hundred and sixty integers. A million of them would be 1.3 GB, and every event would
wait for the memory. But most of these integers are what they are for every member of its kind (the *prototype*), and
the others are small. So a member that sleeps is a string of bits: its kind, then, for each integer that differs from
the prototype, which one, of how many bytes, and the bytes. That takes 60 to 120 bytes. What does not fit into a
sleeper goes on in chunks of a common store (`SPILL`).

Each sleeper stands in the list of the time slot in which its next own timer is due.

Integers are packed in "zigzag" (0, -1, 1, -2, ... as 0, 1, 2, 3, ...), instants as distances from `origin_us`.
"""

from __future__ import annotations

from model.records import FAR_FUTURE_US, Record, instant, number

HALVES = 22
"""32-bit pieces of a string that fit into a sleeper. Kind: assumed (most members need 14 to 22)."""
CHUNK_HALVES = 8
"""32-bit pieces of a chunk. Kind: assumed."""
MOST_PLACES = 250
"""Most integers of a member that may differ from its prototype's."""
LONGEST = 3 * MOST_PLACES
"""Most pieces of a string: more than so many integers can take."""

_KIND_BITS, _PLACE_BITS, _SIZE_BITS = 8, 8, 3
END = (1 << _PLACE_BITS) - 1
"""Stands for the end of a string, in place of the number of an integer."""
_HALF, _SIGN = 0xFFFFFFFF, 0x80000000

_ANY = FAR_FUTURE_US
_WORD = (-(1 << 63), (1 << 63) - 1)

SLEEPER = Record(
    "Sleeper",
    "A member that sleeps.",
    [
        instant("due_us", "when its next timer is due, 0 = none before the end"),
        number("next", "1 + the next one in the list of its slot, 0 = none", 0, _ANY),
        number("back", "1 + the one before; -1 - slot: it is the first; 0 = it is in no list", -_ANY, _ANY),
        number("spill", "1 + first chunk of what does not fit", 0, _ANY),
        number("word", "its string of bits, two pieces each", *_WORD, count=HALVES // 2),
    ],
)

SPILL = Record(
    "Spill",
    "A chunk of a long string.",
    [
        number("next", "1 + the next chunk of it, or the next free one", 0, _ANY),
        number("word", "two pieces each", *_WORD, count=CHUNK_HALVES // 2),
    ],
)

STRING = Record(
    "String",
    "A string of bits that is being written or read.",
    [
        number("origin_us", "instants are packed as distances from it", 0, _ANY),
        number("places", "integers that may differ from a prototype's", 0, MOST_PLACES),
        number("place", "where: twice their place among all, and 1 more for an instant", 0, _ANY, count=MOST_PLACES),
        number("half", "the pieces", 0, _HALF, count=LONGEST),
        number("free", "1 + first free chunk that was used before", 0, _ANY),
        number("chunks", "chunks ever used", 0, _ANY),
        number("overflow", "1 = there were too few chunks", 0, 1),
    ],
)


# --- strings of bits -------------------------------------------------------------------------------------------------


def _write(string, bits, filled, at, value, width):
    """Append a number of at most 32 bits.

    `bits` holds the `filled` bits that are no whole piece yet, after `at` pieces. These three are handed on.
    """
    bits |= value << filled
    filled += width
    if filled >= 32:
        string.half[at] = bits & _HALF
        return bits >> 32, filled - 32, at + 1
    return bits, filled, at


def _read(string, bits, filled, at, width):
    """The next number of so many bits, at most 32, and how it goes on."""
    if filled < width:
        bits |= string.half[at] << filled
        at += 1
        filled += 32
    return bits & ((1 << width) - 1), bits >> width, filled - width, at


def _write_integer(string, bits, filled, at, number_, value):
    """Which integer, how many bytes, and they."""
    folded = (value << 1) ^ (value >> 63)
    size = 1
    while size < 8 and (folded >> (8 * size)) != 0:
        size += 1
    head = number_ | ((size - 1) << _PLACE_BITS)
    bits, filled, at = _write(string, bits, filled, at, head, _PLACE_BITS + _SIZE_BITS)
    if size <= 4:
        return _write(string, bits, filled, at, folded, 8 * size)
    bits, filled, at = _write(string, bits, filled, at, folded & _HALF, 32)
    return _write(string, bits, filled, at, folded >> 32, 8 * size - 32)


def _read_integer(string, bits, filled, at, size):
    """An integer of so many bytes, and how it goes on."""
    folded, bits, filled, at = _read(string, bits, filled, at, 8 * min(size, 4))
    if size > 4:
        high, bits, filled, at = _read(string, bits, filled, at, 8 * size - 32)
        folded |= high << 32
    return (folded >> 1) ^ -(folded & 1), bits, filled, at


# --- to sleep and to wake --------------------------------------------------------------------------------------------


def pack(string, sleeper, spill, words, prototypes, kind):
    """Put a member to sleep.

    Parameters
    ----------
    string : STRING
    sleeper : SLEEPER
    spill : array of SPILL
    words : array of int64
        The member, integer by integer.
    prototypes : array of int64
        Members of all kinds as they are at first, one after the other.
    kind : int
    """
    bits, filled, at = _write(string, 0, 0, 0, kind, _KIND_BITS)
    first = kind * len(words)
    for number_ in range(string.places):
        place = string.place[number_] >> 1
        value = words[place]
        if value != prototypes[first + place]:
            value -= string.origin_us * (string.place[number_] & 1)
            bits, filled, at = _write_integer(string, bits, filled, at, number_, value)
    bits, filled, at = _write(string, bits, filled, at, END, _PLACE_BITS)
    string.half[at] = bits
    _lay_down(string, sleeper, spill, at + 1)


def _lay_down(string, sleeper, spill, n):
    """Put the `n` pieces into the sleeper, and what is left into chunks."""
    _free(string, sleeper, spill)
    for index in range(min(n, HALVES)):
        _put_half(sleeper, index, string.half[index])
    last = 0
    for index in range(HALVES, n):
        at = (index - HALVES) % CHUNK_HALVES
        if at == 0:
            number_ = _new_chunk(string, spill)
            spill[number_].next = 0
            if index == HALVES:
                sleeper.spill = number_ + 1
            else:
                spill[last].next = number_ + 1
            last = number_
        _put_half(spill[last], at, string.half[index])


def unpack(string, sleeper, spill, words):
    """Wake a member: `words` holds its prototype before, and the member after."""
    _pick_up(string, sleeper, spill)
    number_, bits, filled, at = _read(string, string.half[0] >> _KIND_BITS, 32 - _KIND_BITS, 1, _PLACE_BITS)
    while number_ != END:
        size, bits, filled, at = _read(string, bits, filled, at, _SIZE_BITS)
        value, bits, filled, at = _read_integer(string, bits, filled, at, size + 1)
        place = string.place[number_]
        words[place >> 1] = value + string.origin_us * (place & 1)
        number_, bits, filled, at = _read(string, bits, filled, at, _PLACE_BITS)


def _pick_up(string, sleeper, spill):
    """Put all pieces together."""
    for index in range(HALVES):
        string.half[index] = _half(sleeper, index)
    chunk = sleeper.spill
    at = HALVES
    while chunk != 0:
        for index in range(CHUNK_HALVES):
            string.half[at + index] = _half(spill[chunk - 1], index)
        at += CHUNK_HALVES
        chunk = spill[chunk - 1].next


def kind_of(sleeper):
    """Which prototype a sleeper differs from."""
    return sleeper.word[0] & ((1 << _KIND_BITS) - 1)


def _put_half(holder, index, half):
    if index & 1 == 0:
        holder.word[index >> 1] = half
    else:  # with the sign that 64 bits would have
        holder.word[index >> 1] |= ((half ^ _SIGN) - _SIGN) << 32


def _half(holder, index):
    return (holder.word[index >> 1] >> (32 * (index & 1))) & _HALF


def _new_chunk(string, spill):
    """A chunk that nobody has."""
    if string.free != 0:
        number_ = string.free - 1
        string.free = spill[number_].next
        return number_
    if string.chunks == len(spill):
        string.overflow = 1
        return 0
    string.chunks += 1
    return string.chunks - 1


def _free(string, sleeper, spill):
    """Nobody has the chunks of a sleeper any more."""
    while sleeper.spill != 0:
        chunk = spill[sleeper.spill - 1]
        rest = chunk.next
        chunk.next = string.free
        string.free = sleeper.spill
        sleeper.spill = rest


# --- who wakes when --------------------------------------------------------------------------------------------------


def file(sleepers, beds, index, slot):
    """Put a sleeper into the list of a slot."""
    sleeper = sleepers[index]
    sleeper.back = -1 - slot
    sleeper.next = beds[slot]
    if sleeper.next != 0:
        sleepers[sleeper.next - 1].back = index + 1
    beds[slot] = index + 1


def unfile(sleepers, beds, index):
    """Take a sleeper out of its list, if it is in one."""
    sleeper = sleepers[index]
    if sleeper.back == 0:
        return
    if sleeper.next != 0:
        sleepers[sleeper.next - 1].back = sleeper.back
    if sleeper.back < 0:
        beds[-1 - sleeper.back] = sleeper.next
    else:
        sleepers[sleeper.back - 1].next = sleeper.next
    sleeper.back = 0
