"""Ten thousand damaged catalogue, consent and record files: each is refused in two languages, nothing is written.

Damage is done to good files by a list of ways each of which makes any file bad, whatever our own readers think of it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, func, select

from lab.errors import GovernanceError
from lab.governance.catalogue import SAMPLE, load_catalogue
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.lines import read_file
from lab.governance.records import Record, RecordBook, RecordChange
from lab.governance.store import open_store
from lab.governance.tables import GRANTS, RECORD_EVENTS, RECORDS

Fields = dict[str, Any]
#: Stands where values of people would; in no message.
SECRET: Final = "91330100MA27XYEW3K"

CONSENT: Final[Fields] = {
    "consent": "C-1",
    "subject": SECRET,
    "purpose": "loan_model",
    "parties": ["bank"],
    "scopes": ["tax"],
    "starts": "2026-01-01T00:00:00+08:00",
    "ends": "2027-01-01T00:00:00+08:00",
    "evidence": "ab" * 32,
}
RECORD: Final[Fields] = {
    "record": "R-1",
    "subject": SECRET,
    "item": "PEN-01",
    "severity": "serious",
    "published": "2025-03-01",
    "term_ends": "2027-03-01",
    "amount": 9000.0,
}
CHANGE: Final[Fields] = {"record": "R-1", "change": "repaired", "on": "2026-05-01"}
NUMBERED: Final = {"consent": CONSENT, "record": RECORD, "change": CHANGE}
DAYS: Final = {"starts", "ends", "published", "term_ends", "on"}


def line_of(fields: Fields) -> str:
    return json.dumps(fields, ensure_ascii=False)


# -- ways to damage one line: the good fields → a bad line ------------------------------------------------------------


def wrong_type(good: Fields, chance: random.Random) -> str:
    name = chance.choice(sorted(good))
    wrong: list[Any] = [True, {"a": 1}, [[1]], [None]]
    if not isinstance(good[name], float):
        wrong += [7, 1.5, 1767225600]
    if not isinstance(good[name], str):
        wrong += ["x", ""]
    if name != "amount":
        wrong.append(None)
    return line_of(good | {name: chance.choice(wrong)})


def field_gone(good: Fields, chance: random.Random) -> str:
    gone = chance.choice(sorted(set(good) - {"amount"}))
    return line_of({k: v for k, v in good.items() if k != gone})


def field_more(good: Fields, chance: random.Random) -> str:
    return line_of(good | {chance.choice(["name", "授权书", "Consent", " subject", "note", ""]): SECRET})


def field_twice(good: Fields, chance: random.Random) -> str:
    name = chance.choice(sorted(good))
    return line_of(good)[:-1] + f", {json.dumps(name)}: {json.dumps(good[name])}}}"


def cut_short(good: Fields, chance: random.Random) -> str:
    line = line_of(good)
    return line[: chance.randrange(1, len(line))]


def no_object(good: Fields, chance: random.Random) -> str:
    line = line_of(good)
    csv = ",".join(map(str, good.values()))
    deep = "[" * chance.choice([200, 100_000])
    return chance.choice([f"[{line}]", csv, json.dumps(line), "null", "0", "NaN", deep, f"{line}{line}", f"{line},"])


def not_json(good: Fields, chance: random.Random) -> str:
    line = line_of(good)
    return chance.choice([line.replace('"', "'"), line.replace(":", "=", 1), "{" + line, line.replace("{", "", 1)])


def no_day(good: Fields, chance: random.Random) -> str:
    name = chance.choice(sorted(DAYS & set(good)))
    wrong = [
        "2026-13-01",
        "2026-02-30",
        "01.02.2026",
        "2026/01/01",
        "二〇二六年一月一日",
        "soon",
        "",
        "20260101",
        "1767225600",
    ]
    wrong += ["2026-01-01T25:00:00+08:00", "2026-01-01T00:00:00", "-2026-01-01", "2026-1-1", "2026-01-01T10:30:00Z~"]
    return line_of(good | {name: chance.choice(wrong)})


def no_name(good: Fields, chance: random.Random) -> str:
    name = chance.choice(sorted({"consent", "record", "subject", "item"} & set(good)))
    return line_of(good | {name: chance.choice(["", " ", "a b", "x" * 65, "a\x00b", "a\nb", "\u3000", "a\tb"])})


def no_term(good: Fields, chance: random.Random) -> str:
    """Times in the wrong order, amounts that are none, words of no list."""
    if "starts" in good:
        bad = [{"ends": good["starts"]}, {"ends": "2020-01-01T00:00:00Z"}, {"revoked": "2020-01-01T00:00:00Z"}]
        bad += [{"evidence": "zz" * 32}, {"evidence": "AB" * 32}, {"parties": []}, {"scopes": ["tax", "tax"]}]
        bad += [{"parties": ["Bank"]}, {"purpose": "Loan model"}, {"scopes": [""]}]
    elif "severity" in good:
        bad = [{"term_ends": good["published"]}, {"term_ends": "2099-01-01"}, {"severity": "SERIOUS"}, {"amount": -1.0}]
        bad += [{"severity": "rather serious"}, {"term_ends": "2020-01-01"}]
    else:
        bad = [{"change": "forgiven"}, {"change": ""}, {"amount": -0.5}]
    return line_of(good | chance.choice(bad))


def no_number(good: Fields, chance: random.Random) -> str:
    told = line_of({k: v for k, v in good.items() if k != "amount"})[:-1]
    return (
        f'{told}, "amount": {chance.choice(["1e999", "NaN", "Infinity", "-Infinity", "0x10", "01", "1_000", "+1"])}}}'
    )


LINES: Final = (cut_short, no_object, not_json)
FIELDS: Final = (wrong_type, field_gone, field_more, field_twice, no_day, no_name, no_term, no_number)


# -- ways to damage a whole file --------------------------------------------------------------------------------------


def wrong_bytes(text: str, chance: random.Random) -> bytes:
    good = text.encode()
    at = chance.randrange(len(good))
    return chance.choice(
        [
            text.encode("utf-16"),
            b"\xff\xfe" + good,
            good[:at] + b"\xff" + good[at:],
            good[:at] + b"\x00" + good[at:],
            chance.randbytes(300) + b"\xff",
            "企业名称,统一社会信用代码\r\n".encode("gb18030"),
            b"PK\x03\x04" + chance.randbytes(50),
        ]
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_store(f"sqlite:///{tmp_path_factory.mktemp('malformed') / 'node.db'}")


def refused(read: Callable[[], Any], about: str) -> GovernanceError:
    """The one error; anything else, or none, fails the test and says which damage it was."""
    found: Exception | None = None
    try:
        read()
    except Exception as error:
        found = error
    assert isinstance(found, GovernanceError), f"{type(found).__name__ if found else 'accepted'}: {about}"
    assert found.english.strip(), about
    assert re.search(r"[\u4e00-\u9fff]", found.chinese), about
    assert SECRET not in f"{found} {found.english} {found.chinese}", about
    return found


def n_rows(store: Engine) -> int:
    with store.connect() as connection:
        counted = [connection.scalar(select(func.count()).select_from(t)) for t in (GRANTS, RECORDS, RECORD_EVENTS)]
    return sum(n or 0 for n in counted)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "n_files"), [("consent", 4000), ("record", 2500), ("change", 500)])
def test_damaged_lines_are_refused_by_their_number(key: str, n_files: int, store: Engine, tmp_path: Path) -> None:
    chance, path, good = random.Random(20260), tmp_path / "lines.jsonl", NUMBERED[key]
    kind: Any = {"consent": Consent, "record": Record, "change": RecordChange}[key]
    number = "consent" if key == "consent" else "record"

    def load() -> Any:
        found = read_file(kind, path)
        if key == "consent":
            return ConsentLedger(store).add(found)
        return RecordBook(store).add(found) if key == "record" else [RecordBook(store).change(c) for c in found]

    for k in range(n_files):
        lines = [line_of(good | {number: f"{number[0].upper()}-{n}"}) for n in range(chance.randrange(1, 4))]
        at = chance.randrange(len(lines))
        if chance.random() < 0.1:
            content, about, at = wrong_bytes("\n".join(lines), chance), f"file {k}: bytes", -1
        else:
            way = chance.choice(LINES + FIELDS)
            lines[at] = way(good, chance)
            content, about = (
                "\n".join(lines).encode("utf-8", "surrogatepass"),
                f"file {k}: {way.__name__}: {lines[at][:200]!r}",
            )
        path.write_bytes(content)
        error = refused(load, about)
        if at >= 0 and "\n" not in lines[at]:
            assert f"Line {at + 1}:" in error.english, about
            assert f"第 {at + 1} 行" in error.chinese, about
    assert n_rows(store) == 0


@pytest.mark.slow
def test_damaged_catalogues_are_refused(tmp_path: Path) -> None:
    chance, path, good = random.Random(20261), tmp_path / "catalogue.toml", SAMPLE.read_text("utf-8")
    lines = good.splitlines()
    told = [n for n, line in enumerate(lines) if " = " in line]
    needed = [n for n in told if not lines[n].startswith(("polarity", "kind"))]
    for k in range(3000):
        own, at, way = list(lines), chance.choice(told), chance.randrange(8)
        name = own[at].split(" = ")[0]
        if way == 0:
            own[at] = f"{name} = {chance.choice(['7', 'true', '[]', '{}', '1.5', '2026-01-01', 'nan', '[1]'])}"
        elif way == 1:
            at = chance.choice(needed)
            own[at] = ""
        elif way == 2:
            own[at] += f"\n{chance.choice(['note', 'Item', 'items', 'city', '企业'])} = '{SECRET}'"
        elif way == 3:
            own[at] += f"\n{own[at]}"
        elif way == 4:
            wrong = ["", "x", '"', "[", "{", "=", '""', f'"{"a" * 400}"']
            own[at] = f"{name} = {chance.choice(wrong)}"
        elif way == 5:
            start = next(n for n in range(len(own)) if own[n] == "[[items]]")
            own += own[start : start + 8]  # the first item again
        elif way == 6:
            own[at] = f'{name} = "{chance.choice(["sometimes", "x y", "-", "！"])} {"z" * 400}"'
        text = "\n".join(own)
        content = wrong_bytes(text, chance) if way == 7 else text.encode()
        path.write_bytes(content)
        about = f"file {k}: way {way}: {lines[at][:80]!r} -> {own[at][:80]!r}"
        error = refused(lambda: load_catalogue(path), about)
        assert error.code == "catalogue_unreadable", about


def test_the_files_are_good_before_they_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    for key, kind in (("consent", Consent), ("record", Record), ("change", RecordChange)):
        path.write_text(line_of(NUMBERED[key]) + "\n\n" + line_of(NUMBERED[key]), "utf-8")
        assert len(read_file(kind, path)) == 2  # type: ignore[type-var]
    load_catalogue(SAMPLE)
