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
# # A host or a process is lost: for how long can a phone not be called?
#
# A phone of each class and transport is registered through the node that is struck, for 60 s, and is called through
# every node once a second. Redis is back after three seconds. Real runs of the same scenarios are stored with the
# report.
#
# It would surprise if the phones were back with Redis, if all of them came back, or if it did not matter what a node
# answers that cannot store.

# %%
# %matplotlib inline
from pathlib import Path

from IPython.display import Markdown, display

from study.report import what_the_phone_sees as report
from study.report.measured import real_runs, usable
from study.report.pages import Order, markdown, the, where

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
ORDER = Order("what_the_phone_sees", reports=ROOT / "reports")
RUNS, POLICY_RUNS = 100, 10

# %%
cases = [*report.fault_cases(1), *report.answer_cases(1)]
real = real_runs(cases, ORDER)
found = {each.name: report.runs_of(each, ORDER, RUNS, usable(real, each)) for each in cases}

# %% [markdown]
# ## Where the time goes
#
# Before a phone can do anything it has to notice: at its next refresh, up to 54 s away, or when its connection ends or
# answers no keep-alive. Then it may wait 32 s for an answer (Timer F of RFC 3261). Only then it goes elsewhere.

# %%
outages, parts = report.outages(found, ORDER.seed), report.parts(found)
display(report.outages_figure(parts, outages))

# %%
display(Markdown(markdown(where(outages, fault="host silent"), report.OUTAGE_COLUMNS)))

# %% [markdown]
# ## What a node should answer
#
# Its host is cut off from the others, not from its phones. When is each phone registered through another node?

# %%
answers = report.answers(found)
display(report.answers_figure(answers))

# %% [markdown]
# ## What the registrar's own policy costs
#
# The nodes that live on have to find the new primary. Delay 10 s, as the deployment guide says.

# %%
judged = {each.name: report.runs_of(each, ORDER, POLICY_RUNS, ()) for each in report.policy_cases()}
policies = report.policies(judged)
display(report.policies_figure(policies))

# %% [markdown]
# ## Answer
#
# A phone is out for its refresh and Timer F, not for the failover of Redis. A bare 500 keeps every class on a node that
# cannot store; a 503 with Retry-After moves all but one. A Flexisip node that has no time-out waits for a quarter of an
# hour for a host that is silent. Limits: one zone, lifetimes of 60 s, a dozen real runs.

# %%
silent = the(outages, fault="host silent", client="ideal-udp")
assert 55 < silent["sim_p50_s"] < 68
assert all(row["sim_never"] == 1.0 for row in where(answers, answer="500"))
moved = [row["client"] for row in where(answers, answer="503, Retry-After 5") if row["sim_never"] < 0.05]
assert len(moved) == len(where(answers, answer="500")) - 1
stuck = the(policies, loss="host silent", policy="flexisip-2.6", change="as it is")
assert stuck["node_p50_s"] > 900
assert the(policies, loss="host silent", policy="flexisip-2.6", change="follows Sentinel")["bought_s"] > 850
for row in answers:
    if row["real_n"]:
        assert abs(row["real_never"] - row["sim_never"]) < 0.5, row
