"""The order of an SRV answer: exact shares by running through all draws, then the draws themselves.

Shares are fractions, so nothing here depends on luck; only the last test draws.
"""

from collections import Counter, defaultdict
from fractions import Fraction

import pytest
from scipy import stats

from model import draws, sip_client, srv
from model.srv import FIRST, HASH, MODULO, RFC2782, SCATTER

SEED = 20251124


def client(how, records, key=0):
    """A client with an answer of (host, priority, weight) in this order."""
    node = sip_client.CLIENT.new()
    node.behaviour.srv_order, node.hash_key, node.answer_count = how, key, len(records)
    for at, (host, priority, weight) in enumerate(records):
        node.answer_host[at], node.answer_priority[at], node.answer_weight[at] = host, priority, weight
    return node


def ordered(node):
    srv.order(node)
    return tuple(node.list_host[: node.list_count])


@pytest.fixture
def orders(monkeypatch):
    """Every order with its exact probability: all draws that `srv.order` can make are made."""

    def enumerate_(how, records, key=0):
        shares, scripts = defaultdict(Fraction), [[]]
        while scripts:
            script = scripts.pop()
            limits = []

            def below(_, limit, script=script, limits=limits):
                limits.append(limit)
                return script[len(limits) - 1] if len(limits) <= len(script) else 0

            monkeypatch.setattr(draws, "below", below)
            order = ordered(client(how, records, key))
            share = Fraction(1)
            for limit in limits:
                share /= limit
            shares[order] += share
            for at in range(len(script), len(limits)):  # the draws beyond the script were 0: now their other values
                prefix = script + [0] * (at - len(script))
                scripts += [[*prefix, value] for value in range(1, limits[at])]
        assert sum(shares.values()) == 1
        return dict(shares)

    return enumerate_


def first_shares(shares):
    total = defaultdict(Fraction)
    for order, share in shares.items():
        total[order[0]] += share
    return dict(total)


@pytest.mark.parametrize("weight", [1, 7, 100])
def test_of_two_equal_records_the_first_listed_wins_a_little_more_often(orders, weight):
    """(w + 1) / (2w + 1): both ends of the draw are included (RFC 2782)."""
    shares = first_shares(orders(RFC2782, [(0, 0, weight), (1, 0, weight)]))
    assert shares == {0: Fraction(weight + 1, 2 * weight + 1), 1: Fraction(weight, 2 * weight + 1)}


@pytest.mark.parametrize("weight", [1, 9, 50])
@pytest.mark.parametrize("zero_first", [True, False])
def test_a_record_of_weight_0_wins_rarely_not_never(orders, weight, zero_first):
    """1 / (w + 1), wherever it stands in the answer."""
    records = [(0, 0, 0), (1, 0, weight)]
    shares = first_shares(orders(RFC2782, records if zero_first else records[::-1]))
    assert shares == {0: Fraction(1, weight + 1), 1: Fraction(weight, weight + 1)}


def test_weights_of_3_to_1(orders):
    assert first_shares(orders(RFC2782, [(0, 0, 75), (1, 0, 25)])) == {0: Fraction(76, 101), 1: Fraction(25, 101)}


def test_the_whole_order_is_drawn_one_place_after_the_other(orders):
    """Weights 2, 1, 1: by hand, first (3, 1, 1) / 5, then among the rest with both ends included."""
    shares = orders(RFC2782, [(0, 0, 2), (1, 0, 1), (2, 0, 1)])
    assert shares == {
        (0, 1, 2): Fraction(3, 5) * Fraction(2, 3),
        (0, 2, 1): Fraction(3, 5) * Fraction(1, 3),
        (1, 0, 2): Fraction(1, 5) * Fraction(3, 4),
        (1, 2, 0): Fraction(1, 5) * Fraction(1, 4),
        (2, 0, 1): Fraction(1, 5) * Fraction(3, 4),
        (2, 1, 0): Fraction(1, 5) * Fraction(1, 4),
    }


@pytest.mark.parametrize("how", [RFC2782, HASH, SCATTER, FIRST])
def test_a_lower_priority_always_comes_first(orders, how):
    records = [(3, 20, 9), (0, 10, 1), (1, 0, 0), (2, 10, 2)]
    for order in orders(how, records) if how != SCATTER else {ordered_scatter(records, n) for n in range(40)}:
        assert order[0] == 1
        assert set(order[1:3]) == {0, 2}
        assert order[3] == 3


def ordered_scatter(records, number):
    node = client(SCATTER, records)
    draws.start(node.stream, SEED, number, 0, 0)
    return ordered(node)


@pytest.mark.parametrize("how", [RFC2782, MODULO, HASH, FIRST])
def test_every_record_is_listed_once(orders, how):
    records = [(4, 0, 2), (2, 0, 0), (6, 0, 1), (1, 0, 3)]
    assert all(sorted(order) == [1, 2, 4, 6] for order in orders(how, records))


def test_weights_of_0_only_leave_the_order_of_the_answer(orders):
    for how in (RFC2782, MODULO, FIRST):
        assert orders(how, [(2, 0, 0), (0, 0, 0), (1, 0, 0)]) == {(2, 0, 1): 1}


def test_the_largest_legal_answer_fits():
    node = client(RFC2782, [(host, 65_535, 65_535) for host in range(7)])
    draws.start(node.stream, SEED, 0, 0, 0)
    assert sorted(ordered(node)) == list(range(7))
    sip_client.CLIENT.check(node)


# What real clients do instead


def test_belle_sip_draws_without_the_upper_end(orders):
    """Random number modulo the sum, first running sum that is not below it: 0..9 of 5 + 5."""
    assert first_shares(orders(MODULO, [(0, 0, 5), (1, 0, 5)])) == {0: Fraction(6, 10), 1: Fraction(4, 10)}


def test_belle_sip_loses_single_records_beside_a_group_of_several(orders):
    shares = orders(MODULO, [(0, 0, 1), (1, 10, 1), (2, 10, 1)])
    assert {host for order in shares for host in order} == {1, 2}


def test_belle_sip_keeps_single_records_that_are_among_themselves(orders):
    assert orders(MODULO, [(1, 10, 1), (0, 0, 1)]) == {(0, 1): 1}


def test_libre_never_draws(orders):
    for key in (0, 1, 0xABC, 0xFFF):
        assert len(orders(HASH, [(0, 0, 75), (1, 0, 25)], key)) == 1


def test_over_all_keys_of_libre_small_weights_hardly_count():
    """75 to 25 is half and half; 4096 to 0 is always the first."""
    hosts = (0, 1)
    won = Counter(ordered(client(HASH, [(0, 0, 75), (1, 0, 25)], key))[0] for key in range(srv.HASH_KEYS))
    assert won[0] / srv.HASH_KEYS == pytest.approx(0.5, abs=0.03)
    won = Counter(ordered(client(HASH, [(0, 0, 4_096), (1, 0, 0)], key))[0] for key in range(srv.HASH_KEYS))
    assert won == {0: srv.HASH_KEYS}
    assert len({srv.hash_of(host) for host in (*hosts, 2, 3, 4, 5, 6)}) == 7


def test_twinkle_takes_equal_weights_in_the_order_of_the_answer(monkeypatch):
    for number in range(0, srv.QUERY_NUMBERS, 97):
        monkeypatch.setattr(draws, "below", lambda _, limit, number=number: number)
        assert ordered(client(SCATTER, [(1, 0, 100), (0, 0, 100)])) == (1, 0)


def test_twinkle_scatters_weights_by_the_query_number(monkeypatch):
    """The highest of number modulo (weight + 1), ties in the order of the answer; 8 numbers are a whole cycle here."""
    won = []
    for number in range(8):
        monkeypatch.setattr(draws, "below", lambda _, limit, number=number: number)
        won.append(ordered(client(SCATTER, [(1, 0, 1), (0, 0, 7)]))[0])
    assert won == [1, 1, 0, 0, 0, 0, 0, 0]


# The draws themselves


def test_100_000_draws_have_the_exact_shares(orders, monkeypatch):
    """Chi-square over all orders of three records; the seed is fixed, so this either always holds or never."""
    records = [(0, 0, 5), (1, 0, 3), (2, 0, 0)]
    expected = orders(RFC2782, records)
    monkeypatch.undo()
    node = client(RFC2782, records)
    draws.start(node.stream, SEED, 0, 0, 0)
    size = 100_000
    seen = Counter(ordered(node) for _ in range(size))
    assert set(seen) == set(expected)
    p_value = stats.chisquare([seen[order] for order in expected], [float(expected[o]) * size for o in expected]).pvalue
    assert p_value > 0.001, f"seed {SEED}: p = {p_value}"
