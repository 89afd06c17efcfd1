"""The review page in a real browser: nothing is fetched, nothing complains, all works, nothing sticks out.

Chromium runs headless and is asked through what a page can tell of itself: a script put behind the page's own writes
its findings into the document, which ``--dump-dom`` prints.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from study.cli import main
from study.exits import ExitCode

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESK = 360, 1280
FOUND = re.compile(r'<pre id="found">(.*?)</pre>', re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt install chromium"),
]

PROBE = """
<script>
const complaints = [];
addEventListener("error", (event) => complaints.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => complaints.push("blocked: " + event.blockedURI));
addEventListener("load", () => setTimeout(() => {
  const found = {complaints, fetched: performance.getEntriesByType("resource").map((entry) => entry.name)};
  try { found.result = (() => { %s })(); } catch (error) { complaints.push(String(error)); }
  const pre = document.createElement("pre");
  pre.id = "found";
  pre.textContent = JSON.stringify(found);
  document.body.replaceChildren(pre);
}, 100));
</script>
"""


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it: configuration files, and a set-up to compare with."""
    folder = tmp_path_factory.mktemp("review")
    guide, quick = ROOT / "tests/data/configuration/guide", ROOT / "scenarios/registrar/crash_flexisip_2_6.toml"
    argv = ["review", str(guide), "--against", str(quick), "--out", str(folder / "review.html")]
    argv += ["--runs", "20", "--quiet", "--json"]
    assert main(argv) == ExitCode.OK
    return folder / "review.html"


def asked(page: Path, script: str, width: int = DESK, *options: str) -> Any:
    """What a script finds on the page; any complaint of the browser fails the test."""
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", PROBE % script + "</body>"))
    dom = chromium("--dump-dom", f"--window-size={width},900", "--virtual-time-budget=5000", *options, probed.as_uri())
    found = json.loads(html.unescape(FOUND.search(dom)[1]))
    assert (found["complaints"], found["fetched"]) == ([], [])
    return found["result"]


def chromium(*options: str) -> str:
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", *options], capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_names_nothing_outside_itself(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r'(src|href)="(?!#)', text) and "url(" not in text and "@import" not in text
    assert "Complicated" not in text, "no password"


def test_every_figure_says_what_made_it_and_has_its_numbers(page: Path) -> None:
    figures = asked(page, """return [...document.querySelectorAll("figure")].map((figure) => [
        figure.id, figure.querySelector("figcaption code").textContent, figure.querySelectorAll("tbody tr").length,
        ["title", "desc"].every((name) => figure.querySelector("svg " + name).textContent !== "")])""")  # fmt: skip
    assert [name for name, *_ in figures] == ["against-ecdf", "waterfall", "ecdf", "pareto", "tornado"]
    for name, command, rows, is_described in figures:
        assert command.startswith("hastudy ") and rows and is_described, name


def test_twenty_questions_have_twenty_answers(page: Path) -> None:
    answers = json.loads(page.with_suffix(".json").read_text())["answers"]
    assert len(answers) == 20
    assert asked(page, 'return document.querySelectorAll(".questions > li").length') == 20
    assert all(each["command"] or each["value"] is None for each in answers)


def test_the_slider_explains_each_second(page: Path) -> None:
    seen = asked(page, """
        const at = document.getElementById("at"), seen = [];
        for (let number = 0; number <= at.max; number++) {
          at.value = number;
          at.dispatchEvent(new Event("input"));
          seen.push([document.getElementById("now").textContent, document.getElementById("why").textContent,
                     document.querySelectorAll("#states li").length]);
        }
        return seen;""")  # fmt: skip
    moments = json.loads(page.with_suffix(".json").read_text())["timeline"]["moments"]
    assert [now for now, *_ in seen] == [f"{moment['t_s']:.3f} s" for moment in moments]
    assert all(why and states == len(moments[0]["states"]) for _, why, states in seen)
    assert len({why for _, why, _ in seen}) > 4, "the reasons change on the way"


def test_the_page_plays_by_itself(page: Path) -> None:
    pressed = asked(page, """
        const play = document.getElementById("play");
        play.focus();
        play.click();
        return [document.activeElement.id, play.textContent, play.getAttribute("aria-pressed")];""")  # fmt: skip
    assert pressed == ["play", "Pause", "true"]


def test_everything_can_be_reached_by_keyboard(page: Path) -> None:
    reached = asked(page, """
        const all = [...document.querySelectorAll("a[href], button, input, summary")];
        return all.filter((each) => each.tabIndex < 0 || (each.offsetParent === null && !each.closest("details")))
                  .map((each) => each.outerHTML)""")  # fmt: skip
    assert reached == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_words_can_be_read(page: Path, width: int, scheme: str) -> None:
    options = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    wide, contrast = asked(page, """
        for (const each of document.querySelectorAll("details")) each.open = true;
        const canvas = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
          const value = part / 255;
          return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        }).reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
        const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const paper = canvas(getComputedStyle(document.body).backgroundColor);
        const texts = [...document.querySelectorAll("p, li, td, th, h1, h2, h3, a, summary, code, span")];
        return [document.documentElement.scrollWidth - document.documentElement.clientWidth,
                Math.min(...texts.map((each) => ratio(canvas(getComputedStyle(each).color), paper)))];""",
        width, *options)  # fmt: skip
    assert wide <= 0
    assert contrast >= 4.5, "WCAG 2.1, 1.4.3"


def test_print_has_everything_open_and_nothing_to_click(page: Path, tmp_path: Path) -> None:
    chromium(f"--print-to-pdf={tmp_path / 'review.pdf'}", page.as_uri())
    assert (tmp_path / "review.pdf").read_bytes().startswith(b"%PDF")
    shown = asked(page, """
        dispatchEvent(new Event("beforeprint"));
        const open = [...document.querySelectorAll("details")].every((each) => each.open);
        dispatchEvent(new Event("afterprint"));
        return open;""")  # fmt: skip
    assert shown


def test_before_and_after_are_paired(page: Path) -> None:
    rows = json.loads(page.with_suffix(".json").read_text())["against"]["rows"]
    first = next(row for row in rows if (row["circumstance"], row["name"]) == ("host_vanishes", "first_write"))
    assert first["low_s"] <= first["gain_s"] <= first["high_s"]
    assert first["gain_s"] == pytest.approx(8.0, abs=0.5), "10 s of delay against 2 s"


def test_the_same_files_and_seed_give_the_same_page(page: Path, tmp_path: Path) -> None:
    from study.review import render

    data = json.loads(page.with_suffix(".json").read_text())
    assert data["seed"] == 1 and data["runs"] == 20
    told = re.search(r'id="review-data">(.*?)</script>', page.read_text(), re.DOTALL)[1]
    assert json.loads(told.replace("\\u003c", "<")) == render.data_without_drawings(data)
