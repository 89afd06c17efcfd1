"""A claim is a quantity, a statistic of its values, and an interval."""

from __future__ import annotations

import pytest

from model.errors import UsageError
from model.measures import ClientMeasures, RunMeasures, Window
from model.scenario import Claim
from study.claims import evaluate


def run(number: int = 0, *, stalled: bool = False, **measured) -> RunMeasures:
    return RunMeasures(number, stalled, 60_000_000, **measured)


def value(quantity: str, statistic: str, runs: list[RunMeasures]) -> float | None:
    return evaluate([Claim(quantity=quantity, statistic=statistic, low=0, high=1)], runs)[0].value


def writes(*seconds: float) -> list[RunMeasures]:
    return [run(milestones={"first_write": round(each * 1e6)}) for each in seconds]


@pytest.mark.parametrize(
    ("statistic", "expected"), [("min", 1), ("p50", 3), ("max", 9), ("mean", 4), ("p5", 1.4), ("p95", 8), ("n", 1)]
)
def test_times_are_in_seconds(statistic, expected):
    assert value("first_write", statistic, writes(1, 3, 3, 9, 4)) == pytest.approx(expected)


def test_n_is_the_share_of_runs_that_have_it():
    assert value("first_write", "n", [*writes(1, 2, 3), run()]) == 0.75


def test_an_outage_is_the_total_of_its_windows_in_seconds():
    windows = [Window(0, 2_500_000, False, (("silent", 0),)), Window(4_000_000, 5_000_000, True, (("refused", 0),))]
    for name in ("redis_write", "register@host2"):
        assert value(name, "p50", [run(windows={name: windows})]) == 3.5
    assert value("register@host3", "p50", [run(windows={"register@host2": windows})]) is None


def test_losses_are_counted_and_two_primaries_are_timed():
    assert value("lost", "max", [run(lost=3), run(lost=52), run()]) == 52
    assert value("two_writable", "mean", [run(two_writable_us=9_500_000), run(two_writable_us=10_500_000)]) == 10


def test_blind_time_is_that_of_all_servers_or_of_one():
    runs = [run(blind={"host1": 0, "host2": 10_500_000, "host3": 1_000_000}), run()]
    assert value("blind", "p50", runs) == 11.5
    assert value("blind@host2", "max", runs) == 10.5
    assert value("blind@host1", "n", runs) == 0.5
    assert value("blind@host4", "p50", runs) is None


def test_clients_have_outages_blind_and_zombie_time_parts_and_failed_calls():
    seen = ClientMeasures(
        parts={"unaware": 3_000_000, "give_up": 32_000_000}, blind={"host1": 2_000_000, "host2": 500_000},
        zombie={"host1": 0, "host2": 7_000_000}, calls=200, failed=50,
    )  # fmt: skip
    window = Window(1_000_000, 36_000_000, False, (("refused", 1_000_000),))
    runs = [run(windows={"client:phone": [window]}, clients={"phone": seen}), run()]
    assert value("client:phone", "p50", runs) == 35
    assert value("blind:phone", "p50", runs) == 2.5
    assert value("blind:phone@host2", "p50", runs) == 0.5
    assert value("zombie:phone@host2", "p50", runs) == 7
    assert value("failed:phone", "mean", runs) == 0.25
    assert value("give_up:phone", "max", runs) == 32
    assert value("failed:phone", "n", runs) == 0.5
    assert value("blind:phone@host3", "p50", runs) is None


def test_a_probability_is_the_share_of_the_runs_that_could_answer():
    runs = [run(branches={"failover": yes}) for yes in (True, False, False, False)]
    assert value("failover", "probability", [*runs, run()]) == 0.25


def test_demoted_is_a_course_and_a_time():
    runs = [run(branches={"demoted": True}, milestones={"demoted": 10_400_000}), run(branches={"demoted": False})]
    assert value("demoted", "probability", runs) == 0.5
    assert value("demoted", "p50", runs) == 10.4


def test_stalled_runs_do_not_count():
    assert value("first_write", "max", [*writes(1), run(stalled=True, milestones={"first_write": 9_000_000})]) == 1


@pytest.mark.parametrize(("low", "high", "holds"), [(1, 3, True), (3, 4, True), (3.001, 4, False), (1, 2.999, False)])
def test_limits_belong_to_the_interval(low, high, holds):
    claim = Claim(quantity="first_write", statistic="max", low=low, high=high)
    assert evaluate([claim], writes(1, 3))[0].holds is holds


def test_what_no_run_has_is_no_fulfilled_claim():
    (finding,) = evaluate([Claim(quantity="first_write", statistic="p50", low=0, high=99)], [run()])
    assert not finding.holds
    assert str(finding) == "first_write p50: no run has it, claimed 0 to 99"


def test_a_finding_says_what_was_found_and_what_was_claimed():
    (finding,) = evaluate([Claim(quantity="first_write", statistic="p50", low=1, high=2)], writes(3.25))
    assert str(finding) == "first_write p50: 3.25, claimed 1 to 2"


@pytest.mark.parametrize(
    ("quantity", "statistic", "words"),
    [
        ("first_wirte", "p50", "first_write"),
        ("failover", "p50", "first_write"),
        ("lost", "probability", "failover"),
        ("blnd:phone", "p50", "blind:NAME"),
    ],
)
def test_a_quantity_that_is_none_is_refused_with_those_there_are(quantity, statistic, words):
    with pytest.raises(UsageError, match=words):
        value(quantity, statistic, [run()])
