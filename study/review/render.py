"""The page: data and three files of `page/` put into one, with nothing that a browser would have to fetch."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from study.paths.svg import style
from study.review.questions import seconds


def page(data: dict[str, Any]) -> str:
    """HTML; the same data give the same bytes."""
    files = resources.files("study.review") / "page"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["seconds"] = lambda value: "" if value is None else seconds(value)
    environment.filters["number"] = _number
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    timeline = {key: data["timeline"][key] for key in ("actors", "moments")}
    return template.render(
        d=data,
        css=Markup((files / "page.css").read_text(encoding="utf-8") + style()),
        js=Markup((files / "page.js").read_text(encoding="utf-8")),
        timeline_json=_for_script(timeline),
        data_json=_for_script(data_without_drawings(data)),
        svg=Markup,
    )


def data_without_drawings(data: Any) -> Any:
    """The same, drawings left out: they are in the page already."""
    if isinstance(data, dict):
        return {key: data_without_drawings(value) for key, value in data.items() if key != "svg"}
    return [data_without_drawings(each) for each in data] if isinstance(data, list | tuple) else data


def _for_script(data: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    return Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c"))


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
