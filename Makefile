# Every target sets up what it needs; CI calls these and nothing else.
#   make zoo                        build what is bundled (no network needed beyond the packages)
#   make zoo ENTRIES="bvlc_alexnet" or GROUP=ilsvrc12   build more; MIRROR=dir, DATASET=ilsvrc12=dir
#   make convert MODEL=digits       build one entry
#   make test | lint | bench | clean

PYTHON ?= python3
VENV   ?= .venv
OUTPUT ?= zoo
BIN    := $(VENV)/bin

# What to build: entries by name or glob, a group, or what is bundled.
CHOICE  = $(ENTRIES) $(if $(GROUP),--group $(GROUP)) $(if $(ENTRIES)$(GROUP),,--group bundled)
OPTIONS = --output $(OUTPUT) $(if $(MIRROR),--mirror $(MIRROR)) $(if $(DATASET),--dataset $(DATASET))

.PHONY: zoo convert test lint bench proto clean

zoo: $(VENV)/.run
	@$(BIN)/caffe2neon zoo build $(CHOICE) $(OPTIONS)
	@$(if $(ENTRIES)$(GROUP),,echo "Built what is bundled. More: make zoo ENTRIES=\"bvlc_alexnet vgg16\", make zoo GROUP=ilsvrc12; all: $(BIN)/caffe2neon zoo list")

convert: $(VENV)/.run
	@$(if $(MODEL),,$(error say which entry of zoo.yaml: make convert MODEL=digits))
	@$(BIN)/caffe2neon zoo build $(MODEL) $(OPTIONS)

test: lint
	@scripts/setup_browser.sh
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy --strict

bench: $(VENV)/.test
	$(BIN)/python scripts/bench.py

proto: $(VENV)/.test
	cd caffe2neon/caffe && ../../$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. caffe.proto

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check --group test
	@touch $@
