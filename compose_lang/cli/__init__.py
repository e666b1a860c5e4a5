"""The command `compose`: its verbs and their flags; what they do is in `api`, how they end in `screen`.

In: the command line. Out: a verb done, and its exit code. Before: `api`, `repl`, `report`. After: nothing.
Heavy libraries are imported by the verbs that need them: `compose --help` and `compose check` load neither
JAX nor PyTorch, SciPy, xarray or networkx.
"""

from compose_lang.cli import running, programs, folders, starting  # isort: skip - the order of the help
from compose_lang.cli.verb import EVERY_VERB, app

__all__ = ["EVERY_VERB", "app", "folders", "main", "programs", "running", "starting"]


def main() -> None:
    """The console script `compose`."""
    app()
