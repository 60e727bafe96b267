"""How figures look: one style, colour-blind safe, and SVG that stands in a page by itself."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

#: Okabe & Ito (2008), told apart by people with any kind of colour vision.
BANK: Final = "#777777"
JOINT: Final = "#0072B2"
POOLED: Final = "#E69F00"
BAD: Final = "#D55E00"
GOOD: Final = "#009E73"
PALE: Final = "#9CC9E3"
INK: Final = "#222222"
#: Light → colour and marker: the shape tells it, too.
LIGHTS: Final = {"green": (GOOD, "o"), "amber": (POOLED, "s"), "red": (BAD, "D")}

_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelcolor": "#444444",
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "lianmo",
    "svg.fonttype": "path",  # looks the same wherever the page is opened
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure for a page, with one line of what it shows in each language."""

    name: str
    svg: str
    english: str
    chinese: str


@contextmanager
def styled() -> Iterator[None]:
    """Figures made inside have the project's style; nothing outside is changed."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def panels(n_columns: int, width: float = 10.0, height: float = 4.3, **ratios: Any) -> tuple[Any, list[Any]]:
    """A figure and its axes in one row; no global state, so no window and no leak."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, n_columns, squeeze=False, gridspec_kw=ratios)[0]
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.1, wspace=0.05)
    return figure, list(axes)


def svg_of(figure: Any) -> str:
    """The ``<svg>`` element of a figure, the same bytes for the same figure."""
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def percent_axis(axis: Any, decimals: int = 0) -> None:
    """Shares are read in percent."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))  # no 2.5 %, which would read 2 %
    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def error_bars(intervals: list[dict[str, float]]) -> list[list[float]]:
    """Distances below and above the values, as matplotlib wants them."""
    return [
        [max(0.0, i["value"] - i["low"]) for i in intervals],
        [max(0.0, i["high"] - i["value"]) for i in intervals],
    ]


def percent(share: float, decimals: int = 1) -> str:
    """``12.3 %``."""
    return f"{share * 100:.{decimals}f} %"


def moved_text(shares: Sequence[float]) -> str:
    """The shares of a bin in two samples: ``12 % → 20 %``."""
    return " → ".join(percent(share, 0) for share in shares)


def p_value(p: float) -> str:
    """Three decimals, and never a bare zero."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_text(p: float) -> str:
    """``p = 0.123`` or ``p < 0.001``."""
    return f"p {p_value(p)}" if p < 0.001 else f"p = {p_value(p)}"
