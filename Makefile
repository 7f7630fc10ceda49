# Two commands: `make workbook` runs everything, `make test` checks everything.
# Both make .venv from requirements.lock when it is missing or the lock has changed.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '$(SUPPORTED)' 2>&- && echo $$p && break; done)
BIN := .venv/bin
UV ?= uv
DATA ?= shapes
STEPS ?= 400
CAMVID ?= data/camvid

.PHONY: help workbook test lint soak audit study comparison camvid bench analysis lock clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | expand -t 1 | sed 's/|/\t/' | expand -t 18

workbook: .venv/fcnlib ## run every notebook into results/runs/quick; ARGS="--profile camvid ..." for others
	$(BIN)/fcnlib run $(ARGS)

test: lint ## lint and the whole test suite; ARGS="-k metrics" for a part
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20 $(ARGS)

lint: .venv/fcnlib ## code style, and the form of what is written: pins, environments, pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/form

soak: .venv/fcnlib ## half an hour of kills, bad input and load: rewrites results/reliability.md; FCNLIB_SOAK=0.1 for a tenth
	FCNLIB_SOAK=$${FCNLIB_SOAK:-1} $(BIN)/python -m pytest tests/soak $(ARGS)
	FCNLIB_SOAK=$${FCNLIB_SOAK:-1} $(BIN)/python tests/soak/guided.py
	$(BIN)/python tests/soak/ledger.py

audit: .venv/fcnlib ## known faults and licences of the locked packages: rewrites results/licences.md
	$(BIN)/python tests/soak/supply.py

study: .venv/fcnlib ## three seeds of the default profile, with the control: rewrites results/shapes/
	for seed in 1 2 3; do $(BIN)/fcnlib train --control --resume --set seed=$$seed \
		--out results/runs/shapes-$$seed || exit; done
	$(BIN)/python -m benchmarks.publish results/runs/shapes-1 results/runs/shapes-2 results/runs/shapes-3 \
		--to results/shapes --by "make study"
	$(BIN)/python -m benchmarks.readme

comparison: .venv/fcnlib ## three seeds of every system of notebook 08; ARGS="--profile camvid ..." for others
	for seed in 1 2 3; do $(BIN)/fcnlib compare $(ARGS) --set comparison_steps=$(STEPS) \
		--set seed=$$seed --out results/runs/$(DATA)-$$seed || exit; done
	$(BIN)/python -m benchmarks.publish results/runs/$(DATA)-1 results/runs/$(DATA)-2 results/runs/$(DATA)-3 \
		--to results/$(DATA) --by "make comparison" --comparison

camvid: .venv/fcnlib ## three seeds of the front page's network: rewrites results/camvid/best.md; CAMVID=folder of CamVid
	for seed in 1 2 3; do $(BIN)/fcnlib train --profile camvid-best --resume --set data_dir=$(CAMVID) \
		--set seed=$$seed --out results/runs/camvid-best-$$seed || exit; done
	$(BIN)/python -m benchmarks.front_page results/runs/camvid-best-1 results/runs/camvid-best-2 \
		results/runs/camvid-best-3 --data $(CAMVID) --together

bench: .venv/fcnlib ## ours and every peer in turn: rewrites the table of speed, a quarter of an hour
	$(BIN)/python -m benchmarks.bench $(ARGS)

analysis: .venv/fcnlib ## why it is as fast as it is: the other pages of results/benchmarks/, an hour
	$(BIN)/python -m benchmarks.profiling
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.accuracy

lock: ## rewrite requirements.lock and requirements.txt from the pins in pyproject.toml (needs uv)
	$(UV) pip compile pyproject.toml --extra dev --extra export --universal --generate-hashes --fork-strategy fewest \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock
	sed -e '/--hash=/d' -e 's/ \\$$//' requirements.lock > requirements.txt

clean: ## remove the environment and the caches; data and results stay
	rm -rf .venv .pytest_cache .ruff_cache fcnlib.egg-info

.venv/locked: requirements.lock
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' 2>&- || { echo "make: needs Python 3.11, 3.12 or 3.13;" \
		"install one or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r $<
	@touch $@

.venv/fcnlib: .venv/locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
