"""Extract code from responses: fenced or bare, in several blocks, after reasoning, truncated.

Nothing is run here: texts are only parsed.
"""

import ast
import re

from codedpo_plugin.parsing.syntax import names_bound, names_bound_within, names_used, parsed

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r"\A.*</(?:think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1`*[ \t]*$|\Z)",
                    re.DOTALL | re.MULTILINE)  # fmt: skip
_PYTHON = ("", "py", "python", "python3", "python2", "pycon")
_START = re.compile(r"^(?:from |import |def |async def |class |@|[A-Za-z_]\w* *(?::[^=\n]+)?= )")
_LONGEST = 200_000  # characters; no useful response is longer


def code_of(text: str, entry_point: str | None = None) -> str | None:
    """The program in a response; None if there is none that parses.

    Of several blocks, the last that defines `entry_point` (or else any function or class), after
    the earlier blocks whose names it needs. What would run on import (examples, `print`,
    `if __name__ == "__main__"`) is left out.
    """
    blocks = [block for block in python_blocks(text) if parsed(block) is not None]
    for wanted in ([entry_point] if entry_point else []) + [None]:
        for index in range(len(blocks) - 1, -1, -1):
            if _defines(blocks[index], wanted):
                return _without_examples(_with_needed(blocks, index))
    return None


def python_blocks(text: str) -> list[str]:
    """Blocks of Python: the fenced ones, or else the part of the text that is code.

    A block that does not parse is cut after its last complete statement.
    """
    text = without_thought(text)[:_LONGEST]
    fenced = [(lang.lower(), body) for _, lang, body in _FENCE.findall(text)]
    blocks = [body for lang, body in fenced if lang in _PYTHON]
    if not blocks:
        blocks = [body for _, body in fenced]
    if not fenced:
        blocks = [_bare(text)]
    return [block for block in map(_whole_statements, map(_dedented, blocks)) if block]


def without_thought(text: str) -> str:
    """The text without what is inside reasoning tags; one left open runs to the end."""
    text = _THOUGHT.sub("", text)
    return _END_OF_THOUGHT.sub("", text)  # the opening tag may be part of the prompt


def _bare(text: str) -> str:
    """All lines from the first that looks like code."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if _START.match(line) or line.startswith(("assert ", ">>> ")):
            return "\n".join(lines[number:])
    return ""


def _dedented(block: str) -> str:
    """Without the indentation of a list item, and without interpreter prompts."""
    lines = block.expandtabs(4).splitlines()
    if any(line.lstrip().startswith(">>> ") for line in lines):
        lines = [line.lstrip()[4:] for line in lines if line.lstrip()[:4] in (">>> ", "... ")]
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    least = min(indents, default=0)
    return "\n".join(line[least:].rstrip() for line in lines).strip("\n")


def _whole_statements(block: str) -> str:
    """The block, cut after its last complete top-level statement; prose after it is dropped."""
    if parsed(block) is not None:
        return block
    lines = block.splitlines()
    # A statement ends where the next line starts at the margin.
    ends = [n for n, line in enumerate(lines) if line[:1].strip() and line[:1] not in ")]}"]
    for end in reversed(ends[-200:]):
        head = "\n".join(lines[:end]).rstrip()
        if parsed(head) is not None:
            return head
    return ""


def _defines(block: str, name: str | None) -> bool:
    """Whether a block defines this name, or any function or class."""
    tree = parsed(block)
    body = tree.body if tree else []
    if name is None:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return any(isinstance(node, kinds) for node in body)
    return any(name in names_bound(node) for node in body)


def _with_needed(blocks: list[str], index: int) -> str:
    """A block, after the earlier ones that define names it needs."""
    tree = parsed(blocks[index])
    if tree is None:
        return blocks[index]
    missing = names_used(tree) - names_bound_within(tree)
    needed = [
        block
        for block in blocks[:index]
        if missing & {name for node in (parsed(block) or tree).body for name in names_bound(node)}
    ]
    return "\n\n".join([*needed, blocks[index]])


def _without_examples(program: str) -> str:
    """The program without top-level calls, asserts, and code that runs only as a script."""
    tree = parsed(program)
    if tree is None:
        return program
    lines = program.splitlines()
    examples = [node for node in tree.body if _is_example(node)]
    kept = {line for node in tree.body if node not in examples for line in _lines(node)}
    gone = {line for node in examples for line in _lines(node)} - kept
    text = "\n".join(line for number, line in enumerate(lines, 1) if number not in gone)
    return text.strip("\n")


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _is_example(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        return "__name__" in ast.unparse(node.test)
    return isinstance(node, ast.Assert) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    )
