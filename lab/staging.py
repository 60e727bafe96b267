"""A directory is written beside its place and moved there when it is whole: a failure leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from lab.errors import ConfigError


@contextmanager
def staged(
    final: Path, proof: str, at: Path | None = None, worth_keeping: Callable[[Path], bool] = lambda _: False
) -> Iterator[Path]:
    """A directory beside ``final`` that takes its place if the block succeeds and vanishes if it does not.

    Args:
        proof: file by which an earlier result of the same kind is known; only such a one is replaced.
        at: the directory, beside ``final``; one that is there is taken up again.
        worth_keeping: whether it stays where it is if the block fails.

    Raises:
        ConfigError: ``directory_in_use``: ``final`` holds something else: it is not ours to replace.
    """
    if final.exists() and not (final / proof).exists() and (final.is_file() or any(final.iterdir())):
        raise ConfigError(
            "directory_in_use",
            f"{final} exists and is no earlier result (it has no {proof}): choose another directory. "
            "Nothing was touched.",
            f"{final} 已存在且不是以往的结果（其中没有 {proof}），请更换目录。未作任何改动。",
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    staging = at or final.with_name(f".{final.name}.{uuid4().hex[:8]}.new")
    old = staging.with_suffix(".old")
    staging.mkdir(mode=0o700, exist_ok=at is not None)
    try:
        yield staging
        if final.exists():
            final.rename(old)
        staging.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        if not worth_keeping(staging):
            shutil.rmtree(staging, ignore_errors=True)
        raise
