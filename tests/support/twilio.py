"""A caller of Twilio's API without an SDK, in this process, and what its answers are made of."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.support.contract import LocalClient
from tests.support.live import changed, contents
from verify_service.store.layouts import Record


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


# The fields of Twilio's public document, by what answers them.
VERIFICATION = _named(
    "sid service_sid account_sid to channel status valid lookup amount payee send_code_attempts date_created "
    "date_updated sna url"
)
CHECK = _named(
    "sid service_sid account_sid to channel status valid amount payee date_created date_updated "
    "sna_attempts_error_codes"
)
SERVICE = _named(
    "sid account_sid friendly_name code_length lookup_enabled psd2_enabled skip_sms_to_landlines dtmf_input_required "
    "tts_name do_not_share_warning_enabled custom_code_enabled push totp default_template_sid whatsapp passkeys "
    "verify_event_subscription_enabled date_created date_updated url links"
)
RATE_LIMIT = _named("sid service_sid account_sid unique_name description date_created date_updated url links")
BUCKET = _named("sid rate_limit_sid service_sid account_sid max interval date_created date_updated url")
ATTEMPT = _named(
    "sid account_sid service_sid verification_sid date_created date_updated conversion_status channel price "
    "channel_data url"
)
SUMMARY = _named("total_attempts total_converted total_unconverted conversion_rate_percentage url")
ENTITY = _named("sid identity account_sid service_sid date_created date_updated url links")
FACTOR = _named(
    "sid account_sid service_sid entity_sid identity date_created date_updated friendly_name status factor_type config "
    "metadata url"
)
NEW_FACTOR = FACTOR | {"binding", "options"}
CHALLENGE = _named(
    "sid account_sid service_sid entity_sid identity factor_sid date_created date_updated date_responded "
    "expiration_date status responded_reason details hidden_details metadata factor_type url links"
)
META = _named("first_page_url key next_page_url page page_size previous_page_url url")
FORM = "application/x-www-form-urlencoded"


class Twilio:
    """One tenant's calls: forms by HTTP Basic."""

    def __init__(self, client: LocalClient, tenant: str = "default", key: str | None = None) -> None:
        self.client = client
        self.tenant = tenant
        self.account = client.config.accounts[tenant]
        self.service = client.config.services[tenant][0].sid
        self.key = key or client._server.api_key

    def call(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | bytes | None = None,
        *,
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """The status and the body; `path` behind /v2, where `{}` is the tenant's service."""
        login = base64.b64encode(f"{user or self.account}:{self.key}".encode()).decode()
        sent = {"Authorization": f"Basic {login}", **(headers or {})}
        if isinstance(form, bytes):
            sent.setdefault("Content-Type", FORM)
        where = f"/v2{path.replace('{}', self.service)}"
        answer = self.client.app.test_client().open(where, method=method, data=form, headers=sent)
        self.headers = answer.headers
        if answer.data:
            assert answer.mimetype == "application/json"
        return answer.status_code, msgspec.json.decode(answer.data) if answer.data else None

    def create(self, to: str, channel: str = "sms", **more: str) -> Any:
        """The verification. Raises AssertionError where it is not made."""
        status, body = self.call("POST", "/Services/{}/Verifications", {"To": to, "Channel": channel, **more})
        assert status == 201, body
        return body

    def check(self, code: str, **more: str) -> Any:
        """The check of a code that could be compared. Raises AssertionError of another."""
        status, body = self.call("POST", "/Services/{}/VerificationCheck", {"Code": code, **more})
        assert status == 200, body
        return body

    def refused(self, method: str, path: str, form: Mapping[str, str] | bytes | None = None, **more: Any) -> Any:
        """(status, code) of a refusal in Twilio's form, whose `status` is the answer's and which no SDK takes for
        RFC 9457's."""
        status, body = self.call(method, path, form, **more)
        assert status >= 400, body
        assert body.keys() - {"details"} == {"code", "message", "more_info", "status"}
        assert (body["status"], body["more_info"]) == (status, f"https://www.twilio.com/docs/errors/{body['code']}")
        self.said = body
        return status, body["code"]

    def code(self, sid: str, purpose: str = "login", digits: int = 6) -> str:
        """The code of a verification, as the dispatcher would derive it."""
        store = self.client.store
        part = store.verifications.partition(sid[2:])
        record = Record.open(store.link.command(part, ["GET", f"vs:{{{part}}}:verification:ve_{sid[2:]}"]))
        return self.client.keys.code(record.kid, record.nonce, self.tenant, purpose, digits)

    @contextmanager
    def spending_nothing(self) -> Iterator[None]:
        """Nothing in the store is another afterwards, but for the audit log, which has an erasure first."""
        redis = self.client.store.link.client()
        before = contents(redis)
        yield
        assert {key for key in changed(redis, before) if b"}:audit" not in key} == set()
