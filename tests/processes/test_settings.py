"""The environment: every setting, its file form, and one clear line for what cannot be used."""

from pathlib import Path

import pytest

from verify_service import settings
from verify_service.errors import ConfigError

SOME_FILE = str(Path(__file__))


def test_nothing_set_means_the_defaults() -> None:
    """An empty environment is a good one; what is not ours is not looked at."""
    found = settings.read({"PATH": "/bin", "VERIFYX": "1", "verify_keys": "x"})
    assert found == settings.Settings()
    assert (found.state_dir, found.clock) == (Path(".verify"), "system")
    keys = [found.keys, found.tag_key, found.signing_keys, found.api_key]
    assert [found.redis_url, *keys, found.config, found.policy] == [None] * 7


def test_every_setting_is_taken_as_it_is(tmp_path: Path) -> None:
    """Each name of the contract reaches its field."""
    for name in ("verify.toml", "policy.toml"):
        (tmp_path / name).touch()
    found = settings.read(
        {
            "VERIFY_REDIS_URL": "redis://localhost:1",
            "VERIFY_STATE_DIR": "/var/lib/verify",
            "VERIFY_KEYS": "k1:abc",
            "VERIFY_TAG_KEY": "def",
            "VERIFY_SIGNING_KEYS": "k2:ghi",
            "VERIFY_API_KEY": "vk_default_0123456789",
            "VERIFY_CONFIG": str(tmp_path / "verify.toml"),
            "VERIFY_POLICY": str(tmp_path / "policy.toml"),
            "VERIFY_CLOCK": "virtual",
        }
    )
    assert found == settings.Settings(
        redis_url="redis://localhost:1",
        state_dir=Path("/var/lib/verify"),
        keys="k1:abc",
        tag_key="def",
        signing_keys="k2:ghi",
        api_key="vk_default_0123456789",
        config=tmp_path / "verify.toml",
        policy=tmp_path / "policy.toml",
        clock="virtual",
    )


@pytest.mark.parametrize("name", settings.NAMES)
def test_every_setting_can_come_from_a_file(tmp_path: Path, name: str) -> None:
    """`NAME_FILE` names a file whose text, without the space around it, is the value."""
    value = {"VERIFY_CLOCK": "virtual", "VERIFY_CONFIG": SOME_FILE, "VERIFY_POLICY": SOME_FILE}
    file = tmp_path / "value"
    file.write_text(f"  {value.get(name, 'a-value-of-some-length')}\n\n")
    by_file = settings.read({f"{name}_FILE": str(file)})
    assert by_file == settings.read({name: value.get(name, "a-value-of-some-length")})
    assert by_file != settings.Settings()


@pytest.mark.parametrize("name", settings.NAMES)
def test_an_empty_value_is_no_value(name: str) -> None:
    """`NAME=` in an environment file is as good as nothing."""
    assert settings.read({name: ""}) == settings.Settings()
    assert settings.read({f"{name}_FILE": ""}) == settings.Settings()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("VERIFY_KEY", "VERIFY_KEYS"),
        ("VERIFY_REDIS", "VERIFY_REDIS_URL"),
        ("VERIFY_APIKEY", "VERIFY_API_KEY"),
        ("VERIFY_TAGKEY_FILE", "VERIFY_TAG_KEY"),
        ("VERIFY_POLCY", "VERIFY_POLICY"),
        ("VERIFY_STATEDIR", "VERIFY_STATE_DIR"),
    ],
)
def test_a_misspelt_name_is_told_the_right_one(name: str, near: str) -> None:
    """A setting that is silently ignored is a fault that nobody sees, so it stops the start."""
    with pytest.raises(ConfigError, match=rf"^unknown setting {name}: did you mean {near}\?$"):
        settings.read({name: "x"})


@pytest.mark.parametrize("name", ["VERIFY_", "VERIFY__FILE", "VERIFY_ZZZZZZZZZZZZZZ", "VERIFY_KEYS_FILE_FILE"])
def test_an_unknown_name_is_told_the_known_ones(name: str) -> None:
    """Where nothing is near, all names are listed."""
    with pytest.raises(ConfigError, match=f"^unknown setting {name}: "):
        settings.read({name: "x"})


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"VERIFY_CLOCK": "fast"}, "VERIFY_CLOCK is 'fast'; it can be system or virtual"),
        ({"VERIFY_CONFIG": "/nowhere/verify.toml"}, "VERIFY_CONFIG: there is no file /nowhere/verify.toml"),
        ({"VERIFY_POLICY": "/"}, "VERIFY_POLICY: there is no file /"),
        (
            {"VERIFY_KEYS_FILE": "/nowhere/keys"},
            "VERIFY_KEYS_FILE: cannot read /nowhere/keys: No such file",
        ),
        ({"VERIFY_KEYS": "a", "VERIFY_KEYS_FILE": "b"}, "VERIFY_KEYS and VERIFY_KEYS_FILE are both set; keep one"),
        ({"VERIFY_API_KEY": "short"}, "VERIFY_API_KEY: 16 or more visible ASCII characters"),
        ({"VERIFY_API_KEY": "with a space in it"}, "VERIFY_API_KEY: 16 or more visible ASCII characters"),
        ({"VERIFY_API_KEY": "schlüssel-schlüssel"}, "VERIFY_API_KEY: 16 or more visible ASCII characters"),
    ],
)
def test_an_unusable_value_is_one_line(environ: dict[str, str], words: str) -> None:
    """The line names the setting and what is wrong with it, never a secret."""
    with pytest.raises(ConfigError) as refused:
        settings.read(environ)
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)
    if "VERIFY_API_KEY" in environ:
        assert environ["VERIFY_API_KEY"] not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "not UTF-8 text")]
)
def test_a_file_without_a_value_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """An empty or binary file is a mistake, not a missing setting."""
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^VERIFY_KEYS_FILE: .*{words}$"):
        settings.read({"VERIFY_KEYS_FILE": str(tmp_path / "keys")})


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """`env:NAME` and `file:PATH` are read; anything else, and what is not there, is refused without showing it."""
    (tmp_path / "secret").write_text("from-a-file\n")
    assert settings.secret("env:HOOK", {"HOOK": "from-the-environment"}) == "from-the-environment"
    assert settings.secret(f"file:{tmp_path}/secret", {}) == "from-a-file"
    for reference in ("env:HOOK", "env:", "file:", "file:/nowhere", "hunter2", "vault:x", ""):
        with pytest.raises(ConfigError) as refused:
            settings.secret(reference, {})
        assert "hunter2" not in str(refused.value)
