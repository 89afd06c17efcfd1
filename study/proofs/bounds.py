"""Proofs that no run is outside the bounds of `model.bounds`, whatever the settings, and that runs come up to them.

The functions of `model.bounds.limits` (the bounds) and of `model.bounds.steps` (what a run may do) are called with
symbols of the solver z3 in place of numbers. So it is their text that is proved, for every delay, failover-timeout, law
of ticks, way and rewrite that the premises allow. For each stage three questions are asked:

*outside*  Are there settings, and a run that meets all conditions, whose instant lies outside? Answer: no (unsat).
*least*, *greatest*  Are there settings for which no run comes up to that end? No (unsat). An end that is itself not
           reached is *open*: runs come as close as one likes.

The quorum-th of n sentinels is proved for up to `MOST` sentinels; its sum with the other stages for three of them,
quorum 2. Bounds of a milestone are sums of stages, so what is proved of the stages holds for the sum.

Left out: that the machines take no other steps than these. Tests hold recorded runs of the machines against the same
conditions, and simulated runs against the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from model.bounds import limits, steps
from model.bounds.group import Range
from model.errors import EnvironmentLacks

LIVE = 3
"""Live sentinels in the proof of an election: each may have its votes to write. Kind: assumed (the guide's)."""

MOST = 5
"""Sentinels up to which the quorum-th is proved. Kind: assumed (more are seldom used)."""

PATIENCE_MS = 60_000
"""The solver gives up after so long; proofs take milliseconds. Kind: assumed."""

Formula = Any


def solver_module() -> ModuleType:
    """z3.

    Raises
    ------
    EnvironmentLacks
        It is not installed.
    """
    try:
        import z3
    except ImportError as error:
        raise EnvironmentLacks("proofs need the solver z3\n\nhint: pip install z3-solver") from error
    return z3


class Symbols:
    """Unknown numbers, made when they are asked for by name."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[str, Formula] = {}

    def __getattr__(self, name: str) -> Formula:
        if name.startswith("_"):
            raise AttributeError(name)
        made = self._made
        if name not in made:
            made[name] = solver_module().Real(f"{self._prefix}.{name}")
        return made[name]

    @property
    def all(self) -> list[Formula]:
        """All that have been asked for."""
        return list(self._made.values())


class Settings(Symbols):
    """Unknown settings with the premises that hold for all of them."""

    def __init__(self) -> None:
        super().__init__("set")
        self.premises: list[Formula] = []
        self.tick = self.range("tick", self.shortest_tick > 0)
        self.forth, self.back = self.range("forth"), self.range("back")
        self.between, self.way = self.range("between"), self.range("way")
        round_trip = self.forth.high_ms + self.back.high_ms
        self.premises += [self.delay > 0, self.period > 0, self.period <= self.delay, self.flush >= 0,
                          2 * round_trip <= self.period, self.timeout > 0, self.contact >= 0]  # fmt: skip
        self.premises += [self.shortest_tick <= self.tick.low_ms]
        self.pace = limits.Pace(self.delay, self.period, self.between, self.flush, self.tick)

    def range(self, name: str, *premises: Formula) -> Range:
        """Unknown limits, the lower one not below 0 and not above the upper one."""
        low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
        self.premises += [low >= 0, low <= high, *premises]
        return Range(low, high)


@dataclass(frozen=True, slots=True)
class Claim:
    """A stage, its steps and its bounds.

    Attributes
    ----------
    key, sentence : str
    steps : callable
        Conditions of a run, from settings and the run's symbols.
    instant : callable
        The instant that is bounded, from the run's symbols.
    bounds : callable
        From settings.
    premise : callable
        What else is assumed of the settings.
    ends : tuple of str
        ``closed``, ``open`` or, where another claim with the same bounds reaches it, ``elsewhere``.
    reach : callable
        What is assumed besides of settings for which the ends are reached.
    """

    key: str
    sentence: str
    steps: Callable[[Settings, Symbols], Iterator[steps.Condition]]
    instant: Callable[[Symbols], Formula]
    bounds: Callable[[Settings], Range]
    premise: Callable[[Settings], Sequence[Formula]] = lambda s: ()
    ends: tuple[str, str] = ("closed", "closed")
    reach: Callable[[Settings], Sequence[Formula]] = lambda s: ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What the solver answered.

    Attributes
    ----------
    key, sentence : str
    holds : bool
        No run is outside.
    least, greatest : bool or None
        Runs come up to that end; None where that was not asked.
    counterexample : dict of str to str
        Settings and instants of a run outside.
    """

    key: str
    sentence: str
    holds: bool
    least: bool | None
    greatest: bool | None
    counterexample: dict[str, str]

    @property
    def is_sound(self) -> bool:
        """All that was asked was answered as hoped for."""
        return self.holds and self.least is not False and self.greatest is not False


def _answers_ms(s: Settings) -> Formula:
    return 2 * s.between.high_ms + (1 + 2 * LIVE) * s.flush


def _ticks_fit(s: Settings) -> list[Formula]:
    """A delay is a tick or more; the scenario language allows no less than 100 ms."""
    return [s.delay >= s.tick.low_ms]


CLAIMS = (
    Claim(
        "silent", "+sdown of one sentinel, connections left as they are",
        lambda s, run: steps.silent_steps(s.pace, s.forth, s.back, run), lambda run: run.down,
        lambda s: limits.silent(s.pace, s.forth, s.back), ends=("open", "closed"), reach=_ticks_fit,
    ),
    Claim(
        "reset", "+sdown of one sentinel, connections reset, no PING under way",
        lambda s, run: steps.reset_steps(s.pace, s.back, run), lambda run: run.down,
        lambda s: limits.reset(s.pace, s.forth, s.back), ends=("elsewhere", "closed"), reach=_ticks_fit,
    ),
    Claim(
        "caught", "+sdown of one sentinel, connections reset, a PING under way",
        lambda s, run: steps.caught_steps(s.pace, s.forth, s.back, run), lambda run: run.down,
        lambda s: limits.reset(s.pace, s.forth, s.back), ends=("open", "elsewhere"), reach=_ticks_fit,
    ),
    Claim(
        "asked_late", "first +odown after the quorum-th +sdown, answers before the next tick",
        lambda s, run: steps.latest_agreement_steps(s.pace, run), lambda run: run.odown,
        lambda s: limits.agreement(s.pace, swift=True), lambda s: [2 * s.between.high_ms < s.tick.low_ms],
        ends=("elsewhere", "closed"),
    ),
    Claim(
        "asked_late_slow", "first +odown after the quorum-th +sdown, answers that take longer",
        lambda s, run: steps.latest_agreement_steps(s.pace, run), lambda run: run.odown,
        lambda s: limits.agreement(s.pace, swift=False), lambda s: [2 * s.between.high_ms >= s.tick.low_ms],
        ends=("elsewhere", "closed"),
    ),
    Claim(
        "asked_early", "no +odown before, whoever asks",
        lambda s, run: steps.earliest_agreement_steps(s.pace, run), lambda run: run.odown,
        lambda s: Range(limits.agreement(s.pace, swift=True).low_ms, None), ends=("closed", "elsewhere"),
    ),
    Claim(
        "elected", "+elected-leader after the first +odown, votes before the next tick",
        lambda s, run: steps.election_steps(s.pace, LIVE, run), lambda run: run.elected,
        lambda s: limits.election(s.pace, LIVE, swift=True), lambda s: [_answers_ms(s) < s.tick.low_ms],
    ),
    Claim(
        "elected_slow", "+elected-leader after the first +odown, votes that take longer",
        lambda s, run: steps.election_steps(s.pace, LIVE, run), lambda run: run.elected,
        lambda s: limits.election(s.pace, LIVE, swift=False), lambda s: [_answers_ms(s) >= s.tick.low_ms],
        reach=lambda s: [2 * s.between.low_ms <= s.tick.high_ms],
    ),
    Claim(
        "turned", "change of role after +elected-leader",
        lambda s, run: steps.turning_steps(s.pace, s.way, run), lambda run: run.turned,
        lambda s: limits.turning(s.pace, s.way),
    ),
    Claim(
        "promoted", "+promoted-slave after the change of role",
        lambda s, run: steps.sighting_steps(s.pace, s.way, run), lambda run: run.promoted,
        lambda s: limits.sighting(s.pace, s.way),
    ),
    Claim(
        "switched", "another sentinel's +switch-master after +promoted-slave",
        lambda s, run: steps.hearing_steps(s.pace, s.way, run), lambda run: run.switched,
        lambda s: limits.hearing(s.pace, s.way), reach=lambda s: [s.tick.low_ms <= limits.HELLO_MS],
    ),
    Claim(
        "again", "start of the next attempt after one that is lost",
        lambda s, run: steps.retry_steps(s.pace, s.timeout, run), lambda run: run.start,
        lambda s: limits.retry(s.pace, s.timeout), ends=("closed", "open"),
    ),
    Claim(
        "demoted", "+convert-to-slave after the return of the old primary",
        lambda s, run: steps.demotion_steps(s.pace, s.way, s.contact, run), lambda run: run.told,
        lambda s: limits.demotion(s.pace, s.way, s.contact), ends=("open", "closed"),
    ),
)  # fmt: skip


def prove(claim: Claim) -> Proof:
    """Ask the solver the three questions about one stage."""
    z3 = solver_module()
    s, run = Settings(), Symbols("run")
    conditions = [truth for _, truth in claim.steps(s, run)]
    instant, bounds = claim.instant(run), claim.bounds(s)
    premises = [*s.premises, *claim.premise(s)]
    outside = _outside(instant, bounds, claim.ends)
    counterexample = _solve([*premises, *conditions, z3.Or(outside)])
    reached = [
        _is_reached(claim, s, run, conditions, end == "open", instant, bound, is_low)
        if end != "elsewhere" and bound is not None else None
        for bound, end, is_low in zip((bounds.low_ms, bounds.high_ms), claim.ends, (True, False), strict=True)
    ]  # fmt: skip
    return Proof(claim.key, claim.sentence, counterexample is None, *reached, counterexample or {})


def _outside(instant: Formula, bounds: Range, ends: tuple[str, str]) -> list[Formula]:
    found = []
    if bounds.low_ms is not None:
        found.append(instant <= bounds.low_ms if ends[0] == "open" else instant < bounds.low_ms)
    if bounds.high_ms is not None:
        found.append(instant >= bounds.high_ms if ends[1] == "open" else instant > bounds.high_ms)
    return found


def _is_reached(
    claim: Claim, s: Settings, run: Symbols, conditions: list[Formula], is_open: bool, instant: Formula, end: Formula,
    is_low: bool,
) -> bool:  # fmt: skip
    """True unless there are settings for which every run stays away from an end."""
    z3 = solver_module()
    near = s.near
    at_end = instant == end
    if is_open:
        at_end = instant < end + near if is_low else instant > end - near
    away = z3.ForAll(run.all, z3.Not(z3.And(*conditions, at_end)))
    return _solve([*s.premises, *claim.premise(s), *claim.reach(s), near > 0, away], z3.SolverFor("LRA")) is None


def _solve(formulas: Sequence[Formula], solver: Any = None) -> dict[str, str] | None:
    """A model as text, None when there is none."""
    z3 = solver_module()
    solver = solver or z3.Solver()
    solver.set("timeout", PATIENCE_MS)
    solver.add(*formulas)
    answer = solver.check()
    assert answer != z3.unknown, f"the solver gave up: {solver.reason_unknown()}"
    if answer == z3.unsat:
        return None
    model = solver.model()
    return {str(name): str(model[name]) for name in sorted(model.decls(), key=str)}


def _is_rank(value: Formula, values: Sequence[Formula], rank: int) -> list[Formula]:
    """`value` is the `rank`-th smallest of some values."""
    z3 = solver_module()
    return [
        z3.AtLeast(*[each <= value for each in values], rank),
        z3.AtMost(*[each < value for each in values], rank - 1),
    ]


def prove_rank(n: int, rank: int) -> Proof:
    """The `rank`-th smallest of n values lies between the `rank`-th smallest of their limits."""
    z3 = solver_module()
    lows, values, highs = (z3.Reals([f"{name}{i}" for i in range(n)]) for name in ("low", "value", "high"))
    chosen = z3.Reals("low value high")
    formulas = [z3.And(low <= value, value <= high) for low, value, high in zip(lows, values, highs, strict=True)]
    for one, all_ in zip(chosen, (lows, values, highs), strict=True):
        formulas += _is_rank(one, all_, rank)
    low, value, high = chosen
    counterexample = _solve([*formulas, z3.Or(value < low, value > high)])
    sentence = f"number {rank} of {n} sentinels to say +sdown"
    return Proof(f"rank_{rank}_of_{n}", sentence, counterexample is None, None, None, counterexample or {})


def prove_whole() -> Proof:
    """All stages in one formula: three sentinels, quorum 2, a silent primary, up to the first +switch-master."""
    z3 = solver_module()
    s = Settings()
    runs = {name: Symbols(name) for name in ("s1", "s2", "s3", "odown", "elected", "turned", "promoted", "switched")}
    formulas = [*s.premises, 2 * s.between.high_ms < s.tick.low_ms, _answers_ms(s) < s.tick.low_ms]
    for name in ("s1", "s2", "s3"):
        formulas += [truth for _, truth in steps.silent_steps(s.pace, s.forth, s.back, runs[name])]
    quorate = z3.Real("quorate")
    downs = [runs[name].down for name in ("s1", "s2", "s3")]
    formulas += _is_rank(quorate, downs, 2)
    total, bounds = quorate, limits.silent(s.pace, s.forth, s.back)
    for name, key in (("odown", "asked_late"), ("elected", "elected"), ("turned", "turned"), ("promoted", "promoted"),
                      ("switched", "switched")):  # fmt: skip
        claim = next(each for each in CLAIMS if each.key == key)
        formulas += [truth for _, truth in claim.steps(s, runs[name])]
        total, bounds = total + claim.instant(runs[name]), bounds + claim.bounds(s)
    counterexample = _solve([*formulas, total > bounds.high_ms])
    return Proof("whole", "all of it: the latest +switch-master of three sentinels, quorum 2", counterexample is None,
                 None, None, counterexample or {})  # fmt: skip


def prove_all() -> Iterator[Proof]:
    """Every proof, one after the other."""
    for claim in CLAIMS:
        yield prove(claim)
    for n in range(1, MOST + 1):
        for rank in range(1, n + 1):
            yield prove_rank(n, rank)
    yield prove_whole()
