"""The Python of the devserver's page, run as a user would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "devserver.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.findall(r"def (\w+)", block)[0])
def test_the_tests_on_the_page_pass_where_they_are_pasted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(block)
    result = pytester.runpytest_inprocess(
        "-p", "smartflows_provider.devserver.pytest_plugin", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=1)
