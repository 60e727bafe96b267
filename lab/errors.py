"""Errors of the workbench itself (see the tree in ``models.errors``)."""

from __future__ import annotations

from models.errors import LianmoError


class ConfigError(LianmoError):
    """The configuration file or the command line cannot be used as it is."""

    exit_code = 2


class ServiceError(LianmoError):
    """A service cannot do its work: a port, an endpoint, the record."""

    exit_code = 7


class KeysError(LianmoError):
    """A key of this node or of another party cannot be used, or its files are not as they must be."""

    exit_code = 9


class GovernanceError(LianmoError):
    """A data node's own rules, or what they are kept in, forbid it."""

    exit_code = 10


class ReportedError(LianmoError):
    """What a party of the run, in a process of its own, left in its folder."""

    def __init__(self, code: str, english: str, chinese: str, exit_code: int) -> None:
        super().__init__(code, english, chinese)
        self.exit_code = exit_code
