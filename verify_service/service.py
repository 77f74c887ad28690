"""Start, check, cancel, status. Read this first: it is the way of a request, without HTTP and without Redis."""

import secrets

import msgspec

from verify_service import asking, codes, tracing
from verify_service.approvals import Approvals
from verify_service.asking import StartFields, Target
from verify_service.config import Config
from verify_service.errors import InvalidRequest, VerificationNotFound
from verify_service.model import Check, Clock, Number, Start, StartOptions, Verification
from verify_service.packing import text
from verify_service.policy import kinds
from verify_service.policy.base import micro
from verify_service.policy.file import Policy
from verify_service.policy.limits import AS_SAID, facts_of, user_tag
from verify_service.policy.rulebook import Rulebook, Rules
from verify_service.refusals import refusal, refused_by
from verify_service.store.decisions import refusal_of
from verify_service.store.entries import of_start
from verify_service.store.layouts import Content, Context, Facts, StartAsk
from verify_service.store.shapes import Checked, Refused
from verify_service.store.verifications import Verifications
from verify_service.telemetry import CHECKS, STARTS, counting_problems

_encode = msgspec.json.Encoder(order="deterministic").encode
# What of a start goes with its message.
_OF_THE_MESSAGE = tuple(name for name in Content.__struct_fields__ if name in StartOptions.__struct_fields__)

# Who asked, as a start's event has it: by pseudonyms.
_WHO = tuple(name for name in Facts.__struct_fields__ if name in {"ip", "network", *AS_SAID} - {"user"})

# What a record says of a test number; `1` is what it has always said of one that counts nothing.
_LANES = {"none": "1", "own": "own", "real": "real"}


class Service:
    """The service for all tenants. Every method raises StoreUnavailable where the store does not answer."""

    def __init__(
        self,
        config: Config,
        rules: Rules,
        keys: codes.KeyRing,
        tagger: codes.Tagger,
        verifications: Verifications,
        clock: Clock,
        approvals: Approvals | None = None,
    ) -> None:
        self.config = config
        self._keys = keys
        self._tagger = tagger
        self._verifications = verifications
        self._clock = clock
        self.rules = rules
        self.approvals = approvals or Approvals(keys, tagger, config.receipts)

    @property
    def policy(self) -> Policy:
        """The policy in force now."""
        return self.rules().policy

    @counting_problems(STARTS)
    def start(
        self,
        tenant: str,
        ask: Start,
        idempotency_key: str | None = None,
        only: str | None = None,
        *,
        digits: int = 0,
        brand: str = "",
        risk_check: bool = True,
    ) -> Verification:
        """Admits a start: its code is on the way when this returns, and the verification says until when it lives.

        A start for a (tenant, number, purpose) that is pending is a resend: same id, and the same code unless the
        policy says otherwise. With the idempotency key of an earlier start it answers what that one was answered. With
        `only`, an id, it is a resend of that verification, and VerificationNotFound where it is not pending.
        `digits` make the code longer than the policy's, and `brand` is the name in the message in place of the
        tenant's, '' where it is that one. Without `risk_check` no detector is asked, and none learns of it; limits
        and budgets hold.
        Raises InvalidNumber, InvalidRequest, Blocked, OptedOut, RateLimited, SendsExhausted, IdempotencyMismatch; a
        refused start has counted for nothing.
        """
        now = self._clock.now()
        book = self.rules()
        number = ask.number
        tag = self._tagger.number(number.e164)
        tested = self.config.test_number(number.e164, now)
        facts = facts_of(tenant, ask, number, ask.purpose)
        judgment, hits = book.judge(number, tag, facts, ask.ip, tested.limits if tested else "real")
        context = Context(book.revision, judgment.text, judgment.observed)
        if not risk_check:  # A detector is what is judged first.
            hits = [hit for hit in hits if not kinds.comes_first(hit.kind)]
        refused = judgment.refused
        if refused and (refused.kind == "line-types" or not tested):
            decision = self._verifications.new_decision(tag)
            kind = "invalid-number" if refused.kind == "line-types" else "blocked"
            what = self._facts(book, tenant, ask, tag, facts)
            context = msgspec.structs.replace(context, unjudged=[hit.name for hit in hits])
            gone = refusal_of(self._verifications.new_id(tag), kind, refused.name, context, what)
            decision = self._verifications.decisions.refuse(now, decision, gone)
            raise refused_by(refused, decision)
        if self.config.route(number.country, ask.channel) is None:
            raise InvalidRequest("channel", f"no route carries {ask.channel} to {number.country}".removesuffix(" to "))
        digits = max(digits, self.config.code_length(tenant, ask.purpose), book.policy.code.digits)
        nonce = f"{secrets.token_hex(16)}{digits}"  # The script asks a resend's for the length that its code has.
        kid = self._keys.newest
        code = tested.code if tested else self._keys.code(kid, nonce, tenant, ask.purpose, digits)
        asked = StartAsk(
            id=self._verifications.new_id(tag),
            request=secrets.token_hex(8),
            tenant=tenant,
            number=tag,
            purpose=ask.purpose,
            channel=ask.channel,
            nonce=nonce,
            kid=kid,
            digest=self._keys.digest(code, nonce, tenant, ask.purpose, ask.binding),
            binding=self._tagger.binding(ask.binding),
            message=of_start(
                tenant, ask.channel, self._content(ask, tag, digits, brand), ask.purpose, tracing.traceparent()
            ),
            facts=text(self._facts(book, tenant, ask, tag, facts).pack()),
            test=_LANES[tested.limits] if tested else "",
            decision=self._verifications.new_decision(tag),
            ring=self._keys.kids,
            context=context,
            former=self._tagger.former(number.e164),
            only=only or "",
            country=number.country,
            place=number.place,
        )
        sealed_to = self._keys.seal_to(number.e164, tenant, tag)
        idempotency = asking.idempotency(
            self._tagger, idempotency_key, lambda: asking.fingerprint(ask), tenant, "start"
        )
        outcome = self._verifications.start(now, book.code, asked, sealed_to, hits, idempotency)
        if isinstance(outcome, Refused):
            if outcome.kind == "absent":
                raise VerificationNotFound
            raise refusal(outcome, book.policy)
        said = "replayed" if outcome.replayed else "resent" if outcome.resent else "started"
        STARTS.labels(said).inc()
        tracing.note(verify_verification=outcome.id, verify_outcome=said)
        return outcome.pending(number.e164, ask.purpose, tested is not None)

    @counting_problems(CHECKS)
    def check(
        self,
        tenant: str,
        where: str | Target,
        code: str,
        binding: dict[str, str] | None = None,
        ip: str | None = None,
        idempotency_key: str | None = None,
        receipt: bool = False,
        *,
        purpose: str = "",
    ) -> Check:
        """Compares a code with a live verification, named by its id or by number and purpose; a right one ends it.
        With `purpose`, an id of another purpose is none.

        At most the policy's `checks` wrong codes are compared, whatever the concurrency, and a right one is approved
        once. It has a receipt where one is asked for, or the tenant always has one. Raises VerificationNotFound,
        ChecksExhausted, RateLimited, IdempotencyMismatch, InvalidRequest where none is possible (`approvals.missing`).
        """
        now = self._clock.now()
        book = self.rules()
        place: str | tuple[str, str]
        to = None
        if isinstance(where, Target):
            if not book.policy.code.check_by_number:
                raise InvalidRequest("to", "the policy wants checks by `id`; send the id that the start answered")
            to = self._recipient(where).e164
            place = (self._tagger.number(to), where.purpose)
        else:
            place = where
        facts = facts_of(tenant, StartOptions(ip=ip))
        wish = self.approvals.wish(tenant, receipt)
        decision = self._verifications.new_decision(where[3:] if isinstance(where, str) else place[0])
        outcome = self._verifications.check(
            now,
            tenant,
            place,
            self._keys.proofs(code, binding),
            secrets.token_hex(8),
            book.limits.of_check(facts),
            book.limits.of_check_by_number(facts),
            asking.idempotency(
                self._tagger,
                idempotency_key,
                lambda: _encode((where, code, binding, receipt)[: 3 + receipt]),
                tenant,
                "check",
            ),
            decision,
            book.revision,
            wish,
            purpose,
        )
        if isinstance(outcome, Checked):
            said = "replayed" if outcome.replayed else outcome.status
            CHECKS.labels(said).inc()
            tracing.note(verify_verification=outcome.id, verify_outcome=said)
            return Check(
                id=outcome.id,
                status=outcome.status,  # type: ignore[arg-type]
                checks_left=outcome.checks_left,
                receipt=self.approvals.receipt(tenant, outcome, binding),
                channel=outcome.channel,
                created_at=outcome.created_at,
                to=to or self._keys.readable_to(outcome.sealed_to, tenant, outcome.number),
            )
        if outcome.kind == "absent":
            raise VerificationNotFound
        raise refusal(outcome, book.policy)

    def cancel(self, tenant: str, verification_id: str) -> None:
        """Ends a pending verification; its code is worthless from now on. Raises VerificationNotFound."""
        if not self._verifications.cancel(self._clock.now(), tenant, verification_id, "canceled"):
            raise VerificationNotFound

    def approve(self, tenant: str, verification_id: str) -> None:
        """Ends a pending verification as approved by its caller's word: no code was compared, so no limit gets a start
        back, and no detector hears of it. Raises VerificationNotFound."""
        if not self._verifications.cancel(self._clock.now(), tenant, verification_id, "approved"):
            raise VerificationNotFound

    def live_id(self, tenant: str, where: Target) -> str:
        """The id of the number's newest verification that has not been approved or canceled. Raises
        VerificationNotFound, InvalidNumber."""
        number = self._tagger.number(self._recipient(where).e164)
        found = self._verifications.live(tenant, number, where.purpose)
        if found is None:
            raise VerificationNotFound
        return found

    def status(self, tenant: str, verification_id: str) -> Verification:
        """A verification with its timeline, until an hour after its life. Raises VerificationNotFound."""
        record = self._verifications.read(self._clock.now(), tenant, verification_id)
        if record is None:
            raise VerificationNotFound
        return record.of(self._keys.readable_to(record.sealed_to, tenant, record.number))

    def parse_start(self, fields: StartFields) -> Start:
        """A validated start from what the caller wrote. Raises InvalidNumber, InvalidRequest."""
        return asking.start_of(fields, self.config, self._clock.now())

    def _recipient(self, where: Target) -> Number:
        return asking.recipient_of(where.to, where.region, self.config, self._clock.now())

    def _content(self, ask: Start, tag: str, digits: int, brand: str) -> Content:
        """What the message needs beside its verification."""
        return Content(
            number=tag,
            country=ask.number.country,
            digits=str(digits),
            brand=brand,
            **{name: getattr(ask, name) or "" for name in _OF_THE_MESSAGE},
        )

    def _facts(self, book: Rulebook, tenant: str, ask: Start, tag: str, facts: dict[str, str | None]) -> Facts:
        """The start as its event has it."""
        number = ask.number
        who = {name: self._tagger.tag(name, value) if (value := facts[name]) else "" for name in _WHO}
        return Facts(
            tenant=tenant,
            purpose=ask.purpose,
            channel=ask.channel,
            number=tag,
            country=number.country,
            line_type=number.line_type,
            range=number.range,
            revision=str(book.revision),
            price=str(micro(book.policy.price(number.country))),
            keys=",".join(f"{name}={self._tagger.tag(f'key:{name}', own)}" for name, own in (ask.keys or {}).items()),
            user=user_tag(self._tagger, facts) or "",
            **who,
        )
