"""What nobody should write into the broker's queue, by name; some once ended workers."""

import base64
import json
from typing import Any

from app.queue import RUN_JOB

Message = dict[str, Any]


def _encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


ARGUMENTS = [["job_of_nobody"], {}, {"callbacks": None, "errbacks": None, "chain": None}]
SOUND: Message = {
    "body": _encoded(ARGUMENTS),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"lang": "py", "task": RUN_JOB, "id": "1", "root_id": "1", "parent_id": None},
    "properties": {
        "delivery_mode": 2,
        "delivery_tag": "1",
        "delivery_info": {"exchange": "", "routing_key": "onnxpress"},
        "body_encoding": "base64",
    },
}
"""What the queue sends, but for its values."""


def _with(**changes: object) -> bytes:
    return json.dumps(SOUND | changes).encode()


def _with_headers(**changes: object) -> bytes:
    return _with(headers=SOUND["headers"] | changes)


def _with_properties(**changes: object) -> bytes:
    return _with(properties=SOUND["properties"] | changes)


HOSTILE_MESSAGES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"garbage",
    "no text": bytes(range(256)),
    "cut off": _with()[:-5],
    "nested without end": b"[" * 100_000,
    "a number": b"1",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "properties that are a list": _with(properties=[]),
    "no delivery tag": _with(properties={}),
    "a delivery tag that is an object": _with_properties(delivery_tag={}),
    "no delivery info": _with_properties(delivery_info=None),
    "delivery info that is a number": _with_properties(delivery_info=1),
    "an encoding that is not there": _with_properties(body_encoding="rot13"),
    "a body that is no base64": _with(body="%"),
    "a body that is a number": _with(body=1),
    "a body that is no JSON": _with(body=base64.b64encode(b"{").decode()),
    "a body that is no list": _with(body=_encoded(1)),
    "a body of the wrong length": _with(body=_encoded([["a"]])),
    "arguments that are a number": _with(body=_encoded([1, 2, 3])),
    "an id that is an object": _with(body=_encoded([[{"a": 1}], {}, {}])),
    "an id with a NUL": _with(body=_encoded([["a\0b"], {}, {}])),
    "too many arguments": _with(body=_encoded([["a", "b"], {}, {}])),
    "callbacks that are a number": _with(body=_encoded([["a"], {}, {"callbacks": 1, "chain": 1}])),
    "a pickle": _with(**{"content-type": "application/x-python-serialize"}),
    "a content type that is a list": _with(**{"content-type": []}),
    "a character set that is not there": _with(**{"content-encoding": "klingon"}),
    "headers that are a list": _with(headers=[1]),
    "headers that are null": _with(headers=None),
    "no task": _with(headers={}),
    "another task": _with_headers(task="os.system"),
    "a task that is a list": _with_headers(task=[]),
    "no id of the task": _with(headers={"task": RUN_JOB}),
    "an id of the task that is a list": _with_headers(id=[]),
    "a time that is no time": _with_headers(eta="tomorrow"),
    "an end that is no time": _with_headers(expires=[1]),
    "a time limit that is no number": _with_headers(timelimit=["a", "b"]),
    "time limits that are a number": _with_headers(timelimit=1),
    "retries that are no number": _with_headers(retries="a"),
    "a compression that is not there": _with_headers(compression="x"),
    "a compression of something else": _with_headers(compression="application/x-gzip"),
}
