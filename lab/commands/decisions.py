"""``lianmo decision``: a policy is checked and tried, a decision reported and verified."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from lab.commands.options import NODE, AsJson, NodeFolder, console_for

if TYPE_CHECKING:
    from lab.decision.account import CaseFile
    from lab.decision.policy import Policy
    from lab.decision.report import Verified
    from lab.decision.sections import Section
    from lab.governance.ring import PublicKeys

decision = typer.Typer(help="Decision policies and reports. 决策策略与决策报告。", no_args_is_help=True)

_MOST_BYTES: Final = 1 << 20
S = TypeVar("S", bound="Section")

PolicyFile = Annotated[Path, typer.Argument(help="The policy's TOML; 'sample' is the shipped one. 决策策略文件。")]
CaseJson = Annotated[Path, typer.Argument(help="One case as JSON. 单笔申请（JSON）。")]


@decision.command()
def check(
    policy: PolicyFile,
    against: Annotated[
        Path | None, typer.Option(help="An earlier version: what changes. 先前版本，用于对比。", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a policy's own examples, and say what they leave out. 用策略自带示例检验策略。"""
    from dataclasses import asdict

    from lab import views
    from lab.decision.check import examine

    read = _policy(policy)
    found = examine(read, _policy(against) if against else None)
    faults = [finding for finding in found if finding.is_fault]
    if as_json:
        told = {"policy": read.name, "version": read.version, "digest": read.digest, "sample": read.sample}
        print(json.dumps(told | {"usable": not faults, "findings": [asdict(f) for f in found]}, ensure_ascii=False))
    else:
        console = console_for(as_json)
        views.title(console, f"{read.name} {read.version}", f"{read.english} {read.chinese}")
        for finding in found:
            style = "red" if finding.is_fault else "dim"
            console.print(f"  {finding.english}\n  {finding.chinese}", style=style, highlight=False, markup=False)
        verdict = (
            f"{len(faults)} faults: do not use it. 有 {len(faults)} 处错误，请勿使用。"
            if faults
            else f"{len(read.examples)} examples come out as wanted. {len(read.examples)} 个示例均符合预期。"
        )
        console.print(f"{verdict}\ndigest 摘要 {read.digest}", highlight=False)
    if faults:
        raise typer.Exit(1)


@decision.command("try")
def try_case(policy: PolicyFile, case: CaseJson, as_json: AsJson = False) -> None:
    """What a policy says of one case, rule by rule. 试算单笔申请，逐条列出规则结论。"""
    from lab.decision.decision import decide
    from lab.decision.view import show_decision

    made = decide(_policy(policy), _case(case).case())
    if as_json:
        print(json.dumps(made.to_json(), ensure_ascii=False))
        return
    show_decision(console_for(as_json), made)


@decision.command()
def products(policy: PolicyFile, as_json: AsJson = False) -> None:
    """The loan products that a policy knows. 列出策略中的贷款产品。"""
    from lab.decision.view import show_products

    read = _policy(policy)
    if as_json:
        inner = {"bands", "unit", "outside", "unknown", "too_small"}
        print(json.dumps([p.model_dump(mode="json", exclude=inner) for p in read.products], ensure_ascii=False))
        return
    show_products(console_for(as_json), read)


@decision.command("in-loan")
def in_loan(
    policy: PolicyFile,
    loan: Annotated[Path, typer.Argument(help="A loan that runs, as JSON. 存量贷款（JSON）。")],
    as_json: AsJson = False,
) -> None:
    """The limit of a loan that runs, by the records as they stand. 贷中：按记录现状重新核定额度。"""
    from lab.decision.in_loan import RunningLoan, review_limit

    told = _given(loan, RunningLoan)
    found = review_limit(_policy(policy), told.product, Decimal(told.granted), told.records, told.as_of)
    if as_json:
        said = {"limit": int(found.limit), "share": f"{found.share:f}", "records": found.counted}
        print(json.dumps(said | {"english": found.english, "chinese": found.chinese}, ensure_ascii=False))
        return
    console_for(as_json).print(
        f"limit 额度 {found.limit:,f}\n  {found.english}\n  {found.chinese}", highlight=False, markup=False
    )


@decision.command()
def report(
    policy: PolicyFile,
    case: CaseJson,
    out: Annotated[Path, typer.Option(help="Folder to write to. 输出目录。")] = Path(),
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """The report of one decision, signed with this node's key. 出具决策报告并签名。"""
    from lab.commands.options import passphrase
    from lab.decision.decision import decide
    from lab.decision.page import render
    from lab.decision.report import body_of, sign
    from lab.errors import ConfigError
    from lab.governance.folder import write_secret
    from lab.governance.held import SIGNING
    from lab.governance.keys import KeyStore

    read, told = _policy(policy), _case(case)
    keys = KeyStore(node / "keys")
    if told.account is None or told.account.bank.party != keys.owner:
        raise ConfigError(
            "account_missing",
            f"A report needs the case's 'account', and its bank must own these keys (owner: {keys.owner or 'none'}).",
            f"出具报告须在申请文件中提供 account，且其中的银行应为密钥所属方（{keys.owner or '无'}）。",
        )
    signer = keys.open(keys.active(SIGNING).key_id, passphrase())
    made = decide(read, told.case())
    signed = sign(body_of(read, told.case(), made, told.account, datetime.now(UTC)), signer, render)
    out.mkdir(parents=True, exist_ok=True)
    files = {kind: out / f"{_file_name(told.account.score_id)}.{kind}" for kind in ("json", "html")}
    for kind, content in (("html", signed.page), ("json", signed.data)):
        write_secret(files[kind], content)
    if as_json:
        print(json.dumps({kind: str(path) for kind, path in files.items()}, ensure_ascii=False))
        return
    console = console_for(as_json)
    for path in files.values():
        console.print(f"  {path}", highlight=False, markup=False)


@decision.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="REPORT", help="The report's JSON. 报告 JSON 文件。")],
    key: Annotated[Path, typer.Option(help="The bank's public keys ('lianmo node keys export'). 银行公钥导出文件。")],
    page: Annotated[
        Path | None, typer.Option(help="The report's page as well. 同时核验页面。", show_default=False)
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="As the bank reads it out. 银行读出的指纹。", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Is a report what the bank signed, to the last byte? No network. 离线核验决策报告。"""
    from lab.decision.report import verify as verify_report
    from lab.decision.verdicts import VERDICTS_ZH

    keys = _public_keys(key)
    found = verify_report(_read(file), keys.keys, None if page is None else _read(page))
    _compare(found, fingerprint)
    if as_json:
        told = {"intact": True, "signed_by": found.owner, "fingerprint": found.fingerprint, "report": found.body}
        print(json.dumps(told | {"page_checked": page is not None}, ensure_ascii=False))
        return
    console = console_for(as_json)
    made = found.body["decision"]
    checked = "report and page 报告与页面" if page else "report 报告"
    console.print(
        f"{checked}: as signed by 与签署内容一致，签署方 {found.owner}\n"
        f"application 申请 {found.body['application']}: {made['verdict']} {VERDICTS_ZH[made['verdict']]}",
        highlight=False,
        markup=False,
    )
    if fingerprint is None:
        console.print(
            "Whose key it is, only a comparison tells. Ask the bank to read out 请向银行核对密钥指纹：\n"
            f"  {found.fingerprint}",
            highlight=False,
        )


def _policy(path: Path) -> Policy:
    from lab.decision.policy import policy_at

    return policy_at(path)


def _case(path: Path) -> CaseFile:
    from lab.decision.account import CaseFile

    return _given(path, CaseFile)


def _given(path: Path, kind: type[S]) -> S:
    """What a JSON file says, checked; fields are named, values never."""
    from pydantic import ValidationError

    from lab.decision.faults import first_fault
    from lab.errors import ConfigError

    try:
        return kind.model_validate(json.loads(_read(path), parse_float=Decimal))
    except ValidationError as error:
        english, chinese = first_fault(error, "case")
        raise ConfigError("case_unreadable", f"{path.name}: {english}.", f"{path.name}：{chinese}。") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise ConfigError("case_unreadable", f"{path.name} is not JSON.", f"{path.name} 不是 JSON。") from None


def _public_keys(path: Path) -> PublicKeys:
    from lab.errors import ConfigError
    from lab.governance.ring import read_export

    try:
        data = json.loads(_read(path))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ConfigError(
            "export_unreadable",
            f"{path.name} is no export of public keys ('lianmo node keys export').",
            f"{path.name} 不是公钥导出文件（lianmo node keys export）。",
        )
    return read_export(data)


def _compare(found: Verified, read_out: str | None) -> None:
    from lab.errors import KeysError

    if read_out is not None and "".join(read_out.split()).lower() != "".join(found.fingerprint.split()):
        raise KeysError(
            "fingerprint_differs",
            "The key that signed this report has another fingerprint than the bank read out. Do not rely on it.",
            "签署该报告的密钥与银行读出的指纹不符，请勿采信该报告。",
        )


def _read(path: Path) -> bytes:
    from lab.errors import ConfigError

    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError:
        raise ConfigError("file_missing", f"Cannot read {path}.", f"无法读取 {path}。") from None


def _file_name(score_id: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in score_id)
