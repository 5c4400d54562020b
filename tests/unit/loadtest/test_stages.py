import pytest

from loadtest.client import Answer
from loadtest.spans import Span, collecting
from loadtest.stages import stages
from services.shared.tracing import Tracer

SPANS = [
    Span("chatmesh-gateway", "POST http", 101, 120),
    Span("chatmesh-moderation", "Screen", 102, 103),
    Span("chatmesh-context-assembly", "Assemble", 102.5, 105),
    Span("chatmesh-memory", "Recall", 103, 104),
    Span("chatmesh-tokenizer", "Fit", 104, 104.5),
    Span("chatmesh-inference", "Generate", 106, 119),
    Span("chatmesh-moderation", "Screen", 107, 108),
]


def test_stages_that_follow_each_other_make_up_the_whole() -> None:
    split = stages(Answer(began_at=100, first_token=10), SPANS)
    whole = split.pop("to the first token")
    assert whole == 10
    assert sum(took for name, took in split.items() if not name.startswith("(")) == whole
    assert [took for name, took in split.items() if name.startswith("(")] == [1, 2.5, 1, 0.5]


def test_the_collector_gets_what_a_service_exports_by_trace() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with collecting() as collector:
        tracer = Tracer("memory", otlp_endpoint=collector.endpoint, sample_ratio=1)
        with tracer.span("/chatmesh.Memory/Recall", {"traceparent": f"00-{trace}-{1:016x}-01"}):
            pass
        tracer.close()
        traces = collector.wait({trace}, {"Recall"}, 30)
    (span,) = traces[trace]
    assert (span.service, span.name) == ("chatmesh-memory", "Recall")
    assert span.end >= span.begin


def test_spans_that_never_come_are_told() -> None:
    with collecting() as collector, pytest.raises(TimeoutError, match="0 traces"):
        collector.wait({"ab"}, {"Recall"}, 0)
