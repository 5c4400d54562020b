"""A chat template, read and rendered as transformers does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.meta import find_undeclared_variables
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

from services.shared.chat import Message, Tool
from services.tokenizer.api import TemplateRefused
from services.tokenizer.conversation import template_messages, template_options, template_tools
from services.tokenizer.shield import Shield

# What rendering passes itself, and callers therefore may not.
_OURS = frozenset(
    "messages tools add_generation_prompt conversations chat_template"
    " return_assistant_tokens_mask continue_final_message".split()
)
# What templates raise on purpose, and what happens to them on messages they did not foresee.
_REFUSALS = (
    *(TemplateError, RecursionError),
    *(TypeError, ValueError, LookupError, AttributeError, ArithmeticError),
)


class ChatTemplate:
    """Renders conversations. `literals` are the texts that the template itself may write."""

    def __init__(self, source: str, special_tokens: Mapping[str, Any]) -> None:
        self._source = source
        self._special_tokens = special_tokens
        environment = _compile_jinja_template(source).environment
        tree = environment.parse(source)
        taken = _OURS | special_tokens.keys() | environment.globals.keys()
        self._options = find_undeclared_variables(tree) - taken
        self._as_parts = _loops_over_content(tree)
        self._developers = any(quoted in source for quoted in ('"developer"', "'developer'"))
        self.literals = frozenset(_literals(tree))

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        options: Mapping[str, str],
        shield: Shield,
    ) -> str:
        """Options that the template does not ask for change nothing."""
        if not messages:
            raise TemplateRefused("a conversation needs a message")
        asked = {name: text for name, text in options.items() if name in self._options}
        entries = template_messages(
            messages, shield, as_parts=self._as_parts, developers=self._developers
        )
        variables = {**self._special_tokens, **template_options(asked, shield)}
        schemas: list[Any] | None = template_tools(tools, shield)
        try:
            # The prompts and where assistants speak in them, whatever its annotation says.
            rendered: Any = render_jinja_template(
                conversations=[entries],
                tools=schemas,
                chat_template=self._source,
                add_generation_prompt=True,
                **variables,
            )
        except _REFUSALS as error:
            raise self._refused(error) from None
        return str(rendered[0][0])

    def _refused(self, error: Exception) -> TemplateRefused:
        """Quotes the reason only where it is the template's words and not a caller's."""
        reason = str(error)
        if isinstance(error, TemplateError) and reason and reason in self._source:
            return TemplateRefused(f"the model's chat template refuses: {reason}")
        return TemplateRefused("the model's chat template does not accept these messages")


def _literals(tree: nodes.Template) -> Iterator[str]:
    for written in tree.find_all(nodes.TemplateData):
        yield written.data
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            yield constant.value


def _loops_over_content(tree: nodes.Template) -> bool:
    """Whether messages' contents are lists of parts to it, by the signs that vLLM looks for too."""
    inside_macros = set()
    for macro in tree.find_all(nodes.Macro):
        given = _parameters_given_content(tree, macro)
        for loop in macro.find_all(nodes.For):
            inside_macros.add(loop)
            if _is_name(loop.iter, given):
                return True
    return any(
        _is_content(loop.iter) or (loop not in inside_macros and _is_name(loop.iter, {"content"}))
        for loop in tree.find_all(nodes.For)
    )


def _parameters_given_content(tree: nodes.Template, macro: nodes.Macro) -> set[str]:
    parameters = [parameter.name for parameter in macro.args]
    given = set()
    for call in tree.find_all(nodes.Call):
        if not _is_name(call.node, {macro.name}):
            continue
        by_place = zip(parameters, call.args, strict=False)
        by_name = ((keyword.key, keyword.value) for keyword in call.kwargs)
        given |= {name for name, value in (*by_place, *by_name) if _is_content(value)}
    return given


def _is_name(node: nodes.Node, names: set[str]) -> bool:
    return isinstance(node, nodes.Name) and node.name in names


def _is_content(node: nodes.Node | None) -> bool:
    """`x.content` or `x['content']`, whole, sliced or filtered."""
    if isinstance(node, nodes.Filter | nodes.Test):
        return _is_content(node.node)
    if isinstance(node, nodes.Getattr):
        return node.attr == "content" and isinstance(node.node, nodes.Name)
    if not isinstance(node, nodes.Getitem):
        return False
    if isinstance(node.arg, nodes.Slice):
        return _is_content(node.node)
    named = isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    return named and isinstance(node.node, nodes.Name)
