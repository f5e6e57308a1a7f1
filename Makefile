# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.10 || command -v python3)
VENV := .venv
JAX := .venv-jax
# Two at a time: most of a test is one thread that traces. A file stays together, for what its tests share; in the order
# of their names, since files of few tests, of which some are long, would come last.
PYTEST := $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Speed and memory, about three quarters of an hour on two cores on which nothing else should run meanwhile. Each script
# also runs by itself and says what it measures with --help; tables and numbers are left in benchmarks/results.
BENCHMARKS := attention_operator sparse_attention networks instruction_sets convolutions overhead pipeline
MEASURED := benchmarks/results

.PHONY: quickstart install lint test test-all test-jax legacy bench notebooks site clean

quickstart: $(VENV)/installed
	$(VENV)/bin/aeanet quickstart

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e ".[dev]"
	touch $@

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

test: lint test-jax
	$(PYTEST)

test-all: lint test-jax legacy
	$(PYTEST) -m "slow or not slow"

# The TensorFlow 1 runtimes of Fiji's plugin, where their interpreters (Python 3.7 and 3.6) are installed.
legacy:
	tests/interop/legacy/environments.sh

# Layers and networks on another backend, in an environment without TensorFlow.
$(JAX)/installed: pyproject.toml
	$(PYTHON) -m venv $(JAX)
	$(JAX)/bin/python -m pip install -q --disable-pip-version-check keras jax numpy pydantic h5py pytest
	touch $@

test-jax: $(JAX)/installed
	KERAS_BACKEND=jax PYTHONPATH=. $(JAX)/bin/python -m pytest tests/jax_backend

bench: $(VENV)/installed
	mkdir -p $(MEASURED)
	for name in $(BENCHMARKS); do \
		arguments=""; if [ $$name = attention_operator ]; then arguments=--roofline; fi; \
		$(VENV)/bin/python benchmarks/$$name.py $$arguments --output $(MEASURED)/$$name.json \
			> $(MEASURED)/$$name.md || exit 1; \
		cat $(MEASURED)/$$name.md; \
	done
	cat $(BENCHMARKS:%=$(MEASURED)/%.md) > $(MEASURED)/tables.md

# The notebooks with their results, about a minute each on two cores.
notebooks: $(VENV)/installed
	$(VENV)/bin/python examples/execute.py

# The documentation, with references made from the code, as pages that need no network.
site: $(VENV)/installed
	$(VENV)/bin/mkdocs build

clean:
	rm -rf .venv* build site *.egg-info
