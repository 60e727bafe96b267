"""The crypto inventory (商用密码应用清单): every use of cryptography, from what modules declare of themselves."""

from __future__ import annotations

import ast
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from lab import views
from models.declared import Declared

ROOMS: Final = ("models", "federation", "lab")
#: Whoever imports one of these computes or checks something cryptographic, and declares what.
LIBRARIES: Final = frozenset(
    {"cryptography", "ctypes", "gmssl", "hashlib", "hmac", "jwt", "phe", "rbcl", "secrets", "ssl"}
)
_DISTRIBUTIONS: Final = {"grpc": "grpcio", "jwt": "pyjwt"}
_STANDARD: Final = frozenset({"hashlib", "hmac", "os", "secrets", "ssl"})
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what a module declares, and the version of the library that does it here.

    Attributes:
        module: dotted name.
        version: name and version of the library.
    """

    module: str
    declared: Declared
    version: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``national``: a commercial algorithm of China's own standards."""
        return {"module": self.module, **asdict(self.declared)} | {
            "version": self.version,
            "national": self.declared.national,
        }


def entries() -> list[Entry]:
    """Of all modules of this release, by module."""
    found = []
    for path in sources():
        if "CRYPTO" in assigned(path):
            name = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
            found += [Entry(name, d, _version(d.library)) for d in import_module(name).CRYPTO]
    return found


def sources() -> list[Path]:
    """The source files of the rooms."""
    return sorted(path for room in ROOMS for path in (_ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Packages that a source file imports, wherever in the file."""
    return {name.split(".")[0] for node in ast.walk(_parse(path)) for name in _imported(node)}


def assigned(path: Path) -> set[str]:
    """Names that a module assigns at its top level."""
    targets: list[ast.expr] = []
    for node in _parse(path).body:
        targets += node.targets if isinstance(node, ast.Assign) else []
        targets += [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def show(console: Console, found: Sequence[Entry]) -> None:
    """The inventory as a table in two languages."""
    views.title(console, "Crypto inventory 商用密码应用清单", f"{len(found)} uses 项")
    grid = views.table(
        ("algorithm 算法", False),
        ("key bits 密钥位数", True),
        ("purpose 用途", False),
        ("standard 标准", False),
        ("module, library 模块与实现", False),
    )
    grid.columns[-1].no_wrap = True
    for entry in found:
        d = entry.declared
        bits = "–".join(str(n) for n in (d.key_bits[:1] + d.key_bits[-1:] if len(d.key_bits) > 1 else d.key_bits))
        name = Text(f"{d.algorithm} 国密", "green") if d.national else d.algorithm
        grid.add_row(name, bits, f"{d.purpose}\n{d.purpose_zh}", d.standard, f"{entry.module}\n{entry.version}")
    console.print(grid)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield node.module or ""


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _version(library: str) -> str:
    if library == "ctypes":
        from federation.ciphers.suites.sm2 import library_version
        from federation.errors import SuiteUnavailable

        try:
            return library_version()
        except SuiteUnavailable:
            return "OpenSSL 3: not found 未找到"
    if library in _STANDARD:
        beneath = f", {import_module('ssl').OPENSSL_VERSION}" if library in ("hashlib", "hmac", "ssl") else ""
        return f"Python {platform.python_version()} {library}{beneath}"
    name = _DISTRIBUTIONS.get(library, library)
    return f"{name} {metadata.version(name)}"
