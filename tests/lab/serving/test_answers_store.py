"""The store of answers, in sqlite and in PostgreSQL, from several workers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from lab.errors import ServiceError
from lab.serving.store import METADATA, VERSIONS, AnswerStore, Kept, Replied

NOW = datetime(2026, 11, 26, 8)
HOUR = timedelta(hours=1)
POSTGRES = os.environ.get("LIANMO_TEST_POSTGRES", "")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield "sqlite://"
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'answers.db'}"
    elif not POSTGRES:
        pytest.skip("LIANMO_TEST_POSTGRES names no server")
    else:
        name = f"lianmo_{uuid.uuid4().hex}"
        server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
            yield POSTGRES.rpartition("/")[0] + f"/{name}"
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


@pytest.fixture
def store(address: str) -> Iterator[AnswerStore]:
    opened = AnswerStore.open(address)
    yield opened
    opened.close()


def test_migrations_end_where_the_tables_are_declared(store: AnswerStore) -> None:
    with store._engine.connect() as connection:
        found = MigrationContext.configure(connection, opts={"version_table": VERSIONS})
        assert [step for step in compare_metadata(found, METADATA) if step[0] != "remove_table"] == []


def test_an_answer_is_found_by_its_caller_alone(store: AnswerStore) -> None:
    kept = Kept("s1", "desk", '{"分": 1}', '{"amount": 1}')
    store.keep([kept, Kept("s2", "web", "{}")])
    assert store.find("s1", "desk") == kept
    assert store.find("s1", "web") is None
    assert store.find("s3", "desk") is None
    assert store.works()


def test_a_report_was_first_made_once(store: AnswerStore) -> None:
    store.keep([Kept("s1", "desk", "{}"), Kept("s2", "desk", "{}")])
    assert store.reported("s1", NOW) == store.reported("s1", NOW + HOUR) == NOW.replace(tzinfo=UTC)
    assert store.reported("s2", NOW + HOUR) == (NOW + HOUR).replace(tzinfo=UTC)


def test_a_call_is_claimed_once_and_its_reply_is_everybody_s(store: AnswerStore) -> None:
    assert store.claim("c", "r", HOUR, NOW).ours
    again = store.claim("c", "r", HOUR, NOW)
    assert (again.ours, again.same, again.reply) == (False, True, None)
    store.keep([], [Replied("c", "reply")], NOW)
    assert store.claim("c", "r", HOUR, NOW).reply == "reply"
    other = store.claim("c", "other", HOUR, NOW)
    assert (other.ours, other.same) == (False, False)


def test_a_released_call_may_be_made_again_and_a_reply_is_not_released(store: AnswerStore) -> None:
    store.claim("c", "r", HOUR, NOW)
    store.release("c")
    assert store.claim("c", "r", HOUR, NOW).ours
    store.keep([], [Replied("c", "reply")], NOW)
    store.release("c")
    assert store.claim("c", "r", HOUR, NOW).reply == "reply"


def test_a_claim_of_a_worker_that_died_is_taken_over_and_an_old_key_forgotten(store: AnswerStore) -> None:
    store.claim("c", "r", HOUR, NOW)
    assert not store.claim("c", "r", HOUR, NOW + timedelta(seconds=59)).ours
    assert store.claim("c", "r", HOUR, NOW + timedelta(seconds=61)).ours
    store.keep([], [Replied("c", "reply")], NOW)
    assert store.claim("c", "other", HOUR, NOW + 2 * HOUR).ours


def test_what_is_old_is_forgotten(store: AnswerStore) -> None:
    store.keep([Kept("old", "", "{}")], (), NOW - timedelta(days=3))
    store.keep([Kept("new", "", "{}")], (), NOW)
    store.claim("c", "r", HOUR, NOW - timedelta(days=3))
    store.purge(timedelta(days=2), HOUR, NOW)
    assert (store.find("old", ""), store.find("new", "")) == (None, Kept("new", "", "{}"))


def test_workers_that_share_a_store_claim_a_call_once(address: str) -> None:
    if address == "sqlite://":
        pytest.skip("lives in one process")
    stores = [AnswerStore.open(address) for _ in range(4)]

    def claim(k: int) -> bool:
        return stores[k % 4].claim(f"c{k // 16}", "r", HOUR, NOW).ours

    with ThreadPoolExecutor(8) as threads:
        ours = list(threads.map(claim, range(160)))
    assert [sum(ours[k : k + 16]) for k in range(0, 160, 16)] == [1] * 10
    for opened in stores:
        opened.close()


def test_a_store_that_fails_repeats_nothing_of_what_was_to_be_written(tmp_path: Path) -> None:
    store = AnswerStore.open(f"sqlite:///{tmp_path / 'answers.db'}")
    with create_engine(f"sqlite:///{tmp_path / 'answers.db'}").begin() as connection:
        connection.execute(text("DROP TABLE answers"))
    with pytest.raises(ServiceError) as caught:
        store.keep([Kept("s1", "", "secret")])
    assert caught.value.code == "store_failed"
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_half_of_a_write_is_none_of_it(store: AnswerStore) -> None:
    store.keep([Kept("s1", "", "{}")])
    with pytest.raises(ServiceError):
        store.keep([Kept("s2", "", "{}"), Kept("s1", "", "{}")])
    assert store.find("s2", "") is None
