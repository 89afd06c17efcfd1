"""Deterministic integer draws: one stream per entity and purpose.

A draw is a pure function of (key, counter): Threefry-2x32 with 20 rounds (J. Salmon, M. Moraes, R. Dror, D. Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC11, 2011). So a run does not depend on the order in which runs are
made, and a new purpose leaves all other streams as they were (common random numbers across settings).

The easy way, one generator a run, is wrong here: an extra draw anywhere would change everything after it.

All arithmetic stays inside 32 bits, so interpreted and compiled code agree bit for bit.
"""

from __future__ import annotations

from model.records import Record, number

_WORD = 0xFFFFFFFF
_PARITY = 0x1BD11BDA
"""Key parity constant of Threefry (Skein, 32 bits). Kind: specified (Salmon et al. 2011)."""

STREAM = Record(
    "Stream",
    "A stream of draws.",
    [
        number("key_high", "which run: from the master seed and the run's number", 0, _WORD),
        number("key_low", "which entity and purpose, mixed with the run", 0, _WORD),
        number("count", "draws made so far", 0, _WORD),
    ],
)


def _rotate(x, bits):
    return ((x << bits) | (x >> (32 - bits))) & _WORD


def _four_rounds(x0, x1, r0, r1, r2, r3):
    x0 = (x0 + x1) & _WORD
    x1 = _rotate(x1, r0) ^ x0
    x0 = (x0 + x1) & _WORD
    x1 = _rotate(x1, r1) ^ x0
    x0 = (x0 + x1) & _WORD
    x1 = _rotate(x1, r2) ^ x0
    x0 = (x0 + x1) & _WORD
    x1 = _rotate(x1, r3) ^ x0
    return x0, x1


def threefry(key_high, key_low, counter_high, counter_low):
    """Threefry-2x32-20: two 32-bit words from a 64-bit key and a 64-bit counter."""
    k2 = _PARITY ^ key_high ^ key_low
    x0 = (counter_high + key_high) & _WORD
    x1 = (counter_low + key_low) & _WORD
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    x0, x1 = (x0 + key_low) & _WORD, (x1 + k2 + 1) & _WORD
    x0, x1 = _four_rounds(x0, x1, 17, 29, 16, 24)
    x0, x1 = (x0 + k2) & _WORD, (x1 + key_high + 2) & _WORD
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    x0, x1 = (x0 + key_high) & _WORD, (x1 + key_low + 3) & _WORD
    x0, x1 = _four_rounds(x0, x1, 17, 29, 16, 24)
    x0, x1 = (x0 + key_low) & _WORD, (x1 + k2 + 4) & _WORD
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    return (x0 + k2) & _WORD, (x1 + key_high + 5) & _WORD


def start(stream, seed, run, entity, purpose):
    """Point `stream` at the draws of one entity and purpose in one run.

    Parameters
    ----------
    stream : Stream
    seed, run : int
        Master seed (its low 62 bits count) and number of the run.
    entity, purpose : int
        Below 2**32 each.
    """
    high, low = threefry(seed & _WORD, (seed >> 32) & _WORD, run >> 32, run & _WORD)
    stream.key_high, stream.key_low = threefry(high, low, entity, purpose)
    stream.count = 0


def below(stream, limit):
    """The next draw, uniform over 0 .. limit - 1.

    `limit` is at most 2**31; the bias of the multiply-and-shift is below limit / 2**32.
    """
    word, _ = threefry(stream.key_high, stream.key_low, 0, stream.count)
    stream.count += 1
    return (word * limit) >> 32
