"""Conditions on metadata columns: a small, safe expression language, evaluated without ``eval``."""

from __future__ import annotations

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.data.columns import TEXT, UNITS
from exitwave.errors import DatasetError

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ALLOWED = (
    "comparisons of columns and constants, and in with a list of constants, joined by and, or, not, with + - * / and "
    "abs()"
)
LONGEST, DEEPEST = 10_000, 50
"""Characters of a condition and levels of nesting, far above what a person writes and below what Python can parse."""


def check_condition(condition: str, columns: Iterable[str] = UNITS) -> None:
    """Refuse a condition that names an unknown column or is more than a condition.

    Parameters
    ----------
    condition : str
    columns : iterable of str
        Those that there will be, of all that are known.

    Raises
    ------
    DatasetError
        One sentence with what was found and what is allowed.
    """
    # One row of the right types shows what a comparison would do.
    select(pd.DataFrame({name: ["x" if name in TEXT else 1.0] for name in columns}), condition)


class Columns(Protocol):
    """A table as far as a condition needs it: a DataFrame, or one that is read column by column."""

    def __len__(self) -> int: ...

    def __getitem__(self, name: Any, /) -> Any: ...

    @property
    def columns(self) -> Any:
        """Names of the columns."""
        ...


def select(table: Columns, condition: str) -> NDArray[np.bool_]:
    """Rows of a table that fulfil a condition.

    Parameters
    ----------
    table : Columns
        Metadata, one row an item; a DataFrame, or a StoredTable of which the columns named are read.
    condition : str
        Such as ``"defocus > 0 and (dose < 500 or material in ['Au', 'Ag'])"``.

    Returns
    -------
    ndarray of bool, shape (rows,)
        A missing value fulfils no comparison but ``!=`` and ``not in``.

    Raises
    ------
    DatasetError
        If the condition names a column that is not there, or is more, or less, than a condition.
    """
    tree = _parsed(condition)
    try:
        with np.errstate(all="ignore"):
            result = _truth(tree, table, condition)
    except (TypeError, ArithmeticError) as error:
        raise DatasetError(f"found {_shown(condition)}, which cannot be evaluated ({error}); allowed: {ALLOWED}") from (
            error
        )
    # A condition on constants alone is one truth value for all rows.
    return np.broadcast_to(result, (len(table),)).copy()


def names_in(condition: str) -> set[str]:
    """Names of the columns that a condition is about; raises as `select` does where it is none."""
    return {node.id for node in ast.walk(_parsed(condition)) if isinstance(node, ast.Name)} - {"abs"}


def unknown_column(name: str, columns: Iterable[str]) -> str:
    """What follows ``found unknown column`` is allowed: the columns there are, those with a similar name first."""
    columns = list(columns)
    # 'thickness' is to find 'substrate_thickness' too, which the ratio of letters alone puts behind 'radius'.
    parts = [column for column in columns if len(name) > 2 and (name in column or column in name)]
    near = list(dict.fromkeys([*parts, *difflib.get_close_matches(name, columns, n=3, cutoff=0.6)]))[:5]
    return f"perhaps {', '.join(near)}, or any of {', '.join(columns)}" if near else ", ".join(columns)


def _parsed(condition: str) -> ast.expr:
    if len(condition) > LONGEST:
        raise DatasetError(f"found a condition of {len(condition)} characters; allowed: at most {LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about backslashes in text
            tree = ast.parse(condition.strip().replace("\n", " "), mode="eval").body
    except (MemoryError, RecursionError):  # how the parser refuses deep nesting
        depth = DEEPEST + 1
    except (SyntaxError, ValueError) as error:
        raise DatasetError(f"found {_shown(condition)}, which is no expression; allowed: {ALLOWED}") from error
    else:
        depth = _depth(tree)
    if depth > DEEPEST:
        raise DatasetError(f"found {_shown(condition)}, which is nested too deeply; allowed: at most {DEEPEST} levels")
    return tree


def _depth(tree: ast.AST) -> int:
    """Levels of a tree, counted without recursion and no further than is allowed."""
    depth, level = 0, [tree]
    while level and depth <= DEEPEST:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _shown(condition: str) -> str:
    return repr(condition if len(condition) <= 200 else condition[:200] + "…")


def _written(node: ast.AST) -> str:
    """A part of a condition as it may have been written."""
    try:
        return _shown(ast.unparse(node))
    except ValueError:  # a whole number in hexadecimal digits may have too many decimal ones
        return "a number of thousands of digits"


def _refusal(node: ast.AST, condition: str, why: str = "") -> DatasetError:
    return DatasetError(f"found {_written(node)}{why} in {_shown(condition)}; allowed: {ALLOWED}")


def _truth(node: ast.AST, table: Columns, condition: str) -> NDArray[np.bool_]:
    """Truth of a condition for each row, shape (rows,) or () where no column occurs in it."""
    match node:
        case ast.BoolOp(op=junction, values=values):
            join = np.logical_and if isinstance(junction, ast.And) else np.logical_or
            result = _truth(values[0], table, condition)
            for value in values[1:]:
                result = join(result, _truth(value, table, condition))
            return result
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_truth(operand, table, condition))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            result = np.array(True)
            for op, right in zip(ops, comparators, strict=True):
                result = np.logical_and(result, _comparison(left, op, right, table, condition))
                left = right
            return result
        case ast.Call(func=ast.Name(id="abs")) | ast.Name() | ast.Constant() | ast.BinOp() | ast.UnaryOp():
            raise _refusal(node, condition, ", which is not true or false for each image,")
    raise _refusal(node, condition)


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, table: Columns, condition: str) -> NDArray[np.bool_]:
    value = _value(left, table, condition)
    if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple | ast.Set):
        members = [_value(_constant(member, condition), table, condition) for member in right.elts]
        if any(_is_text(member) != _is_text(value) for member in members):
            raise _refusal(right, condition, f", text and numbers mixed for {_written(left)},")
        found = pd.Series(np.atleast_1d(value)).isin(members).to_numpy().reshape(np.shape(value))
        return np.asarray(found if isinstance(op, ast.In) else ~found, dtype=bool)
    if type(op) not in _COMPARE:
        raise DatasetError(
            f"found {_written(ast.Compare(left, [op], [right]))} in {_shown(condition)}; allowed: {ALLOWED}"
        )
    other = _value(right, table, condition)
    if _is_text(value) != _is_text(other):
        raise _refusal(ast.Compare(left, [op], [right]), condition, ", which compares text with a number,")
    return np.asarray(_COMPARE[type(op)](value, other), dtype=bool)


def _constant(node: ast.expr, condition: str) -> ast.expr:
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    if not isinstance(inner, ast.Constant):
        raise _refusal(node, condition, ", which is no constant,")
    return node


def _value(node: ast.AST, table: Columns, condition: str) -> Any:
    """Numbers or text: an array of float or object of shape (rows,), a float or a str."""
    match node:
        case ast.Constant(value=bool() | int() | float() as number):
            return float(number)
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id=name):
            if name not in table.columns:
                allowed = unknown_column(name, table.columns)
                raise DatasetError(f"found unknown column '{name}' in {_shown(condition)}; allowed: {allowed}")
            column = table[name]
            is_text = name in TEXT if name in UNITS else not pd.api.types.is_numeric_dtype(column)
            return column.to_numpy(dtype=object) if is_text else column.to_numpy(dtype=float, na_value=np.nan)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_number(left, table, condition), _number(right, table, condition))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, table, condition)
        case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
            return abs(_number(argument, table, condition))
    raise _refusal(node, condition)


def _number(node: ast.AST, table: Columns, condition: str) -> Any:
    value = _value(node, table, condition)
    if _is_text(value):
        # Not only senseless: 'x' * 10**12 would fill the memory.
        raise _refusal(node, condition, ", which is text where a number is needed,")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)
