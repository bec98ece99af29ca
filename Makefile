# `make demo`, `make test` and `make smoke` do the whole set-up first; nothing else is needed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test smoke setup check test-server test-lemur test-crash test-fuzz lock

demo: setup  ## two cycles on MNIST with the embedded language model
	$(BIN)/nngpt cycle run demo-mnist

test: setup  ## the whole test-suite
	$(BIN)/python -m pytest

smoke: setup  ## one short cycle with the embedded model; fails unless a network is admitted and exported
	rm -rf runs/smoke
	$(BIN)/nngpt cycle run demo-mnist --cycles 1 --set name=smoke --set folder=runs/smoke \
		--set candidates.per_cycle=6 --set llm.batch_size=6 --set sampling.max_new_tokens=160 \
		--set task.train_limit=1000 --set task.validation_limit=500 --set task.threshold=0.5
	$(BIN)/nngpt cycle export --folder runs/smoke --best 1 --no-onnx --out runs/smoke/best

setup: $(INSTALLED)  ## virtual environment, embedded model, MNIST
	$(BIN)/nngpt models pull smollm2-135m
	$(BIN)/nngpt data pull mnist

check: $(INSTALLED)  ## format, lint, types, tests
	scripts/check

test-server: setup  ## optional: the openai backend against a real llama.cpp server (compiles it)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock "llama-cpp-python[server]>=0.3.16"
	$(BIN)/python -m pytest -m server tests/generation/llm/test_server.py

test-lemur: setup  ## optional: all of LEMUR imported, exported and imported again (minutes, 2 GB)
	$(BIN)/python -m pytest -m lemur tests/store/lemur

test-crash: setup  ## optional: 200 kills at random moments
	$(BIN)/python -m pytest -m crash tests/crash

test-fuzz: setup  ## optional: bad values, lines and files for every command
	$(BIN)/python -m pytest -m fuzz tests/cli

lock:  ## pin the dependencies anew
	$(BIN)/python -m piptools compile --quiet --extra dev --strip-extras --no-emit-index-url \
		--no-emit-find-links --constraint scripts/constraints.txt --output-file requirements.lock pyproject.toml

$(INSTALLED): requirements.lock pyproject.toml
	@echo "Setting up .venv: some minutes, 6 GB …"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(INSTALLED)
