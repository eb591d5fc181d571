# make demo    install what renders, and render the demo film
# make install install what checks, plans, reports and submits: no torch, no Ray
# make install-render   and what renders
# make test    install and run the tests, in PROCESSES processes
# make test-long the tests that take tens of seconds each, most of them on Ray clusters of their own; CI runs them, too
# make test-minutes   the same, and write down in CONTRIBUTING.md what they took
# make test-reference  install the reference implementations and compare with them
# make bench   install and run the benchmarks that need no GPU; writes docs/benchmarks.md
VENV   ?= .venv
REFERENCE_VENV ?= .venv-reference
COMFYUI_VENV ?= .venv-comfyui
PYTHON ?= python3
PIP     = $(VENV)/bin/pip --disable-pip-version-check install --quiet --constraint constraints.txt
RUNS   ?= runs
# One more than two cores: tests wait, too, for Ray above all.
PROCESSES ?= 3
PYTEST  = $(VENV)/bin/python -m pytest -q --numprocesses $(PROCESSES)

.PHONY: install install-render install-test install-bench demo test test-long test-minutes test-all test-reference test-reference-comfyui fidelity fidelity-comfyui lint lint-ruff lint-format lint-types format dist bench clean

install: $(VENV)/.farm
install-render: $(VENV)/.render
install-test: $(VENV)/.test
install-bench: $(VENV)/.bench

$(VENV)/.farm: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.render: $(VENV)/.farm
	@echo "torch and Ray: some minutes, in which nothing is printed"
	$(PIP) --editable '.[render]'
	touch $@

$(VENV)/.test: $(VENV)/.farm
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) --editable '.[bench]'
	touch $@

demo: install-render
	$(VENV)/bin/farm render examples/demo.yaml --runs $(RUNS)

test: install-test
	$(PYTEST)

test-long: install-test
	$(PYTEST) -m long

test-minutes: install-test
	$(PYTEST) --junitxml=build/tests.xml
	$(VENV)/bin/python -m tools.minutes_table build/tests.xml

test-all: install-test
	$(VENV)/bin/python -m pytest -q -m ""

# An environment of its own: the references pin packages that the farm has newer.
REFERENCE_PIP = $(REFERENCE_VENV)/bin/pip --disable-pip-version-check install --quiet --constraint constraints.txt
$(REFERENCE_VENV)/.reference: pyproject.toml constraints.txt tests/reference/lightricks.txt
	test -x $(REFERENCE_VENV)/bin/python || $(PYTHON) -m venv $(REFERENCE_VENV)
	$(REFERENCE_PIP) --editable '.[reference]'
	$(REFERENCE_PIP) --no-deps --requirement tests/reference/lightricks.txt
	touch $@

test-reference: $(REFERENCE_VENV)/.reference
	$(REFERENCE_VENV)/bin/python -m pytest -q -W default -m 'reference and not comfyui' tests/reference

fidelity: $(REFERENCE_VENV)/.reference
	$(REFERENCE_VENV)/bin/python -m pytest -q -W default -m 'reference and not comfyui' tests/reference --write-fidelity

# ComfyUI, Lightricks' LTX-2 packages and torch 2.11 with its audio: several GB, and a checkout in COMFYUI_PATH.
COMFYUI_PIP = $(COMFYUI_VENV)/bin/pip --disable-pip-version-check install --quiet
COMFYUI_PINS = tests/reference/ltx-core-constraints.txt
$(COMFYUI_VENV)/.reference: pyproject.toml $(COMFYUI_PINS) tests/reference/ltx-core.txt
	test -x $(COMFYUI_VENV)/bin/python || $(PYTHON) -m venv $(COMFYUI_VENV)
	$(COMFYUI_PIP) --constraint $(COMFYUI_PINS) --editable '.[comfyui,reference]'
	$(COMFYUI_PIP) --constraint $(COMFYUI_PINS) --requirement $(COMFYUI_PATH)/requirements.txt
	$(COMFYUI_PIP) --no-deps --requirement tests/reference/ltx-core.txt
	touch $@

test-reference-comfyui: $(COMFYUI_VENV)/.reference
	$(COMFYUI_VENV)/bin/python -m pytest -q -W default -m 'reference and comfyui' tests/reference

fidelity-comfyui: $(COMFYUI_VENV)/.reference
	$(COMFYUI_VENV)/bin/python -m pytest -q -W default -m 'reference and comfyui' tests/reference --write-fidelity

lint: lint-ruff lint-format lint-types
lint-ruff: install-test
	$(VENV)/bin/ruff check .
lint-format: install-test
	$(VENV)/bin/ruff format --check .
lint-types: install-test
	$(VENV)/bin/mypy

format: install-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The sdist, and the wheel that is built from it.
dist: install-test
	$(PIP) build
	$(VENV)/bin/python -m build --outdir dist

bench: install-bench
	$(VENV)/bin/python -m benchmarks

clean:
	rm -rf $(VENV) $(REFERENCE_VENV) $(COMFYUI_VENV) build dist *.egg-info
