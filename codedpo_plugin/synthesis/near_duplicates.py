"""Near-duplicates, by MinHash over word 5-grams (locality-sensitive hashing)."""

import re

_WORD = re.compile(r"\w+|[^\w\s]")
_SHINGLE = 5
_PERMUTATIONS = 128


class Seen:
    """Texts seen so far.

    Raises:
        InputError: datasketch is not installed.
    """

    def __init__(self, similarity: float) -> None:
        from codedpo_plugin.errors import InputError

        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError:
            raise InputError(
                "near-duplicates need the package datasketch: pip install 'codedpo[sample]'"
            ) from None
        self._similarity = similarity
        self._minhash = MinHash
        self._index = MinHashLSH(similarity, num_perm=_PERMUTATIONS)
        self._hashes: dict[str, object] = {}

    def add(self, name: str, text: str) -> str | None:
        """Add a text; the name of an earlier similar one instead, if there is any."""
        sketch = self._minhash(num_perm=_PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        for other in self._index.query(sketch):
            if sketch.jaccard(self._hashes[other]) >= self._similarity:
                return str(other)
        self._index.insert(name, sketch)
        self._hashes[name] = sketch
        return None


def words(text: str) -> list[str]:
    """Words, numbers and punctuation, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def shingles(text: str) -> set[str]:
    """All word 5-grams; a shorter text counts as one."""
    found = words(text)
    runs = max(1, len(found) - _SHINGLE + 1)
    return {" ".join(found[n : n + _SHINGLE]) for n in range(runs)}
