"""A small writer of SVG for diagrams made of boxes, arrows and words.

Why not matplotlib, which draws everything else here: words must be wrapped and measured before boxes are placed, the
file shall stay text that a reader can search, hovering shows what there was no room for, and colours follow the
reader's light or dark page. No font is brought along; words are measured in DejaVu Sans, which is as wide as any of
the fonts that are asked for, so they fit in whichever the reader has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from xml.sax.saxutils import escape

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

FONTS = "'DejaVu Sans', Verdana, 'Helvetica Neue', Arial, sans-serif"

LINE = 1.25
"""Distance of lines of text, in sizes of the font."""

_MEASURED = TextToPath()
_NUMBER, _GLUE = re.compile(r" (?=\d+\b)"), "\u00a0"
_PARTS = re.compile(r"[^\u00a0-]+[\u00a0-]?|[\u00a0-]")

# Class, what it sets, in light, in dark. Blue, orange, green, vermilion: Okabe and Ito's, safe for the colour-blind.
_COLOURS = (
    ("paper", "fill", "#ffffff", "#15181c"),
    ("stripe", "fill", "#f5f6f8", "#1c2026"),
    ("ink", "fill", "#1c1c1c", "#e8e8e8"),
    ("soft", "fill", "#6a6a6a", "#a2a8b0"),
    ("lifeline", "stroke", "#9a9a9a", "#6b727b"),
    ("hair", "stroke", "#cfcfcf", "#3a4048"),
    ("arrow", "stroke", "#0b5c94", "#7cc4f2"),
    ("tip", "fill", "#0b5c94", "#7cc4f2"),
    ("said", "fill", "#0b5c94", "#9bd2f6"),
    ("head", "fill", "#e9ebee", "#2a3038"),
    ("act", "fill", "#e3f0fa", "#12324a"),
    ("note", "fill", "#fff6da", "#3a3113"),
    ("fault", "fill", "#fbe0d3", "#4d1f0d"),
    ("grey", "fill", "#8a8a8a", "#8a929b"),
    ("bad", "fill", "#c2410c", "#ff9a6b"),
    ("good", "fill", "#00795a", "#4fd1a8"),
    ("bad-band", "fill", "#fdeee7", "#35190e"),
    ("good-band", "fill", "#e4f5ef", "#0e2f25"),
    ("bar", "fill", "#0072b2", "#56b4e9"),
    ("bar-soft", "fill", "#7fb8da", "#2f6f99"),
    ("measured", "stroke", "#c2410c", "#ff9a6b"),
    ("act-edge", "stroke", "#4a93c7", "#4a93c7"),
    ("note-edge", "stroke", "#c9a227", "#a88a2a"),
    ("fault-edge", "stroke", "#c2410c", "#ff9a6b"),
    ("good-edge", "stroke", "#00795a", "#4fd1a8"),
    ("ink-edge", "stroke", "#1c1c1c", "#e8e8e8"),
    ("soft-edge", "stroke", "#8a8a8a", "#8a929b"),
)


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, is_bold: bool = False) -> float:
    """Width of a text in pixels, in the widest of the fonts that may show it."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if is_bold else "normal", size=size)
    width, _, _ = _MEASURED.get_text_width_height_descent(text.replace("$", "S"), font, ismath=False)
    return width


def wrapped(text: str, width: float, size: float, is_bold: bool = False) -> list[str]:
    """Lines no wider than `width` pixels; a number stays with its word, a word that is too wide is cut."""
    lines = [""]
    for word in _NUMBER.sub(_GLUE, " ".join(text.split())).split(" "):
        longer = f"{lines[-1]} {word}".strip(" ")
        if width_of(longer, size, is_bold) <= width:
            lines[-1] = longer
        else:
            lines += _cut(word, width, size, is_bold)
    return [line.replace(_GLUE, " ") for line in lines if line]


def _cut(word: str, width: float, size: float, is_bold: bool) -> list[str]:
    """Pieces of a word: after a hyphen where there is one, else where the line is full."""
    pieces = [""]
    for part in _PARTS.findall(word):
        letters = [part] if width_of(part, size, is_bold) <= width else part
        for more in letters:
            if pieces[-1] and width_of(pieces[-1] + more, size, is_bold) > width:
                pieces.append("")
            pieces[-1] += more
    return pieces


class Drawing:
    """Shapes, in the order in which they are drawn.

    Coordinates are in pixels, y downwards. `kind` names classes of `_COLOURS`, separated by spaces.
    """

    def __init__(self) -> None:
        self._shapes: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, kind: str, radius: float = 0) -> None:
        """A rectangle."""
        self._add("rect", kind, x=x, y=y, width=width, height=height, rx=radius)

    def circle(self, x: float, y: float, radius: float, kind: str) -> None:
        """A disc."""
        self._add("circle", kind, cx=x, cy=y, r=radius)

    def line(
        self, points: Iterable[tuple[float, float]], kind: str, width: float = 1.0, is_dashed: bool = False
    ) -> None:
        """A line through points."""
        dashes = {"stroke-dasharray": "3 5"} if is_dashed else {}
        drawn = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polyline", f"{kind} open", points=drawn, **{"stroke-width": width}, **dashes)

    def polygon(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """A closed shape."""
        self._add("polygon", kind, points=" ".join(f"{_number(x)},{_number(y)}" for x, y in points))

    def curve(self, path: str, kind: str, width: float = 1.0) -> None:
        """An open curve, in SVG's language of paths."""
        self._add("path", f"{kind} open", d=path, **{"stroke-width": width})

    def text(
        self, x: float, y: float, lines: Sequence[str], kind: str = "ink", size: float = 12, anchor: str = "start"
    ) -> None:
        """Lines of text; `y` is the top of the first one."""
        for number, line in enumerate(lines):
            baseline = y + size * (0.95 + LINE * number)
            self._add("text", kind, escape(line), x=x, y=baseline, **{"font-size": size, "text-anchor": anchor})

    def begin(self, tip: str) -> None:
        """What follows belongs together, and hovering over it shows `tip`."""
        self._shapes.append(f"<g><title>{escape(tip)}</title>")

    def end(self) -> None:
        """The end of what belongs together."""
        self._shapes.append("</g>")

    def _add(self, name: str, kind: str, content: str = "", **attributes: float | str) -> None:
        written = "".join(
            f' {key}="{escape(value, {chr(34): "&quot;"}) if isinstance(value, str) else _number(value)}"'
            for key, value in attributes.items()
            if value != 0 or key not in ("rx",)
        )
        closed = f">{content}</{name}>" if content else "/>"
        self._shapes.append(f'<{name} class="{kind}"{written}{closed}')

    def document(self, width: float, height: float, title: str, description: str) -> str:
        """The file: with what it is in words for who cannot see it, on its own paper."""
        paper = f'<rect class="paper" width="{_number(width)}" height="{_number(height)}"/>'
        return self._written(width, height, title, description, "", [f"<style>{style()}</style>", paper])

    def part(self, width: float, height: float, title: str, description: str, key: str) -> str:
        """The same as part of a page that has `style` once; `key` tells its names from those of other drawings."""
        return self._written(width, height, title, description, f"-{key}", [])

    def _written(self, width: float, height: float, title: str, description: str, suffix: str, first: list[str]) -> str:
        size = f"{_number(width)} {_number(height)}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="drawn" viewBox="0 0 {size}" width="{_number(width)}" '
            f'height="{_number(height)}" role="img" aria-labelledby="title{suffix} desc{suffix}" '
            f'font-family="{FONTS}">'
        )
        words = [
            f'<title id="title{suffix}">{escape(title)}</title>',
            f'<desc id="desc{suffix}">{escape(description)}</desc>',
        ]
        return "\n".join([head, *words, *first, *self._shapes, "</svg>"]) + "\n"


def style() -> str:
    """Colours of all drawings, in light and dark."""
    light = "".join(f".drawn .{name}{{{what}:{colour}}}" for name, what, colour, _ in _COLOURS)
    dark = "".join(f".drawn .{name}{{{what}:{colour}}}" for name, what, _, colour in _COLOURS)
    always = ".drawn .open{fill:none;stroke-linecap:round;stroke-linejoin:round}"
    always += ".drawn .bold{font-weight:bold}.drawn .way{opacity:0.55}"
    return f"{always}{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
