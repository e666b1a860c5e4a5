"""What makes a function a verb of `compose`, and the flags that several verbs take."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from compose_lang.report.screen import Screen

if TYPE_CHECKING:
    from compose_lang.api.model import Model

app = typer.Typer(
    name="compose",
    help="Compose: generative models as products of factors. Start with `compose run PROGRAM.cg`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAULTS = 3  #: exit code where draws have faults, of `run --strict` and of `verify`
EVERY_VERB: dict[str, Any] = {
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors and results.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")],
    "json": Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")],
    "no_progress": Annotated[bool, typer.Option("--no-progress", help="Show no bars.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of what goes wrong.")],
}


def verb(function: Callable[..., int | None]) -> Callable[..., None]:
    """Make a function of a screen and flags a verb, with the flags that every verb takes."""

    @wraps(function)
    def run(**given: Any) -> None:
        screen = Screen(**{name: given.pop(name) for name in EVERY_VERB})
        with screen.ending():
            code = function(screen, **given)
            sys.stdout.flush()
            raise SystemExit(code or 0)

    hints = get_type_hints(function, include_extras=True)
    own = [p for name, p in inspect.signature(function).parameters.items() if name != "screen"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)
        for name, hint in EVERY_VERB.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
    run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*parameters, *added]}
    return app.command(name=function.__name__.strip("_"))(run)


Program = Annotated[Path, typer.Argument(metavar="F.cg", help="The program.", show_default=False)]
DataFlag = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="NAME=FILE[:KEY]",
        help="Bind data: a file, one column or key of it, or one JSON or NPZ file with all.",
    ),
]
SetFlag = Annotated[list[str], typer.Option("--set", metavar="CONST=VALUE", help="Replace a const.")]
TrustFlag = Annotated[
    bool, typer.Option("--trust", help="Let the program run the code it names by `extern`.")
]
NOTHING: list[str] = []  # Typer reads it as a default, nobody changes it


def model_of(
    program: Path,
    data: list[str],
    constants: list[str],
    trust: bool,
    earlier: Mapping[str, Any] | None = None,
) -> Model:
    """Compile a program with what the flags bind; constants of an earlier run hold where no flag sets them."""
    from compose_lang.api.bindings import bound_constants, bound_data
    from compose_lang.api.model import compile, data_names

    declared = data_names(program) if data else ()
    bound = {**(earlier or {}), **bound_constants(constants)}
    return compile(program, bound_data(data, declared), bound, trust)


def folder_of(program: Path) -> Path:
    """The folder that a program's draws go to unasked."""
    return Path(program.stem + ".out")
