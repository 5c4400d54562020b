import pytest

from services.moderation.adapters.personal import PersonalFinder

PERSONAL = PersonalFinder()


def found(text: str) -> list[tuple[str, str]]:
    return [(span.rule, text[span.start : span.end]) for span in PERSONAL.find(text)]


@pytest.mark.parametrize(
    ("text", "rule", "data"),
    [
        ("write to ann.lee+x@mail.example.org.", "email", "ann.lee+x@mail.example.org"),
        ("邮箱是ann@example.org。", "email", "ann@example.org"),
        ("call me at 415-555-2671 tonight", "phone", "415-555-2671"),
        ("(415) 555-2671", "phone", "(415) 555-2671"),
        ("or +44 20 7946 0958.", "phone", "+44 20 7946 0958"),
        ("655 437 108 office", "phone", "655 437 108"),
        ("Phone:\n467 3395\n", "phone", "467 3395"),
        ("call 138 1234 5678号", "phone", "138 1234 5678"),
        ("card 4111 1111 1111 1111 exp 12/29", "credit-card", "4111 1111 1111 1111"),
        ("378282246310005", "credit-card", "378282246310005"),
        ("IBAN DE89 3704 0044 0532 0130 00 IS MINE", "iban", "DE89 3704 0044 0532 0130 00"),
        ("gb82west12345698765432", "iban", "gb82west12345698765432"),
        ("my ssn is 219-09-9998", "us-ssn", "219-09-9998"),
        ("ping 10.1.2.3:8080", "ip-address", "10.1.2.3"),
        ("at 2001:db8::8a2e:370:7334 now", "ip-address", "2001:db8::8a2e:370:7334"),
        ("at fe80::1%eth0 and", "ip-address", "fe80::1"),
        ("IBAN DE89-3704-0044-0532-0130-00", "iban", "DE89-3704-0044-0532-0130-00"),
        ("card 4111.1111.1111.1111", "credit-card", "4111.1111.1111.1111"),
        ("card 4111  1111  1111  1111", "credit-card", "4111  1111  1111  1111"),
        ("an j\u00f6rg@b\u00fccher.example.", "email", "j\u00f6rg@b\u00fccher.example"),
        ("to ann.o'neil@example.org", "email", "ann.o'neil@example.org"),
        ("'ann@example.org'", "email", "ann@example.org"),
        (
            "\u0430\u043d\u043d\u0430@\u043f\u043e\u0447\u0442\u0430.\u0440\u0444",
            "email",
            "\u0430\u043d\u043d\u0430@\u043f\u043e\u0447\u0442\u0430.\u0440\u0444",
        ),
        (
            "\u7528\u6237@\u4f8b\u5b50.\u516c\u53f8",
            "email",
            "\u7528\u6237@\u4f8b\u5b50.\u516c\u53f8",
        ),
    ],
)
def test_finds_personal_data(text: str, rule: str, data: str) -> None:
    assert found(text) == [(rule, data)]


@pytest.mark.parametrize(
    "text",
    [
        "on 2024-01-02 at 10:00:00 and on 12.05.1999",
        "the population was 1 234 567 890 in 2020",
        "pi is 3.14159265358979 and 0.1234567890",
        "order 1234567890, ISBN 978-3-16-148410-0",
        "1 2 3 4 5 6 7 8 9 10 11 12",
        "4111 1111 1111 1112",
        "DE89370400440532013001",
        "000-12-3456 and 666-12-3456",
        "a::b::c and abc::def and dead::beef",
        "std::vector<int> and 12:34:56:78:9a:bc",
        "10 000 000 dollars from 1800-2000",
        "Call the function 3 times with 1000000 rows",
        "",
    ],
)
def test_leaves_other_numbers(text: str) -> None:
    assert found(text) == []


# Anything but linear takes hours.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "1 " * 150_000,
        "1" * 300_000,
        "a@" * 100_000,
        "AB12 " * 50_000,
        "1:" * 100_000,
        # Runs that are read to their end, and then turn out to be none.
        "1 " * 150_000 + "1a",
        "1 " * 150_000 + "!! b c",
        "a@b.co 1234 " * 30_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    PERSONAL.find(text)
    PERSONAL.settled(text)


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("ask 655 437 ", 4),
        ("ask 655 437 108 offi", 4),
        ("ask 655 437 108 office ", 23),
        ("ask DE89 3704 0044 ", 4),
        ("ask me\n", 7),
    ],
)
def test_a_number_is_open_until_the_word_after_it(text: str, settled: int) -> None:
    assert PERSONAL.settled(text) == settled
