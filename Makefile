# make demo    install and render the demo film
# make test    install and run the tests
# make bench   install and run the benchmarks that need no GPU; writes docs/benchmarks.md
VENV   ?= .venv
PYTHON ?= python3
PIP     = $(VENV)/bin/pip --disable-pip-version-check install --quiet --constraint constraints.txt
RUNS   ?= runs

.PHONY: install install-test install-bench demo test test-all lint format bench clean

install: $(VENV)/.farm
install-test: $(VENV)/.test
install-bench: $(VENV)/.bench

$(VENV)/.farm: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.farm
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) --editable '.[bench]'
	touch $@

demo: install
	$(VENV)/bin/farm render examples/demo.yaml --runs $(RUNS)

test: install-test
	$(VENV)/bin/python -m pytest -q

test-all: install-test
	$(VENV)/bin/python -m pytest -q -m ""

lint: install-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: install-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: install-bench
	$(VENV)/bin/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info
