"""The table of docs/backends.md is what the backends do."""

import importlib.util
import json

import backends_page
import pytest

# The rest takes minutes: pytest -m slow tests/test_backends.py
QUICK = ("eager", ".keras", "losses", "Alternating", "predict", "attacks")
STORED = json.loads(backends_page.STORED.read_text())


@pytest.fixture(scope="module", params=backends_page.BACKENDS)
def backend(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def as_stored(backend, only=()):
    found = backends_page.run(backend, only)
    return {name: cell["works"] for name, cell in found.items()}


def test_quick_cells(backend):
    found = as_stored(backend, QUICK)
    assert found == {name: STORED[backend][name]["works"] for name in found}
    assert len(found) > 2 * 7


@pytest.mark.slow
def test_all_cells(backend):
    found = as_stored(backend)
    assert found == {name: cell["works"] for name, cell in STORED[backend].items()}


def test_no_cell_is_empty():
    names = [set(cells) for cells in STORED.values()]
    assert names[0] == names[1] == names[2]


def test_the_page_is_up_to_date():
    """And every "no" has its reason, or it could not be written."""
    assert backends_page.PAGE.read_text() == backends_page.page(STORED)
