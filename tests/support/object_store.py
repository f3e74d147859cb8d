"""A SeaweedFS server of the tests' own: an object store that speaks S3, on the loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import localbucket
import pytest

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

START_SECONDS = 60.0
BUCKET = "tests"  # one for all tests: a new one takes the server a second
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "only-on-the-loopback", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """Start a server; yields the environment that a client needs and deletes all data at the end."""
    folder = Path(tempfile.mkdtemp(prefix="objects_"))
    names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3", "admin") for kind in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    sockets = {f"{part}.localSocket": folder / f"{part}.sock" for part in ("filer", "s3")}
    off = dict.fromkeys(("master.telemetry", "webdav", "admin.ui"), "false") | {"s3.port.iceberg": 0, "s3.port.lance": 0}
    here = {"dir": folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1"}
    flags = [f"-{name}={value}" for name, value in (here | ports | sockets | off).items()]
    environment = {**os.environ, **CREDENTIALS, "GOMEMLIMIT": "512MiB"}
    command = [str(Path(sys.executable).with_name("weed")), f"-logdir={folder}", "mini", *flags]
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        wait_until_it_answers(process, endpoint, folder / "log")
        yield CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


class KeptAsFiles(localbucket.S3Handler):  # type: ignore[misc]
    """localbucket with what it lacks of S3: several deletions at once, and markers of folders."""

    def _post_request(self, bucket: str, key: str) -> None:
        if "delete" not in self.query:
            super()._post_request(bucket, key)
            return
        for name in ElementTree.fromstring(self._read_body()).iter("{*}Key"):
            (self._bucket_dir(bucket) / str(name.text)).unlink(missing_ok=True)
        self._send_xml(ElementTree.Element("DeleteResult"))

    def _delete_request(self, bucket: str, key: str) -> None:
        if key.endswith("/"):
            shutil.rmtree(self._bucket_dir(bucket) / key, ignore_errors=True)
            self._send(HTTPStatus.NO_CONTENT)
        else:
            super()._delete_request(bucket, key)

    def _put(self, bucket: str, key: str) -> None:
        if key.endswith("/"):
            (self._bucket_dir(bucket) / key).mkdir(parents=True, exist_ok=True)
            self._send(HTTPStatus.OK)
        else:
            super()._put(bucket, key)


@contextmanager
def server_over(folder: Path) -> Iterator[dict[str, str]]:
    """Start a server that keeps buckets as folders and objects as files, and asks for no key."""
    handler = type("Handler", (KeptAsFiles,), {"data_root": folder.resolve()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{listener.server_port}"
        client(endpoint).create_dir(BUCKET)
        yield CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
        listener.shutdown()


def free_ports(n: int) -> list[int]:
    """Return unused ports."""
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def client(endpoint: str) -> S3FileSystem:
    """Return a client of a server that may make buckets."""
    from pyarrow.fs import S3FileSystem

    key, secret, region = CREDENTIALS.values()
    host = endpoint.removeprefix("http://")
    return S3FileSystem(endpoint_override=host, scheme="http", access_key=key, secret_key=secret, region=region, allow_bucket_creation=True)


def wait_until_it_answers(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client(endpoint).create_dir(BUCKET)
            with client(endpoint).open_output_stream(f"{BUCKET}/probe") as stream:
                stream.write(b"there")
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)


@pytest.fixture(scope="session")
def object_server() -> Iterator[dict[str, str]]:
    """Provide one server for all tests."""
    with server() as environment:
        yield environment


@pytest.fixture
def object_storage(object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Provide address that HYBRIDREC_STORAGE names from now on, with nothing there yet."""
    return use(object_server, monkeypatch)


def use(environment: dict[str, str], patch: pytest.MonkeyPatch) -> str:
    """Let HYBRIDREC_STORAGE name a place of its own on a server; returns the address."""
    for name, value in environment.items():
        patch.setenv(name, value)
    address = f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}"
    patch.setenv("HYBRIDREC_STORAGE", address)
    return address


def objects(address: str) -> list[str]:
    """List the names of all objects below an address, as a client that knows nothing of this project sees them."""
    import boto3

    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    found = boto3.Session().resource("s3").Bucket(bucket).objects.filter(Prefix=f"{prefix}/")
    return sorted(file.key.removeprefix(f"{prefix}/") for file in found if not file.key.endswith("/"))  # which are markers of folders
