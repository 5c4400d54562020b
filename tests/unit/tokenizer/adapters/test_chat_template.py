"""What a chat template makes of a conversation, and how it refuses."""

import pytest

from services.shared.conversation import Role
from services.tokenizer.adapters.chat_template import ChatTemplate
from services.tokenizer.api import TemplateMessage, TemplateRefused
from services.tokenizer.shield import Shield

OPEN = Shield([], [])
HI = TemplateMessage(Role.USER, "hi")


def render(source: str, *messages: TemplateMessage, **options: str) -> str:
    return ChatTemplate(source, {"bos_token": "<s>"}).render(messages, [], options, OPEN)


def refusal(source: str, *messages: TemplateMessage) -> str:
    with pytest.raises(TemplateRefused) as caught:
        render(source, *messages)
    return caught.value.message


def test_the_generation_prompt_is_asked_for() -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{% if add_generation_prompt %}!{% endif %}"
    assert render(source, HI) == "<s>hi!"


def test_options_are_variables_of_the_template() -> None:
    assert render("{{ 'yes' if enable_thinking else 'no' }}", HI, enable_thinking="true") == "yes"


def test_options_that_nobody_asks_for_change_nothing() -> None:
    assert render("{{ messages[0].content }}", HI, colour='"red"', chat_template='"x"') == "hi"


@pytest.mark.parametrize("name", ["bos_token", "messages", "tools", "add_generation_prompt"])
def test_options_replace_nothing_of_ours(name: str) -> None:
    source = f"{{{{ {name} }}}}"
    assert render(source, HI, **{name: '"mine"'}) == render(source, HI)


def test_a_refusal_quotes_the_template() -> None:
    source = "{{ raise_exception('Roles must alternate') }}"
    assert refusal(source, HI) == "the model's chat template refuses: Roles must alternate"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('I do not like ' + messages[0].content) }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages[0].nothing.at_all }}",
        "{{ messages[7].content }}",
        "{{ messages[0].content | int / 0 }}",
        "{{ messages[0].content.__class__.__mro__ }}",
    ],
)
def test_a_refusal_quotes_nobody_else(source: str) -> None:
    message = TemplateMessage(Role.USER, "CANARY")
    assert refusal(source, message) == "the model's chat template does not accept these messages"


def test_a_conversation_without_messages_is_refused() -> None:
    assert refusal("hello") == "a conversation needs a message"


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for p in m['content'] | list %}{{ p.text }}{% endfor %}"
        "{% endfor %}",
        "{% for m in messages %}{% set content = m.content %}{% for p in content %}{{ p.text }}"
        "{% endfor %}{% endfor %}",
        "{% macro show(parts) %}{% for p in parts %}{{ p.text }}{% endfor %}{% endmacro %}"
        "{% for m in messages %}{{ show(m.content) }}{% endfor %}",
        "{% macro show(a, parts) %}{% for p in parts %}{{ p.text }}{% endfor %}{% endmacro %}"
        "{% for m in messages %}{{ show(1, parts=m['content']) }}{% endfor %}",
    ],
)
def test_templates_that_loop_over_content_get_parts(source: str) -> None:
    assert render(source, HI) == "hi"


def test_other_loops_do_not_ask_for_parts() -> None:
    source = (
        "{% macro show(content) %}{% for c in content %}{{ c }}{% endfor %}{% endmacro %}"
        "{% for m in messages %}{{ m.content }}{{ show([1, 2]) }}{% endfor %}"
    )
    assert render(source, HI) == "hi12"


SEEING = (
    "{% for m in messages %}{% for p in m.content %}"
    "{{ '[picture]' if p.type == 'image' else p.text }}{% endfor %}{% endfor %}"
)


def test_a_picture_stands_where_it_stood() -> None:
    message = TemplateMessage(Role.USER, "this? or that?", pictures=(4, 14))
    assert render(SEEING, message) == "this[picture]? or that?[picture]"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content }}",
        "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_that_never_asks_for_pictures_refuses_them(source: str) -> None:
    message = TemplateMessage(Role.USER, "CANARY", pictures=(0,))
    assert refusal(source, message) == "the model's chat template takes no pictures"


def test_literals_are_what_the_template_may_write() -> None:
    template = ChatTemplate("<|user|>{{ '<' ~ messages[0].content }}", {})
    assert {"<|user|>", "<"} <= template.literals
