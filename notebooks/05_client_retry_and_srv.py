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
# # How do clients try again, how do they choose a node, and what becomes of many of them?
#
# A client that is refused tries again by a law of its own; one that starts takes a node by the weights of its SRV
# records, or by something else. A hundred thousand of them do so at once when a host dies.
#
# It would surprise if all followed RFC 3263 and RFC 2782, or if the nodes that are left could not serve the storm.

# %%
# %matplotlib inline
from pathlib import Path

from IPython.display import Markdown, display

from study.report import client_retry_and_srv as report
from study.report.pages import Order, markdown, the, where

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
ORDER = Order("client_retry_and_srv", reports=ROOT / "reports")
DRAWS, CLIENTS, MANY = 1_000, 10, 20_000

# %% [markdown]
# ## After which answer does a client leave its node?
#
# The model's client machine with the behaviour of each class, and the software itself as it was measured.

# %%
laws = report.laws(ORDER.seed)
display(report.laws_figure(laws))

# %% [markdown]
# ## Which node, and how long until a live one is found?

# %%
tables = {
    "choices": report.choices(ORDER.seed, DRAWS),
    "dead_records": report.dead_records(ORDER.seed, CLIENTS),
    "names": report.dns_outages(ORDER.seed, CLIENTS),
}
display(report.choices_figure(tables))

# %% [markdown]
# ## Storms

# %%
curves = report.storms(ORDER, (1_000, 10_000, 100_000), MANY)
storms = [report.storm_row(name, each) for name, each in curves.items()]
display(report.storms_figure(curves))

# %%
display(Markdown(markdown(storms)))

# %% [markdown]
# ## Answer
#
# A bare 500 keeps every class where it is; only 503 moves those that follow RFC 3263, and linphone needs Retry-After as
# well. Each silent record costs Timer F. Chance in the client spreads a storm; a fixed Retry-After does not. Limits:
# single measurements of the software, one run of the cluster.

# %%
assert all(row["model_elsewhere_s"] is None for row in where(laws, answer="500") if row["class"] != "pjsua")
assert the(laws, answer="503", **{"class": "ideal"})["model_elsewhere_s"] < 60
assert the(tables["choices"], **{"class": "ideal"})["chi_square_p"] > 0.001
assert the(tables["choices"], **{"class": "baresip"})["chi_square_p"] < 0.001
ideal = where(tables["dead_records"], transport="udp", **{"class": "ideal"})
assert [round(row["p50_s"] / 32) for row in ideal] == list(range(report.MAX_DEAD + 1))
peaks = {row["population"]: row["peak_asked_per_s"] for row in storms}
assert peaks["outbound-tls"] < peaks["ideal-tcp"]
