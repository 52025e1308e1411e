PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# TensorFlow greets with its build flags, and looks for a GPU, on standard error.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint fuzz bench clean

demo: $(VENV)/.demo
	$(BIN)/maskdef demo --output demo-output

# One thread of TensorFlow's for each worker, which has one core: 22 % less CPU time, and
# half the wall time on two busy cores. Files in their order: by their numbers of tests,
# the longest test would begin when all others are done.
test: lint $(VENV)/.backends
	TF_NUM_INTRAOP_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile \
		--no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy keras_maskdef maskdef.py
	$(BIN)/mypy kernels

# 100,000 drawn calls of the CPU kernels against the reference.
fuzz: $(VENV)/.dev
	$(BIN)/python tests/fuzz_kernels.py

bench: $(VENV)/.dev
	@mkdir -p .benchmarks
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-quiet \
		--benchmark-json=.benchmarks/run.json
	$(BIN)/python benchmarks/report.py .benchmarks/run.json

# One virtual environment, one stamp per set of extras.
$(VENV)/.%: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade "pip>=25"
	$(BIN)/python -m pip install -qq --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache demo-output
