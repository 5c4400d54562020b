"""The body of a protocol that only tests speak: a question, and whether to stream the answer."""

from services.gateway.api import Ask
from services.gateway.http.turns import TurnRequest
from services.shared.conversation import Role, said
from services.shared.ids import make_id


class ToyRequest(TurnRequest):
    question: str

    def ask(self) -> Ask:
        return Ask(model="demo", input=(said(make_id("msg"), Role.USER, self.question),))

    def field(self, param: str) -> str:
        return "question" if param.startswith("input") else param
