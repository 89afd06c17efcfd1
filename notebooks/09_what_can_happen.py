# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What can happen in a failover, and what cannot?
#
# Simulation shows what is likely. Here every order of events is visited that the sentinel and server machines allow,
# within bounds: so many faults, so many epochs. What shows in no state cannot happen (within these bounds); what shows
# comes with the shortest way to it.
#
# It would surprise if an epoch had two leaders, if a lost host were failed over with a quorum of all, or if data were
# lost in a failover of servers that keep it on disk.

# %%
from pathlib import Path

import networkx as nx
from IPython.display import SVG, Markdown, display

from model.explorer import Election
from model.explorer.graph import Walked, condensation, distances, state_graph
from study.paths import space_time
from study.paths.map import draw, fold
from study.report import proofs, searches
from study.report.pages import markdown

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
CASES = {case.name: case for case in searches.SEARCHES}

# %% [markdown]
# ## Every way an election can go
#
# Three sentinels, one epoch. Green: one is elected; blue: one can still be; vermilion: none ever will be.

# %%
walked = Walked(Election(epochs=1))
display(SVG(draw(fold(walked))))

# %% [markdown]
# The same as a graph: how many states are how far away, and where everything ends. A component is a set of states that
# lead to each other; those that nothing leaves are the ends of all runs.

# %%
graph = state_graph(walked)
far = distances(graph)
parts = condensation(graph)
final = [node for _, node in parts.nodes.items() if node["is_final"]]
by_distance = [sum(value == steps for value in far.values()) for steps in range(max(far.values()) + 1)]
print(f"{graph.number_of_nodes()} states, {graph.number_of_edges()} steps, the farthest {max(far.values())} away")
print(f"states by distance: {by_distance}")
print(f"{parts.number_of_nodes()} components, the largest of {max(node['size'] for _, node in parts.nodes.items())}; "
      f"{len(final)} ends; the longest chain has {nx.dag_longest_path_length(parts, weight=None)} steps")  # fmt: skip

# %% [markdown]
# ## Failovers
#
# Three hosts, one fault of a kind, one epoch. Numbers are steps of the shortest path.

# %%
NAMES = ("election, 2 epochs", "election, 2 epochs, all may be late", "one fault: host", "one fault: server",
         "server restarts empty", "for good: host", "for good: two hosts", "quorum 3: host, for good",
         "quorum 3: server, for good")  # fmt: skip
found = {name: searches.look(CASES[name]) for name in NAMES}
display(Markdown(markdown(proofs.search_rows(found), {"search": "search", "states": "states", "steps": "steps",
                                                      "depth": "depth", "finished": "finished"})))  # fmt: skip

# %%
display(Markdown(markdown(proofs.matrix(proofs.verdict_rows(found)))))

# %% [markdown]
# ## What must not happen, and does
#
# When messages may take any time, or sentinels stand still, votes of one epoch decide an attempt of another:

# %%
late = found["election, 2 epochs, all may be late"]
display(SVG(space_time(searches.path_of(late.paths["one-leader"]))))

# %% [markdown]
# Two servers killed, two epochs, all messages in time. The search is too long for a notebook; its path is stored with
# the report. A leader that has not finished its failover hears of the next one, which names the primary that it still
# has: it takes the epoch over, and then finishes.

# %%
kept = proofs.read_searches(ROOT / "reports/proofs/kept/searches.json")[searches.LARGE.name]
flaw = searches.path_of(kept.paths["one-primary-per-configuration"])
print(f"{kept.states:,} states, {kept.seconds:.0f} s")
display(SVG(space_time(flaw)))

# %% [markdown]
# ## Answer
#
# Cannot, within these bounds: two leaders of an epoch while messages are in time; a failover of a lost host with a
# quorum of all; an end without a primary that all follow after one fault; the loss of data that was on all disks.
#
# Can: two leaders when messages are late; the loss of everything when a server restarts empty; two configurations of
# one epoch after two failovers in a row.

# %%
said = {(row["search"], row["key"]): (row["verdict"], row["steps"]) for row in proofs.verdict_rows(found)}
assert all(each.finished for each in found.values())
assert graph.number_of_nodes() == 1_936
assert said["election, 2 epochs", "one-leader"] == ("holds", None)
assert said[late.name, "one-leader"] == ("does not hold", 11)
assert [said[f"one fault: {kind}", "settles"][0] for kind in ("host", "server")] == ["holds", "holds"]
assert [said[f"one fault: {kind}", "data-survives"][0] for kind in ("host", "server")] == ["holds", "holds"]
assert said["server restarts empty", "data-survives"] == ("does not hold", 2)
assert said["for good: host", "accepts-writes"][0] == "holds"
assert said["for good: two hosts", "accepts-writes"][0] == "does not hold"
assert said["quorum 3: host, for good", "fails-over"][0] == "never seen"
assert said["quorum 3: server, for good", "fails-over"] == ("seen", 12)
assert len(flaw.steps) == 24
