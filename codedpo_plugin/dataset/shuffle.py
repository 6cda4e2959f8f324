"""Shuffle the lines of a file that may not fit in memory."""

import random
from contextlib import ExitStack
from pathlib import Path

_MAX_PILES = 500  # files open at a time


def shuffle_lines(path: Path, seed: int, pile_bytes: int = 8 << 20) -> None:
    """Put the lines of a file in random order.

    Lines are distributed at random over piles that fit in memory, and each pile is shuffled: every
    order is equally likely, and memory does not depend on the size of the file.

    Args:
        path: a file whose last line ends with a newline; replaced.
        seed: with the names of file and folder, determines the order.
        pile_bytes: mean size of a pile.
    """
    rng = random.Random(f"{seed}/{path.parent.name}/{path.name}")
    count = min(path.stat().st_size // pile_bytes + 1, _MAX_PILES)
    piles = [path.with_suffix(f".pile{n}") for n in range(count)]
    if len(piles) == 1:
        path.rename(piles[0])
    else:
        with open(path, "rb") as source, ExitStack() as stack:
            files = [stack.enter_context(open(pile, "wb")) for pile in piles]
            for line in source:
                rng.choice(files).write(line)
    with open(path, "wb") as out:
        for pile in piles:
            lines = pile.read_bytes().splitlines(keepends=True)
            rng.shuffle(lines)
            out.writelines(lines)
            pile.unlink()
