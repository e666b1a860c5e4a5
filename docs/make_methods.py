"""Write docs/methods.md: the methods of inference with their options, from what each says of itself.

`python docs/make_methods.py` writes the page; a test holds it to the kernels.
"""

from __future__ import annotations

from pathlib import Path

from compose_lang.runtime.backends import backend_names
from compose_lang.runtime.kernels.common.method import Method, Option
from compose_lang.runtime.planning.methods import AUTO, find_method, method_names

PAGE = Path(__file__).parent / "methods.md"
ALL = {"continuous", "finite", "counts", "permutation"}
WORDS = {"counts": "unbounded `int`", "permutation": "`permutation(n)`"}


def page() -> str:
    """The page's text."""
    methods = [method for name in method_names() if (method := find_method(name)) is not None]
    lines = [
        "# Methods of inference",
        "",
        "What `infer … by` and `--method` may name; [inference](inference.md) says which the planner takes unasked.",
        "",
        "| method | serves | what it does |",
        "| --- | --- | --- |",
        *(f"| `{m.name}` | {serves(m)} | {m.summary} |" for m in [*methods, AUTO]),
        "",
        "## Options",
        "",
        "| method | option | what it is | default |",
        "| --- | --- | --- | --- |",
        *(line(m, name, option) for m in [*methods, AUTO] for name, option in m.options.items()),
    ]
    return "\n".join(lines) + "\n"


def serves(method: Method) -> str:
    """Of which variables, and what it asks of the backend."""
    kinds = "all" if method.serves == ALL else ", ".join(WORDS.get(k, k) for k in sorted(method.serves))
    backends = [name for name in backend_names() if method.runs_on(name)]
    return kinds if len(backends) == len(backend_names()) else f"{kinds}, on {', '.join(backends)}"


def line(method: Method, name: str, option: Option) -> str:
    """The row of an option."""
    choices = f": {', '.join(f'`{c}`' for c in option.choices)}" if option.choices else ""
    only = "" if option.counts_with is None else '; with `{}="{}"`'.format(*option.counts_with)
    value = f"{option.default:g}" if isinstance(option.default, float) else option.default
    default = "" if value is None else f"`{value}`"
    return f"| `{method.name}` | `{name}` | {option.doc}{choices}{only} | {default} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
