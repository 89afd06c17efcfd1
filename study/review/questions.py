"""The twenty questions that an architect asks, answered with numbers.

Every answer says how it was made: its command can be run as it stands, on a scenario that `review` writes beside the
page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model.scenario import Scenario
from study.review.study import Study


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with its answer.

    Attributes
    ----------
    question, answer : str
    value : float or None
        None: it cannot be said for this set-up, and `answer` says why.
    low, high : float or None
        Ends of the interval that `answer` names.
    unit, kind, command : str
        ``simulated``, ``bound``, ``closed form`` or ``measured``; what shows it.
    """

    question: str
    answer: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    kind: str
    command: str


def answers(study: Study) -> list[Answer]:
    """All twenty, in order."""
    return [ask(study) for ask in _QUESTIONS]


def _outage(study: Study, question: str, circumstance: str, quantity: str, what: str) -> Answer:
    """A median outage of one quantity in one circumstance."""
    if not study.has(circumstance):
        return _none(question, "This set-up has nothing that could fail so.")
    found = study.summary(circumstance)["outages"].get(quantity, {"n": 0})
    if not found["n"]:
        return _none(question, "Nothing of this kind runs here.")
    low, middle, high = (found[f"{name}_ms"] / 1_000 for name in ("p5", "p50", "p95"))
    at_least = "at least " if found.get("censored") else ""
    text = f"{what}: {at_least}{seconds(middle)} in the median, {seconds(low)} to {seconds(high)} in nine runs of ten."
    return Answer(question, text, middle, low, high, "s", "simulated", study.command(circumstance))


def _worst_node(study: Study, question: str, circumstance: str, what: str) -> Answer:
    quantity = study.worst_node(circumstance) if study.has(circumstance) else ""
    host = quantity.partition("@")[2]
    return _outage(study, question, circumstance, quantity, f"{what}, through the node on {host}" if host else what)


def _none(question: str, why: str) -> Answer:
    return Answer(question, why, None, None, None, "", "", "")


def _host(study: Study) -> Answer:
    question = "The primary's host vanishes: for how long can nobody register through a node that is left?"
    return _worst_node(study, question, "host_vanishes", "No registration")


def _process(study: Study) -> Answer:
    return _worst_node(study, "Only its Redis process dies: how long now?", "process_dies", "No registration")


def _frozen(study: Study) -> Answer:
    return _worst_node(
        study, "Its Redis process hangs, and answers nobody: how long?", "process_freezes", "No registration"
    )


def _replica(study: Study) -> Answer:
    return _worst_node(study, "A replica's host is lost: does anybody notice?", "replica_host_vanishes",
                       "No registration through the nodes that are left")  # fmt: skip


def _two(study: Study) -> Answer:
    question = "Two hosts are lost at once: is there a failover?"
    if not study.has("two_hosts_vanish"):
        return _none(question, "There are no two hosts to lose.")
    found = study.summary("two_hosts_vanish")["probabilities"]["failover"]
    words = f"In {found['k']} of {found['n']} runs, before the hosts are back."
    if not found["k"]:
        words = f"No, in none of {found['n']} runs: a majority of sentinels is missing until one is back."
    return Answer(question, words, found["k"] / found["n"], found["low"], found["high"], "probability", "simulated",
                  study.command("two_hosts_vanish"))  # fmt: skip


def _worst_case(study: Study) -> Answer:
    question = "What is the longest that Redis can be out, if the election is won at once?"
    found = study.bounds.get("first_write")
    if not found:
        return _none(question, "There is no bound for this set-up: it loses packets, or never fails over.")
    low, high = found.low_ms / 1_000, found.high_ms / 1_000
    text = f"{seconds(high)} after the loss of the host, never more, and never less than {seconds(low)}."
    return Answer(question, text, high, low, high, "s", "bound", "python -m study.proofs")


def _election(study: Study) -> Answer:
    question = "How often is the first election lost, and what does that cost?"
    found = study.summary("host_vanishes")["probabilities"]["lost_election"]
    pause_s = 2 * study.scenario.sentinel.failover_timeout_ms / 1_000
    text = (f"In {found['k']} of {found['n']} runs (95 % interval {found['low']:.1%} to {found['high']:.1%}); each "
            f"costs {pause_s:g} to {pause_s + 1:g} s more.")  # fmt: skip
    return Answer(question, text, found["k"] / found["n"], found["low"], found["high"], "probability", "simulated",
                  study.command("host_vanishes"))  # fmt: skip


def _lost(study: Study) -> Answer:
    question = "How many confirmed registrations are lost while the primary is cut off?"
    return _count(study, question, "cut_off", "at five REGISTERs a second through each node")


def _count(study: Study, question: str, circumstance: str, words: str) -> Answer:
    if not study.has(circumstance):
        return _none(question, "This set-up has nothing that could fail so.")
    found = study.summary(circumstance)["losses"]["acknowledged_lost"]
    if not found["n"]:
        return _none(question, "No node registers anybody here.")
    text = f"{found['p50']:.0f} in the median run ({found['p5']:.0f} to {found['p95']:.0f}), {words}."
    return Answer(question, text, found["p50"], found["p5"], found["p95"], "registrations", "simulated",
                  study.command(circumstance))  # fmt: skip


def _restart(study: Study) -> Answer:
    question = "A killed primary is started again empty before anybody suspects it: what is lost?"
    return _count(study, question, "restarts_at_once", "and the replicas copy the emptiness: keep data on disk")


def _planned(study: Study) -> Answer:
    question = "What does a planned failover cost?"
    return _count(study, question, "planned", "confirmed by the old primary before it is turned")


def _two_writable(study: Study) -> Answer:
    question = "The old primary comes back: for how long do two servers take writes?"
    found = study.summary("host_vanishes")["losses"]["two_writable_ms"]
    if not found["n"]:
        return _none(question, "Nobody looked.")
    low, middle, high = (found[f"{name}_ms"] / 1_000 for name in ("p5", "p50", "p95"))
    text = f"{seconds(middle)} in the median, {seconds(low)} to {seconds(high)} in nine runs of ten."
    return Answer(question, text, middle, low, high, "s", "simulated", study.command("host_vanishes"))


def _phone(study: Study) -> Answer:
    question = "The host dies that a phone is registered through: when can it be called again?"
    return _worst_phone(study, question, "host_vanishes")


def _node(study: Study) -> Answer:
    return _worst_phone(study, "Only the node on that host is killed: how long is a phone out?", "node_dies")


def _worst_phone(study: Study, question: str, circumstance: str) -> Answer:
    if not study.has(circumstance):
        return _none(question, "No node runs on the primary's host.")
    outages = study.summary(circumstance)["outages"]
    phones = [name for name in outages if name.startswith("client:") and outages[name]["n"]]
    worst = max(phones, key=lambda name: (outages[name]["p50_ms"], name), default="")
    return _outage(study, question, circumstance, worst, worst.partition(":")[2] or "A phone")


def _needless(study: Study) -> Answer:
    question = "How often does a stall cause a failover that nobody needed?"
    found = study.tuned["present"]["needless"]
    text = f"{found['value']:.3g} a year, under the stalls that are assumed where none were measured (--stalls)."
    return Answer(question, text, found["value"], found["low"], found["high"], "a year", "closed form",
                  study.tune_command)  # fmt: skip


def _nines(study: Study) -> Answer:
    found, minutes = study.available, study.available["minutes_a_year"]
    top = max(found["budget"], key=lambda entry: entry["minutes"]["value"])
    text = (f"{found['nines']['value']:.2f} nines, {minutes['value']:.3g} minutes a year in which "
            f"{found['service_meaning']}. Most of it ({top['share']:.0%}): {top['meaning']}.")  # fmt: skip
    return Answer("How many nines is that, and what eats the rest?", text, minutes["value"], minutes["low"],
                  minutes["high"], "minutes a year", "simulated", study.availability_command)  # fmt: skip


def _best(study: Study) -> Answer:
    question = "Is the delay right?"
    best, present = study.tuned["best"], study.scenario.sentinel.down_after_ms
    if not best:
        return _none(question, "No delay keeps within one needless failover a year.")
    text = (f"It is {present} ms. The shortest outage at one needless failover a year is at {best['down_after_ms']} ms "
            f"({best['low_ms']} to {best['high_ms']} ms).")  # fmt: skip
    return Answer(question, text, best["down_after_ms"], best["low_ms"], best["high_ms"], "ms", "simulated",
                  study.tune_command)  # fmt: skip


def _half(study: Study) -> Answer:
    question = "What would half the delay buy, and cost?"
    half, now = study.tuned["at_half"], study.tuned["present"]
    gain = now["outage_p95"]["value"] - half["outage_p95"]
    text = (f"{seconds(gain)} shorter outages (95 % quantile), and {half['needless']:.3g} needless failovers a year in "
            f"place of {now['needless']['value']:.3g}.")  # fmt: skip
    return Answer(question, text, gain, None, None, "s", "simulated", study.tune_command)


def _knob(study: Study) -> Answer:
    question = "Which single other change helps most?"
    # The guide's policy is a description, and nothing that can be installed.
    gains = [knob for knob in study.tuned["knobs"] if knob["low_s"] > 0 and knob["other"] != "guide"]
    if not gains:
        return _none(question, "None of those that were tried.")
    best = max(gains, key=lambda knob: knob["gain_s"])
    text = (f"{best['knob']} from {best['present']} to {best['other']}: {seconds(best['gain_s'])} shorter "
            f"({best['low_s']:.3g} to {best['high_s']:.3g}).")  # fmt: skip
    return Answer(question, text, best["gain_s"], best["low_s"], best["high_s"], "s", "simulated", study.tune_command)


def _clock(study: Study) -> Answer:
    question = "By how much may a clock be wrong before calls to registered phones fail?"
    lifetimes = [client.expires_s for client in study.of("host_vanishes").client] or [3_600]
    reserve = min(lifetimes) / 10
    text = (f"{reserve:.0f} s: what is left of a lifetime of {min(lifetimes)} s when a phone renews it at nine tenths. "
            "Ahead on the primary, or behind on the node that stores, each second more costs one.")  # fmt: skip
    return Answer(question, text, reserve, None, None, "s", "closed form", "hastudy simulate "
                  "scenarios/clocks/calls_primary_ahead_by_40s.toml")  # fmt: skip


def _believe(study: Study) -> Answer:
    question = "How far do these predictions hold on real servers?"
    found = study.measured
    if found:
        text = (f"This very scenario was measured {len(found.real.traces)} times on real servers, and "
                f"{found.comparison['verdict']}.")  # fmt: skip
    else:
        text = "This set-up was not measured. 77 others were, in 1,180 runs on real servers: all agree."
    return Answer(
        question, text, 77, None, None, "set-ups that agree", "measured", "hastudy compare scenarios/ --stored"
    )


def seconds(value: float) -> str:
    """A time in words."""
    return f"{value:.0f} s" if abs(value) >= 100 else f"{value:.3g} s"


_QUESTIONS: tuple[Callable[[Study], Answer], ...] = (
    _host, _process, _frozen, _replica, _two, _worst_case, _election, _lost, _two_writable, _restart,
    _planned, _phone, _node, _needless, _nines, _best, _half, _knob, _clock, _believe,
)  # fmt: skip


def as_json(answer: Answer) -> dict[str, Any]:
    """Plain data."""
    return {name: getattr(answer, name) for name in Answer.__slots__}


def present(scenario: Scenario) -> str:
    """The set-up in a line."""
    told = scenario.sentinel
    return (f"down-after-milliseconds {told.down_after_ms}, failover-timeout {told.failover_timeout_ms}, quorum "
            f"{told.quorum} of {len(scenario.sentinel_hosts)}, nodes: {scenario.registrar.policy}")  # fmt: skip
