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
# # When does a wrong clock hide a registered phone, and for how long?
#
# The deployment guide warns: if *any* node of the cluster has a wrong time, clients will get *404 Not found* for phones
# that were correctly registered. A phone registers for 60 s, anew after 54 s, and is called through every node.
#
# It would surprise if any wrong clock did that, or if it began with the first second.

# %%
# %matplotlib inline
from pathlib import Path

from IPython.display import Markdown, display

from study.report import clock_skew_and_404 as report
from study.report.measured import real_runs, simulate, usable
from study.report.pages import Order, markdown, where

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
ORDER = Order("clock_skew_and_404", reports=ROOT / "reports")
RUNS, SWEEP_RUNS = 100, 20

# %%
cases = {wrong.scenario: report.case_of(wrong, 1) for wrong in report.WRONG_CLOCKS}
real = real_runs(list(cases.values()), ORDER)
sim = {name: report.measured(each, simulate(each, RUNS, ORDER.seed, ORDER.voice)) for name, each in cases.items()}
seen = {name: report.measured(each, usable(real, each)) for name, each in cases.items()}
judged = report.judge(cases, sim, seen, ORDER.seed)
display(Markdown(markdown(judged, report.COLUMNS)))

# %% [markdown]
# ## The law
#
# A binding is found while it is younger than its lifetime, less the largest of what primary, replica asked and node
# asked are ahead of the node that wrote it, less the fraction of a second that whole seconds drop.

# %%
skews = report.sweep(ORDER, SWEEP_RUNS, skews_s=(-100, -40, -5, 0, 5, 40, 100))
display(report.skew_figure(skews, judged))

# %% [markdown]
# ## Answer
#
# Not any clock, and not from the first second on: a primary that is ahead, a node that writes while it is behind, and
# for its own callers a node that is ahead; by more than what is left of a registration when it is refreshed. Limits:
# one device for each address, lifetimes of a minute.

# %%
for row in judged:
    assert abs(row["sim_p50_s"] - row["predicted_s"]) < 3.0, row
    assert row["verdict"] != "disagrees", row
for row in skews:
    assert abs(row["sim_p50_s"] - row["law_s"]) < 1.5, row
assert all(row["sim_p95_s"] == 0 for row in where(skews, who="replica that no node asks"))
