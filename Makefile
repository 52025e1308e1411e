PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install -qq
# TensorFlow greets with its build flags, and looks for a GPU, on standard error.
export TF_CPP_MIN_LOG_LEVEL ?= 3

# One thread of TensorFlow's for each worker, which has one core: 22 % less CPU time, and
# half the wall time on two busy cores. Files in their order: by their numbers of tests,
# the longest test would begin when all others are done.
PYTEST = TF_NUM_INTRAOP_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n auto \
	--dist loadfile --no-loadscope-reorder

define LINT
$(BIN)/ruff check .
$(BIN)/ruff format --check .
$(BIN)/lint-imports --no-logo
$(BIN)/mypy keras_maskdef maskdef
$(BIN)/mypy kernels
endef

# What depends most on versions of Python and of packages.
VERSIONS = tests/core tests/kernels/test_kernels.py \
	tests/layers/test_filters.py tests/layers/test_random_grid_mask.py \
	tests/datasets/test_datasets.py tests/project/test_dependencies.py \
	tests/project/test_package.py

.PHONY: demo test lint quick versions lowest fuzz bench clean

demo: $(VENV)/.demo
	$(BIN)/maskdef demo --output demo-output

test: lint $(VENV)/.backends
	$(PYTEST)

lint: $(VENV)/.dev
	$(LINT)

# For changes of layers and kernels, in a minute.
quick: $(VENV)/.core
	$(LINT)
	$(PYTEST) -m "not slow and not long and not gpu and not simulator" \
		tests/layers tests/kernels/test_kernels.py

# On another Python than that of `test`: make versions PYTHON=python3.12 VENV=.venv-3.12
versions: $(VENV)/.versions
	$(LINT)
	$(PYTEST) $(VERSIONS)

# `make test` with the lowest versions that pyproject.toml allows.
lowest:
	$(MAKE) test VENV=.venv-lowest INSTALL='$$(LOWEST)'

LOWEST = $(BIN)/python -m pip install -qq uv && $(BIN)/uv pip install -q \
	--python $(BIN)/python --resolution lowest-direct

# 100,000 drawn calls of the CPU kernels against the reference.
fuzz: $(VENV)/.dev
	$(BIN)/python tests/support/fuzz_kernels.py

bench: $(VENV)/.dev
	@mkdir -p .benchmarks
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-quiet \
		--benchmark-json=.benchmarks/run.json
	$(BIN)/python benchmarks/report.py .benchmarks/run.json

# One virtual environment, one stamp per set of extras.
$(VENV)/.%: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade "pip>=25"
	$(INSTALL) --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) .venv-* build *.egg-info .pytest_cache .mypy_cache .ruff_cache demo-output
