"""Who runs where, and who talks to whom: phones, DNS, nodes, Redis with its primary, sentinels with their quorum."""

from __future__ import annotations

import networkx as nx

from model.scenario import Host, Scenario
from study.paths.svg import Drawing, width_of, wrapped
from study.review.charts import WIDTH

CARD, GAP, PAD = 190.0, 24.0, 10.0
"""Of a host, px."""

ROW = 46.0
"""Height of a program's box, px."""


def graph(scenario: Scenario) -> nx.DiGraph:
    """Programs and who depends on whom: nodes are (kind, host)."""
    found = nx.DiGraph()
    primary = ("redis", scenario.server.primary)
    for host in scenario.host:
        if host.registrar:
            found.add_edge(("dns", ""), ("registrar", host.name))
            found.add_edge(("registrar", host.name), primary)
        if host.redis and host.name != scenario.server.primary:
            found.add_edge(("redis", host.name), primary)
        if host.sentinel:
            found.add_edge(("sentinel", host.name), primary)
    return found


def sentences(scenario: Scenario) -> list[str]:
    """The drawing in words."""
    count, quorum = len(scenario.sentinel_hosts), scenario.sentinel.quorum
    majority = count // 2 + 1
    depends = graph(scenario)
    nodes = [host for kind, host in depends if kind == "registrar"]
    primary = ("redis", scenario.server.primary)
    replicas = [host for kind, host in (depends.predecessors(primary) if primary in depends else ()) if kind == "redis"]
    return [
        f"{len(scenario.host)} hosts; the primary is on {scenario.server.primary}, replicas on "
        f"{', '.join(replicas) or 'none'}; nodes on {', '.join(nodes) or 'none'}.",
        f"{count} sentinels: {quorum} must suspect (quorum), {majority} must vote (majority), so "
        f"{count - max(quorum, majority)} may be lost.",
    ]


def draw(scenario: Scenario, key: str) -> str:
    """The drawing."""
    hosts = scenario.host
    across = min(len(hosts), 3)
    rows = -(-len(hosts) // across)
    card = (WIDTH - (across + 1) * GAP) / across
    height = 74.0
    card_height = 40.0 + 3 * (ROW + 8) + PAD
    drawing = Drawing()
    _box(drawing, WIDTH / 2 - 150, 8, 300, 40, "head", _srv_words(scenario), "DNS SRV: how phones find a node")
    for number, host in enumerate(hosts):
        x = GAP + (number % across) * (card + GAP)
        y = height + (number // across) * (card_height + GAP)
        if host.registrar:
            drawing.line([(WIDTH / 2, 48), (x + card / 2, y + 34)], "hair", 1.4)
        _host(drawing, scenario, host, x, y, card, card_height)
    words = " ".join(sentences(scenario))
    return drawing.part(WIDTH, height + rows * (card_height + GAP), "Topology", words, key)


def _host(drawing: Drawing, scenario: Scenario, host: Host, x: float, y: float, width: float, height: float) -> None:
    drawing.begin(f"{host.name}: one failure domain, as far as the scenario says")
    drawing.rect(x, y, width, height, "stripe", 8)
    drawing.text(x + PAD, y + 10, [host.name], "ink bold", 14)
    ways = _delay_words(scenario, host)
    drawing.text(x + width - PAD, y + 13, [ways], "soft", 11, "end")
    drawing.end()
    is_primary = host.name == scenario.server.primary
    at = y + 40
    node = f"registrar node ({scenario.registrar.policy})"
    for runs, kind, words, tip in (
        (host.registrar, "act", node, "answers phones, writes to the primary"),
        (host.redis, "good-band" if is_primary else "paper", "Redis, primary" if is_primary else
         f"Redis, replica (priority {host.replica_priority})", "keeps registrations"),
        (host.sentinel, "note", f"Sentinel (quorum {scenario.sentinel.quorum})", "watches the primary, votes"),
    ):  # fmt: skip
        if runs:
            _box(drawing, x + PAD, at, width - 2 * PAD, ROW, kind, words, tip)
        at += ROW + 8


def _box(drawing: Drawing, x: float, y: float, width: float, height: float, kind: str, words: str, tip: str) -> None:
    lines = wrapped(words, width - 2 * PAD, 12)
    drawing.begin(tip)
    drawing.rect(x, y, width, height, kind, 5)
    drawing.text(x + width / 2, y + (height - 15 * len(lines)) / 2 - 1, lines, "ink", 12, "middle")
    drawing.end()


def _srv_words(scenario: Scenario) -> str:
    nodes = [host for host in scenario.host if host.registrar]
    alike = len({(host.srv_priority, host.srv_weight) for host in nodes}) <= 1
    return f"phones, by DNS SRV: {len(nodes)} nodes, {'alike' if alike else 'not alike'}, TTL {scenario.dns.ttl_s} s"


def _delay_words(scenario: Scenario, host: Host) -> str:
    own = [link for link in scenario.link if link.from_ in (host.name, "*")]
    delays = {link.delay_us for link in own} or {scenario.network.delay_us}
    text = " to ".join(f"{each / 1_000:g}" for each in sorted({min(delays), max(delays)})) + " ms away"
    return text if width_of(text, 11) < CARD / 2 else ""
