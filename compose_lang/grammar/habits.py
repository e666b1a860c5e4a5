"""What users of other languages type where it does not parse → a hint (CG0103).

Each function knows one kind of habit; `HABITS` lists them, the most particular first. What parses but means
something else is left to the stages that know names and types.
"""

from __future__ import annotations

from collections.abc import Callable

from compose_lang.diagnostics import Diagnostic
from compose_lang.grammar.failure import Failure
from compose_lang.grammar.stan_habits import STAN_HABITS, TYPES
from compose_lang.grammar.tokens import DECLARING, RESERVED, VALUE, Token

WORDS = {
    "from": "`use std.geometry (distance)` brings names in",
    "import": '`use std.geometry (distance)` brings names in, `use "part.cg" as part` another program',
    "include": '`use "part.cg" as part` brings another program in',
    "def": "a function is `fn f(x: real) -> real = value`",
    "function": "a function is `fn f(x: real) -> real = value`",
    "func": "a function is `fn f(x: real) -> real = value`",
    "lambda": "a function is `fn f(x: real) -> real = value`",
    "return": "a function's value is the last expression of its block",
    "while": "a loop is `for i in range(n) { … }`; steps that follow each other are `let s[t] = … for t in …`",
    "foreach": "a loop is `for v in values { … }`",
    "with": "arrays are independent copies as they are; a loop is `for i in range(n) { … }`",
    "elif": "write `else if`",
    "elseif": "write `else if`",
    "switch": "write `if … { … } else if … { … }`",
    "class": "a model is a `factor F(x: real | k: real) { … }`",
    "struct": "values that belong together are variables of their own, or rows of an array",
    "minimize": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "minimise": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "maximize": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "maximise": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "subject": "a constraint is `require condition`",
    "such": "a constraint is `require condition`",
    "assert": "a constraint is `require condition`",
    "constraint": "a constraint is `require condition`",
    "constrain": "a constraint is `require condition`",
    "sample": "write `x ~ F(…)`",
    "print": "every `var` and `let` is recorded with the draws",
    "export": "every `var` and `let` is recorded with the draws",
    "random": "a random variable is `var x: real ~ F(…)`",
    "variable": "a random variable is `var x: real ~ F(…)`",
    "parameter": "a random variable is `var x: real ~ F(…)`",
    "val": "a value is `let name = value`",
    "set": "a value is `let name = value`",
    "define": "a value is `let name = value`",
}  # fmt: skip


# --- words


def _word(f: Failure) -> Diagnostic | None:
    """A word that starts a statement elsewhere: `def`, `elif`, `lambda`."""
    for word in (f.token, f.previous if f.statement else None, f.first):
        if word is f.token and f.first.kind == "INFER":
            continue  # `infer x with nuts` has its own answer
        if word is not None and word.kind == "NAME" and word.text in WORDS and f.previous:
            return f.habit(f"`{word.text}` is no word of the language", WORDS[word.text], word)
    return None


def _capitals(f: Failure) -> Diagnostic | None:
    """`AND`, `For`: the language's words in other letters."""
    for word in (f.token, f.previous if f.statement else None):
        if word is not None and word.kind == "NAME" and word.text.lower() != word.text:
            small = word.text.lower()
            if small.upper() in RESERVED:
                return f.habit(f"`{word.text}` is no word of the language", f"write `{small}`", word)
    return None


# --- declarations


def _several_names(f: Failure) -> Diagnostic | None:
    """`var a, b: real`, `let (a, b) = …`, `var a: real, b: real`, `for i, v in …`"""
    word = f.first.text
    if f.token.kind == "COMMA" and f.kinds[:2] == ("FOR", "NAME") and len(f.statement) == 2:
        name = f.statement[1].text
        return f.habit("names that go together stand in parentheses", f"write `for ({name}, …) in …`")
    if f.first.kind not in DECLARING or f.first.kind in ("USE", "TYPE", "FN", "FACTOR", "DENSITY"):
        return None
    each = f"write `{word} …` for each, on lines of their own"
    if f.token.kind == "COMMA" and len(f.statement) == 2:
        name = f.statement[1].text
        if word == "let":
            return f.habit("`let` names one value", each)
        return f.habit(
            f"`{word}` declares one name", f"write `{word} {name}: T` for each, or an array: `T[n]`"
        )
    is_list = f.token.kind == "COMMA" and f.opener() is f.block and "EQUAL" not in f.kinds
    if f.kinds[1:] == ("LPAR",) or is_list:
        return f.habit(f"`{word}` declares one name", each)
    return None


def _declaration(f: Failure) -> Diagnostic | None:
    """`var x: real = 3`, `let x ~ F()`, `let x: real = 3`, `x: real ~ F()`"""
    word, sign = f.first.kind, f.token.kind
    name = f.statement[1].text if len(f.statement) > 1 else ""
    at_name = len(f.statement) == 2
    if sign == "COLON" and word == "NAME" and len(f.statement) == 1:
        return f.habit(
            "a declaration starts with `var`, `data`, `const` or `let`",
            f"write `var {f.first.text}: …`",
            f.first,
        )
    if f.opener() is not f.block:
        return None
    if word == "VAR" and sign == "EQUAL" and f.kinds[1:2] == ("NAME",):
        if f.following is not None and _is_factor_name(f.ahead):
            return f.habit("a factor is not assigned", f"write `var {name}: T ~ {f.following.text}(…)`")
        help = f"`let {name} = …` names a value, `observe {name} = …` fixes a variable"
        return f.habit("a random variable has no value of its own", help)
    if word in ("LET", "CONST", "DATA", "PARAM") and sign == "TILDE" and at_name:
        help = f"a random variable is `var {name}: T ~ F(…)`"
        if word == "DATA":
            help = f"declare `data {name}: T = read(…)`, and state `{name} ~ F(…)` on a line of its own"
        return f.habit(f"`{f.first.text}` declares what is not random", help)
    if word == "LET" and sign == "COLON" and at_name:
        return f.habit("a `let` has the type of its value", f"write `let {name} = …`")
    if word == "VAR" and sign == "TILDE" and at_name:
        return f.error(
            "a variable needs its type", "expected `:` and a type", f"write `var {name}: real ~ …`"
        )
    if word == "VAR" and sign in ("IN", "MORETHAN", "LESSTHAN", "MOREEQUAL", "LESSEQUAL") and not at_name:
        return f.habit("bounds belong to the type", "write `real(lo, hi)`, `real(lower=0)` or `positive`")
    if word in DECLARING and sign == "EQEQUAL" and "EQUAL" in f.accepts:
        return f.habit("`==` compares", "write `=`")
    return None


def _is_factor_name(tokens: tuple[Token, ...]) -> bool:
    """Whether tokens start with a call of a name with a capital: `Normal(`."""
    return tokens[0].text[0].isupper() and len(tokens) > 1 and tokens[1].kind == "LPAR"


def _signature(f: Failure) -> Diagnostic | None:
    """`fn f(real x)`, `fn f(x): real`, `factor F(x) -> real`, `factor("name", e)`"""
    previous = f.previous
    if f.first.kind == "FACTOR" and f.token.kind == "LPAR" and len(f.statement) == 1:
        return f.habit("`factor` declares a factor", "a term is added with `energy -(log density)`", f.first)
    if f.first.kind not in ("FN", "FACTOR", "DENSITY") or previous is None:
        return None
    if f.token.kind == "NAME" and previous.kind == "NAME" and previous.text in TYPES:
        return f.habit(
            "the type follows the name", f"write `{f.token.text}: {TYPES[previous.text]}`", previous, f.token
        )
    if previous.kind == "RPAR" and f.token.kind == "COLON" and f.first.kind == "FN":
        return f.habit(
            "the type of a function's value stands after `->`", "write `fn f(x: real) -> real = …`"
        )
    if previous.kind == "RPAR" and f.token.kind == "ARROW":
        return f.habit(
            f"a {f.first.text} has no type of its own: it is a weight", f"leave out `-> {_next_text(f)}`"
        )
    if f.token.kind == "ENERGY" and previous.kind == "EQUAL":
        return f.habit("a factor's body stands in braces", "write `{ energy … }` in place of `= energy …`")
    return None


def _next_text(f: Failure) -> str:
    return f.following.text if f.following is not None else "…"


# --- statements


def _assignment(f: Failure) -> Diagnostic | None:
    """`y = F()`: a statement that starts with a name, or an indexed one, and goes on with `=`."""
    if f.token.kind != "EQUAL" or f.first.kind != "NAME" or not f.follows_value:
        return None
    if f.opener() is not f.block:
        return None
    target = f.text(f.first, f.statement[-1])
    help = f"`{target} ~ F(…)` states a factor, `let {target} = …` names a value"
    if f.ahead and any(_is_factor_name(f.ahead[k:]) for k in range(len(f.ahead))):
        help = f"`{target} ~ F(…)` states a factor, `var {target}: T ~ F(…)` declares the variable as well"
    return f.habit("`=` does not stand by itself", help)


def _statement_sign(f: Failure) -> Diagnostic | None:
    """`energy = e`, `require c, "name"`, `require x = 3`, `observe y ~ F()`, `infer x with nuts`"""
    word, sign = f.first, f.token.kind
    at_start, opener = len(f.statement) == 1, f.opener()
    if word.kind in ("ENERGY", "REQUIRE", "PREFER", "DRAW") and at_start and sign in ("EQUAL", "COLON"):
        return f.habit(
            f"`{word.text}` takes its value as it is", f"write `{word.text} …` without `{f.token.text}`"
        )
    if word.kind == "PREFER" and sign == "EQUAL" and f.previous is not None and f.previous.kind == "WEIGHT":
        return f.habit("the weight follows its word", "write `prefer … weight 10`")
    is_compared = opener is f.block or (opener is not None and opener.kind == "LPAR")
    if sign == "EQUAL" and "EQEQUAL" in f.accepts and word.kind != "NAME" and is_compared:
        return f.habit("`=` does not compare", "write `==`")
    if word.kind in ("REQUIRE", "PREFER") and sign == "COMMA" and f.opener() is f.block:
        if f.following is not None and f.following.kind == "STRING":
            return f.habit("the name comes first", f"write `{word.text} {f.following.text}: …`")
        if f.following is not None and f.following.kind == "WEIGHT":
            return f.habit("the weight follows its word", "write `prefer … weight 10`")
        return f.habit(
            f"`{word.text}` takes one condition", f"join them with `and`, or write `{word.text}` for each"
        )
    if word.kind == "OBSERVE" and sign == "TILDE":
        target = f.text(f.statement[1], f.statement[-1]) if len(f.statement) > 1 else "y"
        help = f"data is stated: `{target} ~ F(…)`; `observe x = value` fixes a variable"
        return f.habit("`observe` fixes a value", help)
    if word.kind == "OBSERVE" and len(f.statement) > 1 and f.statement[1].kind == "LPAR":
        return f.habit("`observe` is no function", "write `observe x = value`", word)
    if word.kind == "INFER" and f.token.text in ("with", "using", "via") and "BY" in f.accepts:
        return f.habit("a method stands after `by`", "write `infer x by nuts`")
    if word.kind == "USE" and sign in ("COLON", "LBRACE", "STAR", "DOT") and not at_start:
        return f.habit("names are brought in by parentheses", "write `use std.geometry (distance)`")
    return None


def _python_block(f: Failure) -> Diagnostic | None:
    """`for i in range(n):`, `else:`, `for i in range(n) do`"""
    if f.token.text not in (":", "do", "begin") or "LBRACE" not in f.accepts:
        return None
    return f.habit(f"a block does not start with `{f.token.text}`", "write `{ … }` around it")


def _python_else(f: Failure) -> Diagnostic | None:
    """`else:`, whose `if` was no block either"""
    if f.token.kind != "ELSE" or f.following is None or f.following.kind != "COLON":
        return None
    return f.habit("a block does not start with `:`", "write `{ … }` around it", f.following)


def _range(f: Failure) -> Diagnostic | None:
    """`for (i in 1:n)`, `for i in 1:n`, `for i = 1:n`, `for i in 0..n`, `for (i = 0; i < n; i++)`"""
    if f.first.kind != "FOR":
        is_range = f.token.kind == "COLON" and f.follows_value and f.following and f.following.kind in VALUE
        if is_range and f.opener() is f.block and f.accepts & {"_END", "$END"}:
            return f.habit("a range is not written with `:`", "`range(n)` counts 0, 1, … n - 1")
        return None
    kinds, name = f.kinds, next((t.text for t in f.statement if t.kind == "NAME"), "i")
    counted = f"write `for {name} in range({_last(f)}) {{ … }}`, which counts from 0"
    if kinds[1:] in (("LPAR", "NAME", "IN"), ("LPAR", "NAME", "EQUAL")):
        return f.habit("a loop has no parentheses around it", counted)
    if kinds[1:] == ("NAME", "EQUAL") or (kinds[1:] == ("NAME", "NAME") and f.token.text in ("from", "of")):
        return f.habit("a loop runs over a range", counted)
    if "IN" in kinds and f.token.kind == "NUMBER" and f.token.text.startswith("."):
        counted = f"write `for {name} in range({f.token.text[1:]}) {{ … }}`, which counts from 0"
        return f.habit("a range is not written with `..`", counted, f.previous)
    is_colon = f.token.kind == "COLON" and f.following is not None and f.following.kind in VALUE
    if "IN" in kinds and (is_colon or f.token.text == "..."):
        return f.habit(f"a range is not written with `{f.token.text}`", counted)
    return None


def _last(f: Failure) -> str:
    """What stands behind the `:` of a range, up to the block."""
    line = list(f.line)
    colon = next((k for k, t in enumerate(line) if t.kind == "COLON"), len(line))
    until = next((k for k, t in enumerate(line) if t.kind == "LBRACE" and k > colon), len(line))
    behind = [t for t in line[colon + 1 : until] if t.kind != "_END"]
    if behind and f.kinds[1] == "LPAR" and behind[-1].kind == "RPAR":
        del behind[-1]
    return f.text(behind[0], behind[-1]) if behind else "n"


def _conditional(f: Failure) -> Diagnostic | None:
    """`a if c else b`, and `if c { a } else { b }` as a value"""
    if f.token.kind in ("IF", "ELSE") and f.follows_value and not f.starts_line:
        return f.habit("a choice starts with its condition", "write `if c then a else b`")
    if f.token.kind == "LBRACE" and "THEN" in f.accepts and "LBRACE" not in f.accepts:
        return f.habit("a choice between values has no braces", "write `if c then a else b`")
    if f.token.kind == "LBRACE" and f.previous is not None and f.previous.kind == "THEN":
        return f.habit("a block follows its condition", "leave out `then`", f.previous)
    return None


def _let_function(f: Failure) -> Diagnostic | None:
    """`let f(x) = …`, `let f = fn(x) …`"""
    if f.kinds == ("LET", "NAME", "LPAR") or f.token.kind == "FN":
        name = f.statement[1].text if f.kinds[1:2] == ("NAME",) else "f"
        return f.habit("`let` names a value", f"a function is `fn {name}(x: real) -> real = value`")
    return None


# --- values


def _angle_bounds(f: Failure) -> Diagnostic | None:
    """`var s: real<lower=0>`"""
    if (
        f.token.kind != "LESSTHAN"
        or f.previous is None
        or f.previous.kind != "NAME"
        or "COLON" not in f.kinds
    ):
        return None
    name = f.previous.text
    return f.habit("bounds are not written `< … >`", f"write `{name}(lower=0)` or `{name}(lo, hi)`")


def _call(f: Failure) -> Diagnostic | None:
    """`Normal(mu: 0)`, `x ~ Normal(0, 1) T[0, ]`"""
    if (
        f.token.kind == "COLON"
        and "EQUAL" in f.accepts
        and "COMMA" in f.accepts
        and f.opener() is not f.block
    ):
        name = f.previous.text if f.previous is not None else "name"
        return f.habit("an argument is named by `=`", f"write `{name}=…`")
    if f.token.text == "T" and f.following and f.following.kind == "LSQB" and "TILDE" in f.kinds:
        return f.habit("`T[…]` does not truncate", "write `x ~ truncate(F(…), lo, hi)`")
    return None


def _braces(f: Failure) -> Diagnostic | None:
    """`{1, 2}` as a value, `{"red", "blue"}` as a type"""
    if f.token.kind == "LBRACE" and "NUMBER" in f.accepts and f.previous and f.previous.kind != "IN":
        return f.habit("an array is not written in braces", "write `[ … ]`") if _is_in_line(f) else None
    if f.token.kind == "STRING" and "NAME" in f.accepts and "NUMBER" not in f.accepts and "LBRACE" in f.kinds:
        return f.habit("a named value is written without quotes", f"write `{f.token.text[1:-1]}`")
    if f.kinds == ("TYPE", "NAME", "EQUAL", "NAME", "COMMA"):
        return f.habit("named values stand in braces", "write `{red, green, blue}`")
    return None


def _is_in_line(f: Failure) -> bool:
    """Whether the brace at hand is closed on its line, as no block's header is."""
    return any(token.kind == "RBRACE" for token in f.ahead) and f.first.kind not in ("FOR", "IF")


HABITS: tuple[Callable[[Failure], Diagnostic | None], ...] = (
    _word,
    _capitals,
    *STAN_HABITS,
    _let_function,
    _signature,
    _angle_bounds,
    _several_names,
    _declaration,
    _assignment,
    _statement_sign,
    _python_else,
    _range,
    _python_block,
    _conditional,
    _call,
    _braces,
)
