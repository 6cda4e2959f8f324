"""Values that a text shows beside a call: doctests, and comments such as `# Output: 3`."""

import ast
import io
import re
import textwrap
import tokenize

from codedpo_plugin.parsing.syntax import parsed

_PROMPT = re.compile(r"^(?P<indent>[\s>]*?)>>>(?: (?P<code>.*))?$")
_WORDS = (
    r"(?:(?:the )?(?:expected|correct|actual) )?"
    r"(?:outputs?|results?|returns?|value|prints?|expect(?:ed|s)?"
    r"|should (?:be|return|print|output))"
)
_MARK = re.compile(
    rf"^(?:{_WORDS}(?: is| be)?\s*[:=]?\s*(?:[-=]+>)?|[-=]+>|→|==)\s*", re.IGNORECASE
)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?::.*)?$")


def shown_as_asserts(source: str) -> list[ast.stmt]:
    """The statements of a source; `print(f(1))  # 3`, `f(1)  # => 3` and a line `# Output: 3`
    below either become `assert f(1) == 3`.
    """
    tree = parsed(source)
    if tree is None:
        return []
    comments = _comments(source)
    return tree.body if not comments else _Commented(comments).visit(tree).body


def doctests_as_asserts(text: str) -> list[ast.stmt]:
    """The statements of all interpreter sessions of a text, with asserts for what they show."""
    lines, found, at = text.expandtabs(4).splitlines(), [], 0
    while at < len(lines):
        prompt = _PROMPT.match(lines[at])
        at += 1
        if not prompt:
            continue
        indent, code = len(prompt["indent"]), [prompt["code"] or ""]
        while at < len(lines) and lines[at][indent:].startswith("..."):
            code.append(lines[at][indent + 4 :])
            at += 1
        shown = []
        while at < len(lines) and _is_output(lines[at], indent):
            shown.append(lines[at][indent:])
            at += 1
        found += _example("\n".join(code), textwrap.dedent("\n".join(shown)).strip())
    return found


def session_sources(text: str) -> set[str]:
    """Each statement of the interpreter sessions as written by `ast.unparse`."""
    return {
        ast.unparse(node)
        for line in text.splitlines()
        if (prompt := _PROMPT.match(line)) and (tree := parsed(prompt["code"] or ""))
        for node in tree.body
    }


def _is_output(line: str, indent: int) -> bool:
    content = line[indent:]
    ends = not content.strip() or content.lstrip().startswith((">>>", "```", "~~~", '"""', "'''"))
    return not ends and not line[:indent].strip(" >")


def _example(code: str, shown: str) -> list[ast.stmt]:
    """One example of a session; without an assert if nothing (usable) is shown."""
    tree = parsed(code)
    if tree is None or len(tree.body) != 1:
        return []
    node = tree.body[0]
    if not isinstance(node, ast.Expr) or not shown:
        return tree.body
    if shown.startswith("Traceback"):
        return _raising(node, shown.splitlines()[-1])
    if "..." in shown or _ADDRESS.search(shown):
        return []
    value, prints = _printed(node.value)
    if not prints:
        return [_equal(value, shown) or _text_equal("repr", value, shown)]
    return [_equal(value, shown) or _text_equal("str", value, shown)]


def _raising(node: ast.Expr, last_line: str) -> list[ast.stmt]:
    """`with raises(ValueError): f(1)`"""
    name = _RAISED.match(last_line)
    if not name:
        return []
    tree = parsed(f"with raises({name[1]}):\n    pass")
    if tree and isinstance(tree.body[0], ast.With):
        tree.body[0].body = [node]
    return tree.body if tree else []


def _printed(value: ast.expr) -> tuple[ast.expr, bool]:
    """(expression, whether its text is printed)"""
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "print"
        and len(value.args) == 1
        and not value.keywords
    ):
        return value.args[0], True
    return value, False


def _equal(value: ast.expr, shown: str) -> ast.Assert | None:
    """`assert VALUE == LITERAL`; None if a text is no literal."""
    expected = _literal(shown)
    if expected is None:
        return None
    literal = ast.unparse(expected)
    if literal in ("True", "False") and isinstance(value, ast.Compare | ast.BoolOp):
        negated = ast.UnaryOp(ast.Not(), value)
        return ast.Assert(value if literal == "True" else negated, None)
    operator = ast.Is() if literal in ("True", "False", "None") else ast.Eq()
    return ast.Assert(ast.Compare(value, [operator], [expected]), None)


def _text_equal(function: str, value: ast.expr, shown: str) -> ast.Assert:
    text = ast.Call(ast.Name(function, ast.Load()), [value], [])
    return ast.Assert(ast.Compare(text, [ast.Eq()], [ast.Constant(shown)]), None)


def _literal(text: str) -> ast.expr | None:
    text = text.strip()
    for variant in dict.fromkeys((text, text.rstrip(".;,"), text.strip("`"))):
        try:
            ast.literal_eval(variant)
            return ast.parse(variant, mode="eval").body
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


# -- comments -------------------------------------------------------------------------------------


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """Line -> (comment without `#`, whether it has the line to itself)."""
    found = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                alone = not token.line[: token.start[1]].strip()
                found[token.start[0]] = (token.string.lstrip("# "), alone)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return found


class _Commented(ast.NodeTransformer):
    def __init__(self, comments: dict[int, tuple[str, bool]]) -> None:
        self.comments = comments

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        value, prints = _printed(node.value)
        if not prints and not any(isinstance(part, ast.Call) for part in ast.walk(value)):
            return node
        line = node.end_lineno or node.lineno
        comment, _ = self.comments.get(line, ("", False))
        below, alone = self.comments.get(line + 1, ("", False))
        if not comment and alone and _MARK.match(below):
            comment = below
        if not comment or not (prints or _MARK.match(comment)):
            return node
        test = _equal(value, _MARK.sub("", comment))
        return ast.copy_location(test, node) if test else node
