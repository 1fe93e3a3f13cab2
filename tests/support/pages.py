"""The pages of the documentation as tests read them: their code blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Where its code begins, counted from 1."""
    language: str
    """What stands behind the fence: a language, or `{directive}`."""
    code: str
    result: Block | None
    """The block that follows it with nothing in between."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """Return the blocks of a page, in its order."""
    found: list[Block] = []
    follower: Block | None = None
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    for token in reversed(tokens):
        if token.type not in ("fence", "code_block"):
            follower = None
            continue
        assert token.map is not None
        language, *_ = token.info.split() or [""]
        follower = Block(
            page=page, line=token.map[0] + 2, language=language, code=token.content, result=follower
        )
        found.append(follower)
    return tuple(reversed(found))


def blocks(*languages: str) -> list[Block]:
    """Return all pages' blocks of some languages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]
