"""`python -m study.proofs`: ask the solver everything and say what it answered; exit 1 when a proof fails."""

from __future__ import annotations

import sys

from tabulate import tabulate

from model.errors import HastudyError
from study.proofs.bounds import Proof, prove_all

_WORDS = {True: "reached", False: "NOT REACHED", None: ""}


def main() -> int:
    """Print a line for each proof."""
    try:
        proofs = list(prove_all())
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    rows = [[each.key, each.sentence, "proved" if each.holds else "FALSE", _WORDS[each.least], _WORDS[each.greatest]]
            for each in proofs]  # fmt: skip
    print(tabulate(rows, headers=["", "for all settings", "no run outside", "least", "greatest"]))
    for each in proofs:
        if not each.holds:
            print(f"\n{each.key}: {_told(each)}")
    return 0 if all(each.is_sound for each in proofs) else 1


def _told(proof: Proof) -> str:
    return ", ".join(f"{name} = {value}" for name, value in proof.counterexample.items())


if __name__ == "__main__":
    sys.exit(main())
