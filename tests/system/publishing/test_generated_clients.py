"""Clients that other people's programs generate from the service's description: in Python and in TypeScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridrec.feedback.append_log import AppendLog
from hybridrec.feedback.lines import EVENTS
from tests.support.serving import Client, published, serving

TOOLS = Path(__file__).parents[3] / "var" / "clients"  # where `make test-system` installs .ci/clients
SECONDS = 300.0
PYTHON = """
import sys
from datetime import UTC, datetime

from lookup_client import Client
from lookup_client.api.default import events, recommendations
from lookup_client.models import Accepted, Answer, Event, EventEventType, Events, Problem

client = Client(sys.argv[1])
answer = recommendations.sync("u00001", client=client, k=3)
assert isinstance(answer, Answer) and [entry.rank for entry in answer.entries] == [1, 2, 3]
clicked = Event("py-1", answer.recommendation_id, EventEventType.CLICK, answer.entries[0].item_id, datetime.now(UTC), position=1)
accepted = events.sync(client=client, body=Events([clicked]))
assert isinstance(accepted, Accepted) and accepted.accepted == 1
refused = recommendations.sync("u00001", client=client, k=0)
assert isinstance(refused, Problem) and refused.detail.startswith("k is ")
"""
TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { paths } from "./schema";

const client = createClient<paths>({ baseUrl: process.argv[2] });
const path = { user_id: "u00001" };
const { data } = await client.GET("/recommendations/{user_id}", { params: { path, query: { k: 3 } } });
if (data?.entries.length !== 3) throw new Error("no list");
const sent = await client.POST("/events", {
  body: {
    events: [
      {
        event_id: "ts-1",
        recommendation_id: data.recommendation_id,
        event_type: "click",
        item_id: data.entries[0].item_id,
        event_at: new Date().toISOString(),
        position: 1,
      },
    ],
  },
});
if (sent.data?.accepted !== 1) throw new Error(JSON.stringify(sent.error));
const refused = await client.GET("/recommendations/{user_id}", { params: { path, query: { k: 0 } } });
if (!refused.error?.detail.startsWith("k is ")) throw new Error("not refused");
"""
TSCONFIG = {"strict": True, "module": "es2022", "moduleResolution": "bundler", "target": "es2022", "types": [], "skipLibCheck": True}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> AppendLog:
    return AppendLog(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, log: AppendLog) -> Iterator[Client]:
    with serving(published(tmp_path_factory.mktemp("published"), "v1", "one"), feedback_log=log) as client:
        yield client


@pytest.fixture(scope="module")
def described(service: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the folder with the service's description."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(service.get("/openapi.json")[1]))
    return folder


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command], cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS)


def require(*command: str | Path, cwd: Path) -> None:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_python_client_reads_lists_and_sends_events(service: Client, described: Path, log: AppendLog) -> None:
    before = log.state(EVENTS).written
    generator = TOOLS / "bin" / "openapi-python-client"
    require(generator, "generate", "--path", "openapi.json", "--output-path", "lookup_client", "--meta", "none", cwd=described)
    (described / "use.py").write_text(PYTHON)
    require(TOOLS / "bin" / "python", "use.py", f"http://127.0.0.1:{service.port}", cwd=described)
    assert log.state(EVENTS).written + log.state(EVENTS).waiting == before + 1


@pytest.fixture(scope="module")
def typescript(described: Path) -> Path:
    """Provide the folder of a TypeScript program with the generated types."""
    if not shutil.which("node"):
        pytest.fail("node is not installed; install nodejs and npm")
    folder = described / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": TSCONFIG, "files": ["use.ts"]}))
    require(TOOLS / "node_modules/.bin/openapi-typescript", "../openapi.json", "-o", "schema.d.ts", cwd=folder)
    (folder / "globals.d.ts").write_text("declare const process: { argv: string[] };\n")
    return folder


def compiled(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "use.ts").write_text('/// <reference path="./globals.d.ts" />\n' + program)
    return run(TOOLS / "node_modules/.bin/tsc", cwd=folder)


def test_a_typescript_client_reads_lists_and_sends_events(service: Client, typescript: Path, log: AppendLog) -> None:
    before = log.state(EVENTS).written
    done = compiled(typescript, TYPESCRIPT)
    assert done.returncode == 0, done.stdout
    require("node", "use.js", f"http://127.0.0.1:{service.port}", cwd=typescript)
    assert log.state(EVENTS).written + log.state(EVENTS).waiting == before + 1


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [('event_type: "click"', 'event_type: "clck"', '"clck"'), ("item_id: data", "item: data", "'item' does not exist")],
)
def test_the_types_refuse_a_wrong_event(right: str, wrong: str, told: str, typescript: Path) -> None:
    done = compiled(typescript, TYPESCRIPT.replace(right, wrong))
    assert done.returncode != 0 and told in done.stdout
