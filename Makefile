# make run      environment, then the quickstart recipe to its table
# make test     environment, then the tests (make test-all: the slow ones too)
# make bench    the performance figures of the README
# make lint     ruff
# make clean    remove the environment and caches
PYTHON ?= python3.11
VENV ?= .venv
PIP_ARGS ?=
BIN = $(VENV)/bin
PIP = $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

.PHONY: run test test-all bench lint clean

run: $(VENV)/run.stamp
	$(BIN)/compress run recipes/quickstart.yaml

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(VENV)/test.stamp
	status=0; $(BIN)/python bench/own/performance.py || status=1; \
	for name in peers efficientnet_lite minilm mixed; do $(BIN)/python -m compress.bench.quantize.$$name || status=1; done; exit $$status

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) build dist *.egg-info edge-runtime/*.egg-info .pytest_cache .ruff_cache

# torch goes first: whatever would pull another build of it then finds this one.
$(VENV)/run.stamp: setup.cfg edge-runtime/setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e edge-runtime -e .
	touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	$(PIP) -e edge-runtime -e ".[test]"
	touch $@
