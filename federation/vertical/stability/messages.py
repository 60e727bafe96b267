"""Messages that end a training session: how far have the hosts' features of the model moved?"""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Message, kind="stability.wanted"):
    """Guest → host. How far have the features of your half moved from the fitted rows to the held-out ones?

    Of the run's rows the first ``n_fit`` were fitted, ``n_valid`` more only watched, the others are held out.
    ``minimum``: fewest rows of either sample behind a share; the host's own floor holds where it is larger.

    Reveals to host: how many rows of the run are held out.
    向数据方透露：本次运行中留出样本的行数。
    """

    n_fit: int
    n_valid: int
    minimum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts(Message, kind="stability.shifts"):
    """Host → guest. Per feature of the host's half, in the order of the numbers that the guest knows: the stability
    index in thousandths, and of the bin that adds most to it the share of fitted and of held-out rows in percent, all
    of them whole. Empty if either sample has fewer rows than the minimum.

    Reveals to guest: how far each unnamed feature of the host's half has moved, and the two shares, in whole percent,
    of its bin that moved most; no name, no bin, no count.
    向银行透露：数据方部分模型中每个未具名特征的偏移程度，以及变动最大的一个分箱的两个占比（取整百分数）；
    不透露名称、分箱界限与行数。
    """

    shifts: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld(Message, kind="stability.withheld"):
    """Host → guest. Its operator does not share that, or wants noise on all it tells of counts.

    Reveals to guest: this decision.
    向银行透露：该决定本身。
    """
