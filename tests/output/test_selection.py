from __future__ import annotations

import re

import pytest

from smartflows_provider.output.errors import ExpressionInvalid, NothingSelected
from smartflows_provider.output.selection import SHOWN_PATHS, check_expressions, select

VALUES = {
    "total": 12.5,
    "rows": [{"carrier": "AA"}, {"carrier": "UA"}],
    "My letter": {"sent": False, "to": None},
}


def test_what_the_expressions_find_is_kept_under_the_new_names_in_their_order():
    outputs = {
        "carriers": "rows[].carrier",
        "sum": "total",
        "sent": '"My letter".sent',
        "none": "rows[?carrier=='X']",
    }
    found = select(VALUES, outputs)
    assert found == {"carriers": ["AA", "UA"], "sum": 12.5, "sent": False, "none": []}
    assert list(found) == list(outputs)


def test_expressions_that_find_nothing_or_null_are_named_with_the_paths_there_are():
    with pytest.raises(NothingSelected) as caught:
        select(VALUES, {"a": "totl", "b": "total", "c": '"My letter".to'})
    assert str(caught.value) == (
        "nothing, or null, stands at 'totl' (for 'a'), '\"My letter\".to' (for 'c'). The run has: total, "
        'rows, rows[].carrier, "My letter", "My letter".sent, "My letter".to. For a value that may be '
        "absent, write a default into the expression, such as total || `0`."
    )
    assert caught.value.retry_helps is False


def test_the_paths_that_a_message_lists_find_what_they_name():
    with pytest.raises(NothingSelected) as caught:
        select(VALUES, {"a": "nothing"})
    listed = re.search(r"The run has: (.*?)\. For", str(caught.value)).group(1).split(", ")
    found = select(VALUES, {path: path for path in listed if path != '"My letter".to'})
    assert found["rows[].carrier"] == ["AA", "UA"]
    assert len(found) == 5


def test_a_long_list_of_paths_is_cut_and_says_so():
    values = {f"k{number}": number for number in range(SHOWN_PATHS + 3)}
    with pytest.raises(NothingSelected, match=r"k39 and 3 more\."):
        select(values, {"a": "x"})


def test_a_run_without_values_is_said_to_have_none():
    with pytest.raises(NothingSelected, match=r"The run has no values at all\."):
        select({}, {"a": "x"})


def test_all_unreadable_expressions_are_named_before_there_are_values():
    with pytest.raises(ExpressionInvalid) as caught:
        check_expressions({"a": "rows[", "good": "total", "b": "", "c": 5, "d": "x..y"})
    assert str(caught.value) == (
        "outputs holds what is not a JMESPath expression: 'a': 'rows[' (Invalid jmespath expression: "
        "Incomplete expression); 'b': '' (Invalid JMESPath expression: cannot be empty.); 'c' is int, not a "
        "string; 'd': 'x..y' (Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', "
        "'lbrace'], got: "
        'dot: Parse error at column 2, token "." (DOT), for expression)'
    )


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("nope(@)", r"cannot be applied to the run's values: Unknown function: nope\(\)"),
        ("length(total)", r"cannot be applied to the run's values: In function length\(\), invalid type"),
        ("&total", "gives what JSON cannot carry: Object of type _Expression is not JSON serializable"),
        ("to_number('nan')", "gives what JSON cannot carry: Out of range float values"),
    ],
)
def test_an_expression_that_does_not_fit_the_values_is_named(expression, reason):
    with pytest.raises(ExpressionInvalid, match=reason) as caught:
        select(VALUES, {"a": expression})
    assert str(caught.value).startswith(f"the expression {expression!r} of outputs['a'] ")
