# Every target sets up what it needs; CI calls these and nothing else.
#   make zoo                        build what is bundled (no network needed beyond the packages)
#   make zoo ENTRIES="bvlc_alexnet" or GROUP=ilsvrc12   build more; MIRROR=dir, DATASET=ilsvrc12=dir, JOBS=2, EVALUATE=no;
#                                 several groups, mirrors or data sets with spaces between: DATASET="a=x b=y"
#   make convert MODEL=digits       build one entry
#   make nightly                    build, compare with what is published, publish: docs/nightly.md
#   make test | lint | bench | clean
#   make image-cpu | image          the image with the real neon and Caffe; BUILD_ARGS="--build-arg ..." for mirrors; DOCKER=podman
#   make image-test                 the tests of the image: IMAGE=caffe2neon:cpu

PYTHON ?= python3
VENV   ?= .venv
OUTPUT ?= zoo
BIN    := $(VENV)/bin

# What to build: entries by name or glob, a group, or what is bundled.
CHOICE  = $(ENTRIES) $(addprefix --group ,$(GROUP)) $(if $(ENTRIES)$(GROUP),,--group bundled)
OPTIONS = --output $(OUTPUT) $(addprefix --mirror ,$(MIRROR)) $(addprefix --dataset ,$(DATASET)) \
          $(if $(JOBS),--jobs $(JOBS)) \
          $(if $(filter no,$(EVALUATE)),--no-evaluate)

DOCKER    ?= docker
IMAGE     ?= caffe2neon:cpu
# Ubuntu's base names no snapshot of its archive, so one is named here.
CUDA_BASE ?= nvidia/cuda:11.8.0-devel-ubuntu22.04@sha256:94fd755736cb58979173d491504f0b573247b1745250249415b07fefc738e41f
CUDA_APT  ?= https://snapshot.ubuntu.com/ubuntu/20250601T000000Z
IMAGE_ARGS = --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
             --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null) $(BUILD_ARGS)

.PHONY: zoo convert nightly test lint bench proto clean image image-cpu image-test

zoo: $(VENV)/.run
	@$(BIN)/caffe2neon zoo build $(CHOICE) $(OPTIONS)
	@$(if $(ENTRIES)$(GROUP),,echo "Built what is bundled. More: make zoo ENTRIES=\"bvlc_alexnet vgg16\", make zoo GROUP=ilsvrc12; all: $(BIN)/caffe2neon zoo list")

convert: $(VENV)/.run
	@$(if $(MODEL),,$(error say which entry of zoo.yaml: make convert MODEL=digits))
	@$(BIN)/caffe2neon zoo build $(MODEL) $(OPTIONS)

nightly: $(VENV)/.run $(if $(findstring ://,$(PUBLISH)),$(VENV)/.remote) $(if $(SCHEDULER),$(VENV)/.distributed)
	@CAFFE2NEON=$(BIN)/caffe2neon scripts/nightly.sh

test: lint
	@scripts/setup_browser.sh
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy --strict

bench: $(VENV)/.test
	$(BIN)/python scripts/bench.py

proto: $(VENV)/.test
	cd caffe2neon/caffe && ../../$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. caffe.proto

image-cpu:
	$(DOCKER) build -f docker/Dockerfile $(IMAGE_ARGS) -t caffe2neon:cpu .

image:
	$(DOCKER) build -f docker/Dockerfile --build-arg VARIANT=cuda --build-arg BASE=$(CUDA_BASE) --build-arg APT_MIRROR=$(CUDA_APT) \
		$(IMAGE_ARGS) -t caffe2neon:cuda .

image-test: $(VENV)/.test
	CAFFE2NEON_IMAGE=$(IMAGE) CAFFE2NEON_DOCKER="$(DOCKER)" $(BIN)/python -m pytest -m container tests/test_image.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.remote: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[remote,s3]"
	@touch $@

$(VENV)/.distributed: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[distributed]"
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check --group test
	@touch $@
