"""Finds which of several places of one name is meant, by what follows a comma."""

from collections.abc import Sequence

from pydantic import BaseModel

_COUNTRIES = {
    "us": {"usa", "america", "united states of america"},
    "gb": {"uk", "britain", "great britain"},
    "ae": {"uae"},
    "cz": {"czech republic"},
    "kr": {"korea"},
    "nl": {"holland"},
}
# Codes of the states of the USA: Portland, OR is not Portland, ME.
_STATES = """
al Alabama|ak Alaska|az Arizona|ar Arkansas|ca California|co Colorado|ct Connecticut|de Delaware
|dc District of Columbia|fl Florida|ga Georgia|hi Hawaii|id Idaho|il Illinois|in Indiana|ia Iowa
|ks Kansas|ky Kentucky|la Louisiana|me Maine|md Maryland|ma Massachusetts|mi Michigan|mn Minnesota
|ms Mississippi|mo Missouri|mt Montana|ne Nebraska|nv Nevada|nh New Hampshire|nj New Jersey
|nm New Mexico|ny New York|nc North Carolina|nd North Dakota|oh Ohio|ok Oklahoma|or Oregon
|pa Pennsylvania|ri Rhode Island|sc South Carolina|sd South Dakota|tn Tennessee|tx Texas|ut Utah
|vt Vermont|va Virginia|wa Washington|wv West Virginia|wi Wisconsin|wy Wyoming
"""
_STATE_CODES = {
    name.strip().lower(): code
    for code, _, name in (state.strip().partition(" ") for state in _STATES.split("|"))
}


class Place(BaseModel):
    """A place in an answer of Open-Meteo, which leaves out what it does not know."""

    name: str
    latitude: float
    longitude: float
    country: str = ""
    country_code: str = ""
    admin1: str = ""
    admin2: str = ""

    def lies_in(self, where: str) -> bool:
        return self._region_is(where) or self._country_is(where)

    def title(self, wheres: Sequence[str]) -> str:
        """Its name and country, and its region where the place was asked for by that."""
        regions = [self.admin1] if any(map(self._region_is, wheres)) else []
        return ", ".join(dict.fromkeys(filter(None, [self.name, *regions, self.country])))

    def _region_is(self, where: str) -> bool:
        key = _key(where)
        names = {_key(self.admin1), _key(self.admin2)} - {""}
        state = self.country_code == "US" and _STATE_CODES.get(_key(self.admin1)) == key
        return state or key in names

    def _country_is(self, where: str) -> bool:
        code = self.country_code.lower()
        return _key(where) in {_key(self.country), code} | _COUNTRIES.get(code, set())


def parted(location: str) -> tuple[str, list[str]]:
    """The place's own name, and the regions or countries where it lies, as in Paris, Texas."""
    name, *wheres = (part.strip() for part in location.split(","))
    return name, [where for where in wheres if where]


def picked(places: Sequence[Place], wheres: Sequence[str]) -> Place | None:
    """The first of the places that lies in all of `wheres`."""
    return next((place for place in places if all(map(place.lies_in, wheres))), None)


def _key(name: str) -> str:
    return name.replace(".", "").lower()
