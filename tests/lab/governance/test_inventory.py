"""The crypto inventory names every use there is: what modules import is what they declare."""

from __future__ import annotations

from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from lab.governance.inventory import LIBRARIES, assigned, entries, imported, show, sources
from models.declared import Declared

ROOT = Path(__file__).parents[3]
SOURCES = sources()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_declares_the_cryptographic_libraries_it_imports_and_no_others(path: Path) -> None:
    uses = imported(path)
    if not uses & LIBRARIES and "CRYPTO" not in assigned(path):
        return
    assert "CRYPTO" in assigned(path), f"{path.name} imports {sorted(uses & LIBRARIES)} and declares nothing"
    declared = {d.library for d in import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)).CRYPTO}
    assert uses & LIBRARIES <= declared <= uses


def test_the_check_sees_imports_wherever_they_are(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("import hashlib.x as y\ndef f():\n    from cryptography.x509 import z\nfrom . import ssl\n")
    assert imported(file) == {"hashlib", "cryptography"}
    assert assigned(file) == set()
    file = tmp_path / "another.py"
    file.write_text("CRYPTO: tuple = ()\nOTHER = 1\ndef f():\n    INNER = 2\n")
    assert assigned(file) == {"CRYPTO", "OTHER"}


def test_sources_are_those_of_all_rooms() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == {"models", "federation", "lab"}
    assert len(SOURCES) > 150


def test_every_entry_says_what_an_assessment_asks() -> None:
    found = entries()
    assert len({e.module for e in found}) > 10
    for entry in found:
        d = entry.declared
        assert d.algorithm
        assert d.purpose.isascii()
        assert any("\u4e00" <= c <= "\u9fff" for c in d.purpose_zh)
        assert d.standard
        assert any(c.isdigit() for c in entry.version)
        assert entry.as_dict()["module"] == entry.module


def test_national_algorithms_are_told_from_others() -> None:
    national = {e.declared.algorithm for e in entries() if e.declared.national}
    sm2 = {"SM2 (signature)", "SM2 (encryption)"}
    assert {"SM3", "SM4-GCM", "HMAC-SM3", "PBKDF2-HMAC-SM3"} | sm2 == national


def test_short_keys_are_nowhere_declared() -> None:
    least = {"Paillier": 2048, "OPRF(ristretto255, SHA-512), base mode": 252}
    for entry in entries():
        for bits in entry.declared.key_bits:
            assert bits >= least.get(entry.declared.algorithm, 128)


def test_the_table_reads_in_two_languages() -> None:
    console = Console(file=StringIO(), width=160)
    show(console, entries())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "商用密码应用清单" in text
    assert "federation.ciphers.suites.sm2" in text
    assert "OpenSSL" in text


def test_a_declaration_is_national_by_its_standard_only() -> None:
    line = {"algorithm": "X", "purpose": "p", "purpose_zh": "用", "library": "os"}
    assert Declared(**line, standard="GM/T 0004-2012").national
    assert not Declared(**line, standard="FIPS 180-4; not GB/T").national
