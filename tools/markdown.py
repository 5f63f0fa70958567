"""Markdown from docstrings and tables, in the dialect that GitHub and the site both render."""

import inspect
import re
from collections.abc import Iterable, Sequence

GENERATED = "<!-- Generated from the code. Do not edit: run `make docs-reference`. -->\n"
_CODE = re.compile(r"(`[^`]*`)")
_ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|exc):`~?\.?([^`]*)`")
_SECTION = re.compile(r"^(Args|Arguments|Attributes|Returns|Raises|Yields|Example|Examples):$")
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+(?:, [\w.]+)*)(?: \([^)]*\))?: (.*)$")


def page(title: str, *parts: str) -> str:
    """Return a generated page."""
    text = "\n\n".join([f"{GENERATED}\n# {title}", *(p.strip("\n") for p in parts if p.strip())])
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; columns that are empty in every row are dropped."""
    filled = [list(row) for row in rows]
    kept = [i for i in range(len(head)) if i == 0 or any(row[i] for row in filled)]
    lines = [[head[i] for i in kept], ["---"] * len(kept), *([cell(row[i]) for i in kept] for row in filled)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: str) -> str:
    """Return text that can stand in a table."""
    return " ".join(value.split()).replace("\\|", "|").replace("|", "\\|")


def prose(text: str) -> str:
    """Return text of a help string or docstring with nothing in it that Markdown would take for markup."""
    text = _ROLE.sub(lambda m: f"`{m[1].rpartition('.')[2] if m[0].find('~') > 0 else m[1]}`", text).replace("``", "`")
    parts = _CODE.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"([*<>\[\]])", r"\\\1", parts[index])
    return "".join(parts)


def sentence(text: str) -> str:
    """Return text with a capital letter and a full stop."""
    text = prose(text.strip())
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def code(value: object) -> str:
    """Return a value in code markup, or nothing."""
    text = str(value)
    return f"`{text}`" if text else ""


def listed(names: Iterable[str], link: str = "{0}") -> str:
    """Return names in code markup separated by commas, each as a link if ``link`` holds an address with ``{0}``."""
    pattern = "`{0}`" if link == "{0}" else f"[`{{0}}`]({link})"
    return ", ".join(pattern.format(name) for name in names)


def names_after(lead: str, names: Iterable[str], link: str, most: int = 12) -> str:
    """Return a lead and names as one sentence, or as a list with eight names to a line if there are many."""
    all_names = list(names)
    if len(all_names) <= most:
        return f"{lead} {listed(all_names, link)}."
    rows = [all_names[i : i + 8] for i in range(0, len(all_names), 8)]
    return f"{lead}\n\n" + "\n".join(f"- {listed(row, link)}" for row in rows)


def docstring(obj: object) -> str:
    """Return the docstring of an object with its sections as bold words and lists."""
    return render(inspect.getdoc(obj) or "")


def render(text: str) -> str:
    """Return a Google-style docstring as Markdown; code blocks and doctests are kept as they are."""
    out: list[str] = []
    section, fenced, in_code = "", False, False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("```"):
            fenced = not fenced
        if fenced or stripped.startswith("```"):
            out.append(line)
            continue
        code_line = bool(
            line.startswith("    ") and not section and out and (in_code or (out[-1] == "" and out[-2:-1] != [""]))
        )
        if code_line or stripped.startswith((">>>", "...")):
            if not in_code:
                out.append("```python")
            in_code = True
            out.append(line.removeprefix("    "))
            continue
        if in_code and stripped:
            while out[-1] == "":
                out.pop()
            out += ["```", ""]
            in_code = False
        heading = _SECTION.match(line)
        if heading:
            section = heading[1]
            out += ["", f"**{section}**", ""]
        elif section and line.startswith("    "):
            _entry(out, line, section)
        else:
            section = section if not stripped else ""
            out.append(prose(line.rstrip().removesuffix("::") + ":" if line.rstrip().endswith("::") else line.rstrip()))
    if in_code:
        out.append("```")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _entry(out: list[str], line: str, section: str) -> None:
    """One line of a section: a new item of the list, or more of the one before."""
    found = _ENTRY.match(line.strip())
    deeper = line.startswith("        ")
    if found and not deeper and section not in ("Returns", "Yields", "Example", "Examples"):
        out.append(f"- `{found[1]}`: {prose(found[2])}")
    elif section in ("Returns", "Yields") and out[-1] == "":
        out.append(prose(line.strip()))
    elif out[-1]:
        out[-1] += " " + prose(line.strip())
    else:
        out.append(prose(line.strip()))
