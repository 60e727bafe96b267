"""The first thing that is wrong with a file, as one reason in two languages: fields are named, values never."""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

_PLAIN: Final = re.compile(r"[A-Za-z_]{1,32}")
_SAID: Final = {
    "missing": ("is missing", "缺失"),
    "extra_forbidden": ("is not known here", "不是已知字段"),
    "string_pattern_mismatch": ("has a form that is not allowed", "格式不符合要求"),
    "literal_error": ("is none of the values allowed", "取值不在允许范围内"),
    "int_type": ("must be a whole number", "应为整数"),
    "string_type": ("must be text", "应为文本"),
    "bool_type": ("must be true or false", "应为 true 或 false"),
    "date_type": ("must be a day", "应为日期"),
    "list_type": ("must be a list", "应为列表"),
    "model_type": ("must be a table", "应为表"),
    "decimal_max_places": ("has too many decimal places", "小数位过多"),
    "finite_number": ("must be a finite number", "应为有限数值"),
    "greater_than": ("is too small", "过小"),
    "greater_than_equal": ("is too small", "过小"),
    "less_than_equal": ("is too large", "过大"),
    "string_too_short": ("must not be empty", "不能为空"),
    "string_too_long": ("is too long", "过长"),
    "too_short": ("must not be empty", "不能为空"),
    "too_long": ("has too many entries", "条目过多"),
}


def first_fault(error: ValidationError, whole: str) -> tuple[str, str]:
    """English and Chinese.

    Args:
        whole: what the file is called where no field is to blame.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(_shown(part) for part in first["loc"]) or whole
    if first["type"] == "value_error":  # our own words, already in both
        english, _, chinese = first["msg"].removeprefix("Value error, ").partition(" / ")
        return f"{where}: {english}", f"{where}：{chinese}"
    english, chinese = _SAID.get(first["type"], ("has a wrong type or form", "类型或形式有误"))
    return f"{where} {english}", f"{where} {chinese}"


def _shown(part: int | str) -> str:
    """A name that is none of ours is not repeated."""
    return str(part) if isinstance(part, int) or _PLAIN.fullmatch(part) else "?"
