# SPDX-License-Identifier: MIT
"""A small server that speaks as much of Amazon S3's protocol as obstore does, with faults.

It keeps S3's rules for multipart uploads: parts of 5 MiB or more, all but the last, and at most
10,000.  It checks no signature.  Holds no test.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from html import escape, unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

LEAST_PART = 5 * 2**20
BUCKET = "bucket"


class Bucket:
    """Objects and unfinished uploads, and the requests so far as "PUT name" or "POST name?uploads".

    `fault` gets each request before it is done: a status such as 403 is the answer, "drop" closes
    the connection, and "stall" never answers.  `kept` bytes of each part stay, and its size.
    """

    def __init__(self, *, kept: int | None = None) -> None:
        self.kept = kept
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.sizes: dict[str, int] = {}
        self.uploads: dict[str, tuple[str, dict[int, tuple[bytes, int]]]] = {}
        self.requests: list[str] = []
        self.fault: Callable[[str], int | str | None] = lambda request: None
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.port = 0

    def contents(self, prefix: str) -> dict[str, bytes]:
        """Name -> bytes below a prefix."""
        names = [name for name in self.objects if name.startswith(f"{prefix}/")]
        return {name.removeprefix(f"{prefix}/"): self.objects[name][0] for name in sorted(names)}

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which obstore finds it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def serving(bucket: Bucket) -> Iterator[Bucket]:
    """Serve a bucket on this machine."""
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    bucket.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield bucket
    finally:
        bucket.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # or each answer waits 40 ms for an acknowledgement of its first half
    disable_nagle_algorithm = True
    bucket: Bucket

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        url = urlsplit(self.path)
        _, bucket, *rest = unquote(url.path).split("/", 2)
        name, query = (rest or [""])[0], dict(parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = f"{self.command} {name}"
        for key in ("uploads", "partNumber", "uploadId", "delete", "list-type"):
            if key in query:
                request += f"?{key}"
                break
        with self.bucket.lock:
            self.bucket.requests.append(request)
        fault = self.bucket.fault(request)
        if fault == "stall":
            self.bucket.over.wait(60)
        if fault in ("stall", "drop"):
            self.close_connection = True
            return
        if bucket != BUCKET:
            self._answer(404, "<Error><Code>NoSuchBucket</Code><Message>None</Message></Error>")
        elif isinstance(fault, int):
            code = {403: "AccessDenied", 500: "InternalError"}.get(fault, "Fault")
            self._answer(fault, f"<Error><Code>{code}</Code><Message>As asked</Message></Error>")
        else:
            with self.bucket.lock:
                getattr(self, f"_{self.command.lower()}")(name, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _answer(self, status: int, body: str | bytes = b"", **headers: Any) -> None:
        content = body.encode() if isinstance(body, str) else body
        with suppress(OSError):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), str(value))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def _get(self, name: str, query: dict[str, str], _: bytes) -> None:
        if "list-type" in query:
            self._list(query.get("prefix", ""))
        elif name not in self.bucket.objects:
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send(name)

    _head = _get

    def _send(self, name: str) -> None:
        content, made = self.bucket.objects[name]
        common = {"ETag": '"x"', "Last_Modified": made.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if found is None:
            self._answer(200, content, **common)
            return
        start, end = int(found[1]), min(int(found[2]) + 1, len(content))
        place = f"bytes {start}-{end - 1}/{len(content)}"
        self._answer(206, content[start:end], Content_Range=place, **common)

    def _list(self, prefix: str) -> None:
        rows, folders = [], set()
        for name, (_, made) in sorted(self.bucket.objects.items()):
            if not name.startswith(prefix):
                continue
            if "/" in (rest := name.removeprefix(prefix)):
                folders.add(prefix + rest.partition("/")[0] + "/")
                continue
            time = made.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            rows.append(
                f"<Contents><Key>{escape(name)}</Key><LastModified>{time}</LastModified>"
                f'<ETag>"x"</ETag><Size>{self.bucket.sizes[name]}</Size></Contents>'
            )
        rows += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        self._answer(200, f"<ListBucketResult>{''.join(rows)}</ListBucketResult>")

    def _put(self, name: str, query: dict[str, str], body: bytes) -> None:
        if "partNumber" in query:
            upload = self.bucket.uploads.get(query["uploadId"])
            if upload is None:
                self._answer(404, "<Error><Code>NoSuchUpload</Code></Error>")
                return
            upload[1][int(query["partNumber"])] = body[: self.bucket.kept], len(body)
        elif self.headers.get("If-None-Match") and name in self.bucket.objects:
            self._answer(412, "<Error><Code>PreconditionFailed</Code></Error>")
            return
        elif source := self.headers.get("x-amz-copy-source"):
            copied = unquote(source).lstrip("/").removeprefix(f"{BUCKET}/")
            self._make(name, self.bucket.objects[copied][0])
            self._answer(200, '<CopyObjectResult><ETag>"x"</ETag></CopyObjectResult>')
            return
        else:
            self._make(name, body)
        self._answer(200, ETag='"x"')

    def _make(self, name: str, content: bytes) -> None:
        self.bucket.objects[name] = content, datetime.now(UTC)
        self.bucket.sizes[name] = len(content)

    def _post(self, name: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            number = f"upload-{time.monotonic_ns()}"
            self.bucket.uploads[number] = name, {}
            self._answer(
                200,
                "<InitiateMultipartUploadResult>"
                f"<UploadId>{number}</UploadId></InitiateMultipartUploadResult>",
            )
        elif "delete" in query:
            names = [unescape(n) for n in re.findall(r"<Key>(.*?)</Key>", body.decode())]
            for each in names:
                self.bucket.objects.pop(each, None)
            rows = "".join(f"<Deleted><Key>{escape(n)}</Key></Deleted>" for n in names)
            self._answer(200, f"<DeleteResult>{rows}</DeleteResult>")
        else:
            self._complete(name, query["uploadId"], body)

    def _complete(self, name: str, number: str, body: bytes) -> None:
        named, parts = self.bucket.uploads[number]
        listed = [int(n) for n in re.findall(r"<PartNumber>(\d+)</PartNumber>", body.decode())]
        *others, _ = listed
        small = any(parts[n][1] < LEAST_PART for n in others)
        if named != name or listed != sorted(parts) or len(listed) > 10_000 or small:
            self._answer(400, "<Error><Code>EntityTooSmall</Code></Error>")
            return
        del self.bucket.uploads[number]
        self._make(name, b"".join(parts[n][0] for n in listed))
        self.bucket.sizes[name] = sum(parts[n][1] for n in listed)
        self._answer(
            200,
            '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>',
        )

    def _delete(self, name: str, query: dict[str, str], _: bytes) -> None:
        if "uploadId" in query:
            self.bucket.uploads.pop(query["uploadId"], None)
        else:
            self.bucket.objects.pop(name, None)
        self._answer(204)
