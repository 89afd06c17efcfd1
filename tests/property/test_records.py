"""The byte codec, over random declarations and random states."""

from hypothesis import given
from hypothesis import strategies as st

from model.records import FAR_FUTURE_US, Field, Record

LIMIT = st.integers(-FAR_FUTURE_US, FAR_FUTURE_US)


@st.composite
def plain_fields(draw, name):
    low, high = sorted((draw(LIMIT), draw(LIMIT)))
    return Field(name, "", low, high, count=draw(st.integers(0, 3)))


def record_of(fields_of):
    """A strategy of records whose fields `fields_of` makes from their names."""
    names = st.integers(1, 4).map(lambda n: [f"f{i}" for i in range(n)])
    return names.flatmap(lambda names: st.tuples(*map(fields_of, names))).map(
        lambda fields: Record("Random", "", list(fields))
    )


FLAT = record_of(plain_fields)


@st.composite
def any_fields(draw, name):
    if draw(st.booleans()):
        return Field(name, "", record=draw(FLAT), count=draw(st.integers(0, 2)))
    return draw(plain_fields(name))


@st.composite
def records_and_states(draw, states):
    """A record and `states` legal states of it."""
    record = draw(record_of(any_fields))
    return record, [legal_state(draw, record) for _ in range(states)]


def legal_state(draw, record):
    state = record.new()
    for _, field, holder, index in record.leaves(state):
        value = draw(st.integers(field.low, field.high))
        if isinstance(index, int):
            holder[index] = value
        else:
            setattr(holder, index, value)
    return state


def values(record, state):
    return [
        holder[index] if isinstance(index, int) else getattr(holder, index)
        for _, _, holder, index in record.leaves(state)
    ]


@given(records_and_states(1))
def test_decode_gives_back_what_encode_was_given(case):
    record, (state,) = case
    record.check(state)
    assert values(record, record.decode(record.encode(state))) == values(record, state)


@given(records_and_states(2))
def test_states_are_equal_exactly_when_their_bytes_are(case):
    record, (one, two) = case
    assert (record.encode(one) == record.encode(two)) == (values(record, one) == values(record, two))
    assert len(record.encode(one)) == len(record.encode(two))


@given(records_and_states(0))
def test_dtype_holds_one_64_bit_integer_for_every_leaf(case):
    record, _ = case
    assert record.dtype.itemsize == 8 * len(list(record.leaves(record.new())))


@given(record_of(any_fields))
def test_a_new_state_is_legal(record):
    """`new` may not start outside the declared range, whatever the range."""
    record.check(record.new())
