"""Code blocks of an answer: fenced, in a list or quote, in line, or the whole text.

Fences are found by a CommonMark parser, and their content is not changed. What models write beside
the standard is tried where that gives no code that parses: a fence within a string of the code, a
fence that opens or closes in the middle of a line, a longer fence around others, HTML.
"""

import html
import re
import textwrap
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from codedpo_plugin.parsing.statements import without_prose
from codedpo_plugin.parsing.syntax import parsed

_PYTHON = ("", "py", "py3", "python", "python2", "python3", "pycon", "ipython", "ipython3", "pyi")
_NESTING = ("", "markdown", "md", "text", "txt")
_COMMONMARK = MarkdownIt("commonmark")
_FENCE_LINE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*(\S*)[ \t]*$")
_FENCE_AFTER_TEXT = re.compile(r"(?P<before>[^`]*?)[ \t]*(?P<fence>```[\w+-]*)[ \t]*")
_FENCE_BEFORE_TEXT = re.compile(r"(?P<before>.*[^`\s])(?P<fence>```)[ \t]*")
_HTML = re.compile(
    r"(?:<pre\b[^>]*>)?\s*<(pre|code)\b[^>]*>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = r"</?(?:think|thinking|reasoning|thought)>"
_OPENING = re.compile(r"\s*<(think|thinking|reasoning|thought)>", re.IGNORECASE)
_TAG_AT_LINE_START = re.compile(rf"^[ \t]*({_TAG})|({_TAG})[ \t]*$", re.MULTILINE | re.IGNORECASE)
_TAG_AFTER_FENCE = re.compile(rf"^([ \t]*`{{3,}})[ \t]*({_TAG})", re.MULTILINE | re.IGNORECASE)
_LONGEST = 200_000  # characters; no useful answer is longer
_MOST_THOUGHTS = 20  # passages of reasoning that are looked for
_MOST_CLOSINGS = 10  # fences that are tried as the end of a block


def python_blocks(text: str) -> list[str]:
    """Blocks of Python in an answer, after the reasoning, each of which parses: the fenced ones, or
    else all lines of the text that are code.
    """
    text = text.replace("\ufeff", "")[:_LONGEST]
    found = _blocks(without_thought(text))
    # A tag may also be part of the code, as in a program that removes tags.
    return found or (_blocks(text) if not _OPENING.match(text) else [])


def without_thought(text: str) -> str:
    """The text after the reasoning, whose tags stand at the start or end of a line outside of code.

    Reasoning that isn't closed runs to the end. The opening tag may be part of the prompt.
    """
    before, text = "", _TAG_AFTER_FENCE.sub(r"\1\n\2", text)
    for _ in range(_MOST_THOUGHTS):  # a model that repeats itself writes thousands of tags
        if opening := _OPENING.match(text):
            closing = re.compile(rf"</{opening[1]}>", re.IGNORECASE).search(text, opening.end())
            if not closing:
                return before
            text = text[closing.end() :]
        elif (tag := _first_tag(text)) is None:
            break
        elif "/" in tag[0]:
            before, text = "", text[tag.end() :]
        else:
            before, text = before + text[: tag.start()], text[tag.start() :]
    return before + text


def _first_tag(text: str) -> re.Match[str] | None:
    """The first tag of reasoning that is not part of a fenced block."""
    fences = [token.map for token in _COMMONMARK.parse(text) if token.type == "fence" and token.map]
    line = position = 0
    for tag in _TAG_AT_LINE_START.finditer(text):
        line += text.count("\n", position, tag.end())
        position = tag.end()
        while fences and fences[0][1] <= line:
            del fences[0]
        if not fences or line < fences[0][0]:
            return tag
    return None


def _blocks(text: str) -> list[str]:
    """Blocks of a text: as CommonMark has them, or else as models also write them."""
    variants = [
        text,
        "\n".join(_fence_alone(line) for line in text.split("\n")),
        "\n\n".join(f"```python\n{html.unescape(code)}\n```" for _, code in _HTML.findall(text)),
    ]
    for variant in dict.fromkeys(variants):
        if found := list(_fenced(variant)):
            return found
    bare = without_prose("\n".join(line for line in _lines(text) if not _FENCE_LINE.match(line)))
    return [bare] if bare else []


def _fence_alone(line: str) -> str:
    """A fence at the end of a line of text on a line of its own."""
    for form in (_FENCE_AFTER_TEXT, _FENCE_BEFORE_TEXT) if "```" in line else ():
        found = form.fullmatch(line)
        if found and found["before"].strip():
            return f"{found['before']}\n{found['fence']}"
    return line


def _fenced(text: str) -> list[str]:
    """Blocks of all fences; those of other languages only where there is no Python."""
    python: list[str] = []
    other: list[str] = []
    for language, block in _fences(text):
        (python if language in _PYTHON else other).append(block)
    return python or other


def _fences(text: str) -> Iterator[tuple[str, str]]:
    """(language, block) of every fence with code that parses."""
    lines, done = _lines(text), 0
    for token in _all_tokens(_COMMONMARK.parse(text)):
        if token.type == "code_inline":
            yield from _inline(token)
            continue
        if token.type not in ("fence", "code_block") or not token.map or token.map[0] < done:
            continue
        language = _language(token.info)
        inner = [*_fences(token.content)] if _holds_fences(token, language) else []
        if inner:
            yield from inner
            continue
        block, done = _repaired(token, lines)
        if block:
            yield language, block


def _holds_fences(token: Token, language: str) -> bool:
    """Whether fences in a token's content are blocks of their own."""
    if language not in _NESTING or ("```" not in token.content and "~~~" not in token.content):
        return False
    return token.type == "code_block" or parsed(token.content) is None


def _repaired(token: Token, lines: list[str]) -> tuple[str | None, int]:
    """A fence's code, and the line after it; if it doesn't parse, up to a later closing fence, or
    else what of it is code.
    """
    start, end = token.map or (0, 0)
    code = token.content.strip("\n")
    if parsed(code) is not None:
        return code if code.strip() else None, end
    if token.type == "code_block":
        return None, end
    tried = 0
    for later in range(end, len(lines)):
        if tried == _MOST_CLOSINGS:
            break
        if (fence := _FENCE_LINE.match(lines[later])) and not fence[2]:
            tried += 1
            whole = textwrap.dedent("\n".join(lines[start + 1 : later])).strip("\n")
            if parsed(whole) is not None:
                return whole, later + 1
    code = textwrap.dedent(_without_prompts(re.sub(r"`{3,}\s*\Z", "", code)))
    code = without_prose(code)
    return code or None, end


def _without_prompts(code: str) -> str:
    """The statements of an interpreter session, or the code as it is."""
    lines = [line.lstrip() for line in _lines(code)]
    if not code.lstrip().startswith(">>> "):  # elsewhere it is a doctest of a docstring
        return code
    return "\n".join(line[4:] for line in lines if line[:4] in (">>> ", "... ") or line == "...")


def _inline(token: Token) -> Iterator[tuple[str, str]]:
    """A fence that opens and closes in one line: ```python def f(): ...```"""
    language, _, code = token.content.strip().partition(" ")
    named = len(token.markup) >= 3 and language.lower() in _PYTHON
    if named and code and parsed(code.strip()) is not None:
        yield language.lower(), code.strip()


def _all_tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _language(info: str) -> str:
    """`python` of ```Python title="x"`, ```{.python}` and the like."""
    return re.split(r"[\s{}:,=]+", info.strip().lstrip("{."), maxsplit=1)[0].lower()


def _lines(text: str) -> list[str]:
    """Lines as CommonMark counts them: other separators may be part of a string."""
    return re.sub(r"\r\n?", "\n", text).split("\n")
