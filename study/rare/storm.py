"""The chain of `study.rare.chain` by Storm (stormpy), a probabilistic model checker that shares no code with us.

``python -m study.rare.storm FILE`` checks `CASES` in exact arithmetic and writes a CSV. Storm is given the chain as it
is, one module for each sentinel: that also checks that sentinels may be counted instead of told apart. stormpy is no
dependency; its published wheels run on Linux.

C. Hensel, S. Junges, J.-P. Katoen, T. Quatmann, M. Volk, "The probabilistic model checker Storm", International Journal
on Software Tools for Technology Transfer 24, 2022.
"""

from __future__ import annotations

import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from study import folders
from study.rare.chain import Chain

CASES = tuple(
    Chain(sentinels, quorum, cut_per_h, mended_per_s, stages, delay_s=2.0)
    for sentinels, quorum, cut_per_h, mended_per_s, stages in (
        (3, 2, 100.0, 0.5, 4), (3, 2, 1.0, 1.0, 4), (3, 2, 1.0, 2.0, 4), (3, 2, 1.0, 5.0, 4), (3, 2, 0.1, 5.0, 4),
        (3, 2, 1.0, 10.0, 4), (3, 3, 10.0, 2.0, 4), (4, 3, 10.0, 2.0, 1),
    )
)  # fmt: skip
"""From once in ten cycles to once in 10^11; all rates are short decimals, which both sides take for what they are."""


def program(chain: Chain) -> str:
    """The chain in the PRISM language, as Storm writes it: ``<>`` begins a command with a rate."""
    last = chain.stages + 1
    modules = [
        f"""module sentinel{number}
  s{number} : [0..{last}] init {1 if number == 1 else 0};
  <> s{number}=0 -> cut : (s{number}'=1);
  <> s{number}>0 -> mended : (s{number}'=0);
  <> s{number}>0 & s{number}<{last} -> step : (s{number}'=s{number}+1);
endmodule"""
        for number in range(1, chain.sentinels + 1)
    ]
    numbers = range(1, chain.sentinels + 1)
    suspecting = " + ".join(f"(s{number}={last} ? 1 : 0)" for number in numbers)
    return "\n".join([
        "ctmc",
        *(f"const double {name} = {value};" for name, value in _rates(chain).items()),
        *modules,
        f'label "event" = {suspecting} >= {chain.quorum};',
        f'label "rest" = {" & ".join(f"s{number}=0" for number in numbers)};',
        "",
    ])  # fmt: skip


def _rates(chain: Chain) -> dict[str, str]:
    """As quotients of whole numbers: exact."""
    return {
        "cut": f"{Fraction(str(chain.cut_per_h)) / 3600}",
        "mended": f"{Fraction(str(chain.mended_per_s))}",
        "step": f"{chain.stages / Fraction(str(chain.delay_s))}",
    }


def check(chain: Chain) -> Fraction:
    """Probability of the event in a cycle, exactly.

    Raises
    ------
    ImportError
        stormpy is not installed.
    """
    import stormpy

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.prism"
        path.write_text(program(chain), encoding="utf-8")
        parsed = stormpy.parse_prism_program(str(path))
    wanted = stormpy.parse_property('P=? [ !"rest" U "event" ]', parsed)
    model = stormpy.build_model[stormpy.Rational](parsed, wanted)
    found = stormpy.model_checking(model, wanted)
    return Fraction(str(found.get_value(model.initial_states[0])))


def row(chain: Chain, probability: Fraction, version: str) -> dict[str, Any]:
    """A line of the CSV."""
    return {
        "sentinels": chain.sentinels,
        "quorum": chain.quorum,
        "cut_per_h": chain.cut_per_h,
        "mended_per_s": chain.mended_per_s,
        "stages": chain.stages,
        "delay_s": chain.delay_s,
        "probability": float(probability),
        "storm": version,
    }


def main(path: Path) -> None:
    """Check all cases."""
    import stormpy

    folders.write_csv(path, [row(chain, check(chain), stormpy.__version__) for chain in CASES])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
