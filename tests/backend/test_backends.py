"""The table of docs/backends.md is what the backends do."""

import importlib.util
import json

import backend_cells
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


def as_printed(backend, cells):
    """Whether each works, and the page's words for what there is to say of it."""
    return {
        name: (
            cell["works"],
            cell["said"] and backends_page.reason(backend, cell["said"]),
        )
        for name, cell in cells.items()
    }


def test_quick_cells(backend):
    found = as_printed(backend, backends_page.run(backend, QUICK))
    stored = as_printed(backend, STORED[backend])
    assert found == {name: stored[name] for name in found}
    assert len(found) > 2 * 7


@pytest.mark.slow
def test_all_cells(backend):
    found = as_printed(backend, backends_page.run(backend))
    assert found == as_printed(backend, STORED[backend])


def test_no_cell_is_empty():
    for cells in STORED.values():
        assert set(cells) == set(backend_cells.CELLS)


def test_the_page_is_up_to_date():
    """And every "no" has its reason, or it could not be written."""
    assert backends_page.PAGE.read_text() == backends_page.page(STORED)
