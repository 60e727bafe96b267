"""The root of every error a user can meet.

    LianmoError                    exit code
    ├── DataError                  3   a table, a column, an id, a label
    ├── ModelError                 4   parameters, bundles, halves that do not belong together
    ├── ConfigError        (lab)   2   the configuration file or the command line
    ├── ServiceError       (lab)   7   a port, an endpoint, the record
    ├── KeysError          (lab)   9   a key of this node or of another party, and the files it lies in
    ├── GovernanceError    (lab)  10   a data node's own rules: catalogue, consent, records, policy
    ├── CipherError (federation)   5   KeyTooShort, PlaintextOverflow, InvalidCiphertext, NotEncrypting, BadKey,
    │                                  BadSignature, NotSealedToUs, NotDecryptable, BadCost, SuiteUnavailable
    ├── ProtocolError (federation) 6   LocalProtocolError (ours), RemoteProtocolError (theirs), Refused,
    │                                  SiteLeft
    └── TransportError (federation) 8  a party that does not come, leaves, or is too slow

An error carries a code for machines and one text in English and one in Chinese: what happened, to whom, what to do.
Texts name columns, counts and files, never a value, an id or a label of an applicant.
"""

from __future__ import annotations


class LianmoError(Exception):
    """What happened, in two languages.

    Args:
        code: stable machine-readable name, ``snake_case``.
        english: one or two sentences: what happened, to whom, what to do.
        chinese: the same in Chinese.
    """

    exit_code: int = 1

    def __init__(self, code: str, english: str, chinese: str) -> None:
        super().__init__(f"{english}\n{chinese}")
        self.code = code
        self.english = english
        self.chinese = chinese

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes hand errors back by copying them; __init__ of a subclass may differ.
        return (_rebuild, (type(self), self.code, self.english, self.chinese, self.__dict__))


def _rebuild(cls: type[LianmoError], code: str, english: str, chinese: str, state: dict[str, object]) -> LianmoError:
    error = cls.__new__(cls)
    LianmoError.__init__(error, code, english, chinese)
    error.__dict__.update(state)
    return error


class DataError(LianmoError):
    """A party's own table cannot be used as it is."""

    exit_code = 3


class ModelError(LianmoError):
    """Parameters or a stored model cannot be used as they are."""

    exit_code = 4
