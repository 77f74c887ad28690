"""The detector of pumping in the first hours of its life, when it knows nothing of anybody's usual traffic."""

from tests.support.detector import HOUR, Field, field, numbers
from verify_service.errors import Blocked
from verify_service.store import Store


def morning(place: Field, share: int, prefix: int = 20_100_000) -> list[bool]:
    """Two hours with a start each 40 seconds, after six of one each twenty minutes; `share` of 12 codes are entered.
    Whether each start was refused."""
    answers = []
    for turn, number in enumerate(numbers(198, first=prefix, step=137)):
        try:
            verification = place.start(number)
        except Blocked:
            answers.append(True)
        else:
            answers.append(False)
            if turn * 5 % 12 < share:
                place.bench.clock.advance(15)
                place.approve(verification)
        place.bench.clock.advance(20 * 60 if turn < 18 else 40)
    return answers


def test_a_poor_carrier_on_the_first_morning_is_no_fraud_to_a_new_rule(store: Store) -> None:
    """Five of twelve codes entered, many more starts than in the night: none refused; a rule that has no time to learn
    takes it for an attack."""
    assert not any(morning(field(store), 5))
    assert any(morning(field(store, learn_for='"1 second"'), 5))


def test_pumping_on_the_first_morning_is_blocked_by_a_new_rule(store: Store) -> None:
    """Who enters no code is found as soon as later."""
    new = morning(field(store), 0).index(True)
    assert new <= 20


def test_a_rule_that_has_learned_needs_no_time_for_a_place_that_is_new(store: Store) -> None:
    """An attack that enters some codes, in a country that had no traffic before: a day and a half after the rule's
    first start anywhere it is blocked, as if the rule had never been new."""
    place, other = field(store), field(store, learn_for='"1 second"')
    for each in (place, other):
        each.start("+4915112345678")
        each.bench.clock.advance(37 * HOUR)
    answers = morning(place, 4)
    assert True in answers
    assert answers == morning(other, 4)
