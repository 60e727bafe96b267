"""Without gmpy2: a warning, and the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers import integers
from tests.conftest import Key

SCRIPT = """
import json, sys, warnings
sys.modules["gmpy2"] = None  # hides it: import raises ImportError
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from federation.ciphers import integers
    from federation.ciphers.paillier import PaillierSecret
task = json.loads(sys.stdin.read())
secret = PaillierSecret(task["p"], task["q"], minimum_bits=512, expected=10)
theirs = bytes.fromhex(task["data"])
total = secret.public.add(*secret.public.load(theirs)[:2])
fresh = secret.public.dump(secret.public.rerandomise([total, secret.public.zero]))
invalid = []
for bad in (0, task["p"], int(secret.public.n) ** 2):
    try:
        secret.public.load(bad.to_bytes(secret.public.ciphertext_bytes, "big"))
    except Exception as error:
        invalid.append(getattr(error, "code", repr(error)))
print(json.dumps({
    "has": integers.HAS_GMP,
    "texts": [str(w.message) for w in caught if "gmpy2" in str(w.message)],
    "read": secret.decrypt(theirs),
    "total": secret.public.dump([total]).hex(),
    "fresh": fresh.hex(),
    "invalid": invalid,
}))
"""


def test_a_party_without_gmpy2_warns_and_computes_the_same(short_keys: Key) -> None:
    ours, numbers = short_keys.secret(), [2**300, -5, 0]
    data = ours.encrypt(numbers)
    task = json.dumps({"p": short_keys.p, "q": short_keys.q, "data": data.hex()})
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=task, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["has"] is False
    assert len(found["texts"]) == 1
    assert "pip install gmpy2" in found["texts"][0]
    assert "未安装 gmpy2" in found["texts"][0]
    assert found["read"] == numbers
    assert bytes.fromhex(found["total"]) == ours.public.dump([ours.public.add(*ours.public.load(data)[:2])])
    assert ours.decrypt(bytes.fromhex(found["fresh"])) == [2**300 - 5, 0]
    assert found["invalid"] == ["bad_ciphertext"] * 3


@pytest.mark.skipif(not integers.HAS_GMP, reason="gmpy2 is not installed here")
@given(st.integers(0, 2**600), st.integers(0, 2**64), st.integers(3, 2**300).map(lambda n: n | 1))
def test_both_libraries_agree(base: int, exponent: int, modulus: int) -> None:
    wide = integers.integer
    assert int(integers.power(wide(base), wide(exponent), wide(modulus))) == pow(base, exponent, modulus)
    assert int(integers.from_bytes(integers.to_bytes(wide(base), 80))) == base
    if integers.gcd(wide(base), wide(modulus)) == 1:
        assert int(integers.inverse(wide(base), wide(modulus))) == pow(base, -1, modulus)
    else:
        with pytest.raises((ValueError, ZeroDivisionError)):
            integers.inverse(wide(base), wide(modulus))
