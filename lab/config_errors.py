"""What is wrong with a run's file: every key by name, and what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import ValidationError

from lab.config_sections import Section
from lab.errors import ConfigError


def config_error(error: ValidationError, sections: Mapping[str, type[Section]]) -> ConfigError:
    """Every wrong key by name, and what was meant. ``sections``: name → its keys; "" → the whole file's."""
    texts = []
    for problem in error.errors(include_url=False, include_input=False):
        where = tuple(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            texts.append(unknown_key(where, _keys_beside(where, sections)))
        elif problem["type"] == "missing":
            name = ".".join(where)
            texts.append((f"{name} is missing", f"缺少 {name}"))
        else:
            name = ".".join(where)
            texts.append((f"{name}: {problem['msg']}", f"{name}：取值有误（{problem['msg']}）"))
    return wrong_keys(texts)


def _keys_beside(where: tuple[str, ...], sections: Mapping[str, type[Section]]) -> list[str]:
    section = sections.get(where[0], sections[""]) if len(where) > 1 else sections[""]
    return list(section.model_fields)


def unknown_key(where: tuple[str, ...], known: list[str]) -> tuple[str, str]:
    """In English and Chinese: nobody knows the last of ``where``; was one of ``known`` meant?"""
    name = ".".join(where)
    close = difflib.get_close_matches(where[-1], known, n=1)
    meant_en, meant_zh = (f"; did you mean {close[0]}?", f"，是否为 {close[0]}？") if close else ("", "")
    return f"unknown key {name}{meant_en}", f"未知的配置项 {name}{meant_zh}"


def wrong_keys(texts: list[tuple[str, str]]) -> ConfigError:
    """One error of what is wrong, each in English and Chinese."""
    english = "; ".join(en for en, _ in texts)
    chinese = "；".join(zh for _, zh in texts)
    return ConfigError("config_wrong", f"The configuration has errors: {english}.", f"配置文件有误：{chinese}。")
