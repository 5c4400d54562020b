"""Chooses what to look for in a text, in one pass over it for the signs of everything."""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import re2  # type: ignore[import-untyped]

Form = TypeVar("Form")


class Signs(Generic[Form]):
    """Each form comes with its signs; one of them stands in every text that holds the form."""

    def __init__(self, forms: Iterable[tuple[Form, Sequence[bytes]]]) -> None:
        self._forms: list[Form] = []
        # By sign, the places of the forms that have it.
        places: dict[bytes, list[int]] = {}
        for place, (form, signs) in enumerate(forms):
            self._forms.append(form)
            for sign in signs:
                places.setdefault(sign, []).append(place)
        self._places = list(places.values())
        self._set = re2.Set.SearchSet()
        for sign in places:
            self._set.Add(re2.escape(sign))
        self._set.Compile()

    def forms_for(self, raw: bytes) -> list[Form]:
        """Those that the text may hold, in their order."""
        matched = self._set.Match(raw)
        if not matched:
            return []
        chosen = {place for index in matched for place in self._places[index]}
        return [self._forms[place] for place in sorted(chosen)]
