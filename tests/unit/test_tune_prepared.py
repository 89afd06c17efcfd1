"""Answers from runs that were simulated before, the sliders over them, and the report that asks them."""

import sys
from dataclasses import replace

import pytest

from model.errors import ScenarioError
from model.scenario import load
from study import catalog
from study.report import tuning_down_after as report
from study.tune import inputs, tune
from study.tune.curve import Study
from study.tune.needless import Needless
from study.tune.prepared import OUTAGE, AllDelays, Position, Prepared
from study.tune.runs import lean
from study.tune.sliders import Sliders, draw, words

SEED, RUNS = 20_261_123, 20
RANGE_MS = (1_000, 30_000)


@pytest.fixture(scope="module")
def guide():
    return load(catalog.folder() / "host_loss/primary_host_vanishes.toml")


@pytest.fixture(scope="module")
def prepared(guide):
    found = Prepared(guide, "redis_write", RUNS, SEED, *RANGE_MS)
    found.prepare(lambda share, text: None)
    return found


@pytest.fixture
def sliders(prepared):
    return Sliders(prepared)


def stalls(position):
    return inputs.stalls_of(position.conditions(), catalog.folder())


def test_it_answers_what_tune_answers(guide, prepared):
    position = Position(quorum=3, host=3.0, frozen=0.5, stall_sigma=1.2, stalls_per_year=100.0)
    scenario = guide.model_copy(update={"sentinel": guide.sentinel.model_copy(update={"quorum": 3})})
    lean_scenario = lean(scenario, "redis_write", counts_losses=False)
    study = Study(lean_scenario, position.conditions(), stalls(position), "redis_write", RUNS, SEED)
    data, _ = tune(study, position.goal, *RANGE_MS, lambda *_: None, knobs=False)
    found = prepared.answer(position).data
    for name in ("admissible", "best", "at_best", "present", "front", "infeasible"):
        assert found[name] == data[name], name


def test_no_question_is_simulated(prepared, monkeypatch):
    def refuse(*_):
        pytest.fail("simulated again")

    # `study.tune.curve` is also the name of a function of the package.
    monkeypatch.setattr(sys.modules["study.tune.curve"], "observe", refuse)
    assert prepared.simulated > 0
    for position in (Position(), Position(quorum=1, frozen=2.0), Position(redis=0.0, stall_median_ms=50.0)):
        assert prepared.answer(position).data["present"]


@pytest.mark.parametrize("quorum", [1, 2, 3])
def test_rates_at_all_delays_are_those_at_each(guide, quorum):
    scenario = guide.model_copy(update={"sentinel": guide.sentinel.model_copy(update={"quorum": quorum})})
    each, at_once = Needless(scenario, stalls(Position()), 1, SEED), AllDelays(scenario, stalls(Position()), *RANGE_MS)
    for delay_ms in (1_000, 1_010, 4_321, 30_000):
        assert at_once.at(delay_ms).per_year == pytest.approx(each.at(delay_ms).per_year, rel=1e-9), delay_ms


def test_a_stall_of_the_host_never_fails_over_where_too_few_are_left(guide):
    scenario = guide.model_copy(update={"sentinel": guide.sentinel.model_copy(update={"quorum": 3})})
    of_host = [each for each in stalls(Position()) if each.of == "host"]
    assert AllDelays(scenario, of_host, *RANGE_MS).at(1_000).per_year == 0


def test_nothing_that_ever_crashes_is_refused(prepared):
    with pytest.raises(ScenarioError, match="0 for host, redis and frozen"):
        prepared.answer(Position(host=0.0, redis=0.0))


# --- sliders ---------------------------------------------------------------------------------------------------------


def lines(answer):
    """What the picture draws: (x, y) of the curve in each panel, and the dot of what is set now in the last."""
    axes = draw(answer).axes
    curves = [ax.lines[0].get_xydata().tolist() for ax in axes[:3]]
    return [*curves, axes[3].lines[-1].get_xydata().tolist()]


CHANGES = {  # which panels a slider must change: outage, needless, cost, dot
    "down_after_ms": (3_000, "...d"), "quorum": (1, "oncd"), "host": (10.0, "o.c."), "redis": (10.0, "o.cd"),
    "frozen": (10.0, "o.c."), "stalls_per_year": (5_000.0, ".ncd"), "stall_median_ms": (900.0, ".ncd"),
    "stall_sigma": (1.5, ".ncd"), "outage_weight": (5.0, "..c."), "needless_weight": (900.0, "..c."),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "panels"), [(name, *told) for name, told in CHANGES.items()])
def test_a_slider_moves_the_data_of_the_picture(sliders, name, value, panels):
    before, picture = lines(sliders.answer), sliders.picture.value
    sliders.controls[name].value = value
    after = lines(sliders.answer)
    changed = [old != new for old, new in zip(before, after, strict=True)]
    for mark, has_changed in zip(panels[:3], changed[:3], strict=True):
        assert has_changed == (mark != "."), (name, changed)
    assert changed[3] or panels[3] == "."
    assert sliders.picture.value != picture
    assert bytes(sliders.picture.value).startswith(b"\x89PNG")


def test_a_limit_moves_what_is_admissible(sliders):
    before = sliders.answer.data["admissible"]
    sliders.controls["needless_limit"].value = 0.1
    sliders.controls["outage_limit_s"].value = 20.0
    after = sliders.answer.data["admissible"]
    assert after["low_ms"] > before["low_ms"]
    assert after["high_ms"] > before["high_ms"]
    assert f"admissible {after['low_ms']}..{after['high_ms']} ms" in sliders.words.value


def test_no_admissible_delay_is_said_with_reasons(sliders):
    sliders.controls["outage_limit_s"].value = 3.0
    assert sliders.answer.data["best"] is None
    assert "no delay is admissible" in words(sliders.answer)
    assert "needless <= 1 a year needs at least" in words(sliders.answer)


def test_the_left_end_of_a_rate_is_never(sliders):
    for name in ("host", "redis"):
        sliders.controls[name].value = 10 ** sliders.controls[name].min
    assert sliders.answer is None
    assert "above 0" in sliders.words.value
    sliders.reset()
    assert sliders.position == replace(Position(), frozen=0.0)
    assert sliders.answer.data["best"]


# --- the report ------------------------------------------------------------------------------------------------------


def test_a_piece_of_paper_finds_what_the_simulator_finds():
    rows = report.by_hand(report.question(RUNS, SEED))
    # Twenty runs: wide intervals, but a second more or less would be outside.
    assert all(row["high"] - row["low"] < 0.3 for row in rows)
    assert all(row["low"] - 0.1 < row["by_hand"] < row["high"] + 0.1 for row in rows), f"seed {SEED}: {rows}"
    assert abs(rows[2]["by_hand"] / rows[2]["found"] - 1) < 0.1, f"seed {SEED}: {rows[2]}"


def test_the_shortest_delay_by_hand_is_that_of_the_closed_form():
    asked, position = report.question(RUNS, SEED), Position()
    by_hand_ms = 1000 * report.shortest_by_hand_s(position)
    found_ms = report.shortest_ms(asked, position.stall_median_ms, position.stall_sigma, position.stalls_per_year)
    assert by_hand_ms == pytest.approx(found_ms, rel=0.02)


def test_longer_tails_need_longer_delays_and_some_have_none():
    asked = report.question(RUNS, SEED)
    found = [report.shortest_ms(asked, 300.0, sigma, 500.0) for sigma in (0.5, 1.0, 1.5)]
    assert found == sorted(found)
    assert report.shortest_ms(asked, 10_000.0, 2.0, 5_000.0) is None


def test_a_quorum_makes_the_group_better_than_one_sentinel():
    for row in report.detector(report.question(RUNS, SEED)):
        assert row["needless_quorum_1"] > row["mistakes_per_year"] > row["needless_quorum_3"]
        assert row["detection_mean_s"] < row["detection_max_s"]


def test_the_text_says_what_the_numbers_say():
    at = {OUTAGE: {"value": 7.0}, "needless": {"value": 0.5}, "cost": {"value": 20.0}}
    data = {
        "best": {"down_after_ms": 5_000, "nearly": {"low_ms": 4_000, "high_ms": 6_000}},
        "admissible": {"low_ms": 3_000, "high_ms": 9_000}, "at_best": at,
        "present": {"down_after_ms": 10_000, **at, "cost": {"value": 30.0}}, "censored": 0.0,
        "goal": {"limits": {OUTAGE: 12.0, "needless": 2.0}},
        "knobs": [{"knob": "a", "present": 1, "other": 2, "gain_s": 0.5, "censored": 0.0},
                  {"knob": "b", "present": 1, "other": 2, "gain_s": -3.0, "censored": 0.5}],
    }  # fmt: skip
    told = "\n".join(report.answer(data))
    assert "**5.0 s** costs least among 3.0 to 9.0 s" in told
    assert "10 s costs 50% more: it is not admissible" in told
    assert "b 1 to 2 costs most: 3.0 s or more" in told
    assert "No delay admits" in report.answer(data | {"best": None, "infeasible": ["why"]})[0]
