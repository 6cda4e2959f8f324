"""Programs out of answers: as the benchmark's kind extracts them, or by evalplus's `sanitize`."""

from collections.abc import Callable

from codedpo_eval.benchmarks.registry import Benchmark, Prompt, Task, kind_module
from codedpo_eval.generation.samples import Samples
from codedpo_eval.harnesses import evalplus
from codedpo_plugin.errors import InputError

Extract = Callable[[Task, Prompt, str, str], str]  # task, prompt, answer, style -> program

EXTRACTORS = ("codedpo", "evalplus")


def extractor(name: str, benchmark: Benchmark) -> Extract:
    """The extractor of a name, for the answers to a benchmark's tasks.

    Args:
        name: one of `EXTRACTORS`.
        benchmark: of the tasks.

    Raises:
        InputError: evalplus cannot be imported, or does not apply to this kind of benchmark.
    """
    if name == "codedpo":
        kind = kind_module(benchmark.kind)
        return lambda task, prompt, answer, style: str(kind.program(task, answer, style))
    if benchmark.kind not in ("evalplus", "own"):
        raise InputError(f"--extract evalplus: {benchmark.name}'s answers are not functions")
    sanitize = evalplus.sanitizer()

    def sanitized(task: Task, prompt: Prompt, answer: str, style: str) -> str:
        """As `evalplus.codegen` does it: a base model's answer follows its prompt."""
        text = f"{prompt}{answer}" if style == "completion" else answer
        return sanitize(text, task.entry_point)

    return sanitized


def extract_again(found: Samples, name: str, benchmark: Benchmark) -> None:
    """Replace the programs of samples by those that an extractor takes out of their answers
    (`response`), or out of `solution` where no answer was kept.

    Raises:
        InputError: as `extractor`.
    """
    extract = extractor(name, benchmark)
    tasks = {task.task_id: task for task in benchmark.tasks}
    for row in found.rows:
        prompt = row.get("prompt", "")
        base = "response" in row and isinstance(prompt, str)  # chat prompts are lists
        answer = str(row.get("response", row["solution"]))
        style = "completion" if base else "chat"
        row["solution"] = extract(tasks[row["task_id"]], prompt, answer, style)
    found.notices.append(f"programs were extracted by {name} before grading")
