"""Write docs/stdlib: a page for each factor, density and function of the standard library, from its source.

`python docs/make_stdlib.py` writes the pages; a test holds them to the sources.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from compose_lang.diagnostics import Source
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse
from compose_lang.repl.values import header

HERE = Path(__file__).parent
LIBRARY = HERE.parent / "compose_lang" / "stdlib"
EVERYWHERE = ("distributions", "discrete")


def pages() -> dict[str, str]:
    """Every page's text by its path below docs/stdlib."""
    made: dict[str, str] = {}
    index = [
        "# The standard library",
        "",
        "Written in the language itself; a page for each of its declarations.",
        "",
    ]
    for path in sorted(LIBRARY.glob("*.cg")):
        text = path.read_text(encoding="utf-8")
        module = path.stem
        use = "in scope everywhere" if module in EVERYWHERE else f"`use std.{module} (…)`"
        index += [f"## {module}", "", f"{leading_comment(text)}", "", f"{use}", ""]
        for decl in parse(Source(path.name, text)).statements:
            if isinstance(decl, ast.Use):
                continue
            assert isinstance(decl, ast.FactorDecl | ast.Fn)
            made[f"{module}/{decl.name}.md"] = "\n".join(page(module, decl, text)) + "\n"
            index.append(f"- [`{header(decl.span.text)}`]({module}/{decl.name}.md)")
        index.append("")
    made["index.md"] = "\n".join(index)
    return made


def leading_comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("# ---"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(line for line in lines if line).split(" Each stands")[0]


def page(module: str, decl: ast.FactorDecl | ast.Fn, text: str) -> Iterator[str]:
    comments, example = above(text, decl.span.start)
    yield f"# {decl.name}"
    yield ""
    yield "```text"
    yield header(decl.span.text)
    yield "```"
    yield ""
    if comments:
        yield f"{comments}"
        yield ""
    if isinstance(decl, ast.FactorDecl):
        kind = (
            "A density: it sums to 1 over its subject."
            if decl.is_density
            else "A factor: it is not normalised."
        )
        yield kind + (" It can be drawn outright." if has_draw(decl) else "")
        yield ""
        yield "| subject | type |"
        yield "| --- | --- |"
        yield from rows(decl.subjects)
        yield ""
        if decl.inputs:
            yield "| input | type | default |"
            yield "| --- | --- | --- |"
            yield from rows(decl.inputs, defaults=True)
            yield ""
    if module not in EVERYWHERE:
        yield f"In scope by `use std.{module} ({decl.name})`."
        yield ""
    if example:
        call, energy = example
        yield f"`{call}` has energy {energy} nats."
        yield ""
    yield "Its source:"
    yield ""
    yield "```cg fragment"
    yield decl.span.text
    yield "```"


def rows(parameters: tuple[ast.Parameter, ...], defaults: bool = False) -> Iterator[str]:
    for p in parameters:
        type_ = p.type.span.text if p.type is not None else "any"
        default = f" {p.default.span.text if p.default is not None else '–'} |" if defaults else ""
        yield f"| `{p.name}` | `{type_}` |{default}"


def has_draw(decl: ast.FactorDecl) -> bool:
    return any(isinstance(s, ast.Draw) for s in decl.body or ())


def above(text: str, start: int) -> tuple[str, tuple[str, str] | None]:
    """The comment above a declaration, and its checked example."""
    lines = text[:start].splitlines()
    comments: list[str] = []
    example = None
    while lines and lines[-1].startswith("#") and not lines[-1].startswith("# ---"):
        line = lines.pop().lstrip("# ")
        found = re.fullmatch(r"example: (.*) -> (\S+)", line)
        if found:
            example = (found[1], found[2])
        else:
            comments.insert(0, line)
    return " ".join(comments), example


if __name__ == "__main__":
    shutil.rmtree(HERE / "stdlib", ignore_errors=True)
    for name, content in pages().items():
        path = HERE / "stdlib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
