"""How a tenant's pages look: a colour that its words can be read on, a logo that is a picture."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient, a_number, judge
from verify_service import config, look
from verify_service.errors import ConfigError
from verify_service.store import Store
from verify_service.web.context import EXTENSION

PNG = b"\x89PNG\r\n\x1a\n rest of it"
SVG = b'<?xml version="1.0"?>\n<!-- a logo -->\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
TOML = """
public_url = "https://verify.example.com"
[tenants.default]
brand = "Acme"
colour = "#0B57D0"
logo = "logos/acme.svg"
return_urls = ["https://app.example.com/cb"]
[providers.fake-a]
kind = "fake"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "verify.toml").write_text(TOML)
    (tmp_path / "logos").mkdir()
    (tmp_path / "logos" / "acme.svg").write_bytes(SVG)
    return tmp_path / "verify.toml"


@pytest.mark.parametrize(
    ("colour", "ratio"), [("#ffffff", 1.0), ("#000000", 21.0), ("#777777", 4.48), ("#767676", 4.54), ("#0B57D0", 6.39)]
)
def test_contrast_is_what_wcag_says(colour: str, ratio: float) -> None:
    """By the figures that its tools give."""
    assert round(look.contrast_to_white(colour), 2) == ratio


@pytest.mark.parametrize("colour", ["#767676", "#0b57d0", "#000000", "#FF0000"[:5] + "99"])
def test_a_colour_that_can_be_written_on_is_taken_or_the_error_names_one(file: Path, colour: str) -> None:
    """Whatever the error names is good itself."""
    try:
        look.judge("tenants.default.colour", colour)
    except ConfigError as error:
        named = re.findall(r"a darker one is (#[0-9a-f]{6})$", str(error))
        look.judge("tenants.default.colour", named[0])


def test_a_colour_that_is_too_light_stops_the_start(file: Path) -> None:
    """In one line that names the key, the contrast and a colour that is dark enough."""
    file.write_text(TOML.replace("#0B57D0", "#ffcc00"))
    with pytest.raises(ConfigError) as error:
        config.load(file, None)
    assert str(error.value) == (
        "tenants.default.colour: white words on #ffcc00 have a contrast of 1.5, and need 4.5 (WCAG 2.2); "
        "a darker one is #8e7200"
    )


@pytest.mark.parametrize("colour", ["red", "#fff", "#0b57d", "#0b57d0; } body { display: none", "#0b57dg", ""])
def test_a_colour_has_one_form(file: Path, colour: str) -> None:
    """Nothing else finds its way into a style."""
    file.write_text(TOML.replace("#0B57D0", colour))
    with pytest.raises(ConfigError, match=r"write it such as #0b6b5d|\^#"):
        config.load(file, None)


@pytest.mark.parametrize(
    ("data", "mimetype"),
    [(PNG, "image/png"), (SVG, "image/svg+xml"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF1234WEBP", "image/webp")],
)
def test_a_logo_is_a_picture(tmp_path: Path, data: bytes, mimetype: str) -> None:
    """By what is in the file, whatever it is called."""
    (tmp_path / "logo").write_bytes(data)
    assert look.logo("key", tmp_path / "logo") == (data, mimetype)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"<html><svg>", "is no PNG, JPEG, WebP or SVG picture"),
        (b"", "is no PNG, JPEG, WebP or SVG picture"),
        (PNG + bytes(131_072), "131072 at most, for phones load it"),
        (None, "cannot read"),
    ],
)
def test_what_is_no_logo_stops_the_web_role(tmp_path: Path, data: bytes | None, fault: str) -> None:
    """In one line that names the key; a dispatcher does not look for it."""
    if data is not None:
        (tmp_path / "logo").write_bytes(data)
    with pytest.raises(ConfigError, match=fault) as error:
        look.logo("tenants.acme.logo", tmp_path / "logo")
    assert str(error.value).startswith("tenants.acme.logo: ")


def test_a_page_shows_its_tenants_colour_and_logo(store: Store, file: Path) -> None:
    """From here, and an SVG runs nothing where somebody opens it by itself; other tenants have none."""
    client = LocalClient(store, ManualClock(), config_file=file)
    context: Any = client.app.extensions[EXTENSION]
    logos = {name: look.logo(name, path) for name, path in context.config.logos.items()}
    client.app.extensions[EXTENSION] = dataclasses.replace(context, logos=logos)
    browser = client.app.test_client()
    started = client.start(a_number(), page={"return_url": "https://app.example.com/cb"})
    text = browser.get(started["page"].removeprefix("https://verify.example.com")).text
    assert '<img src="brands/default/logo" alt="Acme">' in text
    assert re.findall(r'stylesheet" href="([^"]+)"', text) == ["assets/page.css", "brands/default/colour.css"]
    answers = {name: browser.get(f"/v/brands/default/{name}") for name in ("colour.css", "logo", "other", "page.css")}
    answers["stranger"] = browser.get("/v/brands/acme/logo")
    for name, answer in answers.items():
        headers = {header.lower(): value for header, value in answer.headers.items()}
        judge("GET", f"/v/brands/default/{name}", answer.status_code, headers, answer.text)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        **dict.fromkeys(("colour.css", "logo"), 200),
        **dict.fromkeys(("other", "page.css", "stranger"), 404),
    }
    assert answers["colour.css"].text == ":root { --brand: #0B57D0; }\n"
    assert (answers["logo"].data, answers["logo"].mimetype) == (SVG, "image/svg+xml")
    assert answers["logo"].headers["Content-Security-Policy"].endswith("sandbox")
