"""Transactions of RFC 3261 section 17: one request is carried out once, and answered however often it comes.

======================  ==========================================================================================
`Transactions`          server side of everything but INVITE: requests known, with the answers that they got
`InviteServer`          server side of an INVITE: repeats its final answer until an ACK comes
`Client`                client side: repeats a request until it is answered, and gives up in the end
======================  ==========================================================================================

Timers run on the event loop's clock, which a test may replace; sending is somebody else's business. The states of
2xx answers to INVITE are those of RFC 6026: a proxy passes on all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from reference_node.sip.message import Key, Response

T1_S = 0.5
"""Estimate of a round trip, s. Source: RFC 3261 section 17.1.1.1. Kind: specified."""

T2_S = 4.0
"""Longest interval between repetitions, s. Source: RFC 3261 section 17.1.2.2. Kind: specified."""

T4_S = 5.0
"""How long a message may stay in the network, s. Source: RFC 3261 section 17.1.2.2. Kind: specified."""

TIMER_B_S = TIMER_F_S = TIMER_H_S = TIMER_J_S = TIMER_L_S = TIMER_M_S = 64 * T1_S
"""Giving up an INVITE (B), another request (F), or waiting for an ACK (H); keeping an answer (J); further 2xx on
the server's and the client's side (L, M), s. Source: RFC 3261 section 17, RFC 6026 section 7. Kind: specified."""

TIMER_D_S = 32.0
"""Taking repeated final answers to an INVITE, s; 0 over a stream. Source: RFC 3261 section 17.1.1.2.
Kind: specified."""

TIMER_I_S = TIMER_K_S = T4_S
"""Taking repeated ACKs (I) and answers (K), s; 0 over a stream. Source: RFC 3261 section 17. Kind: specified."""

MAX_TRANSACTIONS = 20_000
"""Most transactions that are kept, the oldest are forgotten first: 600 a second for Timer J. Kind: assumed."""


class Clock(Protocol):
    """What transactions use of an event loop."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back after `delay` s, unless what this gives is cancelled."""


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

    def end(self, key: Key, answer: bytes, now_s: float, is_reliable: bool = False) -> None:
        """Keep the answer of a request; over a stream nobody asks again, so that Timer J is 0."""
        if is_reliable:
            self._kept.pop(key, None)
        else:
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


class InviteServer:
    """The server side of an INVITE::

        PROCEEDING --2xx--> ACCEPTED --L--> gone
             '--300-699--> COMPLETED --ACK--> CONFIRMED --I--> gone
                               '--H--> gone

    Parameters
    ----------
    send : callable
        Sends bytes to whom the INVITE came from.
    is_reliable : bool
        Whether that is over a stream.
    clock : Clock
    gone : callable
        Is told when the transaction ends.
    """

    def __init__(self, send: Callable[[bytes], Any], is_reliable: bool, clock: Clock, gone: Callable[[], None]) -> None:
        self._send, self._is_reliable, self._clock, self._gone = send, is_reliable, clock, gone
        self._last = b""
        self._timers: list[Any] = []
        self.status = 0
        """Of the final answer, 0 before."""

    def provide(self, answer: bytes) -> None:
        """Send a provisional answer."""
        if not self.status:
            self._last = answer
            self._send(answer)

    def answer(self, status: int, answer: bytes) -> None:
        """Send a final answer; after the first one only further 2xx go out."""
        if self.status and not (200 <= self.status < 300 and 200 <= status < 300):
            return
        is_first, self.status = not self.status, status
        self._send(answer)
        if not is_first:
            return
        if status < 300:
            self._last = b""  # RFC 6026 section 7.1: whoever answered 2xx repeats it himself
            self._later(TIMER_L_S, self._end)
        else:
            self._last = answer
            self._later(TIMER_H_S, self._end)
            if not self._is_reliable:
                self._later(T1_S, self._repeat, T1_S)

    def again(self) -> None:
        """The INVITE has come again."""
        if self._last:
            self._send(self._last)

    def acknowledge(self) -> None:
        """Its ACK has come."""
        if self.status >= 300 and self._last:
            self._last = b""
            self._cancel()
            self._later(0.0 if self._is_reliable else TIMER_I_S, self._end)

    def stop(self) -> None:
        """Forget it, without a word."""
        self._cancel()

    def _repeat(self, after_s: float) -> None:
        """Timer G."""
        self._send(self._last)
        next_s = min(2 * after_s, T2_S)
        self._later(next_s, self._repeat, next_s)

    def _later(self, delay_s: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._timers.append(self._clock.call_later(delay_s, callback, *arguments))

    def _cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _end(self) -> None:
        self._cancel()
        self._gone()


class Client:
    """The client side of a request::

        TRYING --1xx--> PROCEEDING --final--> COMPLETED (INVITE 2xx: ACCEPTED) --D, K, M--> gone
           '--B, F--> failed(408)

    Parameters
    ----------
    is_invite : bool
    send : callable
        Sends the request.
    acknowledge : callable
        Sends the ACK to a final answer of 300 or more to an INVITE.
    is_reliable : bool
        Whether it goes over a stream.
    clock : Clock
    heard : callable
        Is given each response that is for whoever asked: not repetitions, but for 2xx to an INVITE.
    failed : callable
        Is given 408 when nobody answers.
    gone : callable
        Is told when the transaction ends.
    """

    def __init__(
        self,
        is_invite: bool,
        send: Callable[[], Any],
        acknowledge: Callable[[Response], Any],
        is_reliable: bool,
        clock: Clock,
        heard: Callable[[Response], None],
        failed: Callable[[int], None],
        gone: Callable[[], None],
    ) -> None:
        self._is_invite, self._is_reliable, self._clock = is_invite, is_reliable, clock
        self._send, self._acknowledge = send, acknowledge
        self._heard, self._failed, self._gone = heard, failed, gone
        self._repeater: Any = None
        self._limit: Any = None
        self.status = 0
        """Of the last answer, 0 before."""

    def start(self) -> None:
        """Send the request."""
        self._limit = self._clock.call_later(TIMER_B_S if self._is_invite else TIMER_F_S, self._give_up)
        if not self._is_reliable:
            self._repeater = self._clock.call_later(T1_S, self._repeat, T1_S)
        self._send()

    def receive(self, response: Response) -> None:
        """A response to it has come."""
        if self.status >= 200:
            return self._receive_again(response)
        self.status = response.status
        if response.status < 200:
            if self._is_invite:
                self._stop()  # what limits it from now on is whoever forked it
            self._heard(response)
            return
        self._stop()
        linger_s = 0.0 if self._is_reliable else (TIMER_D_S if self._is_invite else TIMER_K_S)
        if self._is_invite and response.status < 300:
            linger_s = TIMER_M_S
        elif self._is_invite:
            self._acknowledge(response)
        self._limit = self._clock.call_later(linger_s, self._end)
        self._heard(response)

    def stop(self) -> None:
        """Forget it, without a word."""
        self._stop()

    def _receive_again(self, response: Response) -> None:
        if not self._is_invite or response.status < 200:
            return
        if self.status < 300 and response.status < 300:
            self._heard(response)
        elif self.status >= 300 and response.status >= 300:
            self._acknowledge(response)

    def _repeat(self, after_s: float) -> None:
        """Timers A and E."""
        self._send()
        next_s = 2 * after_s
        if not self._is_invite:
            next_s = T2_S if self.status else min(next_s, T2_S)
        self._repeater = self._clock.call_later(next_s, self._repeat, next_s)

    def _give_up(self) -> None:
        """Timers B and F."""
        self._stop()
        self.status = 408
        self._failed(408)
        self._gone()

    def _stop(self) -> None:
        for timer in (self._repeater, self._limit):
            if timer:
                timer.cancel()
        self._repeater = self._limit = None

    def _end(self) -> None:
        self._stop()
        self._gone()
