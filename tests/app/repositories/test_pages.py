"""Tests of the pages of a list, on both databases."""

import pytest

from app.repositories import jobs
from app.repositories.job_filters import JobFilter
from app.repositories.jobs import NewJob
from app.repositories.pages import MAX_PAGE_BYTES
from tests.conftest import both_databases

pytestmark = both_databases


@pytest.fixture
def add(session):
    def add(size_bytes):
        spec = {"x": "y" * size_bytes}
        return jobs.add(session, NewJob("ours", "mdl_1", spec), resend_seconds=30).id

    return add


def pages(session, limit=200):
    cursor, found = None, []
    while True:
        page = jobs.list(session, "ours", JobFilter(), cursor, limit)
        found.append([row.id for row in page.items])
        if (cursor := page.next_cursor) is None:
            return found


def test_a_page_of_long_documents_has_fewer(session, add):
    ids = sorted((add(MAX_PAGE_BYTES // 3) for _ in range(5)), reverse=True)

    assert pages(session) == [ids[:2], ids[2:4], ids[4:]]


def test_a_document_longer_than_a_page_has_its_own(session, add):
    ids = sorted((add(size) for size in (10, MAX_PAGE_BYTES + 1, 10)), reverse=True)

    assert sorted((it for page in pages(session) for it in page), reverse=True) == ids
    assert len(pages(session)) > 1


def test_a_list_of_nothing_is_one_empty_page(session):
    assert pages(session) == [[]]
