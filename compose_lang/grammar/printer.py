"""`ast.Module` → source text in the canonical layout, with as few parentheses as the grammar allows.

`parse(print_module(tree)) == tree` for every tree that the parser can give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

from compose_lang.grammar import ast
from compose_lang.grammar.tokens import quoted

INDENT = "  "


class Level(IntEnum):
    """How tightly an expression binds, loosest first: the grammar's rules from `expr` down to `postfix`."""

    EXPR = 0
    OR = 1
    AND = 2
    NOT = 3
    COMPARISON = 4
    SUM = 5
    PRODUCT = 6
    SIGN = 7
    POWER = 8
    POSTFIX = 9


BINARY: dict[
    str, tuple[Level, Level, Level]
] = {  # operator: its own level, and what it asks of left and right
    **dict.fromkeys("+-", (Level.SUM, Level.SUM, Level.PRODUCT)),
    **dict.fromkeys(("*", "/", "//", "%", "@"), (Level.PRODUCT, Level.PRODUCT, Level.SIGN)),
    "^": (Level.POWER, Level.POSTFIX, Level.SIGN),
}


def print_module(module: ast.Module) -> str:
    """The text of a program: a statement a line, blank lines around what takes several."""
    blocks = ["\n".join(_statement(statement)) for statement in module.statements]
    text = ""
    for i, block in enumerate(blocks):
        is_apart = i > 0 and ("\n" in block or "\n" in blocks[i - 1])
        text += ("\n" if is_apart else "") + block + "\n"
    return text


def print_expr(expr: ast.Expr) -> str:
    """The text of an expression."""
    return _expr(expr, Level.EXPR)


def print_type(type_: ast.TypeExpr) -> str:
    """The text of a type."""
    match type_:
        case ast.NamedType(name, arguments, shape):
            text = f"{name}({_arguments(arguments)})" if arguments else name
        case ast.NamedValues(names, shape):
            text = "{" + ", ".join(names) + "}"
    return f"{text}[{_exprs(shape)}]" if shape else text


# --- expressions


def _expr(expr: ast.Expr, required: Level) -> str:
    """An expression where the grammar asks for at least a given level: in parentheses if it binds less."""
    level, text = _levelled(expr)
    return text if level >= required else f"({text})"


def _levelled(expr: ast.Expr) -> tuple[Level, str]:
    match expr:
        case ast.Conditional(test, then, otherwise):
            return Level.EXPR, f"if {print_expr(test)} then {print_expr(then)} else {print_expr(otherwise)}"
        case ast.Logical(op, operands):
            own, inner = (Level.OR, Level.AND) if op == "or" else (Level.AND, Level.NOT)
            return own, f" {op} ".join(_expr(operand, inner) for operand in operands)
        case ast.Unary("not", operand):
            return Level.NOT, f"not {_expr(operand, Level.NOT)}"
        case ast.Compare(operands, ops):
            first, *others = (_expr(operand, Level.SUM) for operand in operands)
            return Level.COMPARISON, first + "".join(
                f" {op} {other}" for op, other in zip(ops, others, strict=True)
            )
        case ast.Unary(op, operand):
            return Level.SIGN, op + _expr(operand, Level.SIGN)
        case ast.Binary(op, left, right):
            own, of_left, of_right = BINARY[op]
            gap = "" if op == "^" else " "
            return own, f"{_expr(left, of_left)}{gap}{op}{gap}{_expr(right, of_right)}"
        case ast.Generator(body, clauses, condition):
            return Level.EXPR, f"{print_expr(body)} {_comprehension(clauses, condition)}"
        case ast.LearnValue(method):
            return Level.EXPR, f"learn {print_expr(method)}"
        case _:
            return Level.POSTFIX, _postfix(expr)


def _postfix(expr: ast.Expr) -> str:
    match expr:
        case ast.Number(value):
            return repr(value)
        case ast.String(value):
            return quoted(value)
        case ast.Name(name):
            return name
        case ast.Array(items):
            return f"[{_exprs(items)}]"
        case ast.Tuple((only,)):
            return f"({print_expr(only)},)"
        case ast.Tuple(items):
            return f"({_exprs(items)})"
        case ast.ArrayComprehension(body, clauses, condition):
            return f"[{print_expr(body)} {_comprehension(clauses, condition)}]"
        case ast.Index(base, items):
            return f"{_expr(base, Level.POSTFIX)}[{', '.join(_subscript(item) for item in items)}]"
        case ast.Attribute(ast.Number() as base, name):
            return f"({print_expr(base)}).{name}"
        case ast.Attribute(base, name):
            return f"{_expr(base, Level.POSTFIX)}.{name}"
        case ast.Call(function, arguments, inputs):
            bar = "" if inputs is None else f"{' ' if arguments else ''}|{' ' if inputs else ''}"
            given = f"{_arguments(arguments)}{bar}{_arguments(inputs or ())}"
            return f"{_expr(function, Level.POSTFIX)}({given})"
    raise TypeError(f"not an expression: {expr!r}")


def _exprs(items: Iterable[ast.Expr]) -> str:
    return ", ".join(print_expr(item) for item in items)


def _arguments(arguments: Iterable[ast.Argument]) -> str:
    return ", ".join((f"{a.name}=" if a.name else "") + print_expr(a.value) for a in arguments)


def _subscript(item: ast.Expr | ast.Slice) -> str:
    if not isinstance(item, ast.Slice):
        return print_expr(item)
    start, stop, step = (print_expr(part) if part else "" for part in (item.start, item.stop, item.step))
    return f"{start}:{stop}" + (f":{step}" if step else "")


def _comprehension(clauses: Sequence[ast.Clause], condition: ast.Expr | None) -> str:
    over = ", ".join(f"{print_expr(clause.target)} in {print_expr(clause.domain)}" for clause in clauses)
    return f"for {over}" + (f" if {print_expr(condition)}" if condition else "")


# --- statements


def _statement(statement: ast.Statement) -> Iterator[str]:
    """The lines of a statement, not indented."""
    match statement:
        case ast.Fn(name, parameters, returns, body, value):
            arrow = f" -> {print_type(returns)}" if returns else ""
            head = f"fn {name}({_parameters(parameters)}){arrow}"
            if not body:
                yield f"{head} = {print_expr(value)}"
                return
            lines = [line for let in body for line in _statement(let)]
            yield from _block(head, [*lines, _at_line_start(value)])
        case ast.FactorDecl(body=body, value=value):
            if body is not None:
                yield from _block(_signature(statement), _lines(body))
            else:
                yield _signature(statement) + (f" = {print_expr(value)}" if value else "")
        case ast.For(clauses, condition, body):
            yield from _block(_comprehension(clauses, condition), _lines(body))
        case ast.If():
            yield from _conditional(statement)
        case _:
            yield _line(statement)


def _line(statement: ast.Statement) -> str:
    """A statement that takes one line."""
    match statement:
        case ast.Use(module, is_file, names, alias):
            text = f"use {quoted(module) if is_file else module}"
            return text + (f" ({', '.join(names)})" if names else "") + (f" as {alias}" if alias else "")
        case ast.TypeDecl(name, type_):
            return f"type {name} = {print_type(type_)}"
        case ast.Const(name, type_, value):
            return f"const {_declared(name, type_, value)}"
        case ast.Data(name, type_, value):
            return f"data {_declared(name, type_, value)}"
        case ast.Param(name, type_, value):
            return f"param {_declared(name, type_, value)}"
        case ast.Var(name, type_, factor):
            return f"var {name}: {print_type(type_)}" + (f" ~ {print_expr(factor)}" if factor else "")
        case ast.Let(name, indices, value, clauses, condition):
            target = f"{name}[{_exprs(indices)}]" if indices else name
            over = f" {_comprehension(clauses, condition)}" if clauses else ""
            return f"let {target} = {print_expr(value)}{over}"
        case ast.Draw(value):
            return f"draw {print_expr(value)}"
        case ast.Energy(value):
            return f"energy {print_expr(value)}"
        case ast.Require(label, condition):
            return f"require {_label(label)}{print_expr(condition)}"
        case ast.Prefer(label, condition, weight):
            by = f" weight {print_expr(weight)}" if weight else ""
            return f"prefer {_label(label)}{print_expr(condition)}{by}"
        case ast.Observe(target, value):
            return f"observe {_expr(target, Level.POSTFIX)} = {print_expr(value)}"
        case ast.Tilde(subject, factor):
            return f"{_at_line_start(subject)} ~ {print_expr(factor)}"
        case ast.Apply(factor):
            return _at_line_start(factor)
        case ast.Infer(targets, method, clauses, condition):
            of = ", ".join(t.name + (f"[{_exprs(t.indices)}]" if t.indices else "") for t in targets)
            over = f" {_comprehension(clauses, condition)}" if clauses else ""
            return "infer " + (f"{of} " if of else "") + f"by {print_expr(method)}{over}"
        case ast.Learn(targets, method):
            return f"learn {_exprs(targets)} by {print_expr(method)}"
    raise TypeError(f"not a statement: {statement!r}")


def _lines(statements: Iterable[ast.Statement]) -> list[str]:
    return [line for statement in statements for line in _statement(statement)]


def _block(head: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        yield f"{head} {{ }}"
        return
    yield f"{head} {{"
    yield from (INDENT + line for line in lines)
    yield "}"


def _conditional(statement: ast.If) -> Iterator[str]:
    *lines, last = _block(f"if {print_expr(statement.test)}", _lines(statement.then))
    yield from lines
    match statement.otherwise:
        case ():
            yield last
        case (ast.If() as nested,):
            first, *others = _conditional(nested)
            yield f"{last} else {first}"
            yield from others
        case otherwise:
            yield from _block(f"{last} else", _lines(otherwise))


def _signature(factor: ast.FactorDecl) -> str:
    word = "density" if factor.is_density else "factor"
    bar = f"{' ' if factor.subjects else ''}| " if factor.inputs else ""
    return f"{word} {factor.name}({_parameters(factor.subjects)}{bar}{_parameters(factor.inputs)})"


def _parameters(parameters: Iterable[ast.Parameter]) -> str:
    return ", ".join(_declared(p.name, p.type, p.default) for p in parameters)


def _declared(name: str, type_: ast.TypeExpr | None, value: ast.Expr | None) -> str:
    typed = f"{name}: {print_type(type_)}" if type_ else name
    return typed + (f" = {print_expr(value)}" if value else "")


def _label(label: str | None) -> str:
    return "" if label is None else f"{quoted(label)}: "


def _at_line_start(expr: ast.Expr) -> str:
    """An expression that starts a line: no line may start with an operator."""
    text = print_expr(expr)
    return f"({text})" if text[0] in "+-" else text
