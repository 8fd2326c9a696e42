import asyncio
import threading

import pytest
from anyio import CapacityLimiter

from app.api.sharing import SharedCalls


def run_at_once(function, keys):
    """The results of calls that begin at the same time, errors among them."""

    async def run_all():
        calls = SharedCalls(CapacityLimiter(2))
        each = (calls.run(key, lambda key=key: function(key)) for key in keys)
        return await asyncio.gather(*each, return_exceptions=True)

    return asyncio.run(run_all())


def test_calls_for_the_same_thing_share_one():
    made = []

    results = run_at_once(lambda key: made.append(key) or len(made), ["a"] * 50)

    assert made == ["a"]
    assert results == [1] * 50


def test_calls_for_different_things_run_side_by_side():
    both = threading.Barrier(2, timeout=10)

    results = run_at_once(lambda key: both.wait() >= 0 and key, ["a", "b"])

    assert results == ["a", "b"]


def test_an_error_is_everybodys():
    def fail(key):
        raise ValueError(key)

    results = run_at_once(fail, ["a"] * 3)

    assert [str(each) for each in results] == ["a"] * 3


def test_a_later_call_runs_anew():
    made = []

    async def run_twice():
        calls = SharedCalls(CapacityLimiter(1))
        return [await calls.run("a", lambda: made.append("a")) for _ in range(2)]

    asyncio.run(run_twice())

    assert made == ["a", "a"]


def test_a_call_goes_on_without_those_who_waited():
    begun, go_on, made = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go_on.wait(10)
        made.append("a")

    async def leave_early():
        calls = SharedCalls(CapacityLimiter(1))
        waiting = asyncio.create_task(calls.run("a", work))
        await asyncio.to_thread(begun.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        joined = asyncio.create_task(calls.run("a", lambda: made.append("b")))
        await asyncio.sleep(0)
        go_on.set()
        await joined

    asyncio.run(leave_early())

    assert made == ["a"]
