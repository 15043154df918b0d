"""False variants of propositions: each must fail its proposition's check, and the book prints how many do.

A test module names them, `FALSE = {"blind-spot": {"halved": check, …}}`: by proposition, as the chapter's variables
`variants-…` name it, each variant as a check that takes no argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from literate import key, prose

False_ = Mapping[str, Mapping[str, Callable[[], None]]]
LEAST = 6
"""Variants of a proposition, at the least."""


def rejected(false: False_) -> Callable[..., None]:
    """Return the test that every variant fails its check: a case a variant."""
    cases = {f"{name}: {variant}": check for name, checks in false.items() for variant, check in checks.items()}

    @pytest.mark.parametrize("case", cases)
    def test(case: str) -> None:
        with pytest.raises(AssertionError):
            cases[case]()

    return test


def counted(false: False_, printed: Mapping[str, int], chapter: str) -> Callable[[], None]:
    """Return the test that a chapter prints beside each proposition how many variants there are."""

    def test() -> None:
        assert {name: len(checks) for name, checks in false.items()} == dict(printed)
        assert min(printed.values()) >= LEAST
        text = prose(chapter)
        for name in printed:
            assert f"rejects {{{{< var {key(chapter)}.variants-{name} >}}}} false variants" in " ".join(text.split())

    return test
