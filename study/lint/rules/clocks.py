"""Clocks: registrations end by absolute time, so a wrong clock makes live ones disappear (docs/clocks.md)."""

from __future__ import annotations

from collections.abc import Iterator

from study.lint.figures import bound, certain
from study.lint.findings import Place, Severity
from study.lint.rules.flexisip import REGISTRAR
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import seconds

ASKED_S = 3_600.0
"""Lifetime that phones ask for. Kind: vendor default (linphone, reg_expires)."""

RENEWED_AT = 0.9
"""Share of its lifetime after which a phone registers anew. Kind: assumed (docs/clients.md: 54 of 60 s)."""

AHEAD = "scenarios/clocks/calls_primary_ahead_by_40s.toml"


def reserve_s(case: Case) -> tuple[float, float]:
    """By how much a clock may be wrong before calls fail, and the lifetime that this comes from, s."""
    granted = ASKED_S
    for file in case.deployment.flexisip:
        for key, pick in (("max-expires", min), ("min-expires", max), ("force-expires", None)):
            found = file.last(REGISTRAR, key)
            value = seconds(found.value) if found else None
            if value:
                granted = value if pick is None else pick(granted, value)
    return granted * (1 - RENEWED_AT), granted


@rule("clock-unsynchronised", Severity.ERROR, "A host's clock follows nobody.", "docs/clocks.md; deployment guide")
def unsynchronised(case: Case) -> Iterator[Fault]:
    """It drifts by seconds a day."""
    reserve, granted = reserve_s(case)
    for each in case.deployment.clocks:
        if not each.synchronised:
            yield Fault(
                each.place,
                f"The clock of {each.host or 'this host'} runs free. Once it is wrong by {reserve:.0f} s, live "
                "registrations get 404.",
                bound(f"{reserve:.0f} s are left of {granted:.0f} s of lifetime when a phone registers anew", reserve,
                      "s", None, None, f"hastudy simulate {AHEAD}"),
                "start chronyd, and look at `chronyc tracking`",
            )  # fmt: skip


@rule("clock-wrong", Severity.ERROR, "Two hosts' clocks differ by more than registrations have in reserve.",
      "docs/clocks.md, the law")  # fmt: skip
def clock_wrong(case: Case) -> Iterator[Fault]:
    """Ahead on the primary, or behind on the node that stores."""
    reserve, granted = reserve_s(case)
    clocks = case.deployment.clocks
    if not clocks:
        return
    least = min(clocks, key=lambda each: each.offset_s - each.uncertainty_s)
    for each in clocks:
        apart = max(abs(each.offset_s), each.offset_s - least.offset_s) + each.uncertainty_s
        if apart > reserve:
            blind = min(1.0, (apart - reserve) / (granted * RENEWED_AT))
            yield Fault(
                each.place,
                f"Off by up to {apart:.3g} s, and {reserve:.0f} s are in reserve: calls to registered phones get 404.",
                bound(f"{blind:.0%} of the time: ({apart:.3g} - {reserve:.0f}) of {granted * RENEWED_AT:.0f} s", blind,
                      "probability", None, None, f"hastudy simulate {AHEAD}"),
                "set it right with chrony; step it while the node is out of service",
            )  # fmt: skip


@rule("expires-short", Severity.WARNING, "Registrations live so briefly that a small clock error shows.",
      "docs/clocks.md, the law")  # fmt: skip
def expires_short(case: Case) -> Iterator[Fault]:
    """A minute leaves six seconds."""
    reserve, granted = reserve_s(case)
    if case.deployment.flexisip and granted <= 120:
        file = case.deployment.flexisip[0]
        key = next((key for key in ("force-expires", "max-expires") if file.last(REGISTRAR, key)), "max-expires")
        yield Fault(
            file.place(REGISTRAR, key),
            f"With {granted:.0f} s of lifetime a clock that is wrong by {reserve:.0f} s makes calls fail.",
            bound(f"{reserve:.0f} s of clock error are borne", reserve, "s", None, None, f"hastudy simulate {AHEAD}"),
            "max-expires=3600 or more",
        )


@rule("clock-unknown", Severity.NOTE, "Nothing was given that says who keeps the clocks.", "deployment guide")
def unknown(case: Case) -> Iterator[Fault]:
    """The output of one command for each host decides it."""
    if case.deployment.flexisip and not (case.deployment.clocks or case.deployment.clock_files):
        reserve, granted = reserve_s(case)
        yield Fault(
            Place(case.deployment.flexisip[0].file),
            f"Clocks may be wrong by {reserve:.0f} s before calls to registered phones get 404; whether they are, "
            "nobody has said.",
            certain(
                f"{reserve:.0f} s are borne, a tenth of {granted:.0f} s", f"hastudy simulate {AHEAD}", reserve, "s"
            ),
            "`chronyc tracking > hostN/tracking.txt` on each host, and give the files as well",
        )
