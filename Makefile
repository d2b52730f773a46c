# make demo      set up, start the server, analyse the sample video   (ONCE=1: end by itself, GPU=1: with CUDA)
# make install   set up alone: vidserve into .venv, without what tests and training need   (GPU=1: with CUDA)
# make train     set up with what `vidserve train` needs: torch, 5.7 GB   (CPU=1: torch without CUDA, 2 GB)
# make test      set up, then linters, types, import contracts and all tests   (PROCESSES=1: one after another)
# make test-deps Debian packages that some tests need (as root)
# make bench     the figures of the README (DATA=../shared/data, or VIDEO=… MODEL=… LABELS=…; ARGS="--only cpu --runs 3")

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
DEBIAN_PACKAGES := chromium prometheus python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gstreamer-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good
POLICY := /usr/sbin/policy-rc.d
# Tests wait for processes that they start about a third of their time: one more than two cores can feed.
PROCESSES ?= 3
# There 2.13.0+cpu is newer than the 2.13.0 that brings CUDA.
TORCH := $(if $(CPU),--extra-index-url https://download.pytorch.org/whl/cpu)
EXTRAS := $(if $(GPU),[gpu])

# Each of a thousand processes would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo install train test lint suite alone test-deps bench clean check-python

demo: $(VENV)/.server$(if $(GPU),-gpu)
	@$(BIN)/vidserve demo $(if $(ONCE),--once)

install: $(VENV)/.server$(if $(GPU),-gpu)
	@echo "vidserve is in $(VENV).   . $(BIN)/activate   makes it a command of this shell."

train: $(VENV)/.train
	@echo "vidserve is in $(VENV), with torch.   . $(BIN)/activate   makes it a command of this shell."

test: alone

# What these tests measure must not be disturbed by others.
alone: lint suite
	$(BIN)/python -m pytest -m alone tests/e2e tests/runtime

suite: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'not alone' -n $(PROCESSES) --dist worksteal --durations 30

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.server
	$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA)) $(if $(VIDEO),--video $(VIDEO)) \
		$(if $(MODEL),--model $(MODEL)) $(if $(LABELS),--labels $(LABELS)) $(ARGS)

test-deps:
	@if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
		echo "Run this as root on Debian or Ubuntu, or install by your own means: $(DEBIAN_PACKAGES)"; exit 1; fi
	apt-get update -qq
	@# Packages that bring a service shall not start it here.
	@test -e $(POLICY) || { printf '#!/bin/sh\nexit 101\n' >$(POLICY) && chmod +x $(POLICY) && trap 'rm -f $(POLICY)' EXIT; }; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-data

$(VENV)/.server $(VENV)/.server-gpu: pyproject.toml constraints.txt | check-python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing vidserve into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$(EXTRAS)"
	@touch $@

$(VENV)/.train: pyproject.toml constraints.txt | check-python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing vidserve and torch into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH) -e ".[train]"
	@touch $@ $(VENV)/.server

$(VENV)/.dev: pyproject.toml constraints.txt | check-python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing vidserve and what its tests need into $(VENV) …"
	@# Tests import a tenth of it; that is compiled when they do.
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[dev,train]"
	@touch $@ $(VENV)/.server

check-python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "vidserve needs Python 3.11 or newer, and there is none here."; \
		echo "Debian 12, Ubuntu 24.04 or newer:  apt install python3 python3-venv"; \
		echo "Another Python:                    make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than Python 3.11, which vidserve needs."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments."; \
		echo "Debian, Ubuntu:  apt install python3-venv"; exit 1; }
