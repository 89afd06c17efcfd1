"""The compiler of machines: what it makes does what Python does, and what it cannot make it refuses by name."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import compiled
from model.compiled import compile_function, one_to_numpy, to_numpy
from model.compiled.language import NotInLanguage
from model.records import Record, nested, number

LIMIT = 1 << 40
TABLE = (7, 11, 13)
STEP = 3

POINT = Record("Point", "A point.", [number("x", "one way", -LIMIT, LIMIT), number("y", "the other", -LIMIT, LIMIT)])
SHAPE = Record(
    "Shape",
    "Points.",
    [
        number("n", "how many", 0, 4),
        nested("point", "they", POINT, 4),
        nested("middle", "their middle", POINT),
        number("mark", "a number for each", 0, LIMIT, count=4),
    ],
)

whole = st.integers(-(1 << 30), 1 << 30)


def arithmetic(a, b):
    divisor = b if b != 0 else 1
    mixed = a // divisor * 3 + a % divisor - (a ^ b) + (a & ~b | 5) + -b
    return mixed + (abs(a) << 2) - (b >> 3) + min(a, b, 7) - max(a, b)


def conditions(a, b):
    found = 0
    if 0 < a <= b < 1000 or not (a != b and b > -5):
        found += 1
    if a in (1, 2, STEP) and b not in TABLE:
        found += 10
    is_small = a < 10 and b < 10
    found += 100 if is_small else 200
    return found + is_small


def loops(a, b):
    total = 0
    for i in range(b % 20):
        if i == 3:
            continue
        if i > 12:
            break
        for j in range(i, a % 7):
            total += TABLE[j % 3] * i
    for k in range(10, a % 5, -STEP):
        total = total * 2 + k
    while total > 1000:
        total -= 997
        if total % 5 == 0:
            break
    return total


def pair(a, b):
    return a + 1, b * 2


def unpacked(a, b):
    x, y = pair(a, b)
    x, y = y, x
    return x * 3 - y


def is_even(a):
    return a % 2 == 0


def chosen(a, b):
    if is_even(a):
        return 1
    return is_even(b)


@pytest.mark.parametrize("root", [arithmetic, conditions, loops, unpacked, chosen])
@pytest.mark.parametrize("checks", [False, True])
def test_compiled_code_does_what_python_does(root, checks):
    twin = compile_function(root, checks)

    @settings(max_examples=200, deadline=None)
    @given(whole, whole)
    def agree(a, b):
        assert twin(a, b) == root(a, b)

    agree()


def move(shape, points, n):
    """Works on a record, an array of records, and their fields."""
    for index in range(n):
        point = points[index]
        shape.point[index % 4].x += point.x
        shape.point[index % 4].y = point.y - 1
        shape.mark[index % len(shape.mark)] = index
        _remember(shape, point)
    shape.n = len(points)
    return shape.middle.x


def _remember(shape, point):
    target = shape.middle
    if point.x > target.x:
        target.x = point.x


def test_records_and_arrays_are_the_callers_own():
    points = []
    for index in range(6):
        points.append(POINT.new())
        points[-1].x, points[-1].y = index * index - 7, -index
    shape = SHAPE.new()
    twin, twin_points = one_to_numpy(SHAPE, shape), to_numpy(POINT, points)
    assert compile_function(move)(twin, twin_points, 6) == move(shape, points, 6) == 18
    assert twin == one_to_numpy(SHAPE, shape)


def swap(points):
    points[0] = points[1]


def test_storing_a_record_in_an_array_copies_it():
    points = to_numpy(POINT, [POINT.new(), POINT.new()])
    points[1]["x"] = 5
    compile_function(swap)(points)
    points[1]["x"] = 6
    assert points["x"].tolist() == [5, 6]


def narrow(small, at):
    small[at] = small[at] - 2
    return small[at]


def test_arrays_may_hold_32_bits():
    small = np.array([1, 2, 3], np.int32)
    assert compile_function(narrow)(small, 0) == -1
    assert small.tolist() == [-1, 2, 3]


def test_an_index_outside_is_found_with_checks():
    twin = compile_function(narrow, checks=True)
    with pytest.raises(IndexError, match=r"test_compiled\.narrow, line \d+"):
        twin(np.zeros(3, np.int32), 3)
    with pytest.raises(IndexError):
        twin(np.zeros(3, np.int32), -1)
    assert twin(np.zeros(3, np.int32), 2) == -2


def offset(a):
    return a + STEP


def through(a):
    return offset(a)


def test_a_changed_constant_and_a_changed_callee_are_noticed(monkeypatch):
    assert compile_function(through)(1) == 4
    monkeypatch.setitem(globals(), "STEP", 30)
    assert compile_function(through)(1) == 31
    monkeypatch.setitem(globals(), "offset", is_even)
    assert compile_function(through)(1) == 0


def quotient(a, b):
    return a / b


def listed(a):
    return [a]


def recursive(a):
    return 0 if a == 0 else recursive(a - 1)


def misspelt(points):
    return points[0].z


@pytest.mark.parametrize(
    ("root", "arguments", "why"),
    [
        (quotient, (1, 2), "quotient, line .*Div is not in the language"),
        (listed, (1,), "listed, line .*List is not in the language"),
        (recursive, (1,), "recursive calls itself"),
        (misspelt, (np.zeros(1, POINT.dtype),), "misspelt, line .*no field z"),
    ],
)
def test_what_is_not_in_the_language_is_refused(root, arguments, why):
    with pytest.raises(NotInLanguage, match=why):
        compile_function(root)(*arguments)


def count(a, n):
    total = 0
    for i in range(n):
        total = (total + a * i) % 1_000_003
    return total


def test_a_root_may_run_in_several_threads():
    twin, found = compile_function(count), {}
    threads = [threading.Thread(target=lambda a=a: found.update({a: twin(a, 100_000)})) for a in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {a: count(a, 100_000) for a in range(4)}


def test_code_is_kept_for_the_next_process(monkeypatch, tmp_path):
    monkeypatch.setenv("HASTUDY_CACHE", str(tmp_path))
    assert not compiled.is_cached(count)
    compile_function(count)(1, 2)
    assert compiled.is_cached(count)
    assert [file.suffix for file in (tmp_path / "compiled").iterdir()] == [".o"]
