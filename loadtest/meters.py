"""Reads the counters that the mesh's services and vLLM's server show to Prometheus."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


class Counters:
    """The counters of one process as they were at one moment."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def total(self, name: str, **endings: str) -> int:
        """The sum of all samples of that name whose labels end so; 0 where there is none."""
        return round(
            sum(
                sample.value
                for sample in self._samples
                if sample.name == name
                and all(sample.labels[key].endswith(end) for key, end in endings.items())
            )
        )


async def counters(url: str) -> Counters:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return Counters(await response.text())
