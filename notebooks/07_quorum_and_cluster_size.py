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
# # How many sentinels, and which quorum?
#
# The guide says: "for a cluster of 3 nodes, a quorum of 2 is a good value", and "if the quorum is equal to the size of
# the cluster, the election process will never be initiated". Two, three, five and seven sentinels, every quorum.
#
# It would surprise if two sentinels were good for anything, if a greater quorum were simply safer, or if the guide's
# second sentence were true of a process that dies.

# %%
# %matplotlib inline
from pathlib import Path

from IPython.display import Markdown, display

from study.report import quorum_and_cluster_size as report
from study.report.pages import markdown, where

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
SEED, RUNS = 1, 500

# %% [markdown]
# ## How long Redis takes no writes
#
# Coloured: simulated. Black: real runs that are stored in `reports/validity/runs`.

# %%
tables = {"sizes": report.sizes(RUNS, SEED), "measured": report.measured(RUNS, SEED)}
display(report.outages_figure(tables))

# %%
display(Markdown(markdown(tables["measured"], report.MEASURED_COLUMNS)))

# %% [markdown]
# ## Quorum against majority
#
# A quorum starts a failover, the majority of *all* sentinels lets it happen. So many dead sentinels are borne:

# %%
display(report.safety_figure(tables))

# %% [markdown]
# Both rules are tried out: each number of dead sentinels, each number of sentinels that cannot reach a primary that is
# well.

# %%
tables |= {"dead": report.dead(SEED), "cut_off": report.cut_off(SEED)}
for name in ("dead", "cut_off"):
    wrong = [row for row in tables[name] if row["rule"] != (row["failover"] > 0.5)]
    print(f"{name}: {len(tables[name])} combinations, {len(wrong)} against the rule")

# %% [markdown]
# ## Answer

# %%
display(Markdown("\n".join(report.answer(tables))))

# %% [markdown]
# Limits: one site, an idle network, stalls and crashes as assumed, sentinels that die on their own.

# %%
assert not [row for name in ("dead", "cut_off") for row in tables[name] if row["rule"] != (row["failover"] > 0.5)]
assert all(row["verdict"] != "disagrees" for row in tables["measured"])
killed, vanished = (where(tables["sizes"], size="3", fails=fails) for fails in report.FAILS.values())
assert [row["failover"] for row in killed] == [1, 1, 1]
assert [row["failover"] for row in vanished] == [1, 1, 0]
assert vanished[0]["p50_s"] < vanished[1]["p50_s"] - 0.3
assert not any(row["failover"] for row in where(tables["sizes"], size="2", fails="host vanished"))
