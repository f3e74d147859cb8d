"""All claims in one go: `python -m benchmarks`, or `make bench`. Writes docs/performance.md with its plot.

Each benchmark runs in a process of its own and prints its claims; the last lines here repeat them all. Ratios are
against a peer in the same run, so they hold on another machine; seconds do not. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Claim

ROOT = Path(__file__).parent.parent
PAGE, PLOT = ROOT / "docs" / "performance.md", ROOT / "docs" / "images" / "performance.svg"
BENCHMARKS = (
    *("topk", "topk_spark", "ann", "item_item", "rank", "metrics"),
    *("publish", "publish_postgres", "lookup", "threads", "orchestration", "growth"),
)
CLAIM = re.compile(r"^claim (\S+) ratio (\S+) bar (\S+) (ok|short)$", re.MULTILINE)
SECTION = re.compile(r"^## (\w+)\n\n(.*?)\n\n```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
INTRODUCTION = """# Performance

Written by `make bench`. Each claim is a ratio against a peer that was timed in the same run, taking turns, median of five unless it says
otherwise; `bar` is the target. A claim below its target is marked `short`. A part that was not run again keeps its older figures.
"""


class Part(NamedTuple):
    """Output of a benchmark."""

    name: str
    title: str
    output: str

    @property
    def claims(self) -> list[Claim]:
        """The claims among it."""
        return [Claim(name, float(ratio), float(bar)) for name, ratio, bar, _ in CLAIM.findall(self.output)]


def main() -> None:
    """Run the benchmarks, write the page, repeat the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "benchmarks", nargs="*", default=BENCHMARKS, help=f"some of {', '.join(BENCHMARKS)}; the others' parts of the page stay"
    )
    options = parser.parse_args()
    before = parts_of(PAGE.read_text()) if PAGE.exists() else {}
    found = before | {name: run(name) for name in options.benchmarks}
    parts = [found[name] for name in BENCHMARKS if name in found]
    claims = [claim for part in parts for claim in part.claims]
    PAGE.write_text(page(parts))
    draw(claims)
    print(f"wrote {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")
    for claim in claims:
        print(claim.text())


def run(name: str) -> Part:
    """Return one benchmark, shown as it goes; SystemExit when it fails."""
    print(f"--- {name}", flush=True)
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        raise SystemExit(f"benchmarks.{name} ended with code {process.returncode}, see above")
    print(f"--- {name}: {time.perf_counter() - started:.0f} s", flush=True)
    documentation = Path(__file__).with_name(f"{name}.py").read_text().split('"""')[1]
    return Part(name, documentation.strip(), "".join(lines))


def parts_of(text: str) -> dict[str, Part]:
    """Read the parts of a page by name."""
    return {name: Part(name, title, output) for name, title, output in SECTION.findall(text)}


def page(parts: list[Part]) -> str:
    """Return docs/performance.md."""
    rows = "".join(
        f"| `{claim.name}` | {claim.ratio:.2f} | {claim.bar:.2f} | {claim.verdict} |\n" for part in parts for claim in part.claims
    )
    table = f"\n| claim | ratio | bar | |\n|---|---|---|---|\n{rows}\n![Ratios beside their bars](images/{PLOT.name})\n"
    return INTRODUCTION + table + "".join(f"\n## {part.name}\n\n{part.title}\n\n```text\n{part.output.strip()}\n```\n" for part in parts)


def draw(claims: list[Claim]) -> None:
    """Draw the ratios as bars on a logarithmic axis, with a mark for each target."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    figure = Figure(figsize=(8, 0.6 + 0.45 * len(claims)), layout="constrained")
    axes = figure.subplots()
    heights = list(range(len(claims)))[::-1]
    colours = ["#2a9d8f" if claim.ratio >= claim.bar else "#e76f51" for claim in claims]
    axes.barh(heights, [claim.ratio for claim in claims], color=colours, height=0.6)
    axes.plot([claim.bar for claim in claims], heights, "|", color="black", markersize=18, markeredgewidth=2, label="asked for")
    for height, claim in zip(heights, claims, strict=True):
        axes.annotate(f" {claim.ratio:.2f}", (max(claim.ratio, claim.bar), height), va="center")
    axes.set_yticks(heights, [claim.name for claim in claims])
    axes.set_xscale("log")
    axes.set_xlabel("times as fast as the peer")
    axes.margins(x=0.15)
    axes.legend(loc="lower right")
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
