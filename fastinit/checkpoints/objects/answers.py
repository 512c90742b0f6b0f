# SPDX-License-Identifier: MIT
"""Says what the answers of object stores and of obstore mean, and what to do about them.

It sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fastinit.checkpoints.advice import AGAIN
from fastinit.checkpoints.targets import Url
from fastinit.errors import CheckpointError
from fastinit.texts import printable

LONGEST_ANSWER = 500
"""Characters of a store's answer that a message repeats."""

CREDENTIALS = (
    "give it credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "GOOGLE_APPLICATION_CREDENTIALS, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, "
    "or pass a store object of obstore that has some"
)
ANSWERS = {
    "Generic URL error|empty host": (
        "write a bucket and a prefix, as in s3://bucket/gpt2, without empty parts"
    ),
    "NoSuchBucket|ContainerNotFound|bucket does not exist": (
        "create the bucket, or check its name"
    ),
    "Account must be specified": "set AZURE_STORAGE_ACCOUNT_NAME",
    "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed"
    "|401 Unauthorized": "the store does not know these credentials: check them",
    r"169\.254\.|metadata\.google|MissingCredentials|NoCredentials": CREDENTIALS,
    "builder error|BadScheme": "set AWS_ALLOW_HTTP=true if the endpoint begins with http://",
    "PermanentRedirect|AuthorizationHeaderMalformed|redirect": "set AWS_REGION to the bucket's",
    "AccessDenied|403 Forbidden|PermissionDenied": (
        "let these credentials list, read, write and delete there, and abort multipart uploads"
    ),
    "error sending request|error trying to connect|dns error|[Cc]onnection|timed out": (
        f"check the network, the endpoint (AWS_ENDPOINT_URL) and the bucket's name, and {AGAIN}"
    ),
    "NotImplemented|not implemented|NotSupported": "this store cannot do that: choose another",
}
"""A pattern that an answer contains -> what to do; the first that is found counts."""


@contextmanager
def explained(place: Url, doing: str, known: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn an error of obstore in the body into a CheckpointError that says a way out.

    Args:
        place: the object or the prefix that the body works on.
        doing: what it does with it, as in "cannot list".
        known: errors that the caller understands.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except CheckpointError:
        raise
    except known:
        raise
    except (BaseError, OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot {doing} {printable(place)}: {_short(error)}; {_advice(str(error))}"
        ) from error


def _short(error: Exception) -> str:
    """What a store said, without the dump of obstore's own values and the tags of XML."""
    text = str(error).partition("\n\nDebug source")[0]
    if said := re.search(r"<Code>(.*?)</Code>\s*(?:<Message>(.*?)</Message>)?", text, re.DOTALL):
        text = f"{text[: text.index('<')].rstrip(': ')}: {said[1]}: {said[2] or ''}"
    return printable(" ".join(text.split()).rstrip(" :."), LONGEST_ANSWER)


def _advice(text: str) -> str:
    return next((advice for pattern, advice in ANSWERS.items() if re.search(pattern, text)), AGAIN)
