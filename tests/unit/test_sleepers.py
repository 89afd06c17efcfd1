"""Members that sleep: packed and unpacked they are the same, and nobody is lost from a list."""

from hypothesis import given
from hypothesis import strategies as st

from sim.sleepers import SLEEPER, SPILL, STRING, file, kind_of, pack, unfile, unpack

WORDS, KINDS, CHUNKS = 100, 3, 200
ORIGIN_US = 2_000_000_000_000
SLOTS = 4

small = st.integers(-2, 300)
anything = st.integers(-(1 << 60), 1 << 60)
instant = st.integers(ORIGIN_US - (1 << 41), ORIGIN_US + (1 << 41))
member = st.tuples(st.integers(0, KINDS - 1), st.dictionaries(st.integers(0, WORDS - 1), small | anything | instant))


def string_of(instants):
    string = STRING.new()
    string.origin_us, string.places = ORIGIN_US, WORDS
    for place in range(WORDS):
        string.place[place] = 2 * place + (place in instants)
    return string


@given(st.lists(member, min_size=1, max_size=20), st.sets(st.integers(0, WORDS - 1)))
def test_members_wake_as_they_fell_asleep_and_use_no_chunk_that_another_has(members, instants):
    string, beds = string_of(instants), [SLEEPER.new() for _ in range(4)]
    spill = [SPILL.new() for _ in range(CHUNKS)]
    prototypes = [place % 7 + kind for kind in range(KINDS) for place in range(WORDS)]
    slept = {}
    for number, (kind, changes) in enumerate(members):
        words = prototypes[kind * WORDS : (kind + 1) * WORDS]
        for place, value in changes.items():
            words[place] = value
        slept[number % 4] = kind, list(words)
        pack(string, beds[number % 4], spill, words, prototypes, kind)
        for bed, (of_kind, expected) in slept.items():
            woken = prototypes[of_kind * WORDS : (of_kind + 1) * WORDS]
            assert kind_of(beds[bed]) == of_kind
            unpack(string, beds[bed], spill, woken)
            assert woken == expected
    STRING.check(string)
    for bed in beds:
        SLEEPER.check(bed)
    assert string.overflow == 0


def test_what_does_not_fit_is_said():
    string, bed = string_of(()), SLEEPER.new()
    pack(string, bed, [SPILL.new()], [1 << 60] * WORDS, [0] * WORDS, 0)
    assert string.overflow == 1


def test_most_members_fit_without_a_chunk():
    """A registered member has some fifteen to twenty integers of its own, nine of them instants."""
    string, bed, spill = string_of(range(9)), SLEEPER.new(), [SPILL.new()]
    words = [ORIGIN_US + 3_000_000_000] * 9 + [1] * 10 + [0] * (WORDS - 19)
    pack(string, bed, spill, words, [0] * WORDS, 0)
    assert bed.spill == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, SLOTS - 1)), max_size=40))
def test_lists_hold_whom_they_should(steps):
    """A step puts a sleeper into the list of a slot, or (-1) takes it out of its list."""
    members, beds, where = [SLEEPER.new() for _ in range(6)], [0] * SLOTS, {}
    for index, slot in steps:
        unfile(members, beds, index)
        where.pop(index, None)
        if slot >= 0:
            file(members, beds, index, slot)
            where[index] = slot
        for each in range(SLOTS):
            assert listed(members, beds, each) == {one for one, at in where.items() if at == each}


def listed(members, beds, slot):
    found, at = [], beds[slot]
    while at:
        found.append(at - 1)
        at = members[at - 1].next
    assert len(found) == len(set(found))
    return set(found)
