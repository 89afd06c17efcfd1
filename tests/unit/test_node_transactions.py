"""Retransmitted requests are answered from memory."""

from __future__ import annotations

from reference_node.transactions import MAX_TRANSACTIONS, TIMER_J_S, Transactions


def test_a_request_is_new_once_then_absorbed_then_answered_alike():
    transactions = Transactions()
    assert transactions.begin(("a",), 0.0) == (True, None)
    assert transactions.begin(("a",), 0.1) == (False, None)
    transactions.end(("a",), b"200", 0.2)
    assert transactions.begin(("a",), 0.3) == (False, b"200")


def test_an_answer_is_forgotten_after_timer_j_which_starts_with_the_answer():
    transactions = Transactions()
    transactions.begin(("a",), 0.0)
    transactions.end(("a",), b"200", 10.0)
    assert transactions.begin(("a",), 10.0 + TIMER_J_S - 0.1) == (False, b"200")
    assert transactions.begin(("a",), 10.0 + TIMER_J_S) == (True, None)


def test_one_that_is_never_answered_is_forgotten_before_a_later_answer():
    transactions = Transactions()
    transactions.begin(("answered",), 0.0)
    transactions.begin(("lost",), 1.0)
    transactions.end(("answered",), b"200", 10.0)
    assert transactions.begin(("lost",), 1.0 + TIMER_J_S) == (True, None)
    assert transactions.begin(("answered",), 1.0 + TIMER_J_S) == (False, b"200")


def test_the_oldest_are_forgotten_when_there_are_too_many():
    transactions = Transactions()
    for number in range(MAX_TRANSACTIONS + 10):
        transactions.begin((str(number),), 0.0)
    assert len(transactions) == MAX_TRANSACTIONS
    assert transactions.begin((str(MAX_TRANSACTIONS + 9),), 0.0) == (False, None)
