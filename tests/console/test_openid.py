"""OpenID Connect against a small real provider that signs, changes its keys, fails and lies."""

import hmac
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

from tests.support.bench import ManualClock
from tests.support.live import PATIENCE_S
from tests.support.openid import CLIENT, EMAIL, SECRET, SUBJECT, Provider, provider_at_work, signed
from verify_service.errors import ProviderSilent, SignInRefused, VerifyError
from verify_service.openid import OpenId
from verify_service.openid import provider as asking
from verify_service.operators import Person

BACK = "https://verify.example.com/console/sign-in/back"
DISCOVERY = "/.well-known/openid-configuration"
MUST_SAY = ("iss", "aud", "exp", "iat", "nonce", "sub")
RSA = RSAKey.generate_key(2048, {"kid": "r1"})


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(asking, "PATIENCE_S", PATIENCE_S)  # However busy the machine is.
    with provider_at_work() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(peer: Provider, clock: ManualClock) -> OpenId:
    return OpenId(peer.url, CLIENT, SECRET, BACK, clock)


def sign_in(client: OpenId, peer: Provider) -> Person:
    """All of it, as a browser goes through it."""
    at, pending = client.begin()
    back = peer.sign_in(at)
    client.answered(pending, back["state"], None)
    return client.finish(pending, back["code"])


def refused(client: OpenId, peer: Provider) -> str:
    """The words that a sign-in is refused with."""
    with pytest.raises(VerifyError) as told:
        sign_in(client, peer)
    assert isinstance(told.value, SignInRefused | ProviderSilent)
    return str(told.value)


def test_a_person_signs_in_by_the_authorization_code_flow(client: OpenId, peer: Provider) -> None:
    """The request has all that the flow demands, each time anew; the provider checks secret, redirect and PKCE."""
    at, pending = client.begin()
    assert at.startswith(f"{peer.url}/authorize?")
    asked = dict(parse_qsl(urlsplit(at).query))
    assert asked.pop("state") == pending.state
    assert asked.pop("nonce") == pending.nonce
    assert len(asked.pop("code_challenge")) == 43
    assert pending.verifier not in at
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid email",
        "code_challenge_method": "S256",
    }
    other = client.begin()[1]
    assert not {pending.state, pending.nonce, pending.verifier} & {other.state, other.nonce, other.verifier}
    assert sign_in(client, peer) == Person(peer.url, SUBJECT, EMAIL)
    assert peer.heard == [DISCOVERY, "/token", "/jwks"]
    peer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert sign_in(OpenId(peer.url, CLIENT, SECRET, BACK, ManualClock()), peer) == Person(peer.url, SUBJECT, EMAIL)


@pytest.mark.parametrize("word", [False, None, "true", 1, "yes"])
def test_an_email_counts_only_where_the_provider_says_that_it_is_verified(
    client: OpenId, peer: Provider, word: object
) -> None:
    """By the value `true` and no other; the person is known by the subject alone."""
    peer.claims["email_verified"] = word
    assert sign_in(client, peer) == Person(peer.url, SUBJECT, "")


def test_an_email_may_be_told_beside_the_token(client: OpenId, peer: Provider) -> None:
    """At the userinfo endpoint, of this person and no other; without one there is no email."""
    del peer.claims["email"]
    peer.userinfo = {"email": EMAIL, "email_verified": True}
    assert sign_in(client, peer) == Person(peer.url, SUBJECT, EMAIL)
    peer.userinfo["sub"] = "user-18"
    assert refused(client, peer) == "the provider told of somebody else"
    del peer.metadata["userinfo_endpoint"]
    assert sign_in(OpenId(peer.url, CLIENT, SECRET, BACK, ManualClock()), peer) == Person(peer.url, SUBJECT, "")


def test_an_answer_that_is_not_to_this_sign_in_is_refused(client: OpenId, peer: Provider, clock: ManualClock) -> None:
    """Another state, another provider's name, or too late; nobody is asked."""
    at, pending = client.begin()
    back = peer.sign_in(at)
    for state, issuer, words in (
        (client.begin()[1].state, None, "the answer belongs to another sign-in"),
        ("", None, "the answer belongs to another sign-in"),
        ("é", None, "the answer belongs to another sign-in"),
        (back["state"], "https://other.example.com", "the answer is another provider's"),
    ):
        with pytest.raises(SignInRefused, match=words):
            client.answered(pending, state, issuer)
    client.answered(pending, back["state"], peer.url)
    clock.advance(600)
    with pytest.raises(SignInRefused, match="took too long"):
        client.answered(pending, back["state"], None)
    assert peer.heard == [DISCOVERY]


def test_a_code_is_good_once_and_for_its_own_sign_in(client: OpenId, peer: Provider) -> None:
    """A replayed one, and one that was stolen from another browser's sign-in, whose verifier and nonce differ."""
    at, pending = client.begin()
    back = peer.sign_in(at)
    client.finish(pending, back["code"])
    with pytest.raises(SignInRefused, match="HTTP 400"):
        client.finish(pending, back["code"])
    stolen = peer.sign_in(at)
    with pytest.raises(SignInRefused, match="HTTP 400"):
        client.finish(client.begin()[1], stolen["code"])
    peer.claims["nonce"] = client.begin()[1].nonce
    assert refused(client, peer) == "the ID token belongs to another sign-in"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://other.example.com"}, "does not hold (InvalidIssuerError)"),
        ({"aud": "another"}, "does not hold (InvalidAudienceError)"),
        ({"aud": [CLIENT, "another"]}, "is for another client as well"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "is for another client as well"),
        ({"azp": "another"}, "is for another client as well"),
        ({"exp": 1_700_000_000}, "does not hold (ExpiredSignatureError)"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_300}, "does not hold (ImmatureSignatureError)"),
        ({"nonce": "another"}, "belongs to another sign-in"),
        *(
            ({name: None}, "does not hold (MissingRequiredClaimError)")
            for name in ("iss", "aud", "exp", "iat", "nonce")
        ),
        ({"sub": None}, "does not hold (MissingRequiredClaimError)"),
        ({"sub": 17}, "does not hold (InvalidSubjectError)"),
        ({"sub": ""}, "does not hold (ValidationError)"),
        ({"sub": "x" * 256}, "does not hold (ValidationError)"),
        ({"email": ["ada@example.com"]}, "does not hold (ValidationError)"),
        ({"nonce": 5}, "does not hold (ValidationError)"),
    ],
)
def test_a_token_with_a_wrong_claim_signs_nobody_in(
    client: OpenId, peer: Provider, claims: dict[str, Any], words: str
) -> None:
    """Though its signature is the provider's own."""
    peer.claims |= claims
    assert refused(client, peer) == f"the ID token {words}"


def test_a_token_for_several_clients_says_that_it_was_made_for_this_one(client: OpenId, peer: Provider) -> None:
    """By `azp`."""
    peer.claims |= {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert sign_in(client, peer).subject == SUBJECT


def _unsigned(claims: dict[str, Any]) -> str:
    body = signed({"alg": "HS256"}, claims, OctKey.import_key(b"k" * 32)).split(".")[1]
    return f"eyJhbGciOiJub25lIn0.{body}."


def _by_the_public_key(claims: dict[str, Any]) -> str:
    """What a library takes that believes the header's HS256 and uses the public key as its secret."""
    head, body, _ = signed({"alg": "HS256", "kid": "r1"}, claims, OctKey.import_key(b"k" * 32)).split(".")
    mac = hmac.digest(RSA.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{urlsafe_b64encode(mac).decode()}"


def _by_a_key_of_its_own(claims: dict[str, Any]) -> str:
    mine = ECKey.generate_key("P-256", {"kid": "k1"})
    return signed({"alg": "ES256", "kid": "k1", "jwk": mine.as_dict(private=False)}, claims, mine)


def _altered(claims: dict[str, Any]) -> str:
    ours, theirs = (
        signed({"alg": "RS256", "kid": "r1"}, {**claims, "sub": each}, RSA).split(".") for each in ("user-18", SUBJECT)
    )
    return ".".join((ours[0], ours[1], theirs[2]))


NOT_TAKEN = "the ID token is signed by an algorithm that is not taken"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_unsigned, NOT_TAKEN),
        (_by_the_public_key, NOT_TAKEN),
        (_by_a_key_of_its_own, "the ID token does not hold (InvalidSignatureError)"),
        (_altered, "the ID token does not hold (InvalidSignatureError)"),
        (lambda _: "not.a.token", "the ID token does not hold (DecodeError)"),
        (lambda _: "", "the ID token does not hold (DecodeError)"),
    ],
)
def test_a_token_that_the_provider_has_not_signed_signs_nobody_in(
    client: OpenId, peer: Provider, made: Callable[[dict[str, Any]], str], words: str
) -> None:
    """No signature, one by what is public, one by the forger's own key that comes along, one of other words."""
    peer.show(peer.signer, RSA)
    peer.made = made
    assert refused(client, peer) == words


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # It has a second name now, which few providers know.
def test_keys_of_each_kind_sign(peer: Provider, clock: ManualClock) -> None:
    """RSA by both paddings, elliptic curves, Ed25519; each only by an algorithm of its kind."""
    for key, algorithm in (
        (RSA, "RS256"),
        (RSA, "PS384"),
        (ECKey.generate_key("P-384", {"kid": "e"}), "ES384"),
        (OKPKey.generate_key("Ed25519", {"kid": "o"}), "EdDSA"),
    ):
        peer.signer, peer.header = key, {"alg": algorithm}
        peer.show(key)
        assert sign_in(OpenId(peer.url, CLIENT, SECRET, BACK, clock), peer).subject == SUBJECT
        peer.keys[0] |= {"alg": "RS512"}
        words = refused(OpenId(peer.url, CLIENT, SECRET, BACK, clock), peer)
        assert words == "the ID token is signed by a key that the provider does not show"


def test_keys_change_and_each_is_asked_for_seldom(client: OpenId, peer: Provider, clock: ManualClock) -> None:
    """A new id is looked for, at most every ten seconds; a key that is shown no more is believed no more after ten
    minutes."""
    sign_in(client, peer)
    peer.signer, old = ECKey.generate_key("P-256", {"kid": "k2"}), peer.signer
    peer.show(peer.signer)
    assert refused(client, peer) == "the ID token is signed by a key that the provider does not show"
    assert peer.heard.count("/jwks") == 1
    clock.advance(10)
    assert sign_in(client, peer).subject == SUBJECT
    sign_in(client, peer)
    assert (peer.heard.count("/jwks"), peer.heard.count(DISCOVERY)) == (2, 1)
    peer.signer = old
    clock.advance(600)
    assert refused(client, peer) == "the ID token is signed by a key that the provider does not show"
    assert (peer.heard.count("/jwks"), peer.heard.count(DISCOVERY)) == (3, 2)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "oct", "k": "a2V5", "kid": "k1"}],
        [{"kty": "EC", "kid": "k1"}],
        [{"kty": "EC", "kid": "k1", "crv": "P-256", "x": 1, "y": []}],
        [{"kty": "EC", "kid": "k1", "crv": "P-256", "x": "AA", "y": "AA"}],
        [{"kty": "EC", "kid": "k1", "use": "enc"}],
        [{"kty": "EC", "kid": "k1", "crv": "P-521", "x": "AA", "y": "AA"}],
        "twice",
    ],
)
def test_a_key_that_cannot_be_used_signs_nobody_in(client: OpenId, peer: Provider, keys: Any) -> None:
    """None, a secret one, half a one, no point of the curve, one for something else, two of one id."""
    peer.keys = peer.keys * 2 if keys == "twice" else keys
    assert refused(client, peer) in (
        "the ID token is signed by a key that the provider does not show",
        "the provider shows a key that cannot be used",
    )


ELSEWHERE = [
    "file:///etc/passwd",
    "http://127.0.0.1:1/x",
    "http://metadata.internal/x",
    "https://127.0.0.1/x",
    "https://169.254.169.254/latest",
    "https://[::1]/x",
    "https://127.1/x",
    "https://localhost/x",
    "https://store/x",
    "https://a@idp.example.com/x",
    "https://idp.example.com/x y",
    "https://idp.example.com:99999/x",
    "javascript:alert(1)",
    "//idp.example.com/x",
    "",
]


@pytest.mark.parametrize("what", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_a_provider_cannot_lead_us_elsewhere(peer: Provider, clock: ManualClock, what: str) -> None:
    """Its metadata may name its own origin, and other hosts by https and a name: no file, no inner address."""
    for at in ELSEWHERE:
        peer.metadata[what] = at
        with pytest.raises(SignInRefused, match="leads to an address that is not to be asked"):
            OpenId(peer.url, CLIENT, SECRET, BACK, clock).begin()
    peer.metadata[what] = "https://idp.example.com/x"
    OpenId(peer.url, CLIENT, SECRET, BACK, clock).begin()
    assert set(peer.heard) == {DISCOVERY}


def test_a_provider_under_another_name_is_refused(client: OpenId, peer: Provider) -> None:
    """As Discovery 1.0 demands in section 4.3."""
    peer.metadata["issuer"] = "https://accounts.example.com"
    with pytest.raises(SignInRefused, match="another name than `issuer`"):
        client.begin()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((302, {"location": "http://127.0.0.1:6379/"}, b""), "the provider answered HTTP 302"),
        ((302, {"location": "file:///etc/passwd"}, b""), "the provider answered HTTP 302"),
        ((503, {}, b"{}"), "the provider answered HTTP 503"),
        ((200, {}, b"<html>"), "the provider's answer cannot be read"),
        ((200, {}, b"[" * 100_000), "the provider's answer cannot be read"),
        ((200, {}, b'{"sub":"' + b"x" * 3_000_000 + b'"}'), "the provider's answer cannot be read"),
        ((200, {}, b'{"id_token":"a","access_token":"b\\r\\nx: y"}'), "the provider's answer cannot be read"),
    ],
)
def test_an_answer_that_is_none_signs_nobody_in(
    peer: Provider, clock: ManualClock, answer: tuple[int, dict[str, str], bytes], words: str
) -> None:
    """A redirect is not followed, an answer without end is not read; each is refused in words that quote nothing."""
    del peer.claims["email"]
    for path in (DISCOVERY, "/token", "/jwks", "/userinfo"):
        peer.instead = {path: lambda: answer}
        assert refused(OpenId(peer.url, CLIENT, SECRET, BACK, clock), peer) == words
        assert peer.heard[-1] == path


def test_a_provider_that_is_down_is_left_in_peace_for_a_while(
    client: OpenId, peer: Provider, clock: ManualClock
) -> None:
    """Whoever asks meanwhile is told at once, and why; so it is with one that cannot be believed."""
    peer.instead[DISCOVERY] = lambda: (500, {}, b"")
    assert [refused(client, peer) for _ in range(3)] == ["the provider answered HTTP 500"] * 3
    clock.advance(10)
    peer.instead.clear()
    peer.metadata["issuer"] = "https://accounts.example.com"
    assert [refused(client, peer) for _ in range(3)] == ["the provider calls itself by another name than `issuer`"] * 3
    assert peer.heard == [DISCOVERY] * 2
    clock.advance(10)
    peer.metadata["issuer"] = peer.url
    assert sign_in(client, peer).subject == SUBJECT


def test_a_slow_provider_holds_few_threads_and_not_for_long(
    client: OpenId, peer: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four wait for it, the fifth is told at once; and one length of time is for the whole of an answer."""
    held, enough = threading.Semaphore(0), threading.Event()

    def slow() -> tuple[int, dict[str, str], bytes]:
        held.release()
        enough.wait()
        return 503, {}, b""

    waiting = [client.begin() for _ in range(4)]
    peer.instead["/token"] = slow

    def finish(at: str, pending: Any) -> None:
        with pytest.raises(ProviderSilent):
            client.finish(pending, peer.sign_in(at)["code"])

    threads = [threading.Thread(target=finish, args=each) for each in waiting]
    for thread in threads:
        thread.start()
    for _ in threads:
        held.acquire()
    with pytest.raises(ProviderSilent, match="does not keep up"):
        client.finish(waiting[0][1], "code")
    enough.set()
    for thread in threads:
        thread.join()
    enough.clear()
    monkeypatch.setattr(asking, "PATIENCE_S", 0.1)
    with pytest.raises(ProviderSilent, match="did not answer"):
        client.finish(waiting[0][1], "code")
    enough.set()
