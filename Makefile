# make quickstart   everything from an empty machine to a WER table: environment, speech, training, decoding
# make test         environment and all tests
# make test-quick   the tests that train nothing: mixers, data, scores, recipes as YAML
# make lint         environment, then ruff, mypy and codespell; make format: ruff writes its format
# Variables: MIXER=attention, SEED=1234, VENV=.venv, PYTHON=python3, ARGS="--number_of_epochs 4"

PYTHON ?= python3
VENV ?= .venv
MIXER ?= summarymixing
SEED ?= 1234
ARGS ?=
DATA ?= data/quickstart
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet
PYTEST = $(VENV)/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: quickstart test test-quick lint format environment

quickstart: $(VENV)/.demo
	@start=$$(date +%s); \
	$(VENV)/bin/python -m data_prep.synthesize $(DATA) && \
	$(VENV)/bin/python train.py hparams/quickstart.yaml --data_folder $(DATA) --mixer "$(MIXER)" --seed $(SEED) $(ARGS) && \
	echo "total time after the installation: $$(($$(date +%s) - start)) seconds"

test: $(VENV)/.dev
	$(PYTEST) tests

test-quick: $(VENV)/.dev
	$(PYTEST) tests/config tests/data_prep tests/mixers tests/scoring

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

environment: $(VENV)/.demo

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; give PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements.txt requirements-demo.txt | $(VENV)/bin/python
	@echo "installing requirements.txt and requirements-demo.txt into $(VENV): some minutes, 5 GB"
	$(PIP) -r requirements.txt -r requirements-demo.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.demo
	$(PIP) -r requirements-dev.txt
	@touch $@
