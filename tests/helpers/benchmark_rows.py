"""Rows of benchmark files in their own forms."""

import json

HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'def add(x: int, y: int):\n    """Add two numbers x and y"""\n',
    "entry_point": "add",
    "test": "def check(candidate):\n    import random\n\n    assert candidate(0, 1) == 1\n    assert candidate(2, 3) == 5\n    assert candidate(700, -31) == 669, 'no'\n",
}
MBPP = {
    "task_id": 901,
    "text": "Write a function to count the vowels that are in a given piece of text by walking over its characters.",
    "code": "def helper(c):\n    return c in 'aeiou'\ndef count_vowels(s):\n    return sum(map(helper, s))",
    "test_list": ["assert count_vowels('banana') == 3", "assert count_vowels('xyz') == 0"],
}
LIVE = {
    "question_id": "902",
    "question_content": "Given a list, return it reversed.",
    "public_test_cases": json.dumps(
        [{"input": "[1, 2]\n3", "output": "[2, 1]", "testtype": "functional"}]
    ),
    "metadata": '{"func_name": "turn"}',
}
