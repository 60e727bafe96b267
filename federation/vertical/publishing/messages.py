"""Messages by which a model is put into use everywhere, and out of use. Each docstring says what it reveals."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare(Message, kind="publishing.prepare"):
    """Guest → host. Can you answer for your half of this model? ``model``: its kind, ``trees`` or ``scorecard``;
    ``digest``: of the half that is meant; ``shadow``: it is to be on trial and nobody told its scores, which a host may
    refuse. From its answer on the host is ready; halves it held before stay answerable.

    Reveals to host: that the bank is about to score with this model, which the host helped to train, and whether nobody
    is to be told.
    向数据方透露：该银行即将使用该模型评分（数据方曾参与其训练），以及是否仅作影子试用。
    """

    model: str
    model_id: str
    digest: str
    shadow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Message, kind="publishing.prepared"):
    """Host → guest. It holds that half, the half answers its stored examples, and the host's data have its columns.

    Reveals to guest: just that.
    向银行透露：数据方持有该半模型、已通过自检，且其数据具备所需的列；除此之外不透露任何信息。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire(Message, kind="publishing.retire"):
    """Guest → host. The half of ``digest`` will not be asked for any longer; it may be prepared again later.

    Reveals to host: that the bank no longer scores with this model.
    向数据方透露：该银行不再使用该模型评分。
    """

    model_id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired(Message, kind="publishing.retired"):
    """Host → guest. It does not answer for that half, whether or not it did before.

    Reveals to guest: nothing.
    向银行透露：其本身不透露任何信息。
    """
