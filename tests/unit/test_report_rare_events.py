"""The committed tables of the report on rare events say what its text and docs/rare.md claim."""

import csv
from pathlib import Path

import pytest

TABLES = Path(__file__).parents[2] / "reports/rare_events/tables"


def table(name):
    with (TABLES / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(row, name):
    return float(row[name])


def test_the_closed_form_is_met_down_to_1e_9_an_hour():
    rows = table("closed")
    assert min(number(row, "per_hour") for row in rows) < 1e-9
    for row in rows:
        assert number(row, "low") <= number(row, "closed_form_per_hour") <= number(row, "high"), row


def test_crude_simulation_is_met():
    rows = table("crude")
    assert len(rows) == 3
    assert all(row["overlap"] == "True" for row in rows)


def test_storm_and_the_equations_say_the_same():
    for row in table("chain"):
        assert number(row, "equations") == pytest.approx(number(row, "storm"), rel=1e-12)
        assert number(row, "split") == pytest.approx(number(row, "storm"), rel=0.6)


def test_intervals_hold_about_what_they_say():
    """The share that was found is compatible with at least 0.85, and means have no bias that 3 standard errors show."""
    for row in table("coverage"):
        assert int(row["estimates"]) >= 100
        assert number(row, "share_high") >= 0.85
        assert abs(number(row, "mean_ratio") - 1) <= 3 * number(row, "mean_ratio_error")
