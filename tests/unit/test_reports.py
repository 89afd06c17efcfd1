"""What reports are made of: tables, stored runs, the law of wrong clocks, clients in a scripted world."""

import csv

import numpy as np
import pytest

from model.effects import REGISTER, REGISTERED
from model.trace import Event, Trace
from study import report
from study.report import client_retry_and_srv, clock_skew_and_404, pages, what_the_phone_sees
from study.report.measured import case
from study.report.scripted import REFUSES, SILENT, Answer, Record, ScriptedWorld, first_choices

SEED = 20_261_123


def two(_):
    return Record(0), Record(1)


def struck(class_, transport, answer, until_s=200, age_s=5):
    """What a client of the first of two nodes does when that one begins to answer this."""
    world = ScriptedWorld(class_, transport, lambda host, _: answer if host == 0 else Answer(), two, SEED)
    return world.settle(0, age_s).run(until_s)


def tries(steps):
    return [(round(step.t_s), step.host) for step in steps if step.what == REGISTER]


def test_every_report_has_a_module_and_a_question(monkeypatch, capsys):
    assert all(hasattr(getattr(report, name, None) or __import__(f"study.report.{name}", fromlist=["make"]), "make")
               for name in report.REPORTS)  # fmt: skip
    with pytest.raises(SystemExit):
        report.main(["no_such_report"])
    assert "what_the_phone_sees" in capsys.readouterr().err


def test_tables_are_written_as_they_are_read(tmp_path):
    rows = [{"who": "ideal", "p50_s": 1.5, "n": None}, {"who": "pjsua", "p50_s": 30.0, "n": 2}]
    pages.write_tables(tmp_path, {"some": rows})
    with (tmp_path / "tables" / "some.csv").open() as file:
        assert [row["p50_s"] for row in csv.DictReader(file)] == ["1.5", "30.0"]
    assert pages.markdown(rows, {"who": "phone", "p50_s": "s"}).splitlines()[0] == "| phone   |   s |"
    assert pages.the(rows, who="pjsua")["n"] == 2
    assert pages.where(rows, n=None) == rows[:1]


@pytest.mark.parametrize(
    ("ahead_s", "missed_s"), [(0, 0), (5, 0), (10, 4.5), (40, 34.5), (60, 54), (100, 54), (-50, 0)]
)
def test_law_of_wrong_clocks(ahead_s, missed_s):
    assert clock_skew_and_404.missed_s(ahead_s) == missed_s


def test_a_silent_node_costs_the_refresh_and_timer_f():
    assert tries(struck("ideal", "udp", SILENT))[:2] == [(49, 0), (81, 1)]


def test_a_dead_process_costs_the_refresh_alone():
    assert tries(struck("ideal", "udp", REFUSES))[:2] == [(49, 0), (49, 1)]


def test_a_bare_500_keeps_a_client_and_a_503_moves_it():
    assert {host for _, host in tries(struck("ideal", "udp", Answer(500, 0)))} == {0}
    assert tries(struck("ideal", "udp", Answer(503, 0)))[:2] == [(49, 0), (49, 1)]


def test_copies_of_a_request_are_no_tries():
    assert len([step for step in struck("twinkle", "udp", SILENT, 110) if step.what == REGISTER]) == 1


def test_the_end_of_an_idle_connection_is_noticed_at_once():
    world = ScriptedWorld("ideal", "tcp", lambda host, _: REFUSES if host == 0 else Answer(), two, SEED).settle(0, 5)
    world.end_idle_connections()
    steps = world.run(20)
    assert [(round(step.t_s, 1), step.host) for step in steps if step.what == REGISTERED] == [(0.0, 1)]


def test_shares_follow_weights_where_the_class_says_so():
    heavy = first_choices("ideal", [Record(0, 0, 75), Record(1, 0, 25)], 2_000, SEED).count(0)
    assert abs(heavy - 1_500) < 5 * np.sqrt(2_000 * 0.75 * 0.25), f"{heavy} of 2000, seed {SEED}"


def test_back_is_the_first_registration_elsewhere():
    events = [
        Event(0, "host3", "fault", "partition"),
        Event(5_000_000, "phone", "ua", "registered", "host3", 60_000_000),
        Event(9_000_000, "phone", "ua", "registered", "host1", 60_000_000),
    ]
    found = what_the_phone_sees.back("phone", [_trace(events), _trace(events[:2])])
    assert found.values_ms.tolist() == [9_000.0, 20_000.0]
    assert found.is_censored.tolist() == [False, True]


def _trace(events):
    return Trace("some", "0", "real", 1, 0, 20_000_000, events=tuple(events))


def test_cases_of_a_report_differ():
    cases = [*what_the_phone_sees.fault_cases(1), *what_the_phone_sees.answer_cases(1),
             *what_the_phone_sees.refusal_cases(), *what_the_phone_sees.policy_cases()]  # fmt: skip
    assert len({each.name for each in cases}) == len(cases)
    # A bare 500 is what the scenario says already, and 2.4 to 2.6 differ from each other.
    assert len({each.scenario.digest for each in cases}) == len(cases)


def test_a_curve_of_wrong_clocks_is_about_the_right_host():
    for who, (file, host, _, sign) in clock_skew_and_404.CURVES.items():
        skewed = case(f"clocks/{file}.toml").scenario.host[host].clock_offset_ms
        assert skewed, who
        assert sign == 0 or (skewed > 0) == (sign > 0), who


def test_what_was_measured_on_the_software_is_found():
    seen = client_retry_and_srv.foreign()
    for name, transport in client_retry_and_srv.CLIENTS[1:]:
        for experiment, _ in client_retry_and_srv.ANSWERS.values():
            software = client_retry_and_srv.SOFTWARE[name]
            assert client_retry_and_srv.measured_tries(seen, software, transport, experiment), (name, experiment)
