"""Requests are carried out once, repeated until answered, and given up in the end: the timers of RFC 3261."""

from __future__ import annotations

from types import SimpleNamespace

from reference_node.sip.message import Response
from reference_node.sip.transactions import MAX_TRANSACTIONS, TIMER_J_S, Client, InviteServer, Transactions


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


def test_over_a_stream_an_answer_is_not_kept():
    """Timer J is 0 there: RFC 3261 section 17.2.2."""
    transactions = Transactions()
    transactions.begin(("a",), 0.0)
    transactions.end(("a",), b"200", 0.1, is_reliable=True)
    assert (len(transactions), transactions.begin(("a",), 0.2)) == (0, (True, None))


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: list[list] = []

    def call_later(self, delay, callback, *arguments):
        timer = [self.now_s + delay, callback, arguments, True]
        self._timers.append(timer)
        return SimpleNamespace(cancel=lambda: timer.__setitem__(3, False))

    def turn(self, until_s: float) -> None:
        while due := [timer for timer in self._timers if timer[3] and timer[0] <= until_s]:
            timer = min(due, key=lambda timer: timer[0])
            self.now_s, timer[3] = timer[0], False
            timer[1](*timer[2])
        self.now_s = until_s


class ClientSide:
    """A client transaction, with what it did and when."""

    def __init__(self, is_invite: bool, is_reliable: bool = False) -> None:
        self.clock = Clock()
        self.sent: list[float] = []
        self.acknowledged: list[float] = []
        self.heard: list[int] = []
        self.ended: list[float] = []
        self.client = Client(
            is_invite,
            lambda: self.sent.append(self.clock.now_s),
            lambda response: self.acknowledged.append(self.clock.now_s),
            is_reliable,
            self.clock,
            lambda response: self.heard.append(response.status),
            self.heard.append,
            lambda: self.ended.append(self.clock.now_s),
        )
        self.client.start()

    def answer(self, status: int) -> None:
        self.client.receive(Response(status, "", (), "", "", [], b""))


def test_an_unanswered_invite_is_sent_seven_times_and_given_up_after_32_s():
    """Timers A and B: RFC 3261 section 17.1.1.2."""
    side = ClientSide(is_invite=True)
    side.clock.turn(100)
    assert side.sent == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert (side.heard, side.ended) == ([408], [32])


def test_another_unanswered_request_is_sent_eleven_times():
    """Timers E and F: RFC 3261 section 17.1.2.2."""
    side = ClientSide(is_invite=False)
    side.clock.turn(100)
    assert side.sent == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert (side.heard, side.ended) == ([408], [32])


def test_over_a_stream_nothing_is_repeated_but_time_still_runs_out():
    side = ClientSide(is_invite=False, is_reliable=True)
    side.clock.turn(100)
    assert (side.sent, side.heard) == ([0], [408])


def test_a_provisional_answer_stops_an_invite_and_slows_others_down():
    invite, other = ClientSide(is_invite=True), ClientSide(is_invite=False)
    for side in (invite, other):
        side.clock.turn(1)
        side.answer(180)
        side.clock.turn(200)
    assert (invite.sent, invite.ended) == ([0, 0.5], [])
    assert other.sent == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]


def test_a_refused_invite_is_acknowledged_as_often_as_it_is_refused_and_told_once():
    """Timer D: RFC 3261 section 17.1.1.2."""
    side = ClientSide(is_invite=True)
    for _ in range(3):
        side.answer(486)
    side.clock.turn(31.9)
    assert (len(side.acknowledged), side.heard, side.ended) == (3, [486], [])
    side.clock.turn(32)
    assert side.ended == [32]


def test_every_2xx_to_an_invite_is_told_and_none_acknowledged():
    """RFC 6026 section 7.2."""
    side = ClientSide(is_invite=True)
    for status in (200, 200, 486):
        side.answer(status)
    assert (side.acknowledged, side.heard) == ([], [200, 200])


def test_repeated_answers_to_another_request_are_taken_for_timer_k():
    side = ClientSide(is_invite=False)
    side.answer(200)
    side.answer(200)
    side.clock.turn(4.9)
    assert (side.heard, side.ended) == ([200], [])
    side.clock.turn(5)
    assert side.ended == [5]


class ServerSide:
    """A server transaction of an INVITE, with what it did and when."""

    def __init__(self, is_reliable: bool = False) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, bytes]] = []
        self.ended: list[float] = []
        self.server = InviteServer(
            lambda data: self.sent.append((self.clock.now_s, data)),
            is_reliable,
            self.clock,
            lambda: self.ended.append(self.clock.now_s),
        )


def test_a_refusal_is_repeated_until_it_is_acknowledged():
    """Timers G and I: RFC 3261 section 17.2.1."""
    side = ServerSide()
    side.server.answer(486, b"486")
    side.clock.turn(4)
    side.server.acknowledge()
    side.clock.turn(100)
    assert [at for at, _ in side.sent] == [0, 0.5, 1.5, 3.5]
    assert side.ended == [9]


def test_a_refusal_that_nobody_acknowledges_is_given_up_after_timer_h():
    side = ServerSide()
    side.server.answer(486, b"486")
    side.clock.turn(100)
    assert [at for at, _ in side.sent] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert side.ended == [32]


def test_a_repeated_invite_gets_the_last_answer_again_but_a_2xx_is_not_ours_to_repeat():
    side = ServerSide()
    side.server.provide(b"180")
    side.server.again()
    side.server.answer(200, b"200")
    side.server.again()
    side.server.answer(200, b"200 again")
    side.server.answer(486, b"486")
    side.server.provide(b"late")
    assert [data for _, data in side.sent] == [b"180", b"180", b"200", b"200 again"]
    side.clock.turn(100)
    assert side.ended == [32]


def test_over_a_stream_a_refusal_is_sent_once_and_forgotten_with_its_ack():
    side = ServerSide(is_reliable=True)
    side.server.answer(486, b"486")
    side.clock.turn(10)
    side.server.acknowledge()
    side.clock.turn(10)
    assert (len(side.sent), side.ended) == (1, [10])
