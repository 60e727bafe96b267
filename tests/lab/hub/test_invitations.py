from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ConfigError
from lab.hub.authority import Papers, new_authority
from lab.hub.invitations import Invitation, from_text, invite, to_text

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AUTHORITY = new_authority("test")


def made(authority: Papers = AUTHORITY) -> Invitation:
    return invite(authority, "lab", "hub.example:9443", "host:tax", "host", 3.0, NOW)


def test_what_is_written_is_read() -> None:
    invitation = made()
    assert from_text(to_text(invitation, AUTHORITY), NOW) == invitation
    assert invitation.token not in repr(invitation)


def test_it_expires() -> None:
    with pytest.raises(ConfigError) as late:
        from_text(to_text(made(), AUTHORITY), NOW + timedelta(days=3, seconds=1))
    assert late.value.code == "invitation_expired"


@pytest.mark.parametrize("name", ["hub", "address", "authority", "party", "role", "expires", "token"])
def test_no_field_can_be_changed(name: str) -> None:
    data = json.loads(to_text(made(), AUTHORITY))
    others = {"role": "guest", "authority": new_authority("other").certificate.decode(), "party": "bank"}
    data[name] = others.get(name, data[name] + "1")
    with pytest.raises(ConfigError) as refused:
        from_text(json.dumps(data), NOW)
    assert refused.value.code == "invitation_unreadable"


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)).map(json.dumps))
def test_whatever_else_is_refused_with_one_reason(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_text(text, NOW)
    assert refused.value.code == "invitation_unreadable"


@given(st.dictionaries(st.sampled_from(["kind", "party", "token", "signature", "expires"]), st.none() | st.integers()))
def test_fields_of_other_kinds_are_refused(changed: dict[str, Any]) -> None:
    data = {**json.loads(to_text(made(), AUTHORITY)), **changed}
    if not changed:
        return
    with pytest.raises(ConfigError):
        from_text(json.dumps(data), NOW)


@pytest.mark.parametrize(("party", "role"), [("tax", "host"), ("host:tax", "guest"), ("Bank", "guest"), ("", "guest")])
def test_names_say_the_role(party: str, role: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        invite(AUTHORITY, "lab", "hub.example:9443", party, role, 1.0, NOW)
    assert refused.value.code == "party_name"
