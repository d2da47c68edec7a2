"""Masks cancel, bind to what was asked, and leave nothing to see."""

from __future__ import annotations

import hmac
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from common.secure_sum.fixed_point import LEVELS, STATISTICS, WEIGHTS, FixedPoint, OutOfRange
from common.secure_sum.masks import TooFewToHide, context_of, mask, masked
from common.secure_sum.ring import Ring, add

SITES = ("aldgate", "bergamo", "coimbra", "dorpat")
CONTEXT = context_of("run-1", "train.0.7", b"question", SITES)


def secrets() -> dict[str, dict[str, bytes]]:
    """A secret for each two of the sites."""
    rng = np.random.default_rng(5)
    found: dict[str, dict[str, bytes]] = {site: {} for site in SITES}
    for one, other in combinations(SITES, 2):
        found[one][other] = found[other][one] = rng.bytes(32)
    return found


def total(vectors: list[Ring]) -> Ring:
    found = vectors[0]
    for vector in vectors[1:]:
        found = add(found, vector)
    return found


@pytest.mark.parametrize(("form", "exact"), [(STATISTICS, 1e-12), (WEIGHTS, 1e-8)])
def test_the_sum_of_what_is_masked_is_the_sum(form: FixedPoint, exact: float) -> None:
    rng = np.random.default_rng(1)
    numbers = [rng.normal(size=1000) / 10 for _ in SITES]
    plain = [form.encode(one, len(SITES)) for one in numbers]
    hidden = [
        masked(one, site, secrets()[site], CONTEXT) for one, site in zip(plain, SITES, strict=True)
    ]
    for order in (hidden, hidden[::-1]):
        assert (total(order) == total(plain)).all()
    np.testing.assert_allclose(form.decode(total(hidden)), np.sum(numbers, axis=0), atol=exact)


def test_levels_that_divide_the_range_are_summed_to_its_ends() -> None:
    parts = {"aldgate": 60, "bergamo": 40, "coimbra": 25, "dorpat": 1}
    numbers = [np.array([most, -most, -1, 0], np.int8) for most in parts.values()]
    hidden = [
        masked(LEVELS.encode(one, len(SITES)), site, secrets()[site], CONTEXT)
        for site, one in zip(parts, numbers, strict=True)
    ]
    assert {one.dtype for one in hidden} == {np.dtype(np.uint8)}
    assert LEVELS.decode(total(hidden)).tolist() == [126.0, -126.0, -4.0, 0.0]
    for beyond in (127, -127, -128):
        with pytest.raises(OutOfRange):
            LEVELS.encode(np.array([beyond], np.int8), 1)


def test_one_that_is_missing_or_asked_something_else_leaves_noise() -> None:
    zeros = np.zeros((4096, 1), np.uint32)
    hidden = {site: masked(zeros, site, secrets()[site], CONTEXT) for site in SITES}
    other = context_of("run-1", "train.0.8", b"question", SITES)
    stray = masked(zeros, SITES[3], secrets()[SITES[3]], other)
    for left in (
        [hidden[site] for site in SITES[:3]],
        [*(hidden[site] for site in SITES[:3]), stray],
        [hidden[SITES[0]]],
    ):
        assert uniform(total(left)) > 0.001
    assert uniform(total(list(hidden.values()))) == 0.0


def uniform(seen: Ring) -> float:
    """How likely bytes like these are, if they were drawn at random (chi-square)."""
    counts = np.bincount(seen.astype("<u4").view(np.uint8).ravel(), minlength=256)
    return float(chisquare(counts).pvalue)


def test_all_but_one_of_a_site_s_secrets_do_not_unmask_it() -> None:
    values = np.arange(4096, dtype=np.uint32)[:, None]
    site, own = SITES[0], secrets()[SITES[0]]
    seen = masked(values, site, own, CONTEXT)
    for kept in own:
        known = {peer: secret for peer, secret in own.items() if peer != kept}
        rest = masked(np.zeros_like(values), site, known, CONTEXT)
        unmasked = seen - rest - values
        assert uniform(unmasked) > 0.001
    assert (seen - masked(np.zeros_like(values), site, own, CONTEXT) == values).all()


def test_a_mask_is_bound_to_all_that_is_asked() -> None:
    asked = ("run-1", "train.0.7", b"question", SITES)
    others = [
        ("run-2", *asked[1:]),
        (asked[0], "train.0.8", *asked[2:]),
        (*asked[:2], b"another", SITES),
        (*asked[:3], SITES[:3]),
        ("run-", "1train.0.7", *asked[2:]),
    ]
    contexts = {context_of(*one) for one in (asked, *others)}  # type: ignore[arg-type]
    assert len(contexts) == 1 + len(others)
    drawn = {mask(bytes(32), context, (4, 3)).tobytes() for context in contexts}
    assert len(drawn) == len(contexts)


def test_a_mask_is_hkdf_and_chacha20() -> None:
    """By RFC 5869 and RFC 8439 in their own words."""
    secret, context = bytes(range(32)), b"context"
    extracted = hmac.digest(bytes(32), secret, "sha256")
    info = b"myofed secure sum 1" + context
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    drawn = first + hmac.digest(extracted, first + info + b"\x02", "sha256")
    words = [int(word) for word in np.frombuffer(drawn[:48], "<u4")]
    stream = b"".join(chacha20_block(words[:8], words[8], words[9:], block) for block in range(3))
    found = mask(secret, context, (14, 3))
    assert found.astype("<u4").tobytes() == stream[: 14 * 3 * 4]


def chacha20_block(key: list[int], counter: int, nonce: list[int], block: int) -> bytes:
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, counter + block, *nonce]
    state = list(start)
    columns = [(i, 4 + i, 8 + i, 12 + i) for i in range(4)]
    diagonals = [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)]
    for a, b, c, d in (columns + diagonals) * 10:
        for one, two, other, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[one] = (state[one] + state[two]) % 2**32
            mixed = state[other] ^ state[one]
            state[other] = (mixed << turn | mixed >> (32 - turn)) % 2**32
    return b"".join(
        ((a + b) % 2**32).to_bytes(4, "little") for a, b in zip(state, start, strict=True)
    )


def test_fewer_than_three_hide_nobody() -> None:
    own = secrets()[SITES[0]]
    zeros = np.zeros((1, 1), np.uint32)
    two = {SITES[1]: own[SITES[1]]}
    for peers, fewest in ((two, 1), (two, 3), ({}, 0), ({SITES[0]: bytes(32), **two}, 3), (own, 5)):
        with pytest.raises(TooFewToHide):
            masked(zeros, SITES[0], peers, CONTEXT, fewest)
    masked(zeros, SITES[0], own, CONTEXT, 4)
