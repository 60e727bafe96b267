"""What a site makes of the common model by its own rows, at home: whether it would use it, and on which scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from lab.validation.joining import Calibration, Line, SiteChoice, calibrate, choose
from models.bundle import load, save
from models.losses import Floats

#: In a site's folder, beside the model: the line that puts its margins on the scale of the site.
FILE: Final = "calibration.json"


def use(directory: Path, label: Floats, alone: Floats | None, joint: Floats, seed: int) -> dict[str, Any]:
    """Choose and calibrate by rows that nothing was fitted on, and keep the line if it helps; what to say of that.

    Args:
        label, alone, joint: of these rows, shape ``(n_rows,)``: outcomes, margins of the site's own model (``None``: it
            has none) and of the common one.
    """
    choice = choose(label, alone, joint, seed=seed)
    calibration = calibrate(label, joint, seed=seed)
    if calibration.line:
        save(directory / FILE, calibration.line.to_json())
    return {"choice": _said(choice), "calibration": _calibrated(calibration)}


def on_scale(directory: Path, margin: Floats) -> Floats:
    """Margins of the common model as the site in whose folder it lies uses them. Raises ``ModelError``: unreadable."""
    path = directory / FILE
    return Line.from_json(load(path)).margin(np.zeros_like(margin), margin) if path.exists() else margin


def _said(choice: SiteChoice) -> dict[str, Any]:
    gains = {way: {**gain.as_dict(), "least": choice.least[way]} for way, gain in choice.gains.items()}
    return {"way": choice.way, "decided": choice.decided, "gains": gains}


def _calibrated(calibration: Calibration) -> dict[str, Any]:
    gain = calibration.gain
    return {"used": calibration.line is not None, "gain": gain.as_dict() if gain else None}
