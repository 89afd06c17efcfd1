"""Detection in time, held against the closed forms: nobody notices a dead primary sooner or later than they say."""

from __future__ import annotations

from model import bounds
from model.explorer.detection import Setting, spans
from model.explorer.verdicts import Verdict
from model.scenario import Scenario
from study import catalog

_SCENARIO = "primary_host_vanishes"
_SLACK_MS = 0.01
"""Sums of µs as fractions of ms. Kind: assumed."""

CASES: dict[str, tuple[str, Setting]] = {
    "detection-host": ("host", Setting("host", ways_us=(1,))),
    "detection-redis": ("host-killed", Setting("redis", ways_us=(1,))),
    "detection-two": ("host", Setting("host", 2, down_after_ms=100, grain_us=20_240, rates=(0, 9))),
}
"""By key: the kind of crash as `model.bounds` calls it, and who watches how. Kind: assumed (short delays, for small
spaces; `study.proofs` has all delays)."""

SENTENCE = "{what} is noticed{whom} within the bounds of each milestone"
SOURCE = "docs/bounds.md"


def check(key: str, max_states: int) -> Verdict:
    """Decide whether all times that can come about lie within the bounds."""
    kind, setting = CASES[key]
    graph, found = spans(setting, max_states)
    allowed = bounds.milestones(_scenario(setting), kind)  # type: ignore[arg-type]
    is_noticed = bool(found) or not graph.finished
    holds = is_noticed and all(
        allowed[name].low_ms - _SLACK_MS <= low and high <= allowed[name].high_ms + _SLACK_MS
        for name, (low, high) in found.items()
    )
    told = (f"{name} after {float(low):.1f} to {float(high):.1f} ms, bounds {allowed[name].low_ms:.1f} to "
            f"{allowed[name].high_ms:.1f} ms" for name, (low, high) in found.items())  # fmt: skip
    what = f"a primary whose {'host vanishes' if setting.fault == 'host' else 'process is killed'}"
    whom = "" if setting.sentinels == 1 else f" by {setting.sentinels} sentinels"
    return Verdict(key, "always", SENTENCE.format(what=what, whom=whom), SOURCE, holds, "; ".join(told),
                   len(graph.states), len(graph.source), graph.finished)  # fmt: skip


def _scenario(setting: Setting) -> Scenario:
    """What the bounds are reckoned from: the same delay and ways; files are written in no time."""
    base = catalog.load_one(_SCENARIO, [])
    way_us = max(1, *setting.ways_us)
    return base.model_copy(update={
        "sentinel": base.sentinel.model_copy(update={"down_after_ms": setting.down_after_ms, "flush_us": 0}),
        "network": base.network.model_copy(update={"delay_us": way_us}),
    })  # fmt: skip
