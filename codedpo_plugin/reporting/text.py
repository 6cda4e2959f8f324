"""Text of untrusted origin made safe to print, and numbers in units that people read."""

_CODE_LINES = 80
_CODE_CHARACTERS = 20_000

_BIDI = (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
_VISIBLE |= {code: f"\\u{code:04x}" for code in _BIDI}


def plain(text: str) -> str:
    """Text that cannot control a terminal: control and bidirectional characters are shown as
    escape sequences.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def duration(seconds: float) -> str:
    """A measured time in the unit that suits: `1.25 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def rough_duration(seconds: float) -> str:
    """An estimated time, in whole seconds, minutes or hours: `45 s`, `12 min`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{hours} h"


def cut_code(code: str) -> tuple[str, str]:
    """The head of a program, and a note on what was cut (empty where nothing was)."""
    lines = code.strip("\n")[:_CODE_CHARACTERS].split("\n")
    if len(lines) <= _CODE_LINES and len(code) <= _CODE_CHARACTERS:
        return "\n".join(lines), ""
    head = lines[:_CODE_LINES]
    return "\n".join(head), f"cut: {len(head)} lines of a program of {len(code):,} characters"
