import pytest

from services.memory.statements import statements


@pytest.mark.parametrize(
    ("fact", "text", "negated"),
    [
        ("I live in Oslo.", "I live in Oslo", False),
        ("Please remember that I live in Oslo", "I live in Oslo", False),
        ("I now live in Oslo", "I live in Oslo", False),
        ("I live in Oslo these days", "I live in Oslo", False),
        ("I no longer live in Oslo", "I live in Oslo", True),
        ("I don't eat meat any more", "I eat meat", True),
        ("I never eat meat", "I eat meat", True),
        ("I have stopped eating meat", "I eating meat", True),
        ("I have no siblings", "I have siblings", True),
        ("I hate tea", "I like tea", True),
        ("I can't stand tea", "I like tea", True),
        ("I do not hate tea", "I like tea", False),
        ("I love tea", "I like tea", False),
        ("The user lives in Oslo", "I live in Oslo", False),
        ("User's dog is called Rex", "my dog is called Rex", False),
        ("user has two cats", "I have two cats", False),
        ("The user studies law", "I study law", False),
        ("The user watches birds", "I watch birds", False),
        ("The user is not tall", "I am tall", True),
    ],
)
def test_reads_a_fact_as_a_plain_statement(fact: str, text: str, negated: bool) -> None:
    (statement,) = statements(fact)
    assert (statement.text, statement.negated) == (text, negated)


def test_parts_a_fact_where_another_subject_begins() -> None:
    found = statements("I live in Oslo, my dog is called Rex and I don't like tea. We are two")
    assert [(each.text, each.negated) for each in found] == [
        ("I live in Oslo", False),
        ("my dog is called Rex", False),
        ("I like tea", True),
        ("We are two", False),
    ]


def test_leaves_a_list_of_things_whole() -> None:
    assert len(statements("I like tea, cakes and old maps")) == 1
