"""What the mesh remembers of people, for whom, and that it forgets."""

import asyncio
from collections.abc import Sequence

from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.gateway.ports import DEFAULT_PROJECT, AccountKind
from services.shared.scope import Scope
from tests.fakes.scripted_mesh import END, call
from tests.mesh.conftest import OWN, Running


async def remember(running: Running, key: str, fact: str, person: str = "") -> None:
    running.play.when(f"remember: {fact}", call("remember", f'{{"fact": "{fact}"}}'))
    running.play.when(f"Saved: {fact}", "Kept.")
    running.play.when(")", "Kept.")  # ... (instead of: ...)
    more = {"safety_identifier": person} if person else {}
    answer = await running.sdk(key).responses.create(
        model=running.model, input=f"remember: {fact}", tools=[OWN], store=False, extra_body=more
    )
    assert answer.output_text == "Kept."


async def asked(running: Running, key: str, question: str, person: str = "") -> str:
    """What the model read when it was asked."""
    running.play.when(question, "Well.")
    more = {"safety_identifier": person} if person else {}
    await running.sdk(key).responses.create(
        model=running.model, input=question, tools=[OWN], store=False, extra_body=more
    )
    return running.play.prompts[-1]


async def test_what_was_asked_to_be_kept_is_there_in_another_conversation(
    running: Running,
) -> None:
    key = await running.make_key("keeper", AccountKind.PERSONAL)
    await remember(running, key, "my dog is called Rex")
    prompt = await asked(running, key, "what is my dog called?")
    assert "<memory>\n- my dog is called Rex\n</memory>" in prompt


async def test_a_newer_value_takes_the_old_ones_place(running: Running) -> None:
    key = await running.make_key("mover", AccountKind.PERSONAL)
    await remember(running, key, "I live in Oslo")
    await remember(running, key, "I live in Bergen")
    prompt = await asked(running, key, "where do I live?")
    assert "Bergen" in prompt
    assert "Oslo" not in prompt


async def test_a_standing_preference_is_always_shown(running: Running) -> None:
    key = await running.make_key("preferrer", AccountKind.PERSONAL)
    await remember(running, key, "always answer in short sentences")
    prompt = await asked(running, key, "how deep is the sea?")
    assert "# Keep in mind about the user\n- always answer in short sentences" in prompt


async def test_what_is_forgotten_is_not_shown_again(running: Running) -> None:
    key = await running.make_key("forgetter", AccountKind.PERSONAL)
    await remember(running, key, "my sister is called Zelda")
    running.play.when("forget my sister", call("forget", '{"fact": "my sister is called Zelda"}'))
    running.play.when("Forgotten: my sister is called Zelda", "Gone.")
    await running.sdk(key).responses.create(
        model=running.model, input="forget my sister", tools=[OWN], store=False
    )
    assert "Zelda" not in await asked(running, key, "what is my sister called?")


async def test_people_behind_an_application_are_kept_apart(running: Running) -> None:
    key = await running.make_key("app", AccountKind.APPLICATION)
    await remember(running, key, "my dog is called Ajax", person="bo")
    assert "Ajax" in await asked(running, key, "what is my dog called?", person="bo")
    assert "Ajax" not in await asked(running, key, "what is my dog called?", person="cy")


async def test_an_applications_key_alone_has_no_memory_and_no_tools_for_it(
    running: Running,
) -> None:
    key = await running.make_key("nobody", AccountKind.APPLICATION)
    prompt = await asked(running, key, "who am I?")
    assert "## calculator" in prompt
    assert "## remember" not in prompt
    assert "<memory>" not in prompt


async def test_a_plain_request_reads_no_memory_and_keeps_nothing(running: Running) -> None:
    key = await running.make_key("plain", AccountKind.PERSONAL)
    await remember(running, key, "my goat is called Heidi")
    running.play.when("what is my goat called?", call("remember", '{"fact": "I have a goat"}'))
    before = len(running.play.prompts)
    answer = await running.sdk(key).responses.create(
        model=running.model, input="what is my goat called?"
    )
    assert all(item.type == "message" for item in answer.output)
    for prompt in running.play.prompts[before:]:
        assert "Heidi" not in prompt
        assert "## remember" not in prompt
    assert "I have a goat" not in await asked(running, key, "what animals have I?")


async def test_users_are_kept_apart_as_people_are(running: Running) -> None:
    key = await running.make_key("users", AccountKind.PERSONAL)
    sdk = running.sdk(key)
    running.play.when("remember: my mule is Max", call("remember", '{"fact": "my mule is Max"}'))
    running.play.when("Saved: my mule is Max", "Kept.")
    running.play.when("which mule?", "Well.")
    for user, text in (("bo", "remember: my mule is Max"), ("cy", "which mule?")):
        await sdk.responses.create(model=running.model, input=text, tools=[OWN], user=user)
    assert "my mule is Max" not in running.play.prompts[-1]
    await sdk.chat.completions.create(
        model=running.model,
        messages=[{"role": "user", "content": "which mule?"}],
        tools=[OWN],
        user="bo",
    )
    assert "my mule is Max" in running.play.prompts[-1]


async def test_what_an_account_always_wants_is_in_every_turn(running: Running) -> None:
    key = await running.make_key("pirate", AccountKind.PERSONAL, "Talk like a pirate.")
    prompt = await asked(running, key, "good day")
    assert "# Custom instructions\nTalk like a pirate." in prompt


async def kept_ids(running: Running, response_id: str) -> Sequence[int] | None:
    """Of a turn that begins a conversation, the ids that context-assembly keeps; None: none."""
    folder = running.log.parent
    async with open_sqlite_turns(f"sqlite:{folder}/context-assembly.sqlite") as turns:
        turn = await turns.get(Scope("acct_parrot", DEFAULT_PROJECT), response_id)
    return turn.kept_ids.ids if turn and turn.kept_ids else None


async def test_what_the_engine_read_and_wrote_is_kept_until_a_fact_in_it_is_forgotten(
    running: Running,
) -> None:
    key = await running.make_key("parrot", AccountKind.PERSONAL)
    await remember(running, key, "my parrot is called Koko")
    running.play.when("what is my parrot called?", "Koko.")
    answer = await running.sdk(key).responses.create(
        model=running.model, input="what is my parrot called?", tools=[OWN]
    )
    read = running.backend.asked[-1].prompt_ids
    kept = await kept_ids(running, answer.id)
    assert kept
    assert list(kept) == [*read, *running.backend.ids(f"Koko.{END}")]
    running.play.when("forget my parrot", call("forget", '{"fact": "my parrot is called Koko"}'))
    running.play.when("Forgotten: my parrot is called Koko", "Gone.")
    await running.sdk(key).responses.create(
        model=running.model, input="forget my parrot", tools=[OWN], store=False
    )
    async with asyncio.timeout(30):
        while await kept_ids(running, answer.id) is not None:
            pass
    assert (await running.sdk(key).responses.retrieve(answer.id)).output_text == "Koko."
