"""The session at a terminal: editing, highlighting, completion, history; and as a script where there is none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from compose_lang.compiler.elaborate.declarations.declared_types import TYPE_NAMES
from compose_lang.compiler.elaborate.expressions.builtins import BUILTINS, CONSTANTS
from compose_lang.compiler.elaborate.standard_library import known_names
from compose_lang.diagnostics import ComposeError, Source
from compose_lang.grammar import ast
from compose_lang.grammar.automaton import load_tables
from compose_lang.grammar.parser import parse
from compose_lang.grammar.tokens import RESERVED
from compose_lang.repl.commands import COMMANDS, OPTIONS, Done, Repl
from compose_lang.repl.session import is_complete

BANNER = "Compose. Statements build a program, expressions are evaluated; :help lists the commands."


def converse(repl: Repl) -> int:
    """Talk until the user leaves; the exit code."""
    if not sys.stdin.isatty():
        return script(repl, sys.stdin)
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    history: History = InMemoryHistory()
    path = history_file()
    if path is not None:
        history = FileHistory(str(path))
    session: PromptSession[str] = PromptSession(
        history=history,
        lexer=highlighter(),
        completer=completer(repl),
        complete_while_typing=False,
        key_bindings=keys(),
        multiline=True,
        prompt_continuation="  ... ",
        enable_open_in_editor=True,
        mouse_support=False,
    )
    print(BANNER)
    while True:
        try:
            text = session.prompt(f"[{repl.session.entered + 1}]> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return 0
        if attempt(repl, lambda text=text: repl.line(text)) is None:  # type: ignore[misc]
            return 0


def attempt(repl: Repl, action: Callable[[], None]) -> bool | None:
    """Do one line, whatever happens: true, false where it failed, None where the user wants to leave."""
    try:
        action()
    except Done:
        return None
    except ComposeError as wrong:
        repl.screen.report(wrong.diagnostics)
        return False
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return False
    except Exception as bug:
        repl.screen.admit(bug)
        return False
    return True


def script(repl: Repl, lines: TextIO) -> int:
    """Run what is piped in, cell by cell; 1 where one of them failed."""
    failed = False
    waiting = ""
    for line in lines:
        waiting += line
        if not waiting.lstrip().startswith(":") and not is_complete(waiting):
            continue
        text, waiting = waiting, ""
        ended = attempt(repl, lambda text=text: repl.line(text))  # type: ignore[misc]
        if ended is None:
            return int(failed)
        failed |= not ended
    if waiting.strip():
        failed |= not attempt(repl, lambda: repl.line(waiting))
    return int(failed)


def history_file() -> Path | None:
    """Where entered lines are kept between sessions; None where nothing can be written."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = base / "compose" / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return None
    return path


def keys() -> Any:
    """Enter ends a cell that is complete, and opens a new line in one that is not; so does Alt-Enter always."""
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: Any) -> None:
        buffer = event.current_buffer
        text = buffer.document.text
        if text.lstrip().startswith(":") or is_complete(text) or not text.strip():
            buffer.validate_and_handle()
            return
        depth = text.count("{") + text.count("(") + text.count("[")
        depth -= text.count("}") + text.count(")") + text.count("]")
        buffer.insert_text("\n" + "  " * max(0, min(depth, 8)))

    @bindings.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


# --- highlighting -----------------------------------------------------------------------------------------

STYLES = {"COMMENT": "ansibrightblack", "STRING": "ansigreen", "NUMBER": "ansicyan"}


def highlighter() -> Any:
    from prompt_toolkit.document import Document
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.lexers import Lexer

    class Highlighter(Lexer):
        def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
            lines = document.lines
            return lambda number: [*styled_line(lines[number])]

    return Highlighter()


def styled_line(line: str) -> Iterator[tuple[str, str]]:
    """The parts of a line with their styles."""
    tables = load_tables()
    for match in tables.lexer.finditer(line):
        kind = tables.keywords.get(match[0], match.lastgroup or "")
        style = STYLES.get(kind, "")
        if kind in RESERVED:
            style = "bold ansiblue"
        elif kind == "NAME" and match[0] in TYPE_NAMES:
            style = "ansimagenta"
        elif kind == "NAME" and match[0][0].isupper():
            style = "ansiyellow"
        yield style, match[0]


# --- completion -------------------------------------------------------------------------------------------


def candidates(repl: Repl, before: str) -> Iterable[str]:
    """What may stand at the cursor, given the text before it: words that begin as the last one does."""
    word = re.search(r"[\w.]*$", before)
    assert word is not None
    start = word[0]
    line = before.rsplit("\n", 1)[-1]
    if re.search(r'#|^[^"]*("[^"]*"[^"]*)*"[^"]*$', line):
        return []  # in a comment or a text
    if line.startswith(":"):
        return sorted(command_words(repl, line, start))
    names = repl_names(repl)
    head = before[: len(before) - len(start)].rstrip()
    words: Iterable[str]
    called = re.search(r"(\w+)\($|(\w+)\([^()]*,$", head)
    if head.endswith(":") and not head.endswith("]:"):
        words = [*TYPE_NAMES, *(n for n in names if names[n] == "type")]
    elif head.endswith("~"):
        words = [n for n, kind in {**known_names(), **names}.items() if kind == "factor"]
    elif not head or head.endswith(("\n", "{", ";")):
        words = [*(w.lower() for w in RESERVED), *names]
    else:
        words = [
            *names,
            *BUILTINS,
            *CONSTANTS,
            *known_names(),
            "then",
            "else",
            "for",
            "in",
            "and",
            "or",
            "not",
        ]
        if called:
            words = [*arguments_of(repl, called[1] or called[2]), *words]
    return [w for w in dict.fromkeys(words) if w.startswith(start) and w != start]


def command_words(repl: Repl, line: str, start: str) -> Iterable[str]:
    name, sign, rest = line[1:].partition(" ")
    if not sign:
        return (c for c in COMMANDS if c.startswith(start))
    if name == "sample":
        return (f"{option}=" for option in OPTIONS if option.startswith(start))
    if name in ("load", "save"):
        folder, _, begun = rest.rpartition("/")
        place = Path(folder or ("/" if rest.startswith("/") else "."))
        found = place.iterdir() if place.is_dir() else iter(())
        return (p.name + ("/" if p.is_dir() else "") for p in found if p.name.startswith(begun or start))
    return (n for n in repl_names(repl) if n.startswith(start))


def repl_names(repl: Repl) -> dict[str, str]:
    """The program's own names and their kinds."""
    from compose_lang.compiler.names.symbols import declarations

    module = parse(Source("<session>", repl.session.text))
    return {d.name: d.kind for s in module.statements for d in declarations(s)}


def arguments_of(repl: Repl, name: str) -> list[str]:
    """`mu=` and so on: the parameters of a factor or function."""
    from compose_lang.compiler.elaborate.standard_library import builtin_scope
    from compose_lang.compiler.elaborate.values import DeclaredFactor, Function

    module = parse(Source("<session>", repl.session.text))
    found: Any = next(
        (s for s in module.statements if isinstance(s, ast.FactorDecl | ast.Fn) and s.name == name), None
    )
    if found is None:
        try:
            value = builtin_scope().find(name)
        except KeyError:
            return []
        found = value.decl if isinstance(value, DeclaredFactor | Function) else None
    if isinstance(found, ast.FactorDecl):
        return [f"{p.name}=" for p in (*found.inputs, *found.subjects)]
    return [f"{p.name}=" for p in found.parameters] if isinstance(found, ast.Fn) else []


def completer(repl: Repl) -> Any:
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class Names(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            before = document.text_before_cursor
            word = re.search(r"[\w.]*$", before)
            assert word is not None
            for text in candidates(repl, before):
                yield Completion(text, start_position=-len(word[0]))

    return Names()
