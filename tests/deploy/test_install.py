"""``install.sh``: nothing is installed from a folder that was changed. Installing all of ours is ``make airgap``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "install.sh"


def sums(folder: Path) -> None:
    """SHA256SUMS of what lies there, as ``wheelhouse.sh`` writes it."""
    files = sorted([*folder.glob("*.whl"), folder / "install.sh"])
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    (folder / "install.sh").write_bytes(SCRIPT.read_bytes())
    (folder / "one-1.0-py3-none-any.whl").write_bytes(b"a wheel")
    sums(folder)
    return folder


def install(wheelhouse: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With an interpreter that only notes how it is called."""
    fake = wheelhouse.parent / "python"
    fake.write_text(
        "#!/bin/sh\n"
        'if [ "$2" = venv ]; then\n'
        '  mkdir -p "$3/bin"\n'
        '  printf \'#!/bin/sh\\necho "$@" >> "%s"\\n\' "$3/calls" > "$3/bin/python"\n'
        '  cp "$3/bin/python" "$3/bin/lianmo"; chmod +x "$3/bin/"*\n'
        "fi\n"
    )
    fake.chmod(0o755)
    command = ["sh", str(wheelhouse / "install.sh"), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(fake)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def test_a_sound_folder_is_installed_from_the_list_alone(wheelhouse: Path, tmp_path: Path) -> None:
    (wheelhouse / "one-9.9-py3-none-any.whl").write_bytes(b"put beside them, newer")
    digest = hashlib.sha256((wheelhouse / "SHA256SUMS").read_bytes()).hexdigest()
    told = install(wheelhouse, str(tmp_path / "venv"), digest)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "venv" / "wheels.txt").read_text() == "./one-1.0-py3-none-any.whl\n"
    (call,) = [line for line in (tmp_path / "venv" / "calls").read_text().splitlines() if " install " in line]
    assert "--no-index --no-deps" in call
    assert "--isolated" in call  # no settings of pip that name another place


def changed(wheelhouse: Path) -> list[str]:
    (wheelhouse / "one-1.0-py3-none-any.whl").write_bytes(b"another wheel")
    return []


def missing(wheelhouse: Path) -> list[str]:
    (wheelhouse / "one-1.0-py3-none-any.whl").unlink()
    return []


def all_new(wheelhouse: Path) -> list[str]:
    told = hashlib.sha256((wheelhouse / "SHA256SUMS").read_bytes()).hexdigest()
    (wheelhouse / "one-1.0-py3-none-any.whl").write_bytes(b"another wheel, and sums to fit")
    sums(wheelhouse)
    return [told]


def no_sums(wheelhouse: Path) -> list[str]:
    (wheelhouse / "SHA256SUMS").write_text("not a list of sums\n")
    return []


@pytest.mark.parametrize("damage", [changed, missing, all_new, no_sums])
def test_a_folder_that_was_changed_is_refused_in_two_languages(damage, wheelhouse: Path, tmp_path: Path) -> None:
    told = install(wheelhouse, str(tmp_path / "venv"), *damage(wheelhouse))
    assert told.returncode == 1
    assert "do not install" in told.stderr
    assert "请勿从此目录安装" in told.stderr
    assert not (tmp_path / "venv").exists()


def test_an_environment_in_use_is_left_alone(wheelhouse: Path, tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    told = install(wheelhouse, str(tmp_path / "venv"))
    assert told.returncode == 1
    assert "已存在" in told.stderr
    assert list((tmp_path / "venv").iterdir()) == []


#: A project of one module that builds itself, so that nothing is fetched: what the scripts need of ours.
PROJECT = {
    "pyproject.toml": """
[build-system]
requires = []
build-backend = "building"
backend-path = ["."]
""",
    "requirements.lock": "lianmo==0\n",
    "building.py": """
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    about = "lianmo-0.dist-info/"
    files = {
        "lianmo.py": "import sys\\ndef main(): print(*sys.argv[1:], file=sys.stderr)\\n",
        about + "METADATA": "Metadata-Version: 2.1\\nName: lianmo\\nVersion: 0\\n",
        about + "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        about + "entry_points.txt": "[console_scripts]\\nlianmo = lianmo:main\\n",
    }
    files[about + "RECORD"] = "".join(name + ",,\\n" for name in [*files, about + "RECORD"])
    with zipfile.ZipFile(folder + "/lianmo-0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "lianmo-0-py3-none-any.whl"
""",
}


@pytest.mark.slow
def test_made_and_installed_by_real_tools_with_the_network_away(tmp_path: Path) -> None:
    """``make airgap`` whole, for a project of nothing: pip, venv and sha256sum take what the scripts tell them."""
    shutil.copytree(SCRIPT.parent, tmp_path / "deploy")
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text, "utf-8")
    told = subprocess.run(
        [str(tmp_path / "deploy" / "airgap.sh")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        timeout=240,
    )
    assert told.returncode == 0, told.stderr
    assert "1 wheels" in told.stdout
    assert "installed without a network" in told.stdout
    called = [line.split()[:2] for line in told.stderr.splitlines()]
    assert called == [["--help"], ["hub", "init"], ["node", "inventory"]]
    assert not list(tmp_path.glob("tmp.*"))  # cleaned up


def test_scripts_are_sound_shell() -> None:
    for script in SCRIPT.parent.glob("*.sh"):
        told = subprocess.run(["sh", "-n", str(script)], capture_output=True, check=False)
        assert (script.name, told.returncode) == (script.name, 0)
        assert script.stat().st_mode & 0o111
    assert sys.version_info >= (3, 11)
