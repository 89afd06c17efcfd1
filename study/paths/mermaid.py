"""A path as a Mermaid sequence diagram, for pages that draw it themselves (Markdown on code hosts, wikis).

Steps keep their numbers. A message is an arrow, everything else a note over its actor; faults stand on a coloured
ground, the part that goes round for ever in a `loop`.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.explorer.paths import Path, Step
from study.paths.kinds import FAULTS, struck
from study.paths.text import ending

_FAULT_GROUND = "rect rgba(213, 94, 0, 0.25)"


def mermaid(path: Path) -> str:
    """The diagram, without a fence around it."""
    name = {actor: f"a{number}" for number, actor in enumerate(path.actors)}
    lines = ["sequenceDiagram", f"    accTitle: {_plain(path.sentence)}",
             f"    accDescr: {_plain(f'{path.verdict}, {path.model}')}"]  # fmt: skip
    lines += [f"    participant {name[actor]} as {_plain(actor)}" for actor in path.actors]
    indent = "    "
    for number, step in enumerate(path.steps):
        if number == path.loop:
            lines.append(f"{indent}loop for ever")
            indent += "    "
        lines += [indent + line for line in _step_lines(number + 1, step, name)]
    if path.loop >= 0:
        lines.append("    end")
    if path.actors:
        span = ",".join(dict.fromkeys((name[path.actors[0]], name[path.actors[-1]])))
        lines.append(f"    Note over {span}: {_plain(ending(path))}")
    return "\n".join(lines) + "\n"


def _step_lines(number: int, step: Step, name: dict[str, str]) -> Iterator[str]:
    is_fault = step.kind in FAULTS
    if is_fault:
        yield _FAULT_GROUND
        for actor in struck(step, list(name)):
            yield f"Note over {name[actor]}: {number}. {_plain(step.text)}"
        yield "end"
    elif not step.exchanges:
        yield f"Note over {name[step.actor]}: {number}. {_plain(step.text)}"
    for exchange in () if is_fault else step.exchanges:
        yield f"{name[exchange.source]}->>{name[exchange.to]}: {number}. {_plain(exchange.label)}"
    for actor, note in step.notes:
        yield f"Note right of {name[actor]}: {_plain(note)}"


def _plain(words: str) -> str:
    """Without what Mermaid would read as its own: a semicolon ends a statement, a number sign begins an entity."""
    escaped = " ".join(words.split()).replace("#", "\0").replace(";", "#59;").replace("\0", "#35;")
    return escaped.replace("<", "#lt;").replace(">", "#gt;").replace("{", "#123;").replace("}", "#125;")
