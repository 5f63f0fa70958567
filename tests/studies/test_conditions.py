"""Conditions: what is allowed says what it should, what is not is refused by name, and nothing is ever executed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.errors import UserError
from trainwright.studies.conditions import Undecided, parse
from trainwright.studies.jobs import Result

RESULTS = {
    "base": Result(
        "finished",
        "sick",
        step=500,
        symptoms=("mode_collapse",),
        causes=("lr_ratio",),
        score=0.2,
        levels={"kl/nats": 3.0},
    ),
    "other": Result("finished", "healthy", score=0.4, levels={"kl/nats": 12.0}),
    "skipped": None,
}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("base.verdict == 'sick'", True),
        ("base.verdict in ['healthy', 'suspect']", False),
        ("'mode_collapse' in base.symptoms and not 'lr_ratio' in other.causes", True),
        ("other['kl/nats'] > 3.5 * base['kl/nats']", True),
        ("0.1 < base.score < other.score", True),
        ("abs(base.score - other.score) < 0.1 or max(base.score, other.score) == 0.4", True),
        ("skipped.ended or other.step == 0", True),
        ("other.symptoms == [] and base.symptoms != []", True),
        ("-base['kl/nats'] < 0", True),
        ("base.verdict == 'sick' or skipped.score > 1", True),  # the right side is not needed
    ],
)
def test_a_condition_says_what_it_reads(text, expected):
    assert parse(text, tuple(RESULTS), "plan").holds(RESULTS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "skipped.score > 1",
        "base['kl/none'] > 1",
        "base.onset > 1",
        "base.verdict > 1",
        "1 / other.step > 0",
        "-base.verdict == 1",
    ],
)
def test_what_was_not_measured_is_undecided_and_not_false(text):
    with pytest.raises(Undecided):
        parse(text, tuple(RESULTS), "plan").holds(RESULTS)


@pytest.mark.parametrize(
    "text, reported",
    [
        ("base.verdct == 'sick'", "verdict"),
        ("bse.verdict == 'sick'", "'base'"),
        ("base > 1", "base is an experiment"),
        ("base.verdict ==", "not a condition"),
        ("__import__('os').system('true')", "not allowed"),
        ("base.__class__ == 1", "has no '__class__'"),
        ("(lambda: 1)() == 1", "not allowed"),
        ("[x for x in base.symptoms]", "not allowed"),
        ("base['a']['b'] == 1", "not allowed"),
        ("2 ** 99999999 > 1", "not allowed"),
        ("a" * 501, "500 characters"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text, reported):
    with pytest.raises(UserError, match="plan: when") as error:
        parse(text, tuple(RESULTS), "plan: when")
    assert reported in str(error.value)


def test_words_cannot_be_multiplied_into_gigabytes():
    with pytest.raises(Undecided):
        parse("'a' * 999999999 == 'b'", (), "plan").holds({})


@given(st.text(max_size=60))
def test_no_text_breaks_it(text):
    try:
        answer = parse(text, tuple(RESULTS), "plan").holds(RESULTS)
    except UserError as error:
        assert str(error).startswith("plan: ")  # refused, with its place
    except Undecided as error:
        assert str(error)  # with a reason
    else:
        assert isinstance(answer, bool)
