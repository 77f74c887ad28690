"""What an operator's signed webhook calls us with."""

import base64
import json
import secrets

from verify_service.signing import Signer

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signed(told: object, secret: str = SECRET) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(told).encode()
    return body, Signer(secret).headers("call-1", body)
