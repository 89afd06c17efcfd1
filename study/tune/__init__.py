"""`hastudy tune`: which down-after-milliseconds?

A short delay ends an outage soon, and turns every longer stall into a failover that nobody needed. Which is worse is
the operator's to say: as an objective, as limits, or as what each costs. `tune` says what they admit, what is best, how
well that is known, and what every other knob would buy.

`inputs` reads conditions and stalls, `runs` simulates, `needless` reckons failovers that nobody needed, `curve` puts
both together for all delays, `choice` chooses, `tornado` turns the other knobs, `text` and `picture` show it. For
notebooks, `prepared` answers other questions without simulating again, and `sliders` asks them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from study.tune.choice import Goal, at_delay, choose, front
from study.tune.curve import Curve, Progress, Study, curve
from study.tune.needless import LEVEL, Needless
from study.tune.runs import MEANING
from study.tune.tornado import helpless, tornado

SCHEMA = 1
"""Version of the JSON."""


def tune(
    study: Study, goal: Goal, low_ms: int, high_ms: int, progress: Progress, knobs: bool = True, source: str = "assumed"
) -> tuple[dict[str, Any], Curve]:
    """Find the best delay.

    Parameters
    ----------
    study : Study
    goal : Goal
    low_ms, high_ms : int
        Delays that are looked at.
    progress : callable
        Called with the done fraction and a short text.
    knobs : bool
        Also turn every other knob.
    source : str
        Where the conditions are from.

    Returns
    -------
    dict
        All of it as JSON.
    Curve
        The curves themselves.
    """
    scenario, conditions = study.scenario, study.conditions
    needless = Needless(scenario, study.stalls, study.runs, study.seed)
    found = curve(study, needless, low_ms, high_ms, lambda share, text: progress(share * (0.6 if knobs else 1), text))
    chosen = choose(found, goal)
    present_ms = scenario.sentinel.down_after_ms
    is_network = any(each.of == "network" for each in study.stalls)
    data = {
        "schema": SCHEMA,
        "scenario": scenario.name,
        "digest": scenario.digest,
        "seed": study.seed,
        "runs": study.runs,
        "level": LEVEL,
        "service": study.service,
        "service_meaning": MEANING[study.service],
        "goal": asdict(goal),
        "conditions_from": source,
        "conditions": conditions.model_dump(by_alias=True, mode="json", exclude={"stall"}),
        "stalls": [{"of": each.of, "from": each.words, "per_year": round(each.per_year, 3)} for each in study.stalls],
        "range_ms": [int(low_ms), int(high_ms)],
        **chosen,
        "at_best": at_delay(found, chosen["best"]["down_after_ms"]) if chosen["best"] else None,
        "present": at_delay(found, present_ms),
        "helpless": float(f"{helpless(scenario, conditions.crashes_per_year):.4g}"),
        "censored": round(found.censored, 4),
        "methods": {
            "outage": "simulated, the same runs at every delay",
            "needless": "simulated (stalls of the network), else closed form" if is_network else "closed form",
            "lost": "simulated losses of one crash and of one needless failover, times how often each happens",
            "intervals": "bootstrap over runs and measured stalls; needless: Fay and Feuer",
        },
        "front": front(found, goal, present_ms),
        "curve": [at_delay(found, delay) for delay in found.simulated_ms],
        "knobs": tornado(study, goal, needless, progress, 0.6) if knobs else [],
    }
    return data, found
