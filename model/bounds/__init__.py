"""Closed forms: when the milestones of a failover may come, and what a stall that ends by itself brings about.

They rest on the constants of `model.sentinel` and on nothing else that the machines share: the simulator can be
checked against them, and they answer in microseconds what takes the simulator thousands of runs.

``group``     a scenario and a fault, as far as detection depends on them
``limits``    from one milestone to the next: least and greatest time
``steps``     the steps that these follow from, as conditions on instants; proved in `study.proofs.bounds`
``times``     limits put together: bounds of every milestone, or why there is none
``instants``  laws of the first milestones
``stalls``    stalls that end by themselves, and the quality of the failure detector

One sentinel, one silent primary
--------------------------------
The sentinel PINGs at the first tick more than a period (1 s, or the delay if that is less) after the last answer. So
the time between two PINGs is C = tick_after(period + round trip), and a fault falls into it at random: the first PING
that finds nobody arrives V = remainder(C) after the fault. That PING left `forth` earlier, at a tick, and from then on
the clock runs: +sdown comes at the first tick more than the delay later::

    D = V - forth + tick_after(delay)              silent: host vanished, process or machine frozen
    D = forth + wait_for_tick + tick_after(delay)  reset: process killed; the clock starts at the refused reconnect

A stall of length L ends with an answer that arrives at L + back, so +sdown comes if and only if D < L + back. It does
not depend on the delay but by L - delay, once the delay is some ticks long.

A quorum of q among n
---------------------
A sentinel that suspects asks the others in that tick. When the q-th one asks, q - 1 others say yes, and it starts a
failover at its first tick after their answers, X = D + tick_after(round trip). A later one may look at its clock
earlier. So the first start is the least X among all whose D is the q-th or later: `start` has its law. From there on
nothing aborts: a primary that answers again is replaced all the same. After the start: elected a tick later, promoted
two ticks after that.

The failure detector
--------------------
Stalls that end by themselves make a detector err. With stalls arriving at random (a Poisson process) at a rate small
against 1 / length, `quality` gives the metrics of Chen, Toueg and Aguilera ("On the quality of service of failure
detectors", IEEE Trans. Computers 51, 2002): detection time, mistake rate, mistake duration, query accuracy.

Left out: packet loss and the retransmissions after a cut (a network stall looks longer than it is: at least what is
given here, and it is simulated where it counts); an earlier detector that asks once more a second later, just before
the q-th one's answers come (below 1 % of starts, by less than a tick); split votes; answers between sentinels that take
longer than 100 ms.
"""

from model.bounds.group import HOUR_MS, KINDS, LOCAL_MS, YEAR_MS, Group, Kind, Range, fault_of, group_of, struck
from model.bounds.instants import laws, ping_period, quorum_suspicion, start, suspicion
from model.bounds.stalls import Quality, p_agreed, p_failover, p_suspected, quality
from model.bounds.times import TWO_WRITABLE, Bounds, bounds_of, cut_off, milestones, ranges_of

__all__ = [
    "HOUR_MS",
    "KINDS",
    "LOCAL_MS",
    "TWO_WRITABLE",
    "YEAR_MS",
    "Bounds",
    "Group",
    "Kind",
    "Quality",
    "Range",
    "bounds_of",
    "cut_off",
    "fault_of",
    "group_of",
    "laws",
    "milestones",
    "p_agreed",
    "p_failover",
    "p_suspected",
    "ping_period",
    "quality",
    "quorum_suspicion",
    "ranges_of",
    "start",
    "struck",
    "suspicion",
]
