"""Pictures as vLLM reads them, and what is said of those that it cannot read."""

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import pytest

from services.inference.adapters import vllm_environment
from services.inference.api import Generation, Sampling, UnsupportedParameter
from services.shared.conversation import Picture
from tests.fakes.vllm_dialect import needs_vllm

if TYPE_CHECKING:
    from vllm.renderers import BaseRenderer

pytestmark = list(needs_vllm)
Decoded = Callable[[Sequence[Picture]], Any]
WINDOW = 20


@pytest.fixture(scope="module")
def decoded() -> Decoded:
    vllm_environment.prepare()
    from services.inference.adapters import vllm_pictures  # noqa: PLC0415

    return vllm_pictures.decoded


def picture(kind: str, size: tuple[int, int] = (3, 2), mode: str = "RGB") -> Picture:
    from PIL import Image  # noqa: PLC0415 - comes with vLLM

    file = BytesIO()
    Image.new(mode, size, "red").save(file, kind)
    return Picture(f"image/{kind}", file.getvalue())


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
def test_usual_kinds_are_read(decoded: Decoded, kind: str) -> None:
    (image,) = decoded([picture(kind)])
    assert image.media.size == (3, 2)


def test_each_is_read_in_its_order(decoded: Decoded) -> None:
    images = decoded([picture("png", (1, 1)), picture("jpeg", (2, 2))])
    assert [image.media.size for image in images] == [(1, 1), (2, 2)]


def test_all_become_red_green_and_blue(decoded: Decoded) -> None:
    (image,) = decoded([picture("png", mode="RGBA")])
    assert image.media.mode == "RGB"


WHOLE = b"\x89PNG\r\n\x1a\n"
BROKEN = {
    "nothing": b"",
    "text": b"what the user wrote",
    "a beginning alone": WHOLE,
    "a wrong chunk": WHOLE + b"\0\0\0\x0dIHDR" + b"\xff" * 40,
    "a cut GIF": b"GIF89a\x01",
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_is_no_picture_is_named_in_our_words(decoded: Decoded, content: bytes) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        decoded([picture("png"), Picture("image/png", content)])
    assert caught.value.details == {"param": "pictures"}
    assert caught.value.message.startswith("picture 2 cannot be read")
    assert "user" not in caught.value.message


def test_every_cut_of_a_picture_is_refused(decoded: Decoded) -> None:
    for kind in ("png", "jpeg", "gif", "webp", "tiff", "bmp"):
        whole = picture(kind, (40, 30)).content
        for end in range(0, len(whole) // 2, max(len(whole) // 40, 1)):
            with pytest.raises(UnsupportedParameter):
                decoded([Picture(f"image/{kind}", whole[:end])])


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "tiff", "bmp"])
def test_a_damaged_picture_is_read_or_refused(decoded: Decoded, kind: str) -> None:
    whole = picture(kind, (40, 30)).content
    for place in range(0, len(whole), max(len(whole) // 100, 1)):
        damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        # Any other error would reach the caller as a bug of ours.
        with suppress(UnsupportedParameter):
            decoded([Picture(f"image/{kind}", damaged)])


def test_more_pixels_than_fit_into_memory_are_refused(decoded: Decoded) -> None:
    header = b"\0\0\0\x0dIHDR" + (60_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"

    checked = header + zlib.crc32(header[4:]).to_bytes(4)
    with pytest.raises(UnsupportedParameter):
        decoded([Picture("image/png", WHOLE + checked + b"\0\0\0\0IDAT")])


class Renderer:
    """Stands in for vLLM's: makes three tokens of each picture, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure
        self.prompts: list[Any] = []

    def validate_token_ids(self, ids: Sequence[int]) -> None:
        pass

    async def process_for_engine_async(
        self, prompt: Any, arrival_time: float, *, skip_mm_cache: bool
    ) -> dict[str, Any]:
        self.prompts.append(prompt)
        if self._failure:
            raise self._failure
        images = prompt["multi_modal_data"]["image"]
        ids = prompt["prompt_token_ids"] + [9, 9] * len(images)
        return {"type": "multimodal", "prompt_token_ids": ids}


def asked(ids: Sequence[int]) -> Generation:
    return Generation("m", "gen", ids, Sampling(), pictures=(picture("png"),))


async def made(renderer: Renderer, ids: Sequence[int] = (5, 9, 5), salt: str | None = None) -> Any:
    from services.inference.adapters import vllm_pictures  # noqa: PLC0415

    return await vllm_pictures.prompt_with_pictures(
        cast("BaseRenderer", renderer), asked(ids), cache_salt=salt, window_tokens=WINDOW
    )


async def test_the_ids_and_the_pictures_go_to_the_processor_of_the_model() -> None:
    renderer = Renderer()
    prompt = await made(renderer, salt="ours")
    assert prompt["prompt_token_ids"] == [5, 9, 5, 9, 9]
    (given,) = renderer.prompts
    assert given["prompt_token_ids"] == [5, 9, 5]
    assert given["cache_salt"] == "ours"
    assert [image.media.size for image in given["multi_modal_data"]["image"]] == [(3, 2)]


async def test_no_salt_is_none() -> None:
    renderer = Renderer()
    await made(renderer)
    assert "cache_salt" not in renderer.prompts[0]


@pytest.mark.parametrize("failure", [AssertionError, RuntimeError, ValueError])
async def test_what_the_processor_refuses_is_told_in_our_words(
    failure: type[Exception],
) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        await made(Renderer(failure("what the user wrote")))
    assert caught.value.details == {"param": "pictures"}
    assert "user" not in caught.value.message


@pytest.mark.parametrize("length", [WINDOW - 2, WINDOW - 1])
async def test_pictures_that_leave_no_room_are_refused(length: int) -> None:
    with pytest.raises(UnsupportedParameter, match=f"{length + 2} tokens") as caught:
        await made(Renderer(), ids=[9] * length)
    assert caught.value.details == {"param": "pictures", "code": "context_length_exceeded"}


async def test_pictures_that_leave_room_for_a_token_are_taken() -> None:
    assert len((await made(Renderer(), ids=[9] * (WINDOW - 3)))["prompt_token_ids"]) == WINDOW - 1
