"""Errors of what happens between parties (see the tree in ``models.errors``).

Over the wire travels a code from ``WIRE_CODES`` and nothing else: the text of an exception may hold values, so it
stays with the party it happened to.
"""

from __future__ import annotations

from typing import Final

from models.errors import LianmoError

PartyId = str

WIRE_CODES: Final[dict[str, tuple[str, str]]] = {
    "out_of_turn": ("it received a message it does not accept at this point", "它在当前阶段不接受所收到的消息"),
    "unreadable": ("it could not read a message", "它无法解析收到的消息"),
    "bad_value": ("it received a message whose content does not fit the run", "它收到的消息内容与本次运行不符"),
    "bad_point": ("it received a curve point that is not valid", "它收到了无效的椭圆曲线点"),
    "bad_ciphertext": ("it received a ciphertext outside the group", "它收到了不属于该群的密文"),
    "key_too_short": ("it refuses keys under 2,048 bits", "它拒绝短于 2048 位的密钥"),
    "not_encrypting": ("it refuses a cipher that does not encrypt", "它拒绝不加密的“密码”"),
    "policy": ("its own rules forbid the request", "其自身规则不允许该请求"),
    "budget_spent": (
        "its budget of questions or rows for this consumer in this period is used up",
        "本期内允许该使用方的查询次数或行数已用尽",
    ),
    "epsilon_spent": (
        "the noise it must add to counts has no budget left in this period",
        "其计数噪声的隐私预算（ε）在本期内已不足",
    ),
    "no_consent": ("a subject does not consent to this use now", "有主体当前未授权该用途"),
    "too_few_sites": (
        "a sum over so few sites, or opened by so few, would show the numbers of single sites",
        "求和站点数或同意开启的站点数过少，会暴露单个站点的数值",
    ),
    "bad_signature": (
        "what another party of the sum signed is not what it was told: they were told different things",
        "求和另一方的签名与其所获信息不符：各方被告知的内容不一致",
    ),
    "no_common_applicants": ("no applicant is known to all parties", "各方没有共同的申请人"),
    "too_few_rows": ("fewer rows than its minimum would be used", "所用行数低于其下限"),
    "unknown_applicant": ("the applicant is not in its table", "该申请人不在其数据表中"),
    "stale_tokens": (
        "it was started anew between two messages of this question: ask again",
        "它在本次查询的两条消息之间重新启动过，请重新查询",
    ),
    "unknown_model": ("it does not hold its half of this model", "它没有该模型的另一半"),
    "selftest_failed": (
        "its half of this model does not answer its own examples as when it was stored",
        "其半模型对自检样例的应答与存储时不一致",
    ),
    "rows_changed": (
        "its rows, their values or its rules are no longer those the run began with, so the model would not be the "
        "same: drop the run and train anew",
        "其数据行、取值或规则与运行开始时不同，继续训练将得到不同的模型：请丢弃该运行并重新训练",
    ),
    "audit_mismatch": (
        "a head or signature of an audit log is false, or contradicts one it keeps; its log says whose",
        "审计日志头或会签有误，或与其留存的记录矛盾，其本地日志记有所属方",
    ),
    "audit_damaged": (
        "its own audit log no longer holds a head it once signed",
        "其自身审计日志已不含其曾签名的日志头",
    ),
    "bad_data": ("its own table cannot be used; its log says why", "其自身数据表不可用，原因见其本地日志"),
    "stopped": ("it was stopped", "它已被停止"),
    "internal": ("it met an error of its own; its log says which", "它发生了内部错误，详情见其本地日志"),
}


class CipherError(LianmoError):
    """A key, a plaintext or a ciphertext is outside what the cipher allows."""

    exit_code = 5


class KeyTooShort(CipherError):
    """A key under the minimum length."""

    def __init__(self, bits: int, minimum: int) -> None:
        super().__init__(
            "key_too_short",
            f"The key has {bits} bits; at least {minimum} are required. Set key_bits to {minimum} or 3072.",
            f"密钥长度为 {bits} 位，至少需要 {minimum} 位。请将 key_bits 设为 {minimum} 或 3072。",
        )


class PlaintextOverflow(CipherError):
    """A packed slot cannot hold what was put in or came out of it."""

    def __init__(self, english: str, chinese: str) -> None:
        super().__init__("plaintext_overflow", english, chinese)


class InvalidCiphertext(CipherError):
    """A ciphertext outside the group: zero, not below n², or not invertible."""

    def __init__(self) -> None:
        super().__init__(
            "bad_ciphertext",
            "A ciphertext is outside the group (zero, too large or not invertible). The run stops; nothing was summed.",
            "密文不属于该群（为零、过大或不可逆）。运行已停止，未做任何求和。",
        )


class NotEncrypting(CipherError):
    """A run that should be encrypted met a cipher that is not."""

    def __init__(self, cipher: str) -> None:
        super().__init__(
            "not_encrypting",
            f"The cipher '{cipher}' does not encrypt: gradients would travel in clear. Use 'paillier', or say "
            "insecure_allow_plaintext = true in [cipher] at every party (experiments only).",
            f"“{cipher}”不加密：梯度将以明文传输。请使用 paillier；如仅作实验，须各方在 [cipher] 中明确设置 "
            "insecure_allow_plaintext = true。",
        )


class BadKey(CipherError):
    """Bytes that are no key of the suite: another length, a point off the curve or of small order."""

    def __init__(self) -> None:
        super().__init__(
            "bad_key",
            "A key is damaged or belongs to another crypto suite. Ask its owner to export it again.",
            "密钥已损坏或属于其他密码套件，请其所有者重新导出。",
        )


class BadSignature(CipherError):
    """A signature that is none of this message under this key."""

    def __init__(self) -> None:
        super().__init__(
            "bad_signature",
            "A signature does not fit its message and key: something was changed or another key signed. Do not use it.",
            "签名与消息及密钥不符：内容已被改动，或由其他密钥签署。请勿使用。",
        )


class NotSealedToUs(CipherError):
    """Sealed to another key or for another context, or changed on its way."""

    def __init__(self) -> None:
        super().__init__(
            "not_sealed_to_us",
            "A sealed message cannot be opened: it was sealed to another key or for another use, or changed on its "
            "way. Ask the sender to seal it again to our present key.",
            "密封消息无法打开：密封对象或用途不符，或途中被改动。请发送方以我方当前密钥重新密封。",
        )


class NotDecryptable(CipherError):
    """Encrypted under another key or for another context, or changed since."""

    def __init__(self) -> None:
        super().__init__(
            "not_decryptable",
            "Stored data cannot be decrypted: another key or use, or changed since. Restore it from a copy.",
            "存储的数据无法解密：密钥或用途不符，或内容已被改动。请从备份恢复。",
        )


class BadCost(CipherError):
    """A cost of stretching a passphrase that no release has written."""

    def __init__(self) -> None:
        super().__init__(
            "bad_cost",
            "The cost of stretching a passphrase is outside what is accepted. The key file was changed; restore it.",
            "口令派生的成本参数超出允许范围：密钥文件已被改动，请恢复该文件。",
        )


class SuiteUnavailable(CipherError):
    """A suite this machine lacks the library for."""

    def __init__(self, suite: str) -> None:
        super().__init__(
            "suite_unavailable",
            f"The crypto suite '{suite}' needs the system's OpenSSL 3 (libcrypto) with SM2, which was not found. "
            "Install the package libssl3 or openssl-libs, or choose the suite 'international'.",
            f"密码套件 {suite} 需要系统 OpenSSL 3（libcrypto，含 SM2），未找到。请安装 libssl3 或 openssl-libs，"
            "或选用 international 套件。",
        )


class ProtocolError(LianmoError):
    """A rule of a protocol was broken."""

    exit_code = 6


class LocalProtocolError(ProtocolError):
    """We broke it: a bug of ours, or the peer's message came where we do not accept it."""


class SiteLeft(ProtocolError):
    """A site that a sum must be over did not contribute: the sum was not opened, and nothing of it is known."""

    def __init__(self) -> None:
        super().__init__(
            "site_left",
            "A site left in the middle of a sum that must be over the sites of the sum before. Nothing was opened; "
            "start again with the sites that remain.",
            "有站点在求和中途离开，而该次求和须与上一次涉及相同站点。结果未开启；请由剩余站点重新开始。",
        )


class RemoteProtocolError(ProtocolError):
    """The other party broke it. ``party`` is the culprit."""

    def __init__(self, party: PartyId, code: str, english: str, chinese: str) -> None:
        super().__init__(code, f"{party}: {english}", f"{party}：{chinese}")
        self.party = party


class Refused(ProtocolError):
    """The other party declined with a code from ``WIRE_CODES``; any other text of a peer is not repeated."""

    def __init__(self, party: PartyId, code: str) -> None:
        code = code if code in WIRE_CODES else "internal"
        english, chinese = WIRE_CODES[code]
        super().__init__(code, f"{party} declined: {english}. [{code}]", f"{party} 拒绝：{chinese}。[{code}]")
        self.party = party


class TransportError(LianmoError):
    """A party could not be reached, left, or did not answer in time."""

    exit_code = 8

    def __init__(self, party: PartyId, code: str, english: str, chinese: str) -> None:
        super().__init__(code, f"{party}: {english}", f"{party}：{chinese}")
        self.party = party
