import pytest

from services.tool_runner.adapters.places import Place, parted, picked
from tests.fakes.tool_runner import PARIS, PARIS_TEXAS, SINGAPORE

PLACES = [Place.model_validate(place) for place in (PARIS, PARIS_TEXAS, SINGAPORE)]


@pytest.mark.parametrize(
    ("location", "title"),
    [
        ("Paris", "Paris, France"),
        ("Paris, France", "Paris, France"),
        ("Paris, FR", "Paris, France"),
        ("Paris,", "Paris, France"),
        ("Paris, île-de-france", "Paris, Île-de-France, France"),
        ("Paris, Texas", "Paris, Texas, United States"),
        ("Paris, TX", "Paris, Texas, United States"),
        ("Paris, TX, USA", "Paris, Texas, United States"),
        ("Paris, Lamar, Texas", "Paris, Texas, United States"),
        ("Paris, U.S.A.", "Paris, United States"),
        ("Paris, United States", "Paris, United States"),
    ],
)
def test_picks_the_place_that_is_meant(location: str, title: str) -> None:
    _, wheres = parted(location)
    place = picked(PLACES, wheres)
    assert place is not None
    assert place.title(wheres) == title


@pytest.mark.parametrize("location", ["Paris, Ohio", "Paris, Germany", "Paris, Texas, France"])
def test_picks_none_rather_than_another(location: str) -> None:
    assert picked(PLACES, parted(location)[1]) is None


def test_a_state_code_belongs_to_the_united_states() -> None:
    canadian = Place(name="X", latitude=0, longitude=0, country_code="CA", admin1="Washington")
    assert not canadian.lies_in("WA")
    assert canadian.lies_in("Washington")


def test_nothing_is_said_twice() -> None:
    assert PLACES[2].title([]) == "Singapore"


def test_a_place_without_a_region_does_not_lie_in_nothing() -> None:
    assert not PLACES[2].lies_in(".")
