"""What is found by its file's name: ways of learning and nets, a file each, which export one object.

The compiler asks here what a `learn` may say, and imports no file that the program does not name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any


class Discovered(Mapping[str, Any]):
    """What each file of a package exports under one name, by the file's name, in alphabetical order."""

    def __init__(self, package: str, export: str) -> None:
        self.package = package
        self.export = export

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the files; none is imported."""
        spec = find_spec(self.package)
        assert spec is not None
        return tuple(sorted(module.name for module in iter_modules(spec.submodule_search_locations)))

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        return getattr(import_module(f"{self.package}.{name}"), self.export)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


LEARNERS = Discovered("compose_lang.runtime.learned.learners", "LEARNER")
NETS = Discovered("compose_lang.runtime.learned.nets", "NET")
