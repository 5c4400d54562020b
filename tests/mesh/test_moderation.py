"""What may not be read by the model, and what may not be shown."""

import httpx
import openai
import pytest

from tests.mesh.conftest import Running

VIOLENT = (
    "I will find you and I will kill you and everyone you love with my knife, "
    "and I will watch you bleed to death on the floor"
)
SECRET = "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
PREAMBLE = "Once there was a village by the river where people lived in peace for many years. "


async def test_blocked_input_is_refused_and_never_reaches_the_model(running: Running) -> None:
    before = len(running.play.prompts)
    with pytest.raises(openai.BadRequestError) as refused:
        await running.sdk().responses.create(model=running.model, input=VIOLENT)
    assert refused.value.code == "content_policy_violation"
    assert VIOLENT not in str(refused.value)
    assert len(running.play.prompts) == before


async def test_a_secret_in_the_input_is_masked_before_the_model_reads_it(
    running: Running,
) -> None:
    running.play.when("is it valid?", "I cannot see it.")
    await running.sdk().responses.create(
        model=running.model, input=f"my token is {SECRET} - is it valid?"
    )
    assert SECRET not in running.play.prompts[-1]
    assert "[github-pat]" in running.play.prompts[-1]


async def test_a_secret_in_the_reply_is_masked_wherever_the_pieces_break(
    running: Running,
) -> None:
    running.play.when("tell me the token", f"{PREAMBLE}The token is {SECRET} and no other.")
    shown = ""
    stream = await running.sdk().chat.completions.create(
        model=running.model,
        messages=[{"role": "user", "content": "tell me the token"}],
        stream=True,
    )
    async for chunk in stream:
        shown += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert shown == f"{PREAMBLE}The token is [github-pat] and no other."


async def test_a_reply_is_stopped_before_what_may_not_be_shown(running: Running) -> None:
    running.play.when("go on", PREAMBLE * 2 + VIOLENT + ". " + PREAMBLE)
    stream = await running.sdk().chat.completions.create(
        model=running.model, messages=[{"role": "user", "content": "go on"}], stream=True
    )
    shown, finish = "", None
    async for chunk in stream:
        for choice in chunk.choices:
            shown += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert finish == "content_filter"
    assert shown
    assert PREAMBLE.startswith(shown[: len(PREAMBLE)])
    assert "kill" not in shown
    assert "find you" not in shown
    assert running.backend.idle.is_set()


async def test_a_stopped_response_is_incomplete_and_kept_as_it_was_shown(
    running: Running,
) -> None:
    running.play.when("go on", PREAMBLE * 2 + VIOLENT)
    sdk = running.sdk()
    answer = await sdk.responses.create(model=running.model, input="go on")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "content_filter"
    kept = await sdk.responses.retrieve(answer.id)
    assert kept.output_text == answer.output_text
    assert "kill" not in kept.output_text


async def test_harmless_words_pass(running: Running) -> None:
    running.play.when("how do I kill a process?", "With `kill` and its number.")
    async with running.http() as http:
        got: httpx.Response = await http.post(
            "/v1/responses", json={"model": running.model, "input": "how do I kill a process?"}
        )
    assert got.status_code == 200


@pytest.mark.parametrize(
    "escape", [r"\ud83d\ude42", r"\ud83d", r"\udfff\ud800", "&#xd800;", "%ed%a0"]
)
async def test_escapes_of_half_a_character_pass(running: Running, escape: str) -> None:
    """As people write who ask about JSON."""
    asked = f'why does my log say "{escape}"?'
    running.play.when(asked, f'{PREAMBLE}It says "{escape}".')
    answer = await running.sdk().responses.create(model=running.model, input=asked)
    assert answer.output_text == f'{PREAMBLE}It says "{escape}".'


async def test_what_the_assistant_is_said_to_have_said_is_read_before_the_model_reads_it(
    running: Running,
) -> None:
    running.play.when("go on, please", "I cannot see it.")
    sdk, said = running.sdk(), {"role": "assistant", "content": f"{VIOLENT}."}
    masked = {"role": "assistant", "content": f"my token is {SECRET}"}
    asked = {"role": "user", "content": "go on, please"}
    chat = await sdk.chat.completions.create(model=running.model, messages=[said, masked, asked])  # type: ignore[list-item]
    answer = await sdk.responses.create(model=running.model, input=[said, masked, asked])  # type: ignore[list-item]
    assert (chat.choices[0].message.content, answer.output_text) == ("I cannot see it.",) * 2
    for prompt in running.play.prompts[-2:]:
        assert VIOLENT not in prompt
        assert SECRET not in prompt
        assert "[moderation withheld this message]" in prompt
        assert "my token is [github-pat]" in prompt


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (
            "run `mysql -u ann -p'kT9 wQ2x' shop` now",
            "run `mysql -u ann -p'[command-password]' shop` now",
        ),
        (
            "set Server=h;Password=kT9 wQ2x;Data=x",
            "set Server=h;Password=[connection-password];Data=x",
        ),
    ],
)
async def test_a_secret_with_blanks_is_masked_in_a_stream(
    running: Running, reply: str, shown: str
) -> None:
    running.play.when("which one?", PREAMBLE + reply)
    stream = await running.sdk().chat.completions.create(
        model=running.model, messages=[{"role": "user", "content": "which one?"}], stream=True
    )
    got = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert "".join(got) == PREAMBLE + shown
