"""The complete statements of a text that is Python in part."""

import ast
import re
import warnings

from codedpo_plugin.parsing.syntax import parsed

_CONTINUES = re.compile(r"^(?:else|elif|except|finally|case)\b|^[)\]}]")
_INCOMPLETE = ("never closed", "unterminated triple", "unterminated f-string", "unexpected EOF",
               "expected an indented block", "expected 'except'", "expected ':'")  # fmt: skip
_MOST_JOINED = 200  # pieces of one statement: a multi-line string may have many
_MOST_JOINS = 2000  # of pieces that give no statement, in a text: it may repeat an open bracket


def without_prose(text: str) -> str:
    """The complete statements, each as it is written, without the prose between them and without
    what breaks off.
    """
    pieces, kept, start, joins = _pieces(text), [], 0, _MOST_JOINS
    while start < len(pieces):
        end, used = _end_of_statement(pieces, start, joins)
        joins -= used
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


def _end_of_statement(pieces: list[str], start: int, joins: int) -> tuple[int | None, int]:
    """(the piece after the statement that begins at `start`, or None if that is no statement;
    pieces that were joined in vain), with at most so many joins.
    """
    for joined in range(min(len(pieces) - start, _MOST_JOINED, joins + 1)):
        end = start + joined + 1
        error = _error("\n".join(pieces[start:end]))
        if error is None:
            return end, 0
        if not any(sign in error for sign in _INCOMPLETE):
            return None, joined
    return None, min(_MOST_JOINED, joins)


def _error(source: str) -> str | None:
    """Why a source doesn't parse, if it doesn't."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as error:
        return str(error.msg)
    except (ValueError, RecursionError, MemoryError):
        return "is no Python"
    return None


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
