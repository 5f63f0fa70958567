"""Conditions: safe expressions over results of earlier experiments: ``base.verdict == 'sick' and base['kl/nats'] < 0.5``.

Comparisons, arithmetic and ``and or not in`` are allowed. An experiment has ``verdict``, ``status``, ``symptoms``, ``causes``,
``step``, ``onset``, ``score`` (quality from 0 to 1), ``ended`` and ``['signal']`` (its level at the end). No code is executed.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.diagnosis.doctor import EXIT, causes, symptoms
from trainwright.errors import UserError, nearest
from trainwright.studies.jobs import Result

FIELDS = ("verdict", "status", "symptoms", "causes", "step", "onset", "score", "ended")
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": lambda *values: abs(values[0]),
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
}
COMPARE: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
STATUSES = ("finished", "paused", "stopped", "crashed", "failed")
WORDS: Mapping[str, Callable[[], Iterable[str]]] = {
    "verdict": lambda: EXIT,
    "status": lambda: STATUSES,
    "symptoms": symptoms,
    "causes": causes,
}
LONGEST = 500  # characters


class Undecided(Exception):
    """A condition has no answer: the experiment was skipped, or the signal was not measured."""


@dataclass(frozen=True)
class Condition:
    """A parsed expression; ``names`` are the experiments that it refers to."""

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def holds(self, results: Mapping[str, Result | None]) -> bool:
        """Return whether the condition is true.

        Args:
            results: the result of each experiment in ``names``; None for one that was not run.

        Raises:
            Undecided: a value is missing; the message is the reason.
        """
        return bool(_value(self._tree, results))


def parse(text: str, known: tuple[str, ...], where: str) -> Condition:
    """Check an expression and find the experiments that it refers to.

    Args:
        text: the expression.
        known: names of experiments that it may refer to.
        where: the place, for error messages.

    Raises:
        UserError: not an expression, or one with parts that are not allowed.
    """
    if len(text) > LONGEST:
        raise UserError(f"{where}: a condition may have at most {LONGEST} characters.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise UserError(
            f"{where}: {text!r} is not a condition; write one such as \"base.verdict == 'healthy'\"."
        ) from None
    names: dict[str, None] = {}
    _check(tree, known, names, where)
    return Condition(text.strip(), tuple(names), tree)


def _check(node: ast.AST, known: tuple[str, ...], names: dict[str, None], where: str) -> None:
    match node:
        case ast.BoolOp(values=parts):
            _all(parts, known, names, where)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=part):
            _check(part, known, names, where)
        case ast.BinOp(left=a, op=op, right=b) if type(op) in ARITHMETIC:
            _all([a, b], known, names, where)
        case ast.Compare(left=a, ops=ops, comparators=rest) if all(type(o) in COMPARE for o in ops):
            _all([a, *rest], known, names, where)
            _words([a, *rest], where)
        case ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            _all(parts, known, names, where)
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in FUNCTIONS and parts:
            _all(parts, known, names, where)
        case ast.Attribute(value=ast.Name(id=name), attr=field):
            if field not in FIELDS:
                raise UserError(
                    f"{where}: an experiment has no {field!r}.{nearest(field, FIELDS)} It has {', '.join(FIELDS)}, and ['signal']."
                )
            _name(name, known, names, where)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str())):
            _name(name, known, names, where)
        case ast.Name(id=name):
            _name(name, known, {}, where)
            raise UserError(
                f"{where}: {name} is an experiment; write {name}.verdict, {name}.score or {name}['signal']."
            )
        case _:
            raise UserError(f"{where}: {ast.unparse(node)!r} is not allowed in a condition.")


def _words(sides: list[ast.expr], where: str) -> None:
    """Check that a verdict, status, symptom or cause in a comparison exists."""
    fields = {side.attr for side in sides if isinstance(side, ast.Attribute)} & set(WORDS)
    valid = {word for field in fields for word in WORDS[field]()}
    for side in sides if fields else ():
        for node in side.elts if isinstance(side, ast.List | ast.Tuple) else [side]:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in valid:
                what = " or ".join(sorted(fields))
                raise UserError(f"{where}: there is no {what} {node.value!r}.{nearest(node.value, valid)}")


def _all(nodes: list[ast.expr], known: tuple[str, ...], names: dict[str, None], where: str) -> None:
    for node in nodes:
        _check(node, known, names, where)


def _name(name: str, known: tuple[str, ...], names: dict[str, None], where: str) -> None:
    if name not in known:
        raise UserError(f"{where}: there is no experiment {name!r} before this one.{nearest(name, known)}")
    names[name] = None


def _value(node: ast.AST, results: Mapping[str, Result | None]) -> Any:
    match node:
        case ast.BoolOp(op=op, values=parts):
            wanted = isinstance(op, ast.Or)
            return next((wanted for part in parts if bool(_value(part, results)) is wanted), not wanted)
        case ast.UnaryOp(op=op, operand=part):
            found = _value(part, results)
            return not found if isinstance(op, ast.Not) else -_number(found, node)
        case ast.BinOp(left=a, op=op, right=b):
            left, right = _number(_value(a, results), a), _number(_value(b, results), b)
            if isinstance(op, ast.Div) and right == 0:
                raise Undecided(f"{ast.unparse(b)} is 0")
            return ARITHMETIC[type(op)](left, right)
        case ast.Compare(left=a, ops=ops, comparators=rest):
            left = _value(a, results)
            for compare, other in zip(ops, rest, strict=True):
                right = _value(other, results)
                if not _compare(compare, left, right, node):
                    return False
                left = right
            return True
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, results) for part in parts]
        case ast.Call(func=ast.Name(id=name), args=parts):
            return FUNCTIONS[name](*(_number(_value(part, results), part) for part in parts))
        case ast.Attribute(value=ast.Name(id=name), attr="ended"):
            return results.get(name) is not None
        case ast.Attribute(value=ast.Name(id=name), attr=field):
            found = _there(getattr(_result(name, results), field), f"{name}.{field}")
            return list(found) if isinstance(found, tuple) else found
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as signal)):
            return _there(_result(name, results).levels.get(signal), f"{name}['{signal}']")
        case _:
            raise AssertionError(ast.dump(node))


def _compare(op: ast.cmpop, left: Any, right: Any, node: ast.AST) -> bool:
    try:
        return COMPARE[type(op)](left, right)
    except TypeError:
        raise Undecided(f"{ast.unparse(node)} compares {left!r} with {right!r}") from None


def _result(name: str, results: Mapping[str, Result | None]) -> Result:
    found = results.get(name)
    if found is None:
        raise Undecided(f"{name} was not run")
    return found


def _there(value: Any, what: str) -> Any:
    if value is None:
        raise Undecided(f"{what} was not measured")
    return value


def _number(value: Any, node: ast.AST) -> float:
    if isinstance(value, int | float):
        return value
    raise Undecided(f"{ast.unparse(node)} is {value!r}, not a number")
