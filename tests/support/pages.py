"""The pages of the documentation as tests read them: their code blocks, and what an author says about one.

A block that cannot be run stands below the comment `<!-- not run: reason -->`; `tests/docs` lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Where its code begins, counted from 1."""
    language: str
    """What stands behind the fence: a language, or `{directive}`."""
    code: str
    not_run: str | None
    """Why it is not run, if it is not."""
    result: Block | None
    """The block that follows it with nothing in between."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """Return the blocks of a page, in its order."""
    found: list[Block] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    follower: Block | None = None
    for number, token in reversed(list(enumerate(tokens))):
        if token.type not in ("fence", "code_block"):
            follower = None
            continue
        before = tokens[number - 1] if number else None
        said = _NOT_RUN.fullmatch(before.content.strip()) if before and before.type == "html_block" else None
        assert token.map is not None
        language, *_ = token.info.split() or [""]
        follower = Block(
            page=page,
            line=token.map[0] + 2,
            language=language,
            code=token.content,
            not_run=said[1] if said else None,
            result=follower,
        )
        found.append(follower)
    return tuple(reversed(found))


def blocks(*languages: str) -> list[Block]:
    """Return all pages' blocks of some languages, without those that are not run."""
    return [
        block
        for page in PAGES
        for block in blocks_of(page)
        if block.language in languages and block.not_run is None
    ]
