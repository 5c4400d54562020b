from typing import Any

import pytest

from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.test_bad_input import CHAT, RESPONSE

# Values that Python would take for a number or a truth value.
WRONG_TYPES = (
    ("/v1/chat/completions", CHAT, "max_tokens", "5"),
    ("/v1/chat/completions", CHAT, "temperature", "0.5"),
    ("/v1/chat/completions", CHAT, "temperature", True),
    ("/v1/chat/completions", CHAT, "stream", "yes"),
    ("/v1/chat/completions", CHAT, "stream", 1),
    ("/v1/chat/completions", CHAT, "n", True),
    ("/v1/chat/completions", CHAT, "logit_bias", {"5": "1"}),
    ("/v1/responses", RESPONSE, "store", 0),
    ("/v1/responses", RESPONSE, "top_logprobs", "3"),
    ("/v1/responses", RESPONSE, "max_output_tokens", True),
)


@pytest.mark.parametrize(("path", "body", "field", "value"), WRONG_TYPES)
async def test_a_value_of_another_type_is_refused_by_its_fields_name(
    site: OpenSite, path: str, body: dict[str, Any], field: str, value: Any
) -> None:
    async with site() as here:
        got = await here.http.post(path, json={**body, field: value})
    assert got.status_code == 400
    assert got.json()["error"]["param"].startswith(field)


async def test_a_whole_number_is_a_number(site: OpenSite) -> None:
    async with site(says("Hi.")) as here:
        asked = {**RESPONSE, "temperature": 1, "max_output_tokens": 20.0}
        got = await here.http.post("/v1/responses", json=asked)
    assert got.status_code == 200
