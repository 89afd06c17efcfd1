"""Server transactions of the nodes: what a SIP client sends again over UDP is answered once more, not worked on again.

A client repeats a REGISTER until it is answered (RFC 3261, Timer E). While a node works on the first copy the others
are dropped; afterwards they get the same answer. So a stopped node that goes on finds ten copies, and writes once.

One transaction of each client and node is kept, the latest: a client has one open at a time. It is forgotten when the
node's process dies. That Timer J ends it does not show: no copy is sent later than 32 s after the first.
"""

from __future__ import annotations

from model.effects import RESPONSE, reply
from model.records import FAR_FUTURE_US, Record, number

TRANSACTION = Record(
    "Transaction",
    "The latest transaction of a client with a node.",
    [
        number("request", "1 + number of the request, 0 = none", 0, FAR_FUTURE_US),
        number("code", "status that it was answered with, 0 = none yet", 0, 999),
        number("seconds", "the answer's `seconds`", 0, FAR_FUTURE_US, "s"),
    ],
)


def absorbs(transaction, source, message, out):
    """A request has come over UDP: note it; one that came before is answered as before, if it is by now.

    Returns
    -------
    int
        1 if the node shall not have it.
    """
    if transaction.request != message.request + 1:
        transaction.request = message.request + 1
        transaction.code = 0
        transaction.seconds = 0
        return 0
    if transaction.code != 0:
        answer = reply(out, source, RESPONSE)
        answer.request = message.request
        answer.code = transaction.code
        answer.seconds = transaction.seconds
    return 1


def end(transaction, message):
    """The node answers."""
    if message.code >= 200 and transaction.request == message.request + 1:
        transaction.code = message.code
        transaction.seconds = message.seconds


def forget(transaction):
    """The node's process knows nothing of it."""
    transaction.request = 0
    transaction.code = 0
    transaction.seconds = 0
