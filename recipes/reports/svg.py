"""Drawings of matplotlib as SVG in the colours of a page, light or dark. The same drawing gives the same bytes.

matplotlib is imported where something is drawn: it takes half a second.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from html import escape

from markupsafe import Markup

from recipes.reports.page import TEMPLATES

FONT = 12.5  # units: 10 px where a plot of 440 units is 360 px wide
# Colours are variables of templates/theme.css. matplotlib draws each with a number that stands for it.
COLOURS = [f"#0001{number:02x}" for number in range(1, 9)]
INK, MUTED, RULE = "#000201", "#000202", "#000203"
CSS = {INK: "currentColor", MUTED: "var(--muted)", RULE: "var(--rule)"}
CSS |= {colour: f"var(--series-{number})" for number, colour in enumerate(COLOURS, start=1)}
CLASSES = ("line", "name")  # of SVG groups: the line of a series, the name of a point
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "path.simplify": False,  # every value stays
    "font.size": FONT,
    "text.color": INK,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT,
    "axes.titlepad": 10,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": RULE,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "xtick.major.pad": 7,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "legend.labelspacing": 0.3,
    "figure.constrained_layout.use": True,
}


@contextlib.contextmanager
def style(title: str) -> Iterator[None]:
    """Draw within it: ours whatever the user's matplotlibrc says. Names inside a drawing come from title and shapes."""
    from matplotlib.style import context

    with context(["default", {**STYLE, "svg.hashsalt": title}]):
        yield


def to_svg(figure, title: str, hints: Mapping[str, str]) -> Markup:
    """A figure, drawn within `style`, for a page: without fonts, metadata and names that another drawing has too.

    hints: by gid of an artist, what is shown under the pointer. Those of CLASSES become classes.
    """

    def group(match: re.Match) -> str:
        name, end = match.groups()
        hint = f"<title>{escape(hints[name])}</title>" if name in hints else ""
        look = f' class="{name}"' if name in CLASSES else ""
        return f"<g{look}{end}>{hint}"

    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    content = file.getvalue().split("</style>\n </defs>", 1)[1]
    content = re.sub(r'<g id="([^"]*)"(/?)>', group, content)
    content = re.sub(r"font-family: [^;]*; | transform=\"rotate\(-0 [^)]*\)\"| clip-path=\"[^\"]*\"", "", content)
    content = re.sub(r"<defs>\s*<clipPath.*?</defs>", "", content, flags=re.DOTALL)  # nothing leaves the axes
    content = re.sub(r"\s*\n\s*", " ", content).replace("> <", "><").replace("xlink:href", "href").strip()
    for number, css in CSS.items():
        content = content.replace(number, css)
    width, height = (72 * inches for inches in figure.get_size_inches())
    return Markup(
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" width="100%" stroke-linejoin="round" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{content}'
    )


def standalone(svg: str) -> str:
    """The same plot as a file of its own (an image in a README), with its colours, background and font."""
    theme = (TEMPLATES / "theme.css").read_text(encoding="utf-8")
    look = "svg{background:var(--page);color:var(--ink);font-family:system-ui,sans-serif}"
    opening, content = svg.split(">", 1)
    left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', opening)[1].split())
    padded = f'viewBox="{left - 12:g} {top - 8:g} {width + 24:g} {height + 16:g}"'
    opening = re.sub(r'viewBox="[^"]*"', f'{padded} xmlns="http://www.w3.org/2000/svg"', opening)
    return f"{opening}><style>{theme}{look}</style>{content}\n"
