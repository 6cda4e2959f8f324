"""The complete statements of a text that is Python in part."""

import ast
import re

from codedpo_plugin.parsing.syntax import parsed

_CONTINUES = re.compile(r"^(?:else|elif|except|finally|case)\b|^[)\]}]")
_INCOMPLETE = ("never closed", "unterminated triple", "unterminated f-string", "unexpected EOF",
               "expected an indented block", "expected 'except'", "expected ':'")  # fmt: skip
_MOST_JOINED = 200  # pieces of one statement: a multi-line string may have many


def without_prose(text: str) -> str:
    """The complete statements, each as it is written, without the prose between them and without
    what breaks off.
    """
    pieces, kept, start = _pieces(text), [], 0
    while start < len(pieces):
        end = _end_of_statement(pieces, start)
        if end is None:
            start += 1
            continue
        statement = "\n".join(pieces[start:end])
        if not _is_prose(statement):
            kept.append(statement)
        start = end
    return "\n".join(kept).strip("\n")


def _pieces(text: str) -> list[str]:
    """The text, cut before each line that can begin a top-level statement."""
    pieces: list[list[str]] = [[]]
    decorated = False
    for line in text.split("\n"):
        begins = line[:1].strip() and not _CONTINUES.match(line) and not decorated
        if begins:
            pieces.append([])
        if line[:1].strip():
            decorated = line.startswith("@")
        pieces[-1].append(line)
    return ["\n".join(piece) for piece in pieces if piece]


def _end_of_statement(pieces: list[str], start: int) -> int | None:
    """The piece after the statement that begins at `start`; None if that is no statement."""
    for end in range(start + 1, min(len(pieces), start + _MOST_JOINED) + 1):
        error = _error("\n".join(pieces[start:end]))
        if error is None:
            return end
        if not any(sign in error for sign in _INCOMPLETE):
            return None
    return None


def _error(source: str) -> str | None:
    """Why a source doesn't parse, if it doesn't."""
    if parsed(source) is not None:
        return None
    try:
        ast.parse(source)
    except SyntaxError as error:
        return str(error.msg)
    except (ValueError, RecursionError, MemoryError):
        pass
    return "is no Python"


def _is_prose(source: str) -> bool:
    """Whether a source does and binds nothing, as a heading of one word or `[DONE]`."""
    tree = parsed(source)
    return tree is not None and all(
        isinstance(node, ast.Expr)
        and not any(
            isinstance(part, ast.Call | ast.Await | ast.Yield | ast.NamedExpr)
            or (isinstance(part, ast.Constant) and isinstance(part.value, str))
            for part in ast.walk(node)
        )
        for node in tree.body
    )
