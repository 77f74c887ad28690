"""TLS for connections that are not HTTP: the server shows a certificate for its name, and somebody vouches for it."""

import ssl
from pathlib import Path

from verify_service.errors import ConfigError


def trusting(tls_ca: str | None) -> ssl.SSLContext:
    """Trusts what the machine trusts, and the certificates in `tls_ca`. Raises ConfigError where that holds none."""
    if tls_ca is not None and not Path(tls_ca).is_file():
        raise ConfigError(f"tls_ca: there is no file {tls_ca}")
    try:
        return ssl.create_default_context(cafile=tls_ca)
    except ssl.SSLError:
        raise ConfigError(f"tls_ca: {tls_ca} holds no certificate") from None
