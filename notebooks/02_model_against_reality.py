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
# # Do real servers give the numbers that the simulator gives?
#
# The main cells of the pre-registered matrix: the primary's process is killed, its host vanishes, or it freezes, with
# delays of 1, 2 and 5 s, with and without its return. Thirty to forty runs of each on real Redis servers and Sentinels
# are stored in `reports/validity/runs`, with what the sentinels said about their timers just before the fault.
#
# It would surprise if a description of Sentinel in a thousand lines hit medians to a few hundredths of a second, or if
# it could say of one very run when it will be over.

# %%
# %matplotlib inline
from pathlib import Path

from IPython.display import display
from tabulate import tabulate

from model.measures import proportion
from study import conditional, matrix, regression, stored, tables, validity

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
SEED, RUNS = 1, 500

# %%
cells = [cell for cell in matrix.load(ROOT / "scenarios") if cell.main]
result = regression.run(cells, stored.runs, RUNS, SEED)
print(tables.cells_table(result.to_json()["cells"]))

# %% [markdown]
# ## Whole distributions
#
# Measured with its 95 % band, predicted, and the best that "delay + constant" can do: one number for every milestone.

# %%
by_name = {cell.name: cell for cell in cells}
naive_s = validity.naive_constants_s(result)
for name in validity.SHOWN:
    display(validity.ecdf_figure(by_name[f"{name}[{matrix.FAMILY}]"], naive_s, RUNS, SEED))

# %% [markdown]
# How far measured and predicted distribution functions lie apart altogether (area between them, ms):

# %%
areas = {
    cell.name: {row.row.name: row.row.area.get("area_ms") for row in cell.rows if row.row.name in naive_s}
    for cell in result.cells
}
print(tabulate([{"cell": name, **found} for name, found in areas.items()], headers="keys", floatfmt=".0f"))

# %% [markdown]
# ## Spread and shape
#
# The rank of a measured value among the simulated ones of its cell is uniform when the whole law is right. Too many at
# the right end: real runs are later than they should be; too many at both ends: the predicted spread is too small.

# %%
display(validity.pit_figure(result))

# %%
print(tables.scores_table(result.to_json()["scores"]))

# %% [markdown]
# ## One very run
#
# Just before the fault every sentinel was asked for the ages of its last PING, PONG and INFO. A simulation that starts
# from these phases predicts *this* failover: what is left is little more than the ticks of 52 to 100 ms.

# %%
hits = [
    hit
    for name in validity.SHOWN
    for cell in [by_name[f"{name}[{matrix.FAMILY}]"]]
    for hit in conditional.predict(cell.scenario, stored.runs(cell.scenario), cell.fault_class, seed=SEED, runs=100)
]
single = conditional.to_json(conditional.summarise(hits), 100)
display(validity.conditional_figure(single))

# %%
print(tables.conditional_text(single))

# %% [markdown]
# ## Conclusions

# %%
assert all(cell.verdict == "agrees" for cell in result.cells), [cell.name for cell in result.cells]
assert not [row for row in result.pooled if row.verdict == "disagrees"]
covered = proportion(
    sum(score.coverage["k"] for score in result.scores), sum(score.coverage["n"] for score in result.scores)
)
assert 0.85 <= covered["k"] / covered["n"] <= 0.95, covered
assert all(score.skill > 0.5 for score in result.scores if score.name in naive_s)
silent = [row for row in single["rows"] if row["group"] == "host_vanishes"]
assert all(row["robust_sd_ms"] < 0.5 * row["measured_sd_ms"] for row in silent)
