"""Columns of kinds that credit assessment may not look at, or only with written consent: by name, and by content.

Regulation on the Administration of the Credit Reporting Industry (State Council Order 631), art. 14: religion, genes,
fingerprints, blood type, disease history never; income, deposits, securities, insurance, real estate, tax amount only
with written consent. Names are looked at in English and Chinese, contents as shares of values with a tell-tale form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np

from models.table import Column, is_category

Kind = Literal[
    "religion",
    "genes",
    "fingerprints",
    "blood_type",
    "disease",
    "identifier",
    "income",
    "deposits",
    "securities",
    "insurance",
    "real_estate",
    "tax_amount",
]

#: Share of a column's known values that must have the form of a kind.
_SHARE: Final = 0.5

#: In names: whole words of the English part, or the Chinese text anywhere.
_NAMES: Final[Mapping[Kind, tuple[str, str]]] = {
    "religion": (r"relig\w*|faith|church|mosque|buddhis\w*|muslim|christian\w*", "宗教|信仰|教派"),
    "genes": (r"gen(e|es|etic|etics|ome|omic)|dna", "基因|遗传"),
    "fingerprints": (r"finger_?prints?|biometrics?|iris_?scan", "指纹|虹膜|生物特征"),
    "blood_type": (r"blood(_?(type|group))?", "血型"),
    "disease": (
        r"disease\w*|diagnos\w*|medical_?(history|records?)|illness\w*|icd_?\d*|patient\w*",
        "疾病|病史|病历|诊断",
    ),
    "identifier": (
        r"id_?card(_?(no|number))?|identity_?(no|number|card)|passport(_?(no|number))?|phone(_?(no|number))?|"
        r"mobile(_?(no|number))?|e_?mail",
        "身份证|护照|手机号|电话号码|电子邮箱",
    ),
    "income": (r"income|salar(y|ies)|wages?", "收入|工资|薪酬|薪金"),
    "deposits": (r"deposits?|savings", "存款|储蓄"),
    "securities": (r"securities|stocks?_held|shares_held|bonds?_held|portfolio", "有价证券|股票|债券|基金持有"),
    "insurance": (r"(commercial|life|health)_?insurance|insurance_?(policy|policies|premiums?)", "商业保险|寿险|保单"),
    "real_estate": (r"real_?estate|houses?_owned|property_?(owned|value)|land_?owned", "不动产|房产|房屋产权"),
    "tax_amount": (
        r"tax(es)?_?(paid|amount|payable|due)(_\w+)?|(paid|amount)_?(of_?)?tax(es)?",
        "纳税数额|纳税额|缴税金额|税款",
    ),
}
_RELIGIONS: Final = re.compile(
    r"^(佛教|道教|伊斯兰教|天主教|基督教|buddhis[mt]|taois[mt]|islam|muslim|catholic\w*|christian\w*|protestant\w*|hindu\w*|jewish|judaism)$",
    re.IGNORECASE,
)
_BLOOD: Final = re.compile(r"^(A|B|AB|O)(型|[+-]|\s?(rh)?[+-]| type)?$", re.IGNORECASE)
_ICD: Final = re.compile(r"^[A-TV-Z]\d{2}(\.\d{1,2})?$")
_BASES: Final = re.compile(r"^[ACGT]{8,}$")
_PERSON_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def detect(name: str, column: Column) -> Kind | None:
    """The kind a column seems to be of, by its name, else by its values; None: of none."""
    return _by_name(name) or _by_content(column)


def _by_name(name: str) -> Kind | None:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = re.sub(r"[^0-9A-Za-z]+", "_", words).lower()
    for kind, (english, chinese) in _NAMES.items():
        if re.search(rf"(?:^|_)(?:{english})(?:_|$)", words) or re.search(chinese, name):
            return kind
    return None


def _by_content(column: Column) -> Kind | None:
    if not is_category(column):
        known = column[np.isfinite(np.asarray(column, dtype=np.float64))]
        texts = [str(int(v)) for v in known[:2000].tolist() if float(v).is_integer()]
        return "identifier" if _mostly(texts, len(known[:2000]), _is_number_of_a_person) else None
    levels: list[str] = [v.strip() for v in column.tolist() if v is not None][:2000]
    distinct = set(levels)
    forms: list[tuple[Kind, Callable[[str], bool]]] = [
        ("religion", lambda v: bool(_RELIGIONS.match(v))),
        ("genes", lambda v: bool(_BASES.match(v))),
        ("disease", lambda v: bool(_ICD.match(v))),
        ("identifier", lambda v: _is_number_of_a_person(v) or bool(re.match(r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", v, re.I))),
    ]
    for kind, form in forms:
        # Codes of industries (GB/T 4754) look like those of diseases, but for the point.
        if _mostly(levels, len(levels), form) and (kind != "disease" or any("." in v for v in distinct)):
            return kind
    # Grades are letters, too: only a column with the blood group that no scale of grades has.
    if distinct and all(_BLOOD.match(v) for v in distinct) and any(v.upper().startswith("AB") for v in distinct):
        return "blood_type"
    return None


def _mostly(values: list[str], n_all: int, form: Callable[[str], bool]) -> bool:
    return n_all > 0 and sum(map(form, values)) > _SHARE * n_all


def _is_number_of_a_person(value: str) -> bool:
    """A mobile number, or a resident identity number with its check character (GB 11643-1999)."""
    if re.match(r"^1[3-9]\d{9}$", value):
        return True
    if not re.match(r"^\d{17}[\dXx]$", value):
        return False
    total = sum(w * int(d) for w, d in zip(_PERSON_WEIGHTS, value, strict=False))
    return "10X98765432"[total % 11] == value[-1].upper()
