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
# # Is this set-up any good, and is the other one better?
#
# What `hastudy review` puts on one page, step by step: an architect's questions, each with a number and what
# shows it; then two set-ups under the same faults and the same chance.
#
# It would surprise if a shorter delay did not bring the new primary sooner by just the difference: nothing that comes
# after the delay depends on it.

# %%
from pathlib import Path

from IPython.display import Markdown, display
from tabulate import tabulate

from model.scenario import load
from study.review import gather, questions
from study.review.study import Study

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "scenarios").is_dir())
RUNS, SEED = 100, 20_261_124
SETUP = ROOT / "scenarios" / "host_loss" / "primary_host_vanishes.toml"

before = Study(load(SETUP), Path("review-scenarios"), RUNS, SEED)
after = Study(load(SETUP, ["sentinel.down_after_ms=5000"]), Path("review-scenarios"), RUNS, SEED)

# %% [markdown]
# ## The questions
#
# *Kind* says how far a number can be trusted: a bound is proved, a simulated one is as good as the model, a measured
# one was seen on real servers.

# %%
found = questions.answers(before)
display(Markdown(tabulate([(each.question, each.answer, each.kind) for each in found],
                          ["question", "answer", "kind"], "github")))  # fmt: skip

# %% [markdown]
# ## The other set-up: a delay of 5 s in place of 10 s
#
# Run for run the same phases, packets and faults, so the differences are far surer than the two medians.

# %%
pairs = gather.compared(before, after)
rows = [(row["circumstance"], row["name"], row["before_s"], row["after_s"], row["gain_s"], row["low_s"], row["high_s"])
        for row in pairs["rows"]]  # fmt: skip
display(Markdown(tabulate(rows, ["fault", "quantity", "before, s", "after, s", "gain, s", "from", "to"], "github")))
display(Markdown(pairs["words"]))

# %% [markdown]
# ## Conclusions

# %%
assert len(found) == 20
answered = [each for each in found if each.value is not None]
assert len(answered) >= 15, [each.question for each in found if each.value is None]
assert all(each.low <= each.value <= each.high for each in answered if each.low is not None and each.high is not None)

gain = next(row for row in pairs["rows"] if (row["circumstance"], row["name"]) == ("host_vanishes", "first_write"))
longest = next(each for each in found if each.kind == "bound")
assert longest.low is None or longest.low <= gain["before_s"]
assert gain["before_s"] <= longest.value, f"{longest.answer}; seed {SEED}"
assert 4.9 <= gain["low_s"] <= gain["high_s"] <= 5.1, f"{gain}, seed {SEED}"
print(
    f"A new primary takes writes {gain['before_s']:.1f} s after the loss, "
    f"with the shorter delay {gain['after_s']:.1f} s."
)
