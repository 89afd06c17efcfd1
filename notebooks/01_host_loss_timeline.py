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
# # The primary's host disappears: who waits how long, and for what?
#
# Three hosts, each with a Redis, a Sentinel and a registrar node, set up as the deployment guide says
# (`down-after-milliseconds` 10 000, quorum 2). Host 1 holds the primary and becomes unreachable without a word.
#
# It would surprise if the outage were just the 10 s of the setting, or if the nodes always came back with the new
# primary.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from model.scenario import load
from model.trace import read_traces
from sim import simulate
from study import plots, tables
from study.outcome import Arm

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
SEED, RUNS = 1, 200

# %%
scenario = load(ROOT / "scenarios/host_loss/primary_host_vanishes.toml")
print(scenario.question)

# %% [markdown]
# ## Predicted

# %%
sim = Arm.of(scenario, simulate(scenario, RUNS, SEED))
print(tables.milestones_table(sim.summary))

# %%
print(tables.outages_table(sim.summary))

# %%
print(tables.parts_table(sim.summary))

# %% [markdown]
# Almost all of it is detection: the delay itself, and up to a second on top because a sentinel pings once a second and
# counts from the first unanswered ping. Agreement, election and promotion cost four ticks of a tenth of a second.
#
# Whether a node comes back with the new primary or about a second later is a coin toss: did it happen to wait on the
# replica that was promoted? If not, it learns of the promotion only when a sentinel redirects the other replica.

# %%
waited_well = np.array([run.parts[run.last_node]["announce"] == 0 for run in sim.runs])
outage_s = np.array([sum(run.parts[run.last_node].values()) for run in sim.runs]) / 1e6
for words, chosen in (("the promoted one", waited_well), ("the other one", ~waited_well)):
    print(f"waited on {words}: {chosen.mean():.0%} of runs, outage {np.median(outage_s[chosen]):.1f} s")

# %% [markdown]
# ## Measured
#
# Real runs that are stored with the report; `python -m study.report host_loss` makes new ones.

# %%
stored = ROOT / "reports/host_loss" / scenario.name / "real.ndjson"
real = Arm.of(scenario, list(read_traces(stored))) if stored.exists() else None
display(plots.timeline(scenario, sim, real))

# %%
figure = Figure(figsize=(12, 3.4), layout="constrained")
for ax, name in zip(figure.subplots(1, 3), ("sdown_quorum", "first_write", "register@host3"), strict=True):
    plots.ecdf_panel(ax, name, plots.values_s(sim.runs, name), plots.values_s(real.runs if real else [], name))
display(figure)

# %% [markdown]
# ## Answer
#
# The new primary takes writes about 11 s after the fault, and the nodes follow at once or a second later. Limits: one
# setting, an idle network, clients that ask every 200 ms; few real runs say little about tails.

# %%
milestones = sim.summary["milestones"]
assert sim.summary["probabilities"]["failover"]["k"] == RUNS
assert 10_800 < milestones["first_write"]["p50_ms"] < 11_300
assert 0.3 < waited_well.mean() < 0.7
assert np.median(outage_s[~waited_well]) - np.median(outage_s[waited_well]) > 0.5
