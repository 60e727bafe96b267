"""``doctor`` says what to do, not only what is wrong."""

from __future__ import annotations

import pytest

from lab import doctor


def test_a_missing_package_is_found_and_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("no-such-package",))
    monkeypatch.setattr(doctor, "HAS_GMP", False)
    bad = {f.name: f for f in doctor.examine() if not f.good}
    assert bad["no-such-package"].advice == "pip install no-such-package"
    assert "slower" in bad["GMP"].advice
    assert "慢" in bad["GMP"].advice_zh
