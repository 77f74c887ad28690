"""The environment: the one file that reads it.

Every setting may come from a file instead, named by `<NAME>_FILE`. An unknown `VERIFY_*` name stops the start, because
a misspelt setting that is silently ignored is a security fault that nobody sees.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeAlias

from verify_service.errors import ConfigError
from verify_service.model import Frozen

NAMES = (
    "VERIFY_REDIS_URL",
    "VERIFY_STATE_DIR",
    "VERIFY_KEYS",
    "VERIFY_TAG_KEY",
    "VERIFY_SIGNING_KEYS",
    "VERIFY_API_KEY",
    "VERIFY_CONFIG",
    "VERIFY_POLICY",
    "VERIFY_CLOCK",
)
METRICS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
INBOX_KEY: Final = "FAKE_INBOX_KEY_DIGEST"
WEB_ADDRESS: Final = "RUN_WEB_ADDRESS"
_OURS = frozenset({METRICS_DIR, INBOX_KEY, WEB_ADDRESS})
ClockKind: TypeAlias = Literal["system", "virtual"]


class Settings(Frozen, frozen=True):
    """What the environment says. None where it says nothing."""

    redis_url: str | None = None
    state_dir: Path = Path(".verify")
    keys: str | None = None
    tag_key: str | None = None
    signing_keys: str | None = None
    api_key: str | None = None
    config: Path | None = None
    policy: Path | None = None
    clock: ClockKind = "system"


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings. Raises ConfigError, one line, for an unknown name or a value that cannot be read."""
    for name in environ:
        if name.startswith("VERIFY_") and name.removesuffix("_FILE") not in NAMES:
            near = get_close_matches(name[7:], [known[7:] for known in NAMES], 1)
            hint = f"did you mean VERIFY_{near[0]}?" if near else f"known are {', '.join(NAMES)} and each with _FILE"
            raise ConfigError(f"unknown setting {name}: {hint}")
    values = {name: _value(environ, name) for name in NAMES}
    clock = values["VERIFY_CLOCK"] or "system"
    if clock not in ("system", "virtual"):
        raise ConfigError(f"VERIFY_CLOCK is {clock!r}; it can be system or virtual")
    return Settings(
        redis_url=values["VERIFY_REDIS_URL"],
        state_dir=Path(values["VERIFY_STATE_DIR"] or ".verify"),
        keys=values["VERIFY_KEYS"],
        tag_key=values["VERIFY_TAG_KEY"],
        signing_keys=values["VERIFY_SIGNING_KEYS"],
        api_key=_api_key(values["VERIFY_API_KEY"]),
        config=_existing("VERIFY_CONFIG", values["VERIFY_CONFIG"]),
        policy=_existing("VERIFY_POLICY", values["VERIFY_POLICY"]),
        clock="virtual" if clock == "virtual" else "system",
    )


def secret(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret that a configuration file refers to, as `env:NAME` or `file:PATH`; never in clear."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        if not environ.get(name):
            raise ConfigError(f"secret {reference}: the environment has no {name}")
        return environ[name]
    if kind == "file" and name:
        return _read_file(f"secret {reference}", name)
    raise ConfigError("a secret is written env:NAME or file:PATH, never in clear")


def inherited() -> dict[str, str]:
    """The whole environment, for a child process."""
    return dict(os.environ)


def inherited_in_part() -> dict[str, str]:
    """The environment without settings of ours, which are secrets mostly, and without a share in this host's metrics:
    for a child that is told all it needs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VERIFY_") and name not in _OURS}


def metrics_dir(environ: Mapping[str, str] = os.environ) -> str | None:
    """Where the processes of this host share their metrics (prometheus_client's own variable), or None."""
    return environ.get(METRICS_DIR) or None


def inbox_key(environ: Mapping[str, str] = os.environ) -> str | None:
    """The digest of the key in the link to the fake provider's inbox, which `run` makes for its web role, or None."""
    return environ.get(INBOX_KEY) or None


def traces(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's own variables switch traces on: `OTEL_TRACES_EXPORTER=otlp` does, and nothing else. What
    there is to say of them further, its SDK reads. Raises ConfigError for what it cannot do here."""
    exporter = environ.get("OTEL_TRACES_EXPORTER") or "none"
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter != "otlp":
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {exporter!r}; it can be otlp or none")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (protocol := environ.get(name) or "http/protobuf") != "http/protobuf":
            raise ConfigError(f"{name} is {protocol!r}; traces are exported by http/protobuf alone")
    return True


def has_display(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser has a screen to open on, by X11's or Wayland's variable."""
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def web_address(environ: Mapping[str, str] = os.environ) -> str | None:
    """The address that `run` has its web role listen on, or None."""
    return environ.get(WEB_ADDRESS) or None


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Sees to it that processes started inside share their metrics, in a folder that goes away at the end.

    Raises RuntimeError where it is too late: prometheus_client asks for the folder once, when it is imported.
    """
    if metrics_dir() is not None:
        yield
        return
    if "prometheus_client" in sys.modules:
        raise RuntimeError("metrics were imported before the folder was made in which processes share them")
    with TemporaryDirectory(prefix="verify-metrics-") as folder:
        os.environ[METRICS_DIR] = folder
        try:
            yield
        finally:
            del os.environ[METRICS_DIR]


def _value(environ: Mapping[str, str], name: str) -> str | None:
    path = environ.get(f"{name}_FILE")
    direct = environ.get(name)
    if path and direct:
        raise ConfigError(f"{name} and {name}_FILE are both set; keep one")
    return _read_file(f"{name}_FILE", path) if path else direct or None


def _read_file(what: str, path: str) -> str:
    try:
        text = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{what}: cannot read {path}: {reason}") from None
    if not text:
        raise ConfigError(f"{what}: {path} is empty")
    return text


def _existing(name: str, value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value)
    if not path.is_file():
        raise ConfigError(f"{name}: there is no file {value}")
    return path


def _api_key(value: str | None) -> str | None:
    if value is not None and (len(value) < 16 or not value.isascii() or not value.isprintable() or " " in value):
        raise ConfigError("VERIFY_API_KEY: 16 or more visible ASCII characters; `verify-service apikey new` makes one")
    return value
