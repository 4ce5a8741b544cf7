import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowfast.config.coerce import WrongType, coerce, literal, notice


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (2, 0.0, 2.0),
        ("2", 0.0, 2.0),
        ("1e-5", 0.0, 1e-5),
        ("5e-6", 1.0, 5e-6),
        ("True", False, True),
        ("true", False, True),
        ("FALSE", True, False),
        (True, False, True),
        ("-1", 10, -1),
        ([1, 2], (0, 0), (1, 2)),
        ("(3, 7, 7)", [1], [3, 7, 7]),
        ([0, 1, 1], [0.45, 0.45, 0.45], [0.0, 1.0, 1.0]),
        ("[spatial]", ["spatial", "temporal"], ["spatial"]),
        ("[]", ["a"], []),
        ("0.5", None, 0.5),
        (None, None, None),
        ("None", None, None),
        ("abc", None, "abc"),
    ],
)
def test_a_value_takes_the_type_of_the_default(value, default, expected):
    result = coerce(value, default)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("text", ["007", "1", "True", "[a]", "1e5", ",", " ", "a b", "v1.10"])
def test_text_keeps_its_spelling(text):
    assert coerce(text, "default") == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [("''", ""), ("','", ","), (None, ""), ("None", ""), (1, "1"), ("'", "'")],
)
def test_text_loses_quotes_and_nothing_else(value, expected):
    assert coerce(value, "default") == expected


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        ("fast", 0.1, "a number"),
        (True, 0.1, "a number"),
        (None, 0.1, "a number"),
        (1.5, 1, "a whole number"),
        ("2.0", 1, "a whole number"),
        (True, 1, "a whole number"),
        (1, True, "true or false"),
        ("0", False, "true or false"),
        ("yes", False, "true or false"),
        ("abc", [1], "a list such as"),
        (3, (), "a list such as"),
        (["a"], [0.5], "a number"),
        (1.5, "text", "quotes"),
        (True, "text", "quotes"),
        (["a"], "text", "quotes"),
    ],
)
def test_no_guess_is_made(value, default, expected):
    with pytest.raises(WrongType, match=expected):
        coerce(value, default)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_a_number_written_as_text_is_the_same_number(value):
    assert literal(str(value)) == value
    assert coerce(str(value), value) == value


@given(st.text())
def test_any_text_stays_or_is_read_without_failing(text):
    literal(text)
    assert isinstance(coerce(text, "default"), str)


def test_a_notice_is_given_once(caplog):
    with caplog.at_level(logging.WARNING):
        notice("only once, please")
        notice("only once, please")
    assert caplog.text.count("only once, please") == 1
