"""Keep what follows from the pages of ``docs`` up to date: navigation, lists of pages, links to files outside ``docs``.

``python -m tools.docs_site`` rewrites ``nav`` in ``zensical.toml`` and the lists between ``<!-- pages: FOLDER -->`` and
``<!-- end pages -->``, and turns a relative link that leaves ``docs`` into the address of that file in the repository, because the
site has only the pages. ``make docs-reference`` calls it.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CONFIG = ROOT / "zensical.toml"
REPOSITORY = "https://github.com/trainwright/trainwright/blob/main/"

SECTIONS = {  # folder -> title in the navigation, in its order
    "tutorial": "Tutorials",
    "how-to": "How-to guides",
    "families": "Families",
    "reference": "Reference",
    "explanation": "Explanation",
    "results": "Results",
}
FIRST = {  # pages in the order in which they are read; the others follow by name
    "tutorial": ("first-run", "your-own-loop"),
    "how-to": (
        "install",
        "train-on-your-images",
        "diagnose-your-loop",
        "diagnose-a-log",
        "treat-a-run",
        "run-a-plan",
        "search",
        "compare-runs",
        "sample-and-export",
        "resume-and-recover",
        "use-a-tracker",
        "use-several-workers",
        "write-a-callback",
        "add-a-family",
        "add-a-symptom",
        "add-a-remedy",
    ),
    "families": ("wgan_gp", "gaussian_vae", "sequence_vae", "latent_diffusion", "video_vaegan"),
    "reference": (
        "cli",
        "python-api",
        "diagnosis-api",
        "settings",
        "signals",
        "symptoms",
        "causes",
        "remedies",
        "events",
        "run-folder",
        "glossary",
        "exit-codes",
        "json",
    ),
    "explanation": ("doctor", "treatment", "reproducibility", "architecture"),
}
NAV = re.compile(r"(# nav: generated.*?\n).*?(# end nav\n)", re.DOTALL)
LIST = re.compile(r"(<!-- pages: ([\w/-]+) -->\n).*?(<!-- end pages -->)", re.DOTALL)
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def in_order(folder: Path) -> list[Path]:
    """Return pages and folders of a section in reading order; a folder counts if it has pages, ``index.md`` comes first."""
    known = ("index", *FIRST.get(str(folder.relative_to(DOCS)), ()))
    entries = [e for e in folder.iterdir() if e.suffix == ".md" or (e.is_dir() and any(e.rglob("*.md")))]
    return sorted(entries, key=lambda e: (known.index(e.stem) if e.stem in known else len(known), e.name))


def title(page: Path) -> str:
    """Return the first heading of a page."""
    found = re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)
    return found[1].replace("`", "") if found else page.stem


def summary(page: Path) -> str:
    """Return the first sentence of a page."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL).partition("\n# ")[2].partition("\n")[2]
    for block in re.split(r"\n\s*\n", FENCED.sub("", text)):
        if block.strip() and not block.lstrip().startswith(("#", "|", "!", "-", "<")):
            first = re.match(r"(.+?[.!?:])(?=\s|$)", " ".join(block.split()))
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", (first[1] if first else block).strip())
            return plain.rstrip(":") + ("." if plain.endswith(":") else "")
    return ""


def nav() -> str:
    """Return the navigation as TOML."""
    lines = ['  "index.md",']
    for folder, name in SECTIONS.items():
        if (DOCS / folder).is_dir():
            lines.append(f'  {{ "{name}" = [')
            lines += [f"    {entry}," for entry in _entries(DOCS / folder)]
            lines.append("  ] },")
    loose = [p for p in sorted(DOCS.glob("*.md")) if p.stem not in ("index", "sources")]
    if loose:
        lines.append(f'  {{ "More" = [{", ".join(map(_quoted, loose))}] }},')
    if (DOCS / "sources.md").exists():
        lines.append('  "sources.md",')
    return "nav = [\n" + "\n".join(lines) + "\n]\n"


def _quoted(page: Path) -> str:
    return f'"{page.relative_to(DOCS)}"'


def _entries(folder: Path) -> Iterator[str]:
    for entry in in_order(folder):
        if entry.is_dir():
            inner = (_quoted(e) if e.stem == "index" else f'{{ "{e.stem}" = {_quoted(e)} }}' for e in in_order(entry))
            yield f'{{ "{entry.name.capitalize()}" = [{", ".join(inner)}] }}'
        else:
            yield _quoted(entry)


def listed(text: str, page: Path) -> str:
    """Return the text of a page with its lists of pages as they should be."""

    def render(match: re.Match[str]) -> str:
        folder = DOCS / match[2]
        entries = [e / "index.md" if e.is_dir() else e for e in in_order(folder)] if folder.is_dir() else []
        pages = [e for e in entries if e.exists() and e != page]
        rows = [f"- [{title(p)}]({os.path.relpath(p, page.parent)}): {summary(p)}".removesuffix(": ") for p in pages]
        return match[1] + "".join(f"{row}\n" for row in rows) + match[3]

    return LIST.sub(render, text)


def linked(text: str, page: Path) -> str:
    """Return the text of a page with relative links that leave ``docs`` as addresses of the repository."""

    def address(match: re.Match[str]) -> str:
        target = (page.parent / match[2]).resolve()
        if target.is_relative_to(DOCS) or not target.is_relative_to(ROOT):
            return match[0]
        return f"{match[1]}{REPOSITORY}{target.relative_to(ROOT)}"

    return LINK.sub(address, text)


def wanted() -> dict[Path, str]:
    """Return every file that this program keeps, with the text that it should have."""
    found = {p: linked(listed(p.read_text(), p), p) for p in sorted(DOCS.rglob("*.md"))}
    found[CONFIG] = NAV.sub(lambda m: m[1] + nav() + m[2], CONFIG.read_text())
    return found


def stale() -> list[str]:
    """Return the files that differ from what they should be."""
    return [str(p.relative_to(ROOT)) for p, text in wanted().items() if p.read_text() != text]


def main() -> int:
    """Rewrite the files."""
    for path, text in wanted().items():
        if path.read_text() != text:
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
