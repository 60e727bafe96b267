"""What verification can find, in two languages, and whose deed or loss it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.errors import PartyId

#: code → (grave, English, Chinese); {who} is the party it is about, {keeper} the party whose log is read
TEXTS: Final[dict[str, tuple[bool, str, str]]] = {
    # one log by itself: about the party that keeps it
    "unreadable": (
        True,
        "Line {number}: no entry of a log. It was changed where {who} keeps it.",
        "第 {number} 行不是日志条目：该行在 {who} 处被改动。",
    ),
    "edited": (
        True,
        "Entry {number}: its content is not what its digest says. It was edited where {who} keeps it.",
        "第 {number} 条：内容与摘要不符，在 {who} 处被编辑。",
    ),
    "bad_signature": (
        True,
        "Entry {number}: no signature of {who}'s audit key. Somebody without the key wrote it.",
        "第 {number} 条：没有 {who} 审计密钥的有效签名，由无密钥者写入。",
    ),
    "foreign": (
        True,
        "Entry {number}: it belongs to another party's log. Lines or files were swapped where {who} keeps them.",
        "第 {number} 条：属于他方日志，{who} 处的条目或文件被调换。",
    ),
    "deleted": (
        True,
        "Before entry {number}: entries are missing. They were deleted where {who} keeps them.",
        "第 {number} 条之前缺少条目：在 {who} 处被删除。",
    ),
    "out_of_order": (
        True,
        "Entry {number}: it stands after a later one. Lines were moved or repeated where {who} keeps them.",
        "第 {number} 条：排在更晚的条目之后，{who} 处的条目被移动或重复。",
    ),
    "chain_broken": (
        True,
        "Entry {number}: it does not follow from the one before. Entries were replaced where {who} keeps them.",
        "第 {number} 条：与前一条不衔接，{who} 处的条目被替换。",
    ),
    "wrong_key": (
        True,
        "Entry {number}: signed with a key of {who} that was not in force.",
        "第 {number} 条：使用了 {who} 当时未生效的密钥签名。",
    ),
    "no_beginning": (
        True,
        "The log does not begin with its opening entry: its beginning was cut where {who} keeps it.",
        "日志不以开立条目开始：开头在 {who} 处被截去。",
    ),
    "torn": (
        True,
        "The last lines have no end or no signature: {who} crashed while they were written, or somebody cut or added "
        "them. The next entry sets them aside and records that.",
        "末尾的行不完整或无签名：{who} 写入时崩溃，或被截断、添加。下一条写入时会将其移出并留下记录。",
    ),
    "recovered": (
        False,
        "Entry {number}: a line was set aside after a crash of {who}; its bytes are in the log's folder.",
        "第 {number} 条：{who} 崩溃后移出残缺行，原始字节保存在日志目录。",
    ),
    "unregistered": (
        True,
        "Entry {number}: {who} signs with a key that is not registered as its own.",
        "第 {number} 条：{who} 使用了未登记为其所有的密钥签名。",
    ),
    # heads in a log: about the party whose head or signature it is
    "own_head_differs": (
        True,
        "Entry {number}: all parties signed a head of {who}'s log that this log does not have. It was rewritten where "
        "{who} keeps it.",
        "第 {number} 条：各方会签的 {who} 日志头与本日志不符，日志在 {who} 处被改写。",
    ),
    "countersignature_missing": (
        True,
        "Entry {number}: {who} took part in the session and did not countersign.",
        "第 {number} 条：{who} 参与了会话但未会签。",
    ),
    "countersignature_wrong": (
        True,
        "Entry {number}: the countersignature kept for {who} is not one of these heads under its key. {keeper} keeps "
        "what {who} did not sign.",
        "第 {number} 条：留存的 {who} 会签与其密钥及所列日志头不符，{keeper} 保存的并非 {who} 所签。",
    ),
    "head_forged": (
        True,
        "Entry {number}: the head kept for {who} is not signed by its key. {keeper} keeps what {who} did not sign.",
        "第 {number} 条：留存的 {who} 日志头没有其密钥的签名，{keeper} 保存的并非 {who} 所签。",
    ),
    "head_unknown_key": (
        True,
        "Entry {number}: {keeper} keeps a head of {who} under a key that is not {who}'s.",
        "第 {number} 条：{keeper} 留存的 {who} 日志头所用密钥不属于 {who}。",
    ),
    "disputed": (
        True,
        "Entry {number}: {who} signed a head that contradicts one it had signed before: its log was cut or rewritten.",
        "第 {number} 条：{who} 签署的日志头与其先前所签矛盾：其日志被截断或改写。",
    ),
    # against other parties' logs: about the party whose log is verified, or that signed two things
    "cut": (
        True,
        "{keeper} keeps entry {number} of {who}'s log, signed by {who}; {who}'s log ends before it. Its end was cut.",
        "{keeper} 留存有 {who} 签名的第 {number} 条日志头，而 {who} 的日志在此之前结束：末尾被截断。",
    ),
    "rewritten": (
        True,
        "{keeper} keeps another entry {number} of {who}'s log, signed by {who}. {who} rewrote its log.",
        "{keeper} 留存的 {who} 第 {number} 条（由 {who} 签名）与其日志不同：{who} 改写了日志。",
    ),
    "two_heads": (
        True,
        "{who} signed two different heads for one session, one of them kept by {keeper}.",
        "{who} 为同一会话签署了两个不同的日志头，其一由 {keeper} 留存。",
    ),
    "not_kept": (
        False,
        "{keeper} keeps a session's heads countersigned by {who}; {who}'s log does not have them. It crashed before it "
        "wrote them, or its end was cut.",
        "{keeper} 留存有 {who} 会签的会话日志头，而 {who} 的日志中没有：其写入前崩溃，或末尾被截断。",
    ),
    # what nobody vouches for yet
    "session_open": (
        False,
        "Entry {number}: {who} took part in a session whose end was not countersigned.",
        "第 {number} 条：{who} 参与的会话没有经各方会签的结束。",
    ),
    "unwitnessed": (
        False,
        "Entries after {number} are vouched for by {who} alone: no other party has countersigned them yet.",
        "第 {number} 条之后的条目仅由 {who} 自证，尚无他方会签。",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Attributes:
    code: of ``TEXTS``.
    about: the party whose log was damaged, or whose head or signature is missing or false.
    keeper: the party whose log shows it.
    number: of the entry, or of the line if it is no entry.
    session: where it is about one.
    """

    code: str
    about: PartyId
    keeper: PartyId
    number: int
    session: str = ""

    @property
    def is_grave(self) -> bool:
        """False for what should be known but is no tampering by itself."""
        return TEXTS[self.code][0]

    @property
    def english(self) -> str:
        return self._say(TEXTS[self.code][1])

    @property
    def chinese(self) -> str:
        return self._say(TEXTS[self.code][2])

    def as_dict(self) -> dict[str, str | int | bool]:
        return {
            "code": self.code,
            "grave": self.is_grave,
            "about": self.about,
            "keeper": self.keeper,
            "number": self.number,
            "session": self.session,
            "english": self.english,
            "chinese": self.chinese,
        }

    def _say(self, text: str) -> str:
        return text.format(who=self.about, keeper=self.keeper, number=f"{self.number:,}")
