"""One declaration of a state, and what follows from it."""

import numpy as np
import pytest

from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number

LINK = Record("Link", "A link.", [flag("up", "it works"), instant("since_us", "since when")])
NODE = Record(
    "Node",
    "A node of a test.",
    [
        number("phase", "what it does", 2, 5),
        number("offset", "may be negative", -300, 300, "bytes"),
        number("votes", "one a peer", 0, 7, count=3),
        duration("period_us", "how often"),
        nested("main", "its own link", LINK),
        nested("links", "links to peers", LINK, count=2),
    ],
)


def test_a_new_state_is_legal_and_zero_or_at_its_lower_limit():
    node = NODE.new()
    NODE.check(node)
    assert (node.phase, node.offset, node.votes, node.links[1].since_us) == (2, 0, [0, 0, 0], 0)


def test_new_states_share_nothing():
    one, two = NODE.new(), NODE.new()
    one.votes[0] = 1
    one.links[0].up = 1
    assert two.votes[0] == 0
    assert two.links[0].up == 0
    assert one.links[1].up == 0


def test_a_state_takes_no_undeclared_field():
    with pytest.raises(AttributeError):
        NODE.new().phsae = 1


def test_dtype_has_the_declared_fields_in_order_and_64_bits_each():
    assert NODE.dtype.names == tuple(field.name for field in NODE.fields)
    assert NODE.dtype["phase"] == np.int64
    assert NODE.dtype["votes"].shape == (3,)
    assert NODE.dtype["links"].shape == (2,)
    assert NODE.dtype["links"].base == LINK.dtype
    assert NODE.dtype.itemsize == 8 * len(list(NODE.leaves(NODE.new())))


def test_leaves_are_named_by_their_path():
    paths = [path for path, *_ in NODE.leaves(NODE.new())]
    assert paths == [
        "phase", "offset", "votes[0]", "votes[1]", "votes[2]", "period_us",
        "main.up", "main.since_us",
        "links[0].up", "links[0].since_us", "links[1].up", "links[1].since_us",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda node: setattr(node, "phase", 6), "Node.phase is 6, allowed is 2..5"),
        (lambda node: setattr(node, "phase", 1), "Node.phase is 1, allowed is 2..5"),
        (lambda node: setattr(node, "offset", -301), "Node.offset is -301, allowed is -300..300 bytes"),
        (lambda node: node.votes.__setitem__(2, 8), "Node.votes[2] is 8, allowed is 0..7"),
        (lambda node: setattr(node.links[1], "up", 2), "Node.links[1].up is 2, allowed is 0..1"),
    ],
)
def test_check_names_the_field_the_value_and_the_range(spoil, complaint):
    node = NODE.new()
    spoil(node)
    with pytest.raises(ValueError) as error:
        NODE.check(node)
    assert str(error.value) == complaint


def test_codec_uses_the_declared_width():
    widths = {"phase": 1, "offset": 2, "votes": 1, "period_us": 8}
    assert {field.name: field.byte_width for field in NODE.fields if not field.record} == widths
    assert len(NODE.encode(NODE.new())) == 1 + 2 + 3 * 1 + 8 + 3 * (1 + 8)


def test_limits_survive_the_codec():
    node = NODE.new()
    node.phase, node.offset, node.period_us = 5, -300, FAR_FUTURE_US
    again = NODE.decode(NODE.encode(node))
    assert (again.phase, again.offset, again.period_us) == (5, -300, FAR_FUTURE_US)


def test_decode_refuses_the_wrong_number_of_bytes():
    with pytest.raises(AssertionError, match="Node"):
        NODE.decode(NODE.encode(NODE.new()) + b"\0")


def test_description_lists_every_field_with_range_unit_and_meaning():
    text = NODE.describe()
    assert text.startswith("### Node\n\nA node of a test.\n")
    assert "| `offset` | -300..300 | bytes | may be negative |" in text
    assert "| `votes[3]` | 0..7 |  | one a peer |" in text
    assert "| `links[2]` | `Link` |  | links to peers |" in text
    assert "| `since_us` | instant | us | since when |" in LINK.describe()


def test_a_field_declared_twice_is_a_mistake_of_ours():
    with pytest.raises(AssertionError, match="twice"):
        Record("Twice", "", [flag("up", ""), flag("up", "")])
