"""Conditions on metadata columns: a small, safe expression language, evaluated without ``eval``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

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
ALLOWED = "comparisons of columns and constants, joined by and, or, not, with + - * / and abs()"


def check_condition(condition: str) -> None:
    """Refuse a condition that names an unknown column or is more than a condition.

    Raises
    ------
    DatasetError
        One sentence with what was found and what is allowed.
    """
    # One row of the right types shows what a comparison would do.
    select(pd.DataFrame({name: ["x" if name in TEXT else 1.0] for name in UNITS}), condition)


def select(table: pd.DataFrame, condition: str) -> np.ndarray:
    """Rows of a table that fulfil a condition.

    Parameters
    ----------
    table : DataFrame
        Metadata, one row an item.
    condition : str
        Such as ``"defocus > 0 and (dose < 500 or material == 'Au')"``.

    Returns
    -------
    ndarray of bool, shape (rows,)
    """
    try:
        tree = ast.parse(condition, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise DatasetError(f"found {condition!r}, which is no expression; allowed: {ALLOWED}") from error
    if not isinstance(tree, ast.BoolOp | ast.Compare) and not (
        isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
    ):
        raise DatasetError(f"found {condition!r}, which is not true or false for each image; allowed: {ALLOWED}")
    try:
        result = np.asarray(_evaluate(tree, table, condition), dtype=bool)
    except (TypeError, ZeroDivisionError) as error:
        raise DatasetError(f"found {condition!r}, which cannot be evaluated ({error}); allowed: {ALLOWED}") from error
    # A condition on constants alone is one truth value for all rows.
    return np.broadcast_to(result, (len(table),)).copy()


def _evaluate(node: ast.AST, table: pd.DataFrame, condition: str) -> Any:
    def inner(child: ast.AST) -> Any:
        return _evaluate(child, table, condition)

    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return np.logical_and.reduce([np.asarray(inner(v), dtype=bool) for v in values])
        case ast.BoolOp(op=ast.Or(), values=values):
            return np.logical_or.reduce([np.asarray(inner(v), dtype=bool) for v in values])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(np.asarray(inner(operand), dtype=bool))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -inner(operand)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            values = [inner(v) for v in [left, *comparators]]
            return np.logical_and.reduce(
                [
                    np.asarray(_COMPARE[type(op)](a, b), dtype=bool)
                    for op, a, b in zip(ops, values, values[1:], strict=False)
                    if _known(op, condition)
                ]
            )
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](inner(left), inner(right))
        case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
            return abs(inner(argument))
        case ast.Constant(value=int() | float() | str() | bool() as value):
            return value
        case ast.Name(id=name):
            if name not in table.columns:
                raise DatasetError(f"found unknown column '{name}' in {condition!r}; allowed: {', '.join(UNITS)}")
            return table[name].to_numpy()
    raise DatasetError(f"found {ast.unparse(node)!r} in {condition!r}; allowed: {ALLOWED}")


def _known(op: ast.cmpop, condition: str) -> bool:
    if type(op) not in _COMPARE:
        raise DatasetError(f"found operator {type(op).__name__} in {condition!r}; allowed: {ALLOWED}")
    return True
