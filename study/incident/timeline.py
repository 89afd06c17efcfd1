"""All logs as one timeline by one clock, each line in words, with how well its time is known."""

from __future__ import annotations

from dataclasses import dataclass

from study.incident.clocks import Clocks
from study.incident.hosts import Cluster
from study.incident.logs import Entry, Evidence

WORDS = {
    "start": "is started",
    "ready": "is ready",
    "+monitor": "watches {about} as primary",
    "+sdown": "gets no answer from {about} any more",
    "-sdown": "hears {about} again",
    "+odown": "agrees with others that {about} is down",
    "-odown": "takes {about} for up again",
    "+try-failover": "starts a failover of {about}",
    "+vote-for-leader": "votes for {leader} in epoch {epoch}",
    "voted": "is told that {voter} voted for {leader}",
    "+elected-leader": "is elected to lead the failover",
    "-failover-abort-not-elected": "gives up: was not elected",
    "-failover-abort-no-good-slave": "gives up: no replica fits",
    "-failover-abort-slave-timeout": "gives up: the chosen replica did not turn",
    "+selected-slave": "chooses {about}",
    "+promoted-slave": "sees that {about} is primary now",
    "+slave-reconf-sent": "points {about} to the new primary",
    "+slave-reconf-done": "sees {about} in sync with the new primary",
    "+failover-end": "ends the failover",
    "+failover-end-for-timeout": "ends the failover, although not all follow",
    "+switch-master": "takes {about} for the primary",
    "+config-update-from": "hears of a newer configuration from {about}",
    "+convert-to-slave": "makes {about}, a returned primary, a replica",
    "+fix-slave-config": "points {about} to the right primary",
    "+reboot": "sees that {about} was started anew",
    "+tilt": "finds its clock jumped or itself held up, and stops acting",
    "-tilt": "acts again",
    "forced": "is asked by a user for a failover",
    "refused": "is refused by its primary's host",
    "unreachable": "cannot reach its primary",
    "silent": "has heard nothing of its primary for repl-timeout",
    "link-down": "loses its primary",
    "link-up": "is in sync with its primary",
    "role-primary": "becomes primary",
    "role-replica": "becomes replica of {about}",
    "replica-lost": "loses a replica",
    "busy": "runs a script for too long",
    "misconf": "cannot save its data",
    "redis-connected": "connects to {about}",
    "redis-lost": "loses {about}",
    "waiting": "waits: {about} is no primary",
    "writable": "has found the primary {about}",
}
"""Events that are shown, with what their actor does."""

REPEATS = ("refused", "unreachable")
"""Events of which only the first of a row is shown."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline.

    Attributes
    ----------
    at_ms : int
        By the reference clock, ms since the epoch.
    half_ms : int or None
        The true time by that clock is within so much; None: not bounded on both sides.
    host, actor, event, text : str
    place : str
        File and line.
    """

    at_ms: int
    half_ms: int | None
    host: str
    actor: str
    event: str
    text: str
    place: str


def timeline(evidence: Evidence, cluster: Cluster, clocks: Clocks) -> list[Moment]:
    """The lines that matter, in order of time, within a file as they stand."""
    found: list[Moment] = []
    for log in evidence.logs:
        before = ""
        for entry in log.entries:
            if entry.event in WORDS and not (entry.event in REPEATS and entry.event == before):
                found.append(_moment(entry, cluster, clocks))
            if entry.event not in ("connects", "psync"):
                before = entry.event
    return sorted(found, key=lambda moment: moment.at_ms)


def _moment(entry: Entry, cluster: Cluster, clocks: Clocks) -> Moment:
    return Moment(clocks.true_ms(entry), clocks.offset(entry).half_ms, cluster.of(entry), entry.actor, entry.event,
                  words(entry, cluster), entry.place)  # fmt: skip


def words(entry: Entry, cluster: Cluster) -> str:
    """What an entry says."""
    about = cluster.about(entry) or entry.address or "somebody"
    if entry.actor == "sentinel" and entry.event in ("+sdown", "-sdown"):
        about = f"the sentinel of {about}" if entry.is_sentinel else f"Redis of {about}"
    names = [cluster.host_of_id.get(word, word[:8]) for word in entry.words]
    match entry.event:
        case "+vote-for-leader":
            return WORDS["+vote-for-leader"].format(leader=names[0], epoch=entry.words[1])
        case "voted":
            return WORDS["voted"].format(voter=names[0], leader=names[1])
        case event:
            return WORDS[event].format(about=about)
