"""What people type and paste, in the signs that they mean: digits of any script, spaces and dashes of any kind."""

from unicodedata import category, decimal

_WHITE = " \t\r\n\v\f"
_BETWEEN = dict.fromkeys(map(ord, f"{_WHITE}-"))
_SIGNS = {"＋": "+", "（": "(", "）": ")", "［": "[", "］": "]", "．": ".", "·": ".", "／": "/", "\x85": " "}
# Variation selectors: they pick one look of the sign before them.
_SIGNS |= dict.fromkeys(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))), "")
# Dashes that Unicode calls something else: the minus sign, the hyphen bullet, the Japanese long vowel.
_DASHES = frozenset("\u2212\u2043\u30fc\uff70")


def plain(written: str) -> str:
    """The text with ASCII digits, spaces, hyphens and brackets in place of their like in any script; without characters
    that only steer how text is shown (Unicode's category Cf, variation selectors), and without white space around it.
    Whatever else is in it stays."""
    return (written if written.isascii() else "".join(map(_plain, written))).strip(_WHITE)


def _plain(char: str) -> str:
    match category(char):
        case "Nd":
            return str(decimal(char))
        case "Cf":
            return ""
        case "Zs" | "Zl" | "Zp":
            return " "
        case "Pd":
            return "-"
    return "-" if char in _DASHES else _SIGNS.get(char, char)


def code(written: str) -> str:
    """A code without the white space and dashes in it; what holds anything but digits then is none."""
    return plain(written).translate(_BETWEEN)
