"""The page as plain data: sections with words, drawings, tables, and the command behind every figure."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import numpy as np

from model.measures import MILESTONES
from model.scenario import Scenario, assumptions
from study.lint.check import finding_to_json
from study.lint.deployment import Report
from study.review import charts, questions, topology
from study.review import timeline as timelines
from study.review.charts import Chart, Curve
from study.review.questions import seconds
from study.review.study import Study

SCHEMA = 1
"""Version of the JSON."""

PARTS = {
    "detect": "until a quorum suspects", "agree": "until they agree", "elect": "until a leader is elected",
    "promote": "until the replica is primary", "announce": "until it is announced",
    "discover": "until the node is there", "retry": "until the next registration",
}  # fmt: skip
"""Parts of an outage (docs/glossary.md), in order."""

TORNADO_ROWS = 10
"""Knobs that are drawn; the table has all."""


def gather(study: Study, report: Report | None) -> dict[str, Any]:
    """Everything that the page shows; the same scenario and seed give the same.

    Parameters
    ----------
    study : Study
        Prepared.
    report : Report or None
        Of `lint`, where configuration files were given.
    """
    answers = questions.answers(study)
    return {
        "schema": SCHEMA,
        "scenario": study.scenario.name,
        "digest": study.scenario.digest,
        "question": study.scenario.question,
        "setting": questions.present(study.scenario),
        "seed": study.seed,
        "runs": study.runs,
        "verdict": verdict(study, answers),
        "topology": {"svg": topology.draw(study.scenario, "topology"), "words": topology.sentences(study.scenario)},
        "timeline": _timeline(study),
        "waterfall": _chart(_waterfall(study), study.command("host_vanishes")),
        "ecdf": _ecdf(study),
        "tornado": _chart(_tornado(study), study.tune_command),
        "pareto": _chart(_pareto(study), study.tune_command),
        "against": None,
        "answers": [questions.as_json(each) for each in answers],
        "findings": [finding_to_json(each) for each in report.findings] if report else None,
        "taken_for_granted": list(report.deployment.assumptions) if report else [],
        "assumptions": _assumptions(study.scenario),
        "commands": _commands(study),
        "made_with": _made_with(),
    }


def verdict(study: Study, answers: list[questions.Answer]) -> list[str]:
    """Five sentences."""
    outage, phone, nines = answers[0], answers[11], answers[14]
    lost, knob = answers[7], answers[17]
    count, told = len(study.scenario.sentinel_hosts), study.scenario.sentinel
    majority = max(told.quorum, count // 2 + 1)
    is_sound = majority < count
    return [
        f"A lost host is {'' if is_sound else 'not '}survived: {count} sentinels, of which {majority} must be left.",
        f"When the primary's host vanishes, {outage.answer[0].lower()}{outage.answer[1:]}",
        f"A phone that was registered there is out longer: {phone.answer}"
        if (phone.value or 0) > (outage.value or 0) else f"Phones: {phone.answer}",
        f"That makes {nines.answer}",
        f"What to change first: {knob.answer if knob.value else 'nothing that was tried helps.'}"
        + (f" A primary that is cut off loses registrations: {lost.answer}" if lost.value else ""),
    ]  # fmt: skip


def _chart(chart: Chart, command: str) -> dict[str, Any]:
    return {"svg": chart.svg, "heads": chart.heads, "rows": chart.rows, "command": command}


def _timeline(study: Study) -> dict[str, Any]:
    arm = study.arm("host_vanishes")
    found = timelines.timeline(study.of("host_vanishes"), *timelines.median_run(arm.traces, arm.runs))
    key = [timelines.moment_to_json(moment) for moment in found.moments if moment.key]
    return {**timelines.to_json(found), "svg": charts.lanes(found, "timeline"), "key": key,
            "command": study.command("host_vanishes")}  # fmt: skip


def _waterfall(study: Study) -> Chart:
    parts = study.summary("host_vanishes")["parts"]
    return charts.waterfall([(name, words, parts.get(name, {})) for name, words in PARTS.items()], "waterfall")


def _ecdf(study: Study) -> dict[str, Any]:
    found, bound = study.measured, study.bounds.get("first_write")
    arm = found.sim if found else study.arm("host_vanishes")
    curves = [Curve(f"simulated, {len(arm.runs)} runs", _times(arm, "first_write"), "arrow")]
    command = study.command("host_vanishes")
    if found:
        curves.append(
            Curve(f"measured, {len(found.real.runs)} runs", _times(found.real, "first_write"), "measured", True)
        )
        command = f"hastudy compare {found.scenario.name} --stored --runs {study.runs} --seed {study.seed}"
    limits = (bound.low_ms / 1_000, bound.high_ms / 1_000) if bound else None
    rows = found.comparison["rows"] if found else []
    compared = [{"name": row["name"], "verdict": row["verdict"], "low_ms": row["shift_low_ms"],
                 "high_ms": row["shift_high_ms"], "margin_ms": row["margin_ms"]} for row in rows]  # fmt: skip
    chart = charts.ecdf(curves, limits, "a new primary takes writes", "ecdf")
    return {**_chart(chart, command), "measured": len(found.real.runs) if found else 0, "compared": compared,
            "verdict": found.comparison["verdict"] if found else ""}  # fmt: skip


def _times(arm: Any, name: str) -> np.ndarray:
    return np.array([run.milestones[name] / 1e6 for run in arm.runs if name in run.milestones])


def _tornado(study: Study) -> Chart:
    rows = [
        (f"{knob['knob']}: {knob['present']} to {knob['other']}", knob["gain_s"], knob["low_s"], knob["high_s"],
         f"{knob['needless']:.3g} needless failovers a year")
        for knob in study.tuned["knobs"][:TORNADO_ROWS]
    ]  # fmt: skip
    return charts.bars(
        rows, "s by which the 95 % quantile of outages is shorter", "What else would change it", "tornado"
    )


def _pareto(study: Study) -> Chart:
    best = study.tuned["best"]
    return charts.pareto(study.tuned["curve"], study.scenario.sentinel.down_after_ms,
                         best["down_after_ms"] if best else None, "outage_p95", "pareto")  # fmt: skip


def _assumptions(scenario: Scenario) -> list[dict[str, Any]]:
    """Settings that the scenario leaves at their defaults, and that are assumed or measured: what to check first."""
    told = scenario.model_dump(by_alias=True, exclude_unset=True, mode="json")
    found = []
    for key, default, unit, kind, source, meaning in assumptions():
        section, _, name = key.partition(".")
        given = told.get(section)
        is_said = isinstance(given, dict) and name in given
        if (
            kind in ("assumed", "measured")
            and not is_said
            and not key.startswith(("compare", "claim", "client", "link"))
        ):
            found.append(
                {"key": key, "value": default, "unit": unit, "kind": kind, "source": source, "meaning": meaning}
            )
    return found


def _commands(study: Study) -> list[dict[str, str]]:
    """What makes each scenario's numbers again."""
    from study.review.circumstances import CIRCUMSTANCES

    told = [
        {"what": words, "command": study.command(name)} for name, (words, _) in CIRCUMSTANCES.items() if study.has(name)
    ]
    return [*told, {"what": "delays and other knobs", "command": study.tune_command},
            {"what": "the nines", "command": study.availability_command}]  # fmt: skip


def _made_with() -> dict[str, str]:
    names = ("hastudy", "numpy", "scipy", "simpy", "networkx", "pydantic")
    return {
        **{name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores",
    }


def compared(before: Study, after: Study) -> dict[str, Any]:
    """Two set-ups, the same faults and the same chance: differences of paired runs with 90 % bootstrap intervals."""
    rows, curves = [], {}
    for circumstance in ("host_vanishes", "process_dies", "process_freezes", "cut_off"):
        if not (before.has(circumstance) and after.has(circumstance)):
            continue
        one, other = before.arm(circumstance), after.arm(circumstance)
        for name in _quantities(before, after, circumstance):
            pairs = _pairs(one, other, name)
            if len(pairs) and pairs.any():
                rows.append(
                    {**_difference(circumstance, name, pairs, before.seed), "censored": _censored(one, other, name)}
                )
        curves[circumstance] = (_times(one, "first_write"), _times(other, "first_write"))
    chart = charts.ecdf([Curve(before.scenario.name, curves["host_vanishes"][0], "arrow"),
                         Curve(after.scenario.name, curves["host_vanishes"][1], "measured", True)], None,
                        "a new primary takes writes", "against")  # fmt: skip
    return {"before": before.scenario.name, "after": after.scenario.name, "rows": rows,
            "words": _in_a_sentence(rows), "ecdf": _chart(chart, before.command("host_vanishes")),
            "settings": [questions.present(each.scenario) for each in (before, after)]}  # fmt: skip


def _quantities(before: Study, after: Study, circumstance: str) -> list[str]:
    both = [set(study.summary(circumstance)["outages"]) for study in (before, after)]
    return [*MILESTONES[:1], "first_write", "switch_last", *sorted(both[0] & both[1])]


def _pairs(one: Any, other: Any, name: str) -> np.ndarray:
    """Values of both in the same runs, s."""
    found = []
    for first, second in zip(one.runs, other.runs, strict=True):
        if name in MILESTONES:
            if name in first.milestones and name in second.milestones:
                found.append((first.milestones[name], second.milestones[name]))
        else:
            found.append((first.outage_us(name), second.outage_us(name)))
    return np.array(found) / 1e6


def _censored(one: Any, other: Any, name: str) -> float:
    """Share of runs in which one of the two was still out at the end: its difference is at least what was seen."""
    pairs = zip(one.runs, other.runs, strict=True)
    return float(np.mean([any(run.outage_is_censored(name) for run in pair) for pair in pairs]))


def _difference(circumstance: str, name: str, pairs: np.ndarray, seed: int) -> dict[str, Any]:
    gains = pairs[:, 0] - pairs[:, 1]
    chance = np.random.default_rng([seed, 7])
    drawn = np.median(chance.choice(gains, (1_000, len(gains))), axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    told = {"before_s": np.median(pairs[:, 0]), "after_s": np.median(pairs[:, 1]), "gain_s": np.median(gains),
            "low_s": low, "high_s": high}  # fmt: skip
    rounded = {key: round(float(value), 3) for key, value in told.items()}
    return {"circumstance": circumstance, "name": name, "runs": len(pairs), **rounded}


def _in_a_sentence(rows: list[dict[str, Any]]) -> str:
    nodes = [row for row in rows if row["circumstance"] == "host_vanishes" and row["name"] == "first_write"]
    if not nodes:
        return "One of the two never fails over: see the table."
    gain = nodes[0]
    if gain["low_s"] <= 0 <= gain["high_s"]:
        return "After the loss of the primary's host both take writes again equally soon."
    word = "sooner" if gain["gain_s"] > 0 else "later"
    words = f"After the loss of the primary's host the second set-up takes writes {seconds(abs(gain['gain_s']))} {word}"
    return f"{words} ({gain['low_s']:.3g} to {gain['high_s']:.3g} s, the same chance in both)."
