"""How a tenant's hosted pages look: its colour and its logo, judged before anybody sees them."""

import re
from pathlib import Path
from typing import NamedTuple

from verify_service.errors import ConfigError

LEAST_CONTRAST = 4.5
"""Of the white words on a button (WCAG 2.2, success criterion 1.4.3)."""
MOST_LOGO_BYTES = 131_072
_KINDS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/svg+xml": re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<svg\b", re.DOTALL),
}


class Logo(NamedTuple):
    """A picture as browsers get it."""

    data: bytes
    mimetype: str


def contrast_to_white(colour: str) -> float:
    """The contrast ratio of white and a colour `#rrggbb`, 1 to 21, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def judge(key: str, colour: str) -> None:
    """Raises ConfigError for a colour on which white words cannot be read well; it names one that does."""
    found = contrast_to_white(colour)
    if found < LEAST_CONTRAST:
        parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        darker = (f"#{''.join(f'{part * percent // 100:02x}' for part in parts)}" for percent in range(99, 0, -1))
        good = next(each for each in darker if contrast_to_white(each) >= LEAST_CONTRAST)
        raise ConfigError(
            f"{key}: white words on {colour} have a contrast of {found:.1f}, and need {LEAST_CONTRAST} (WCAG 2.2); "
            f"a darker one is {good}"
        )


def logo(key: str, path: Path) -> Logo:
    """The picture in a file. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {path}: {error.strerror}") from None
    if len(data) > MOST_LOGO_BYTES:
        raise ConfigError(f"{key}: {path} has {len(data)} bytes; {MOST_LOGO_BYTES} at most, for phones load it")
    for mimetype, beginning in _KINDS.items():
        if beginning.match(data):
            return Logo(data, mimetype)
    raise ConfigError(f"{key}: {path} is no PNG, JPEG, WebP or SVG picture")
