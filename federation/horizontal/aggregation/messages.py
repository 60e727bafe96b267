"""The one message that an application's reply becomes, whichever way sums are protected."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution(Message, kind="aggregation.contribution"):
    """Site → coordinator, in answer to a request of an application. ``turn``: the site's number of the sum, from 0;
    ``data``: its vector, masked (words, lowest byte first) or encrypted (points, 32 bytes each: randomness, then
    numbers). Of encrypted vectors ``proof``: that the site knows the randomness, 64 bytes; ``signature``: of the
    randomness. Masked ones need neither.

    Reveals to coordinator: nothing but its length; with those of all other contributors, and once enough sites agree,
    the sum.
    向协调方透露：除长度外无任何信息；集齐全部参与站点且足够多站点同意后，仅得总和。
    """

    turn: int
    data: bytes
    proof: bytes
    signature: bytes
