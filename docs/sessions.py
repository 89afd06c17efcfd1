"""Runs the commands of a tutorial page and writes what they print below them.

In a page, a block ``toml`` whose first line is ``# NAME`` is a file of that name; a block ``sh`` that is followed by a
block ``text`` is run by a shell, in one folder for the whole page, and the second block is what it prints. Blocks
without a ``text`` after them are for the reader alone (they install something, or need real servers).

``python docs/sessions.py docs/tutorial.md`` writes the outputs anew; a test compares them, so a page never says what
the kit does not do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```(?P<kind>toml|sh)\n(?P<body>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.M | re.S)
FILE = re.compile(r"# (\S+\.toml)\n")


def renewed(page: str) -> str:
    """A page with the outputs of its commands as they are now.

    Raises
    ------
    RuntimeError
        A command failed; what it said is told.
    """
    with tempfile.TemporaryDirectory(prefix="hastudy-tutorial-") as folder:
        return BLOCK.sub(lambda block: _renewed_block(block, Path(folder)), page)


def _renewed_block(block: re.Match[str], folder: Path) -> str:
    if block["kind"] == "toml":
        if name := FILE.match(block["body"]):
            (folder / name[1]).write_text(block["body"], encoding="utf-8")
        return block[0]
    if block["output"] is None:
        return block[0]
    output = _run(block["body"], folder)
    return f"```sh\n{block['body']}```\n\n```text\n{output}```\n"


def _run(commands: str, folder: Path) -> str:
    """What the commands print; an exit code of 1 is a finding, and no failure."""
    here = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
    done = subprocess.run(["bash", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{commands}exit {done.returncode}\n{done.stdout}{done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()) + "\n"


def main(arguments: list[str]) -> int:
    """Rewrite the pages named."""
    for name in arguments:
        path = Path(name)
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{path}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
