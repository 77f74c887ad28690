"""Where a page may lead: what `return_urls` of verify.toml may say, and what an entry admits, and nothing beside it."""

from pathlib import Path

import pytest

from verify_service import config
from verify_service.errors import ConfigError
from verify_service.return_urls import Place, allowed, back, place

CALLBACK = allowed("return_urls", "https://app.example.com/signed-in")
BELOW = allowed("return_urls", "https://app.example.com:8443/login/")
HERE = allowed("return_urls", "http://localhost/")
SECURE = allowed("return_urls", "https://localhost/")


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        (CALLBACK, "https://app.example.com/signed-in"),
        (CALLBACK, "https://APP.example.com:443/signed-in?next=/a/b?c&x=%20"),
        (BELOW, "https://app.example.com:8443/login/"),
        (BELOW, "https://app.example.com:8443/login/acme/done"),
        (HERE, "http://localhost:5000/code?x"),
        (HERE, "http://localhost"),
        (SECURE, "https://localhost/code"),
    ],
)
def test_an_entry_admits(entry: Place, url: str) -> None:
    """The very same address with any query, or one below where the entry ends with a slash; on this machine each port
    of an entry that names none."""
    assert entry.admits(place(url))


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        (CALLBACK, "https://app.example.com/signed-in/"),
        (CALLBACK, "https://app.example.com/signed-in/more"),
        (CALLBACK, "https://app.example.com/signed-in2"),
        (CALLBACK, "https://app.example.com/Signed-in"),
        (CALLBACK, "https://app.example.com"),
        (CALLBACK, "https://app.example.com:444/signed-in"),
        (CALLBACK, "https://www.app.example.com/signed-in"),
        (CALLBACK, "https://app.example.com.evil.example/signed-in"),
        (CALLBACK, "https://app.example.co/signed-in"),
        (BELOW, "https://app.example.com:8443/login"),
        (BELOW, "https://app.example.com:8443/loginx/"),
        (BELOW, "https://app.example.com/login/"),
        (HERE, "http://127.0.0.1/"),
        (HERE, "https://localhost/"),
        (SECURE, "https://localhost:444/"),
    ],
)
def test_an_entry_admits_nothing_else(entry: Place, url: str) -> None:
    """Scheme, host, port and path are compared whole; no part of a name is as good as the name."""
    assert not entry.admits(place(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///cb",
        "//app.example.com/cb",
        "/cb",
        "app.example.com/cb",
        "HTTPS://app.example.com/cb",
        "http://app.example.com/cb",
        "http://localhost.example.com/cb",
        "http://127.0.0.2/cb",
        "http://2130706433/cb",
        "ftp://app.example.com/cb",
        "javascript:alert(1)//https://app.example.com/cb",
        "data:text/html,x",
        "com.example.app:/cb",
        "https://user@app.example.com/cb",
        "https://user:secret@app.example.com/cb",
        "https://app.example.com@evil.example/cb",
        "https://app.example.com\\@evil.example/cb",
        "https://evil.example\\.app.example.com/cb",
        "https:/\\app.example.com/cb",
        "https://app.example.com/cb\\..\\x",
        "https://app.example.com/cb#done",
        "https://app.example.com/cb#",
        "https://app.example.com/a/../b",
        "https://app.example.com/a/..",
        "https://app.example.com/a/./b",
        "https://app.example.com/a/%2e%2E/b",
        "https://app.example.com/a/.%2e",
        "https://app.example.com/a%2fb",
        "https://app.example.com/a%5Cb",
        "https://app.example.com/a%00",
        "https://app.example.com/a%0d%0aSet-Cookie:x",
        "https://app.example.com/a%7f",
        "https://app.example.com/a%zz",
        "https://app.example.com/a b",
        "https://app.example.com/a\nb",
        "https://app.example.com/a\r\nLocation: https://evil.example",
        " https://app.example.com/cb",
        "https://app.example.com/cb\n",
        "https://app.example.com/\tcb",
        "https://app.example.com/ä",
        "https://äpp.example.com/cb",
        "https://app。example.com/cb",
        "https://app.example.com:/cb",
        "https://app.example.com:0/cb",
        "https://app.example.com:65536/cb",
        "https://app.example.com:443443/cb",
        "https://app.example.com:+443/cb",
        "https://[::2]/cb",
        "https://.app.example.com/cb",
        "https://app.example.com./cb",
        "https://app.example.com/cb?x=<script>",
        "https://app.example.com/cb?status=approved",
        "https://app.example.com/cb?a&%73tate=x",
        "https://app.example.com/cb?receipt",
    ],
)
def test_what_no_browser_should_be_sent_to(url: str) -> None:
    """Other schemes, users, fragments, backslashes, control characters, steps in the path however they are written,
    names in other alphabets, and parameters that the page adds itself."""
    with pytest.raises(ValueError, match=r"is an address such as|has `"):
        place(url)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://app.example.com/cb", "'http://app.example.com/cb' is an address such as https://app.example.com/"),
        ("https://app.example.com/cb?x=1", "has a query; leave it out, a return_url may have any"),
        ("https://*.example.com/cb", "is an address such as"),
    ],
)
def test_an_entry_that_cannot_be_meant_stops_the_start(tmp_path: Path, url: str, fault: str) -> None:
    """One line that names the key."""
    file = tmp_path / "verify.toml"
    file.write_text(f'[tenants.acme]\nreturn_urls = ["{url}"]\n[providers.a]\nkind = "fake"\n')
    with pytest.raises(ConfigError) as error:
        config.load(file, None)
    assert str(error.value).startswith("tenants.acme.return_urls: ")
    assert fault in str(error.value)


def test_without_a_file_pages_lead_back_to_this_machine(tmp_path: Path) -> None:
    """And with one, only to where it says."""
    assert [entry.admits(place("http://127.0.0.1:5000/cb")) for entry in config.load(None, None).return_urls["default"]]
    (tmp_path / "verify.toml").write_text('[tenants.default]\n[providers.a]\nkind = "fake"\n')
    assert config.load(tmp_path / "verify.toml", None).return_urls == {"default": ()}


def test_what_is_told_goes_into_the_query() -> None:
    """Escaped, beside whatever is there; what there is none of is left out."""
    assert back("https://a.example/cb", status="approved", state="ä&b=c d", receipt=None) == (
        "https://a.example/cb?status=approved&state=%C3%A4%26b%3Dc+d"
    )
    assert back("https://a.example/cb?x=1", status="expired") == "https://a.example/cb?x=1&status=expired"
