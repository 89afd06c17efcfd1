"""What clients meet at a node over time, read from what faults and the register probers say."""

from model.trace import Event, Trace
from sim import timeline
from sim.timeline import DEAD, FROZEN, HANGS, REFUSES, SERVES, SILENT

HOSTS = ("host1", "host2", "host3")
PERIOD_US = 200_000


def line(*events, node="host2"):
    """(s, state) of the stretches of one node."""
    return [(round(stretch.t_us / 1e6, 3), stretch.state) for stretch in stretches(*events, node=node)]


def stretches(*events, node="host2"):
    trace = Trace("x", "0", "sim", 1, 0, 60_000_000, events=sorted(events, key=lambda event: event.t_us))
    return timeline.read(trace, HOSTS, [node], PERIOD_US)


def seen(t_s, outcome, age_s=0.0, code=0, host="host2"):
    return Event(round(t_s * 1e6), host, "client", outcome, "", round(age_s * 1e6), code)


def said(t_s, what, host="host2"):
    return Event(round(t_s * 1e6), host, "registrar", what, "host1")


def fault(t_s, kind, host="host2", code=0):
    return Event(round(t_s * 1e6), host, "fault", kind, "", 0, code)


def test_without_events_a_node_serves():
    assert line() == [(0.0, SERVES)]


def test_a_refusal_counts_from_the_sending_of_the_first_request_that_met_it():
    found = line(seen(-1, "confirmed"), seen(3, "refused", 1.5, 500), seen(12, "confirmed", 0.1))
    assert found == [(-1.0, SERVES), (1.5, REFUSES), (11.9, SERVES)]


def test_a_refusal_keeps_its_status_and_its_delay():
    refusing = stretches(seen(3, "refused", 1.5, 503))[1]
    assert (refusing.code, refusing.delay_us) == (503, 1_500_000)


def test_requests_that_were_kept_are_answered_when_the_first_of_them_is():
    assert stretches(seen(1, "refused", 0, 500), seen(12, "confirmed", 5))[-1].ready_us == 12_000_000


def test_a_request_without_answer_means_that_the_node_hangs():
    assert line(seen(4, "unknown", 2)) == [(0.0, SERVES), (2.0, HANGS)]


def test_a_node_refuses_from_when_it_says_that_it_lost_redis_to_when_it_says_that_it_can_serve():
    changes = seen(2.15, "refused", 0.01, 500), seen(9.16, "confirmed", 0.01)
    own = said(2.001, "redis-lost"), said(8.97, "redis-lost"), said(9.001, "writable")
    assert line(*changes, *own) == [(0.0, SERVES), (2.001, REFUSES), (9.001, SERVES)]
    assert stretches(*changes, *own)[-1].ready_us == 9_001_000


def test_a_word_of_the_node_that_its_requests_do_not_bear_out_changes_nothing():
    changes = seen(2.15, "refused", 0.01, 500), seen(9.16, "confirmed", 0.01)
    longer_ago = said(1.9, "redis-lost"), said(8.9, "writable")
    others = said(2.1, "redis-lost", "host3"), said(9.1, "writable", "host3")
    taken_back = said(2.01, "redis-lost"), said(2.02, "writable"), said(9.01, "writable"), said(9.02, "redis-lost")
    too_late = said(2.145, "redis-lost"), said(9.155, "writable")
    for own in ((), longer_ago, others, taken_back, too_late):
        assert line(*changes, *own) == [(0.0, SERVES), (2.14, REFUSES), (9.15, SERVES)]


def test_a_struck_node_is_what_struck_it_whatever_the_prober_says():
    found = line(fault(0, "vanish"), seen(2, "unknown", 2), fault(20, "return"), seen(20.5, "confirmed"))
    assert found == [(0.0, SERVES), (0.0, SILENT), (20.0, HANGS), (20.5, SERVES)]


def test_a_crash_of_all_or_of_the_registrar_kills_the_node_and_of_redis_does_not():
    assert line(fault(1, "crash", code=0))[-1] == (1.0, DEAD)
    assert line(fault(1, "crash", code=3))[-1] == (1.0, DEAD)
    assert line(fault(1, "crash", code=1)) == [(0.0, SERVES)]


def test_a_silent_host_hides_what_its_programs_do():
    found = line(fault(1, "vanish"), fault(2, "crash"), fault(3, "return"), fault(4, "restart"))
    assert found == [(0.0, SERVES), (1.0, SILENT), (3.0, DEAD), (4.0, SERVES)]


def test_a_frozen_node_thaws():
    assert line(fault(1, "pause", code=3), fault(9, "resume", code=3)) == [(0.0, SERVES), (1.0, FROZEN), (9.0, SERVES)]


def test_faults_and_probes_of_other_hosts_say_nothing():
    assert line(fault(1, "crash", "host1"), seen(2, "refused", 0, 500, "host3")) == [(0.0, SERVES)]
