"""What `tune` must be told besides the scenario: how often what breaks, how long things stall, and what it all costs.

Conditions stand in a TOML file (docs/tune.md has one); what it leaves out is assumed, and every default says so. Stalls
are given as a law of their length, or as lengths that were measured.

A *stall* ends by itself: Redis forks or runs a slow command, a virtual machine is moved, a switch restarts. A *crash*
does not.
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pydantic
from scipy import stats

from model.bounds import HOUR_MS, YEAR_MS, Kind
from model.errors import ScenarioError
from model.laws import Floats
from model.scenario.base import Section, setting

SCHEMA = 1
"""Version of the conditions file."""

LawName = Literal["exponential", "lognormal", "pareto"]
StallOf = Literal["redis", "host", "network", "link", "other-host"]

KIND_OF: dict[StallOf, Kind] = {"redis": "frozen", "host": "host-frozen", "network": "host"}
"""The fault that a stall is while it lasts; `hastudy tune` knows no others."""

NEEDS = {"exponential": ("mean_ms",), "lognormal": ("median_ms", "sigma"), "pareto": ("least_ms", "alpha")}
"""Parameters of each law."""

_PARAMETERS = tuple(name for names in NEEDS.values() for name in names)
_MOST = 1e9


class Crashes(Section):
    """How often a host or a process is lost, a year: for `tune` the primary's, for `availability` each."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    host: float = setting(1.0, "its host vanishes: power, cable, kernel", unit="1/a", kind="assumed",
                          source="no statistics of your hosts", ge=0, le=_MOST)  # fmt: skip
    redis: float = setting(1.0, "its process is killed", unit="1/a", kind="assumed",
                           source="no statistics of your servers", ge=0, le=_MOST)  # fmt: skip
    frozen: float = setting(0.0, "its process hangs for good", unit="1/a", kind="assumed",
                            source="no statistics of your servers", ge=0, le=_MOST)  # fmt: skip
    sentinel: float = setting(1.0, "each sentinel's process dies", unit="1/a", kind="assumed",
                              source="no statistics of your servers", ge=0, le=_MOST)  # fmt: skip
    repair_h: float = setting(4.0, "until a dead sentinel is started again", unit="h", kind="assumed",
                              source="somebody has to notice", ge=0, le=8766)  # fmt: skip
    host_repair_h: float = setting(4.0, "until a lost host is back (availability)", unit="h", kind="assumed",
                                   source="somebody has to come", gt=0, le=8766)  # fmt: skip
    redis_repair_h: float = setting(4.0, "until a killed or hung Redis runs again (availability)", unit="h",
                                    kind="assumed", source="somebody has to notice", gt=0, le=8766)  # fmt: skip

    def by_kind(self) -> dict[Kind, float]:
        """Crashes a year that there are."""
        rates: dict[Kind, float] = {"host": self.host, "redis": self.redis, "frozen": self.frozen}
        return {kind: rate for kind, rate in rates.items() if rate > 0}


class Counted(Section):
    """Crashes that were counted: in place of rates that are taken at their word."""

    model_config = Crashes.model_config

    years: float = setting(0.0, "how long all hosts together were watched: hosts times years", unit="a",
                           kind="assumed", source="none", ge=0, le=_MOST)  # fmt: skip
    host: int | None = setting(None, "hosts that were lost", kind="assumed", source="none", ge=0, le=10**6)
    redis: int | None = setting(None, "Redis processes that died", kind="assumed", source="none", ge=0, le=10**6)
    frozen: int | None = setting(None, "Redis processes that hung for good", kind="assumed", source="none",
                                 ge=0, le=10**6)  # fmt: skip
    sentinel: int | None = setting(None, "sentinels that died", kind="assumed", source="none", ge=0, le=10**6)

    def counts(self) -> dict[str, int]:
        """What was counted, by the name of its rate."""
        found = {name: getattr(self, name) for name in ("host", "redis", "frozen", "sentinel")}
        return {name: count for name, count in found.items() if count is not None}

    def rate(self, count: int) -> float:
        """A year: the mean of Jeffreys' posterior, gamma with shape `count` + 1/2. None in 5 years is not never."""
        return (count + 0.5) / self.years


class Planned(Section):
    """What is done on purpose; only `availability` asks for it."""

    model_config = Crashes.model_config

    switchovers: float = setting(0.0, "failovers that an operator asks for, a year", unit="1/a", kind="assumed",
                                 source="none", ge=0, le=_MOST)  # fmt: skip
    work: float = setting(0.0, "times a year that each host is taken down for work, its primary moved away before",
                          unit="1/a", kind="assumed", source="none", ge=0, le=_MOST)  # fmt: skip
    work_h: float = setting(1.0, "how long it then stays away", unit="h", kind="assumed", source="a new kernel",
                            gt=0, le=8766)  # fmt: skip


class StallLaw(Section):
    """Stalls of one kind: a law, or a file of measured lengths."""

    model_config = Crashes.model_config

    of: StallOf = setting("redis", "what stalls: the primary's Redis process, its whole host, or its host's network; "
                          "each way between its host and another sentinel's, each other host", kind="assumed",
                          source="most stalls seen are Redis's own")  # fmt: skip
    law: LawName | None = setting(None, "law of their length", kind="assumed", source="none; `file` in its place")
    per_year: float | None = setting(None, "how many a year", unit="1/a", kind="assumed", source="none", ge=0, le=_MOST)
    mean_ms: float | None = setting(None, "exponential: mean", unit="ms", kind="assumed", source="none", gt=0, le=_MOST)
    median_ms: float | None = setting(None, "lognormal: median", unit="ms", kind="assumed", source="none",
                                      gt=0, le=_MOST)  # fmt: skip
    sigma: float | None = setting(None, "lognormal: standard deviation of the logarithm", kind="assumed",
                                  source="none", gt=0, le=10)  # fmt: skip
    least_ms: float | None = setting(None, "pareto: shortest", unit="ms", kind="assumed", source="none",
                                     gt=0, le=_MOST)  # fmt: skip
    alpha: float | None = setting(None, "pareto: exponent of the tail", kind="assumed", source="none", gt=0, le=100)
    file: str | None = setting(None, "measured lengths: CSV with a column length_ms, or LATENCY HISTORY",
                               kind="assumed", source="none")  # fmt: skip
    observed_hours: float | None = setting(None, "time in which they were measured", unit="h", kind="assumed",
                                           source="as the file says", gt=0, le=_MOST)  # fmt: skip


class Weights(Section):
    """What things cost, in any one unit; the objective `cost` adds them up."""

    model_config = Crashes.model_config

    outage_s: float = setting(1.0, "a second of outage after a crash", kind="assumed", source="the unit",
                              ge=0, le=_MOST)  # fmt: skip
    needless: float = setting(30.0, "a needless failover", kind="assumed",
                              source="writes lost in 10 s with two primaries, and somebody who looks into it",
                              ge=0, le=_MOST)  # fmt: skip
    lost: float = setting(0.0, "a registration that was confirmed and is lost", kind="assumed",
                          source="phones register again", ge=0, le=_MOST)  # fmt: skip


ASSUMED_STALLS = (
    StallLaw(of="redis", law="lognormal", per_year=500.0, median_ms=300.0, sigma=1.0),
    StallLaw(of="host", law="exponential", per_year=12.0, mean_ms=500.0),
)
"""Stalls that are assumed when none are given: forks and slow commands; moves of the virtual machine."""


class Conditions(Section):
    """The whole file."""

    model_config = Crashes.model_config

    schema_: int = pydantic.Field(SCHEMA, alias="schema", description="version of this file's schema", ge=1, le=SCHEMA)
    crashes_per_year: Crashes = Crashes()
    crashes_counted: Counted = Counted()
    planned: Planned = Planned()
    stall: tuple[StallLaw, ...] = ASSUMED_STALLS
    weights: Weights = Weights()
    registrations_per_s: float = setting(100.0, "registrations of all phones together", unit="1/s", kind="assumed",
                                         source="360,000 phones that register once an hour",
                                         ge=0, le=_MOST)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stalls:
    """Stalls of one kind, ready to reckon with.

    Attributes
    ----------
    of : str
        What stalls.
    words : str
        Where they are from.
    per_year : float
    longer : callable
        P(length > t), t in ms.
    lengths_ms : array
        Measured lengths, empty for a law.
    observed_ms : float
        Time in which they were measured.
    """

    of: StallOf
    words: str
    per_year: float
    longer: Callable[[Floats], Floats]
    lengths_ms: Floats = field(default_factory=lambda: np.zeros(0))
    observed_ms: float = math.inf

    @property
    def is_measured(self) -> bool:
        """True when the lengths are a sample."""
        return math.isfinite(self.observed_ms)


def load(path: Path | None) -> tuple[Conditions, str]:
    """Read conditions; returns them and where they are from.

    Raises
    ------
    ScenarioError
        The file is missing, is not TOML, or says something that cannot be.
    """
    if path is None:
        return Conditions(), "assumed"
    where = str(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(where, "", f"cannot be read: {error.strerror}", "a readable TOML file",
                            "docs/tune.md has an example") from None  # fmt: skip
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(where, "", f"not TOML: {error}", "TOML 1.0", "mend the line that is named") from None
    return check(data, where), where


def check(data: dict[str, Any], where: str) -> Conditions:
    """Conditions from plain data; see `load`."""
    # Strict, but a list of a TOML file may fill a tuple, and 2 is a number of crashes as good as 2.0.
    try:
        conditions = Conditions.model_validate({**data, "stall": tuple(data["stall"])} if "stall" in data else data)
    except pydantic.ValidationError as error:
        raise _translate(error, where) from None
    except TypeError:
        raise ScenarioError(where, "stall", "no list", "[[stall]] tables", "write [[stall]]") from None
    conditions = _with_counts(conditions, where)
    if not conditions.crashes_per_year.by_kind():
        raise ScenarioError(where, "crashes_per_year", "0 for host, redis and frozen", "one of them above 0",
                            "without a crash there is no outage that a delay could make shorter")  # fmt: skip
    for number, stall in enumerate(conditions.stall):
        _check_stall(stall, where, f"stall.{number}")
    return conditions


def _with_counts(conditions: Conditions, where: str) -> Conditions:
    """Put the rates that were counted in place of those that were not."""
    counted, crashes = conditions.crashes_counted, conditions.crashes_per_year
    rates = {}
    for name, count in counted.counts().items():
        if counted.years == 0:
            raise ScenarioError(where, "crashes_counted.years", "missing", "hosts times years, above 0",
                                "3 hosts watched for 5 years are 15")  # fmt: skip
        if name in crashes.model_fields_set:
            raise ScenarioError(where, f"crashes_per_year.{name}", "given beside crashes_counted", "one of them",
                                "remove the rate: it follows from the count")  # fmt: skip
        rates[name] = counted.rate(count)
    return conditions.model_copy(update={"crashes_per_year": crashes.model_copy(update=rates)})


def _translate(error: pydantic.ValidationError, where: str) -> ScenarioError:
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    hint = "docs/tune.md lists all keys"
    if fault["type"] == "extra_forbidden":
        return ScenarioError(where, key, "unknown", "the keys in docs/tune.md", hint)
    context = fault.get("ctx", {})
    allowed = context.get("expected") or fault["msg"].removeprefix("Input should be ")
    return ScenarioError(where, key, str(fault["input"]), str(allowed), hint)


def _check_stall(stall: StallLaw, where: str, key: str) -> None:
    """Refuse a law without its parameters, and parameters without their law."""
    given = [name for name in (*_PARAMETERS, "per_year") if getattr(stall, name) is not None]
    if (stall.law is None) == (stall.file is None):
        found = "both `law` and `file`" if stall.law else "neither `law` nor `file`"
        raise ScenarioError(where, key, found, "one of them", f"law is one of {', '.join(get_args(LawName))}")
    if stall.file is not None:
        if given:
            raise ScenarioError(where, f"{key}.{given[0]}", "given beside `file`", "only with a `law`", "remove it")
        return
    needed = (*NEEDS[stall.law or ""], "per_year")
    for name in needed:
        if name not in given:
            raise ScenarioError(where, f"{key}.{name}", "missing", "a number above 0",
                                f"{stall.law} needs {', '.join(needed)}")  # fmt: skip
    for name in given:
        if name not in needed:
            raise ScenarioError(where, f"{key}.{name}", f"given, but the law is {stall.law}",
                                ", ".join(needed), "remove it")  # fmt: skip
    if stall.observed_hours is not None:
        raise ScenarioError(where, f"{key}.observed_hours", "given beside `law`", "only with a `file`", "remove it")


def check_tunable(conditions: Conditions, where: str) -> None:
    """Refuse stalls that need others to fall together with them: no closed form has those.

    Raises
    ------
    ScenarioError
        There is such a stall.
    """
    for number, stall in enumerate(conditions.stall):
        if stall.of not in KIND_OF:
            raise ScenarioError(where, f"stall.{number}.of", repr(stall.of), ", ".join(KIND_OF),
                                "`hastudy rare` reckons with all kinds")  # fmt: skip


def stalls_of(conditions: Conditions, base: Path, measured: Sequence[Path] = ()) -> list[Stalls]:
    """The stalls of the conditions; files are looked for beside the conditions file.

    Parameters
    ----------
    conditions : Conditions
    base : Path
        Folder of the conditions file.
    measured : sequence of Path
        Further files of measured stalls of Redis: they replace all other stalls of Redis.
    """
    given = [each for each in conditions.stall if not (measured and each.of == "redis")]
    found = [_of_file(base / each.file, each) if each.file else _of_law(each) for each in given]
    return found + [_of_file(path, StallLaw(of="redis", file=str(path))) for path in measured]


def _of_law(stall: StallLaw) -> Stalls:
    if stall.law == "exponential":
        law, words = stats.expon(scale=stall.mean_ms), f"mean {stall.mean_ms:g} ms"
    elif stall.law == "lognormal":
        law = stats.lognorm(s=stall.sigma, scale=stall.median_ms)
        words = f"median {stall.median_ms:g} ms, sigma {stall.sigma:g}"
    else:
        law = stats.pareto(b=stall.alpha, scale=stall.least_ms)
        words = f"from {stall.least_ms:g} ms on, alpha {stall.alpha:g}"
    assert stall.per_year is not None, "checked"
    return Stalls(stall.of, f"{stall.law}, {words}", stall.per_year, law.sf)


def _of_file(path: Path, stall: StallLaw) -> Stalls:
    lengths, told_ms = read_lengths(path)
    observed_ms = stall.observed_hours * HOUR_MS if stall.observed_hours else told_ms
    if observed_ms is None:
        raise ScenarioError(
            str(path), "observed_hours", "missing", "the time in which the stalls were measured, in hours",
            "write `# observed_hours = 720` into the file's first line, or `observed_hours` into the conditions",
        )  # fmt: skip
    return of_lengths(lengths, observed_ms, stall.of, path.name)


def of_lengths(lengths_ms: Floats, observed_ms: float, of: StallOf = "redis", words: str = "measured") -> Stalls:
    """Stalls that were measured: so many in so much time, and their lengths as they are."""
    ordered = np.sort(np.asarray(lengths_ms, float))

    def longer(t_ms: Floats) -> Floats:
        return 1 - np.searchsorted(ordered, t_ms, side="right") / len(ordered)

    hours = observed_ms / HOUR_MS
    told = f"{words}: {len(ordered)} in {hours:g} h, longest {ordered[-1]:g} ms"
    return Stalls(of, told, len(ordered) * YEAR_MS / observed_ms, longer, ordered, observed_ms)


def read_lengths(path: Path) -> tuple[Floats, float | None]:
    """Lengths of measured stalls in ms, and the time in which they were measured in ms, if the file tells.

    Two forms are read. CSV with a column ``length_ms``; a line ``# observed_hours = 720`` before it tells the time. Or
    what ``redis-cli LATENCY HISTORY command`` writes into a file: lines with a UNIX time and a length in ms in turns;
    the time is that from the first to the last. Redis keeps the last 160 and one a second.

    Raises
    ------
    ScenarioError
        There is none, or one is not a length.
    """
    where = str(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ScenarioError(where, "", f"cannot be read: {error.strerror}", "a readable CSV file",
                            "docs/tune.md says what it holds") from None  # fmt: skip
    except UnicodeDecodeError:
        raise ScenarioError(where, "", "not UTF-8 text", "a CSV file", "docs/tune.md says what it holds") from None
    rows = [line.strip() for line in lines if line.strip()]
    if not rows:
        raise _without_stalls(where)
    if all(row.isdecimal() for row in rows):
        return _latency_history(rows, where)
    comments = [row for row in rows if row.startswith("#")]
    told = next((row.partition("=")[2] for row in comments if "observed_hours" in row), None)
    observed_ms = _positive(told, where, "observed_hours") * HOUR_MS if told is not None else None
    return _column([row for row in rows if not row.startswith("#")], where), observed_ms


def _latency_history(rows: list[str], where: str) -> tuple[Floats, float | None]:
    if len(rows) % 2:
        raise ScenarioError(where, "", f"{len(rows)} lines of numbers", "pairs: a UNIX time in s, a length in ms",
                            "write `redis-cli LATENCY HISTORY command > FILE`")  # fmt: skip
    times = [int(row) for row in rows[::2]]
    span_ms = 1000.0 * (max(times) - min(times))
    return np.array([float(row) for row in rows[1::2]]), span_ms or None


def _column(rows: list[str], where: str) -> Floats:
    reader = csv.DictReader(rows, skipinitialspace=True)
    if "length_ms" not in (reader.fieldnames or ()):
        raise ScenarioError(where, "length_ms", "no such column", "a CSV file with a head line and this column",
                            "name the column of lengths length_ms")  # fmt: skip
    lengths = [_positive(row["length_ms"], where, f"length_ms in row {number}") for number, row in enumerate(reader, 1)]
    if not lengths:
        raise _without_stalls(where)
    return np.array(lengths)


def _without_stalls(where: str) -> ScenarioError:
    return ScenarioError(where, "", "without a single stall", "one row for each stall",
                         "if none was seen, give a `law` with per_year = 0")  # fmt: skip


def _positive(text: str | None, where: str, key: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ScenarioError(where, key, repr(text), "a number above 0", "mend or remove it")
    return value
