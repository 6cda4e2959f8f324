"""What people see of a comparison: `compare.md`, `compare.html`, and the tables in the terminal."""

from collections.abc import Sequence
from typing import Any

from codedpo_eval.benchmarks.registry import score_names
from codedpo_eval.comparison import figures
from codedpo_eval.reporting.page import Page, percent
from codedpo_plugin.reporting.render import Rows
from codedpo_plugin.run_folder.shards import Row

SIDES = ("before", "after")


def page(summary: dict[str, Any]) -> Page:
    """The page of a comparison."""
    title = f"codedpo eval: {summary['before']['run']} → {summary['after']['run']}"
    about = summary["benchmark"]["name"]
    return Page(title, about, tiles(summary), tables(summary), facts(summary))


def drawn(summary: dict[str, Any], measured: list[Row]) -> list[str]:
    """Its figures, as SVG; `measured`: rows of `speedup.measure`."""
    solving = figures.solving(summary)
    return [solving, figures.speedups(measured)] if summary["speedup"] else [solving]


def tables(summary: dict[str, Any]) -> list[Rows]:
    """Problems solved; then speedup, where it was measured."""
    names = score_names(summary["benchmark"]["name"])
    of = list(summary["solving"].values())
    signed = "{:+.1f} [{:+.1f}, {:+.1f}]"
    solved = [
        ("before", *(percent(one["before"]) for one in of)),
        ("after", *(percent(one["after"]) for one in of)),
        ("difference", *(signed.format(*(100 * x for x in one["difference"])) for one in of)),
        ("problems won", *(str(len(one["won"])) for one in of)),
        ("problems lost", *(str(len(one["lost"])) for one in of)),
        ("p", *(f"{one['p']:.2g}" for one in of)),
    ]
    head = ("pass@1, % [95 %]", *(names[kind] for kind in summary["solving"]))
    parts = [Rows(head, solved)]
    return [*parts, *speedup_tables(summary["speedup"])] if summary["speedup"] else parts


def speedup_tables(found: dict[str, Any]) -> list[Rows]:
    """Speedup beside that of the control copies, and what was measured."""
    control = found["control"]
    lines = [
        ("geometric mean", *(_times(of["geometric_mean"]) for of in (found, control))),
        *(
            (text, *(_portion(of[key]) for of in (found, control)))
            for text, key in (
                ("optimised, significantly", "optimised_gated"),
                ("≥ 10 % faster", "optimised"),
                ("slowed, significantly", "slowed_gated"),
                ("≥ 10 % slower", "slowed"),
            )
        ),
    ]
    zero = found["wrong_as_zero"]
    problems = [
        ("solved by both", f"{found['joint']:,}"),
        ("  measured", f"{found['measured']:,}"),
        ("  of these with equal programs (speedup 1)", f"{found['equal_programs']:,}"),
        ("  of these measured to 10 % or better", f"{found['resolved']:,}"),
        *((f"  not measured: {why}", f"{n:,}") for why, n in found["unmeasured"].items()),
        ("mean speedup, wrong counts as 0", _times(zero["mean"])),
        ("optimised significantly, wrong counts as 0", _portion(zero["optimised_gated"])),
    ]
    return [
        Rows(("Speedup [95 %]", "after / before", "control (copies)"), lines),
        Rows(("Problems", ""), problems),
    ]


def _times(value: Sequence[float] | None) -> str:
    return "{:.3f}\u00d7 [{:.3f}, {:.3f}]".format(*value) if value else "none"


def _portion(share: dict[str, Any]) -> str:
    if share["share"] is None:
        return "none"
    return f"{share['count']} of {share['of']}, {percent(share['share'])} %"


def tiles(summary: dict[str, Any]) -> dict[str, str]:
    """The numbers that are shown first."""
    last = list(summary["solving"].values())[-1]
    found = {"points of pass@1": f"{100 * last['difference'][0]:+.1f}"}
    if speedup := summary["speedup"]:
        found["speedup"] = _times(speedup["geometric_mean"]).partition(" ")[0]
        sides = {"optimised, significantly": speedup, "the same, control": speedup["control"]}
        for name, of in sides.items():
            share = of["optimised_gated"]["share"]
            found[name] = f"{100 * share[0]:.1f} %" if share else "none"
    return found


def facts(summary: dict[str, Any]) -> dict[str, str]:
    """Name -> text: what does not fit a table."""
    benchmark = summary["benchmark"]
    found = {"benchmark": f"{benchmark['name']}, {benchmark['file']}, md5 {benchmark['md5']}"}
    for side in SIDES:
        of = summary[side]
        named = [of["run"], of["model"]] if of["model"] else [of["run"]]
        found[side] = "; ".join([", ".join(named), *of["samples"]["notices"]])
    for kind, of in summary["solving"].items():
        found[f"test, {kind}"] = f"{of['test']}: p = {of['p']:.2g}"
    if speedup := summary["speedup"]:
        protocol = speedup["protocol"]
        found["protocol"] = (
            f"{protocol['runs']} runs of {protocol['min_rounds']} to {protocol['rounds']} rounds, "
            f"CPU time, samples of {1000 * protocol['sample_seconds']:g} ms, programs paired: "
            f"{protocol['pairing']}; optimised: at least 10 % faster; significantly: also by two "
            "standard errors, and three standard errors from 1"
        )
    return found
