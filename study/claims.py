"""Does what a scenario file claims hold in a set of runs?

A file says in words what is expected (`expects`), and in numbers what that means (`[[claim]]`): a quantity, a statistic
of its values over the runs, and the interval in which the statistic must lie. Times are in seconds, as in the words.
Stalled runs do not count.

===============================  ==========================================================================
quantity                         value of a run
===============================  ==========================================================================
a milestone                      when it happened; runs in which it did not are left out
``redis_write``, ``register@H``  total time without, up to the end of the run
``lost``                         number of registrations acknowledged and lost
``two_writable``                 time in which two servers accepted writes
``blind``, ``blind@H``           time without a live binding while answering: all servers together, that of H
``client:C``                     total time in which client C could be called through no node
``blind:C``, ``blind:C@H``       time in which nodes, or that of H, answered 404 though C was registered
``zombie:C``, ``zombie:C@H``     time in which nodes, or that of H, followed a binding of C that had ended
``failed:C``                     share of the calls to C that it did not answer
``PART:C``                       a part of the longest outage of C: ``unaware:C``, ``give_up:C``, ...
a branch                         did it happen: only with ``probability``
===============================  ==========================================================================

``n`` is the share of runs that have a value. Left out: intervals around the statistic; a claim's own limits allow for
the number of runs that it is tested with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from model.errors import UsageError
from model.measures import BRANCHES, MILESTONES, WRITE_OUTAGE, RunMeasures, statistics
from model.reachability import CLIENT_PARTS
from model.scenario import Claim

_US_PER_S = 1_000_000
_CALLERS_SEE = ("blind", "zombie", "failed")

_Reader = Callable[[RunMeasures], float | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one claim.

    Attributes
    ----------
    claim : Claim
    value : float or None
        The statistic, in s for times; None when no run has the quantity.
    """

    claim: Claim
    value: float | None

    @property
    def holds(self) -> bool:
        """True when there is a value and it lies in the claimed interval."""
        return self.value is not None and self.claim.low <= self.value <= self.claim.high

    def __str__(self) -> str:
        claim = self.claim
        found = "no run has it" if self.value is None else f"{self.value:g}"
        return f"{claim.quantity} {claim.statistic}: {found}, claimed {claim.low:g} to {claim.high:g}"


def evaluate(claims: Iterable[Claim], runs: Sequence[RunMeasures]) -> list[Finding]:
    """What became of each claim in these runs.

    Raises
    ------
    UsageError
        A quantity that is none, or a statistic that it cannot have.
    """
    usable = [run for run in runs if not run.stalled]
    return [Finding(claim, _statistic(claim, usable)) for claim in claims]


def _statistic(claim: Claim, runs: Sequence[RunMeasures]) -> float | None:
    value_of = _course(claim.quantity) if claim.statistic == "probability" else _number(claim.quantity)
    values = [float(value) for value in map(value_of, runs) if value is not None]
    if claim.statistic == "n":
        return len(values) / len(runs) if runs else None
    if not values:
        return None
    return float(statistics(values)["mean" if claim.statistic == "probability" else claim.statistic])


def _course(quantity: str) -> _Reader:
    """How to tell whether a run took a course."""
    if quantity not in BRANCHES:
        raise _unknown(quantity, "course with a probability", BRANCHES)
    return lambda run: run.branches.get(quantity)


def _number(quantity: str) -> _Reader:
    """How to read a time or a count off a run; None where the run does not have it."""
    if quantity in MILESTONES:
        return lambda run: _seconds(run.milestones.get(quantity))
    if quantity == WRITE_OUTAGE or quantity.startswith(("register@", "client:")):
        return lambda run: _seconds(run.outage_us(quantity)) if quantity in run.windows else None
    if quantity == "two_writable":
        return lambda run: _seconds(run.two_writable_us)
    if quantity == "blind":
        return lambda run: _seconds(run.blind_us)
    if quantity.startswith("blind@"):
        return lambda run: _seconds(run.blind.get(quantity.removeprefix("blind@")))
    if quantity == "lost":
        return lambda run: run.lost
    what, _, rest = quantity.partition(":")
    if rest and what in (*_CALLERS_SEE, *CLIENT_PARTS):
        return partial(_of_client, what, *rest.partition("@")[::2])
    known = (*MILESTONES, WRITE_OUTAGE, "register@HOST", "two_writable", "blind", "blind@HOST", "lost",
             "client:NAME", *(f"{what}:NAME" for what in (*_CALLERS_SEE, *CLIENT_PARTS)))  # fmt: skip
    raise _unknown(quantity, "time or count", known)


def _of_client(what: str, name: str, node: str, run: RunMeasures) -> float | None:
    """What callers saw of a client, or a part of its outage; None where the run does not have it."""
    seen = run.clients.get(name)
    if seen is None:
        return None
    if what == "failed":
        return seen.failed / seen.calls if seen.calls else None
    if what in CLIENT_PARTS:
        return _seconds(seen.parts.get(what))
    times = seen.blind if what == "blind" else seen.zombie
    return _seconds(times.get(node) if node else sum(times.values()))


def _unknown(quantity: str, what: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"claim on {quantity}: it is no {what}\n\nhint: one of {', '.join(known)}")


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / _US_PER_S
