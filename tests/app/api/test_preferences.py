import pytest

from app.api.preferences import asked_wait_seconds, choose_media_type
from app.errors import NotAcceptableError

OFFERED = ("application/json", "text/markdown")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("wait=5", 5),
        ("respond-async, Wait = 7", 7),
        ('wait="3"', 3),
        ("wait=600", 60),
        ("wait=0", 0),
        ("wait=-1", None),
        ("wait=soon", None),
        ("await=5", None),
    ],
)
def test_reads_how_long_to_wait(prefer, seconds):
    assert asked_wait_seconds(prefer) == seconds


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/markdown", "text/markdown"),
        ("text/*", "text/markdown"),
        ("application/json;q=0.5, text/markdown;q=0.9", "text/markdown"),
        ("application/json, text/markdown;q=0.9", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0, */*", "text/markdown"),
    ],
)
def test_chooses_what_the_caller_likes_best(accept, chosen):
    assert choose_media_type(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", ",,;;"])
def test_refuses_a_caller_who_takes_nothing_of_it(accept):
    with pytest.raises(NotAcceptableError, match="application/json or text/markdown"):
        choose_media_type(accept, OFFERED)
