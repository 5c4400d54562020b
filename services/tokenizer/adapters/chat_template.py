"""A model's chat template, rendered as transformers renders it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.meta import find_undeclared_variables
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

from services.shared.tools import Tool
from services.tokenizer.api import TemplateMessage, TemplateRefused
from services.tokenizer.shield import Shield
from services.tokenizer.template_input import (
    TemplateAbilities,
    template_messages,
    template_options,
    template_tools,
)

# Variables that this module passes to the template, so that no caller may set them.
_OURS = frozenset(
    "messages tools add_generation_prompt conversations chat_template"
    " return_assistant_tokens_mask continue_final_message".split()
)
# What templates raise on purpose, and what Python raises in them on messages that their authors
# did not expect.
_REFUSALS = (
    *(TemplateError, RecursionError),
    *(TypeError, ValueError, LookupError, AttributeError, ArithmeticError),
)


class ChatTemplate:
    """Renders conversations. `literals` are the strings that stand in the template's own source."""

    def __init__(self, source: str, special_tokens: Mapping[str, Any]) -> None:
        self._source = source
        self._special_tokens = special_tokens
        environment = _compile_jinja_template(source).environment
        tree = environment.parse(source)
        taken = _OURS | special_tokens.keys() | environment.globals.keys()
        self._options = find_undeclared_variables(tree) - taken
        self.literals = frozenset(_literals(tree))
        parts = _loops_over_content(tree)
        self._abilities = TemplateAbilities(
            parts=parts,
            # It asks of a part whether it is one, as in `part.type == 'image'`.
            pictures=parts and "image" in self.literals,
            developers=any(quoted in source for quoted in ('"developer"', "'developer'")),
        )

    def render(
        self,
        messages: Sequence[TemplateMessage],
        tools: Sequence[Tool],
        options: Mapping[str, str],
        shield: Shield,
    ) -> str:
        """Leaves out options that the template does not use; raises `TemplateRefused`."""
        if not messages:
            raise TemplateRefused("a conversation needs a message", param="input")
        asked = {name: text for name, text in options.items() if name in self._options}
        entries = template_messages(messages, shield, self._abilities)
        variables = {**self._special_tokens, **template_options(asked, shield)}
        schemas: list[Any] | None = template_tools(tools, shield)
        try:
            # A pair: the prompts, and where assistants speak in them. Its annotation is wrong.
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
        """Quotes only a reason that stands in the template: any other may be a caller's words."""
        reason = str(error)
        if isinstance(error, TemplateError) and reason and reason in self._source:
            return TemplateRefused(f"the model's chat template refuses: {reason}", param="input")
        return TemplateRefused(
            "the model's chat template does not accept these messages", param="input"
        )


def _literals(tree: nodes.Template) -> Iterator[str]:
    for written in tree.find_all(nodes.TemplateData):
        yield written.data
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            yield constant.value


def _loops_over_content(tree: nodes.Template) -> bool:
    """Whether the template loops over a message's content, and so wants it as a list of parts.

    vLLM decides it in the same way.
    """
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
