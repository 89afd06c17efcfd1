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
# # Sentinels at several sites: what if the first election is lost?
#
# Three or five sentinels over three sites, round trips of 0 to 200 ms between them. Two of them that become candidates
# before either has heard of the other vote for themselves, and nobody wins.
#
# It would surprise if distance cost no more than the round trips that the messages travel, or if five sentinels were
# better off than three.

# %%
# %matplotlib inline
from pathlib import Path

from IPython.display import Markdown, display

from study.report import lost_elections_over_wan as report
from study.report.pages import Order, markdown, the, where

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
ORDER = Order("lost_elections_over_wan", reports=ROOT / "reports")
RUNS = 500

# %% [markdown]
# ## How often
#
# Lines: simulated, with 95 % bands. Diamonds: real Redis and Sentinel in the lab, with Wilson's intervals. Dashed: a
# closed form for two sentinels, for round trips shorter than a tick. On the right, a random delay on top of each way.

# %%
tables = {"odds": report.odds(RUNS, ORDER.seed)}
tables["measured"] = report.measured(ORDER, tables["odds"])
tables["jitter"] = report.jitter(RUNS, ORDER.seed)
display(report.odds_figure(tables))

# %%
display(Markdown(markdown(tables["measured"], report.MEASURED_COLUMNS)))

# %% [markdown]
# ## At what cost
#
# Whoever was a candidate or has voted waits twice the failover-timeout, from a start that is put off by 0 to 1 s.

# %%
tables |= {"cost": report.cost(RUNS, ORDER.seed), "seconds": report.mean_seconds(RUNS, ORDER.seed)}
display(report.cost_figure(tables))

# %%
display(Markdown(markdown(tables["cost"])))

# %% [markdown]
# ## Disks
#
# A slow disk holds back a candidate's requests. The families of servers differ in how often they sync the file.

# %%
display(Markdown(markdown(report.versions(RUNS, ORDER.seed))))

# %% [markdown]
# ## Answer

# %%
display(Markdown("\n".join(report.answer(tables))))

# %% [markdown]
# Limits: sites equally far from each other, no losses, few real runs at each point.

# %%
assert all(row["verdict"] != "disagrees" for row in tables["measured"])
killed, silent = (where(tables["odds"], layout="three", fault=fault) for fault in ("crash", "vanish"))
assert killed[0]["lost"] < 0.01 < 0.2 < the(killed, rtt_ms=60)["lost"] < 0.45
assert all(one["lost"] <= other["lost"] + 0.02 for one, other in zip(silent, killed, strict=True))
for row in killed:
    if row["closed_form"] is not None:
        assert row["low"] - 0.01 < row["closed_form"] < row["high"] + 0.01, row
for row in tables["cost"]:
    assert row["by_hand_low_s"] < row["p50_s"] < row["by_hand_high_s"], row
