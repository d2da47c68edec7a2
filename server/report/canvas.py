"""Pictures as SVG that stand in the page itself and follow its colours, light or dark.

matplotlib draws with stand-in colours, which become the page's custom properties. Text stays text,
in the page's font. Identifiers get the picture's name in front, since a page holds many pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
RADIOMICS, DEEP, FUSED, ACCENT, WARN = "#050505", "#060606", "#070707", "#080808", "#090909"

PROPERTIES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
    RADIOMICS: "--radiomics",
    DEEP: "--deep",
    FUSED: "--fused",
    ACCENT: "--accent",
    WARN: "--warn",
}

COLOURS = {"radiomics": RADIOMICS, "deep": DEEP, "fused": FUSED}
DASHES: dict[str, Any] = {"radiomics": (0, (5, 2)), "deep": (0, (1.5, 1.5)), "fused": "-"}
MARKS = {"radiomics": "s", "deep": "^", "fused": "o"}

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "axes.unicode_minus": True,
}


BOLD_FONT = r"font-weight: 600; font-size: \1px"


@dataclass(frozen=True)
class Picture:
    """A picture's SVG, ready for the page, and the text that stands for it."""

    svg: str
    alternative: str


def draw(
    name: str, alternative: str, size: tuple[float, float], paint: Callable[[Axes], None]
) -> Picture:
    """Make a picture of one pair of axes.

    Parameters
    ----------
    name
        Unique in the page; letters, digits and hyphens.
    alternative
        What a reader who does not see the picture is told.
    size
        Width and height in inches, which set how large the text is in it.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = SETTINGS | {"svg.hashsalt": name}
    with rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(_for_the_page(out.getvalue(), name, alternative, size), alternative)


def _shortened(path: re.Match[str]) -> str:
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", path.group())


def _for_the_page(text: str, name: str, alternative: str, size: tuple[float, float]) -> str:
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    # What the page says of all pictures need not stand in each.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'id="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub(r"font: (?:bold|700) ([\d.]+)px [^;\"]*", BOLD_FONT, body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    for colour, property_ in PROPERTIES.items():
        body = body.replace(colour, f"var({property_})")
    # A hundredth of a point is finer than any screen; texts and labels are left as they are.
    body = re.sub(r'(?<= d=")[^"]*|(?<= points=")[^"]*', _shortened, body)
    width, height = (72.0 * inches for inches in size)
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(alternative, quote=True)}" style="max-width:{size[0]:.2f}in">'
    )
    body = re.sub(r"<svg[^>]*>", "", body, count=1)
    return opening + re.sub(r"\n\s*", "\n", body).strip()
