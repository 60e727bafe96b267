"""The meter: a token bucket in one number, shared by processes."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.serving.access.limits import MOST_AT_ONCE, Meter, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_then_the_rate_holds(tmp_path: Path) -> None:
    clock = Clock()
    meter = Meter(tmp_path / "one", Rate(10.0, 5), clock)
    readings = [meter.take() for _ in range(7)]
    assert [r.left for r in readings[:5]] == [4, 3, 2, 1, 0]
    assert [r.wait > 0 for r in readings] == [False] * 5 + [True] * 2
    assert readings[5].wait == pytest.approx(0.1)
    assert readings[4].full_in == pytest.approx(0.5)
    clock.now += 0.1
    assert meter.take().wait == 0
    assert meter.take().wait > 0
    clock.now += 100
    assert meter.take().left == 4


def test_a_batch_is_let_in_and_paid_for_afterwards(tmp_path: Path) -> None:
    clock = Clock()
    meter = Meter(tmp_path / "one", Rate(100.0, 10), clock)
    assert meter.take(1000).wait == 0
    assert meter.take().wait == pytest.approx(9.91)
    clock.now += 9.92
    assert meter.take().wait == 0


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0.5, 200),
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_it_is_the_token_bucket_of_the_textbook(
    tmp_path_factory: pytest.TempPathFactory, rate: float, burst: int, asked: list[tuple[float, int]]
) -> None:
    clock = Clock()
    meter = Meter(tmp_path_factory.mktemp("meter") / "one", Rate(rate, burst), clock)
    tokens = float(burst)
    for pause, n in asked:
        clock.now += pause
        tokens = min(burst, tokens + pause * rate)
        if abs(tokens - 1) < 1e-6:  # a tie is either's
            return
        passes = tokens >= 1
        assert (meter.take(n).wait == 0) == passes
        tokens -= n * passes


@pytest.mark.parametrize("left", [float("nan"), float("inf"), 1e300, -1e300])
def test_a_number_of_another_clock_locks_nobody_out(tmp_path: Path, left: float) -> None:
    file = tmp_path / "one"
    clock = Clock()
    meter = Meter(file, Rate(1.0, 1), clock)
    meter._memory[:] = struct.pack("d", left)
    assert meter.take().wait == 0
    assert meter.take(MOST_AT_ONCE * 2).wait == pytest.approx(1.0)


def test_without_a_file_a_process_counts_alone_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    meter = Meter(tmp_path / "absent" / "one", Rate(1.0, 2), Clock())
    assert [meter.take().wait > 0 for _ in range(3)] == [False, False, True]
    assert "alone" in caplog.text


WORKER = """
import sys, time
from pathlib import Path
from lab.serving.access.limits import Meter, Rate

def slow() -> float:  # between reading and writing, so that who does not wait for the other is seen
    end = time.perf_counter() + 0.0005
    while time.perf_counter() < end:
        pass
    return time.monotonic()

meter = Meter(Path(sys.argv[1]), Rate(0.001, 500), slow)
print("ready", flush=True)
sys.stdin.readline()
print(sum(meter.take().wait == 0 for _ in range(400)))
"""


def test_two_processes_count_together_to_the_last_call(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "one")]
    pipe, root = subprocess.PIPE, Path(__file__).parents[4]
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) for _ in range(2)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    passed = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    assert sum(passed) == 500
    assert max(passed) <= 400
