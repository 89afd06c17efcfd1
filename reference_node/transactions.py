"""Answers that a node keeps for requests that are sent again.

Over UDP a client repeats a request until it is answered (RFC 3261, Timer E), so one registration may arrive many
times. A server transaction makes them one: while the first is worked on, the others are dropped; afterwards they get
the same answer, byte by byte, for as long as Timer J runs.
"""

from __future__ import annotations

from collections import OrderedDict

TIMER_J_S = 32.0
"""How long an answer is kept, s: 64 * T1 with T1 = 500 ms. Source: RFC 3261 section 17.2.2. Kind: specified."""

MAX_TRANSACTIONS = 20_000
"""Most transactions that are kept, the oldest are forgotten first: 600 a second for Timer J. Kind: assumed."""

Key = tuple[str, ...]


class Transactions:
    """Transactions of the last 32 s, with their answers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, tuple[float, bytes | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, key: Key, now_s: float) -> tuple[bool, bytes | None]:
        """Note a request.

        Parameters
        ----------
        key : tuple of str
            Equal for retransmissions of one request.
        now_s : float
            Seconds of a monotonic clock.

        Returns
        -------
        is_new : bool
        answer : bytes or None
            What an earlier one was answered; None while it is worked on.
        """
        self._forget(now_s)
        known = self._kept.get(key)
        if known:
            return False, known[1]
        self._keep(key, None, now_s)
        return True, None

    def end(self, key: Key, answer: bytes, now_s: float) -> None:
        """Keep the answer of a request."""
        self._keep(key, answer, now_s)

    def _keep(self, key: Key, answer: bytes | None, now_s: float) -> None:
        self._kept[key] = (now_s + TIMER_J_S, answer)
        self._kept.move_to_end(key)

    def _forget(self, now_s: float) -> None:
        while self._kept:
            until_s, _ = next(iter(self._kept.values()))
            if until_s > now_s and len(self._kept) < MAX_TRANSACTIONS:
                return
            self._kept.popitem(last=False)
