"""Names → warnings of how they are spelled (CG0212)."""

from __future__ import annotations

from compose_lang.diagnostics import Diagnostic, Span


def style_warning(name: str, is_factor: bool, span: Span) -> Diagnostic | None:
    """A CG0212 for a factor that starts with a small letter, or anything else that starts with a capital.

    A single letter is the mathematician's: `X`, `W1` and `L_omega` are welcome.
    """
    first = name[0]
    if is_factor and first.islower():
        better, rule = first.upper() + name[1:], "factors and densities start with a capital"
    elif not is_factor and first.isupper() and not _is_one_letter(name):
        better, rule = (
            first.lower() + name[1:],
            "all but factors, densities and types start with a small letter",
        )
    else:
        return None
    return Diagnostic(
        "CG0212", f"{rule}: `{name}`", span, severity="warning", help=f"`{better}` would not surprise"
    )


def _is_one_letter(name: str) -> bool:
    return len(name) == 1 or not name[1].isalpha()
