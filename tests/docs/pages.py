"""Pages of the documentation and what stands on them: fenced blocks, links, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(
    r"(?P<mark><!-- run(?:, (?P<full>\w+) as (?P<smoke>\w+))? -->\n\s*)?^(?P<indent> *)```(?P<kind>[\w-]*)[^\n]*\n(?P<text>.*?)^ *```",
    re.DOTALL | re.MULTILINE,
)


def pages() -> list[Path]:
    """Every page that a reader may open."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [p for p in top if p.exists()] + sorted(DOCS.rglob("*.md"))


def name(page: Path) -> str:
    """A page as a test's id."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its line, and true in ``run`` if the page marks it to be executed."""

    kind: str
    text: str
    line: int
    run: bool


def blocks(page: Path, *kinds: str) -> list[Block]:
    """The fenced blocks of a page in some languages."""
    text = page.read_text()
    found = []
    for m in _BLOCK.finditer(text):
        body = re.sub(rf"^{m['indent']}", "", m["text"], flags=re.MULTILINE)
        if m["full"]:  # `<!-- run, 1500 as 40 -->`: a number that would take long is replaced by a small one
            assert m["full"] in body, f"{page}: no {m['full']} in the block"
            body = re.sub(rf"\b{m['full']}\b", m["smoke"], body)
        found.append(Block(m["kind"], body, text.count("\n", 0, m.start("kind")) + 1, m["mark"] is not None))
    return [b for b in found if b.kind in kinds]


def prose(page: Path) -> str:
    """The text of a page without fenced blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text()))


def commands(text: str) -> Iterator[str]:
    """Each ``trainwright`` command of a shell block, without comments, prompts and what it is piped into."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s(?:&&|\|\||\||;)\s", re.sub(r"(^|\s)#.*", "", line)):
            found = re.match(r"^\s*(?:\$ )?(?:\w+=\S+ )*(?:\S+/)?trainwright(?:\s+(.*))?$", part)
            if found:
                yield re.sub(r"\s(?:>|2>)\s*\S+", "", found[1] or "").strip()
