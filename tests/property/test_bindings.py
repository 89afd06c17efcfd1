"""Whatever phones write, records keep it; whatever stands in a record, reading it does not fail."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reference_node.node.bindings import (
    MAX_CONTACTS_BY_AOR,
    Binding,
    Refused,
    Registration,
    change_set,
    commands,
    decode,
    decode_record,
    encode,
    key,
)
from reference_node.sip.fields import NameAddr

NOW_S = 1_700_000_000

words = st.text("abcXYZ019-_.!~*'", min_size=1, max_size=8)
numbers = st.integers(0, 2**32 - 1)
# User-Agent, Call-ID and Accept may hold anything that a header line can.
lines = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(str.strip)
quoted = lines.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')


def not_ambiguous(text: str) -> bool:
    """Flexisip's own writer makes such a value look like another header."""
    return "&accept=" not in text and "&user-agent=" not in text


@st.composite
def uris(draw) -> str:
    user = draw(st.none() | st.text("abc?;/&=+$,-_%41", min_size=1, max_size=8))
    host = draw(st.sampled_from(["h", "phone7", "a.example.org", "192.0.2.1", "[2001:db8::1]"]))
    port = draw(st.none() | st.integers(1, 65_535))
    parameters = draw(st.lists(st.tuples(st.sampled_from(["transport", "ob", "x", "fs-conn-id"]), words), max_size=3))
    text = f"{user}@{host}" if user else host
    return f"sip:{text}{f':{port}' if port else ''}" + "".join(f";{name}={value}" for name, value in parameters)


names = st.sampled_from(["+sip.instance", "q", "methods", "line", "message-expires"])
header_parameters = st.lists(st.tuples(names, st.none() | words | quoted), max_size=4).map(tuple)

contacts = st.builds(NameAddr, st.just("") | words | quoted, uris(), header_parameters)

bindings = st.builds(
    Binding,
    field=words | quoted,
    contact=contacts,
    call_id=lines,
    cseq=numbers,
    expires_s=numbers,
    updated_s=numbers,
    path=st.lists(uris().filter(not_ambiguous), max_size=3).map(tuple),
    accept=lines.filter(not_ambiguous),
    user_agent=lines.filter(not_ambiguous),
    is_alias=st.booleans(),
    is_route=st.booleans(),
)


@given(bindings)
def test_a_binding_that_was_written_is_read_back_the_same(binding: Binding):
    value = encode(binding)
    assert decode(binding.field.encode(), value) == binding
    assert b"\r" not in value and b"\n" not in value


@given(bindings)
def test_a_value_that_was_read_is_written_back_the_same(binding: Binding):
    value = encode(binding)
    again = decode(b"f", value)
    assert again
    assert encode(again) == value


@given(st.binary(max_size=80), st.binary(max_size=200))
def test_no_bytes_in_a_record_make_reading_fail(field: bytes, value: bytes):
    decode(field, value)


@given(bindings, st.data())
def test_no_damage_to_a_record_makes_reading_fail(binding: Binding, data: st.DataObject):
    value = bytearray(encode(binding))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=3))
        if not value:
            break
    decode(b"f", bytes(value))


fields = st.sampled_from(["a", "b", "c", "fs-gen-1", "fs-gen-2"])
stored = st.builds(
    Binding,
    field=fields,
    contact=st.builds(NameAddr, st.just(""), st.sampled_from(["sip:x@h", "sip:y@h", "sip:z@h;ob"])),
    call_id=st.sampled_from(["c1", "c2"]),
    cseq=st.integers(0, 5),
    expires_s=st.integers(0, 1_000),
    updated_s=st.integers(NOW_S - 1_000, NOW_S + 1_000),
)
asked = st.builds(
    NameAddr,
    st.just(""),
    st.sampled_from(["sip:x@h", "sip:y@h"]),
    st.lists(st.tuples(st.sampled_from(["line", "expires"]), st.sampled_from(["a", "0", "60"])), max_size=2).map(tuple),
)
registrations = st.builds(
    Registration,
    aor=st.just("u@h"),
    call_id=st.sampled_from(["c1", "c2"]),
    cseq=st.integers(0, 5),
    contacts=st.lists(asked, min_size=1, max_size=4).map(tuple),
    expires_s=st.none() | st.integers(0, 100),
)


@given(st.dictionaries(fields, stored), registrations)
def test_the_transaction_leaves_in_redis_what_the_answer_tells(record: dict[str, Binding], register: Registration):
    """Carrying the commands out on a dictionary gives what `remaining` says, and nothing that has expired."""
    record = {field: replace(binding, field=field) for field, binding in record.items()}
    fresh = (f"fs-gen-new{number}" for number in range(9))
    try:
        change = change_set(list(record.values()), register, NOW_S, lambda: next(fresh))
    except Refused as refused:
        assert refused.status == 400
        return
    held = {field.encode(): encode(binding) for field, binding in record.items()}
    for name, *arguments in commands(register.aor, change):
        if name == b"HDEL":
            assert arguments.pop(0) == key("u@h")
            for field in arguments:
                del held[field]
        elif name == b"HMSET":
            assert arguments.pop(0) == key("u@h")
            held.update(zip(arguments[::2], arguments[1::2], strict=True))
    left = decode_record([part for pair in held.items() for part in pair])
    assert {binding.field: binding for binding in left} == {binding.field: binding for binding in change.remaining}
    assert all(binding.end_s > NOW_S for binding in left)
    assert change.expire_at_s == max((binding.end_s for binding in left), default=0)
    assert len(left) <= MAX_CONTACTS_BY_AOR
