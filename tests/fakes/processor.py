"""What the processor of the tests can do."""

from pathlib import Path

# Without it, products of eight bits are added in sixteen, which saturate: the embedder's vectors
# then differ a little from those that other processors make.
HAS_VNNI = "vnni" in Path("/proc/cpuinfo").read_text()
