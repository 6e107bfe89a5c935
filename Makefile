# make run    the demo, from nothing to a report;   make run STUDY=config/studies/NAME.yaml   another study
# make test   lint, types and tests;   make help   everything else

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

CORES ?= all
CLUSTER ?=
STUDY ?=
SCALE ?=
PYTHON ?=
UV ?= uv
LEAN ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := $(if $(LEAN),$(VENV)/lean.lock,envs/requirements.lock)
CONFIGFILE := $(if $(STUDY),--configfile $(STUDY)) $(if $(SCALE),--config scale=$(SCALE))
NAME := $(if $(STUDY),$(basename $(notdir $(STUDY))),demo)$(if $(filter-out paper,$(SCALE)),-$(SCALE))
REPORT := results/report/$(if $(STUDY)$(SCALE),$(NAME),report).html
UNFINISHED := $(dir $(REPORT))unfinished-$(notdir $(REPORT))
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)

# Packages of the environment only, whatever the user's shell brings along.
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME

.PHONY: help install run test test-slurm lint bench bench-waves bench-images bench-diffraction bench-strain bench-sheets bench-scale convergence gallery models docs-keys networks lock unlock clean FORCE

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1  /p' $(MAKEFILE_LIST) | awk -F '  ' '{printf "make %-18s %s\n", $$1, $$2}'

run: $(STAMP)  ## run the demo, or STUDY=FILE, at SCALE=laptop, on CORES (all) or the CLUSTER of a profile; ends with scores and report
	@if [ -n "$(STUDY)" ] && [ ! -f "$(STUDY)" ]; then \
	  echo "STUDY=$(STUDY): no such file; there are: $(filter-out %_base.yaml,$(wildcard config/studies/*.yaml))" >&2; exit 1; fi
	$(BIN)/python -m exitwave.jobs.coordinator $(BIN)/snakemake $(if $(CLUSTER),--profile $(CLUSTER),--cores $(CORES)) $(CONFIGFILE)
	@mkdir -p $(dir $(REPORT))
	@if [ ! -f $(REPORT) ] || [ -n "$$(find results captions Snakefile rules -type f -newer $(REPORT) \
	    ! -name '.*.lock' ! \( -path 'results/report/*.html' ! -path 'results/report/*/*' \) -print -quit)" ]; then \
	  $(BIN)/snakemake $(CONFIGFILE) --report $(UNFINISHED) && mv $(UNFINISHED) $(REPORT); \
	fi
	@if [ -d results/report/$(NAME)/benchmarks ]; then $(BIN)/exitwave scores $(NAME); fi
	@echo "open first: results/report/$(NAME)/index.html"
	@echo "report: $(REPORT)"

install: $(STAMP)  ## install everything into .venv

test: lint  ## lint, types and tests; minutes on two cores
	$(BIN)/pytest -n logical --dist loadfile

test-slurm: $(STAMP)  ## bring up a SLURM on this machine (root or sudo; Debian or Ubuntu), run studies on it, take it down
	@trap tests/slurm/stop-cluster EXIT; trap 'exit 1' INT TERM; tests/slurm/start-cluster && $(BIN)/pytest -n 3 --dist loadfile -m slurm tests/slurm

lint: $(STAMP)  ## style, types and the linters of the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

bench: $(STAMP)  ## costs side by side, as ratios; the exit waves have a target of their own
	$(BIN)/pytest -m slow --benchmark-enable tests/performance --ignore tests/performance/test_waves.py \
	  --ignore tests/performance/test_scale.py

bench-waves: $(STAMP)  ## costs of the exit waves beside abTEM; minutes
	$(BIN)/pytest -m slow --benchmark-enable tests/performance/test_waves.py

bench-images: $(STAMP)  ## costs of the images beside abTEM
	$(BIN)/pytest -m slow --benchmark-enable tests/performance/test_imaging.py

bench-diffraction: $(STAMP)  ## costs of diffraction patterns and probes beside abTEM
	$(BIN)/pytest -m slow --benchmark-enable -n 0 tests/performance/test_diffraction.py tests/performance/test_probe.py

bench-strain: $(STAMP)  ## disks and lattices a second, beside py4DSTEM and LiberTEM-blobfinder if installed
	$(BIN)/pytest -m slow --benchmark-enable -n 0 tests/performance/test_disks.py

bench-sheets: $(STAMP)  ## costs of STEM images of monolayers beside jarvis-tools if installed
	$(BIN)/pytest -m slow --benchmark-enable -n 0 tests/performance/test_convolution.py

bench-scale: $(STAMP)  ## plans of up to 100,000 structures, tables of a million images, start of jobs; ten minutes
	$(BIN)/pytest -m slow --benchmark-enable -n 0 tests/performance/test_scale.py

convergence: $(STAMP)  ## draw the convergence figures of docs/physics.md; minutes
	$(BIN)/python docs/convergence.py

gallery: $(STAMP)  ## draw every kind of structure: docs/images/gallery.png
	$(BIN)/python docs/gallery.py

models: $(STAMP)  ## train the networks that come with exitwave again, score and pack them; five hours
	$(BIN)/snakemake --cores $(CORES) --configfile config/studies/bundled.yaml
	$(BIN)/snakemake --cores $(CORES) --configfile config/studies/bundled_disks.yaml
	$(BIN)/snakemake --cores $(CORES) --configfile config/studies/sheets_networks.yaml
	$(BIN)/python resources/models/make_models.py

docs-keys: $(STAMP)  ## regenerate what is made from the code: tables of keys, schema, conda file
	$(BIN)/python -m exitwave.study.docs
	$(BIN)/python envs/make_conda.py

networks: $(STAMP)  ## survey the networks of timm and segmentation-models-pytorch again, after another lock; minutes
	$(BIN)/python -m exitwave.training.survey

# Versions in the lock stay as they are unless pyproject.toml rules them out; UPGRADE=--upgrade takes the newest.
lock:  ## resolve pyproject.toml into envs/requirements.lock (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv" >&2; exit 1; }
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --extra dev --extra tensorboard --custom-compile-command "make lock" $(UPGRADE) pyproject.toml \
	  -o envs/requirements.lock
	$(MAKE) docs-keys

unlock: $(STAMP)  ## after a power loss or kill -9: Snakemake keeps its lock; make sure that no run is alive
	$(BIN)/snakemake --unlock $(CONFIGFILE)

clean:  ## remove the environment and caches; results stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks build src/*.egg-info

# The stamp names the folder it was made in and is written last: an interrupted installation, or a
# folder that was moved or copied, is mended by the next call.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

$(STAMP): envs/requirements.lock pyproject.toml
	@rm -f $(STAMP)
	@if ! { $(BIN)/python -c '' && grep -qF "$(CURDIR)/$(BIN)/python" $(BIN)/pip; } 2>/dev/null; then \
	  found=; for python in $(CANDIDATES); do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	      2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "no Python 3.11 to 3.14 with the venv module found (tried $(CANDIDATES)); install one" \
	      "or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	  fi; \
	  echo "creating $(VENV) with $$($$found --version)"; \
	  $$found -m venv --clear $(VENV); \
	fi
	@if ! ls -d $(VENV)/lib/python3*/site-packages/torch >/dev/null 2>&1; then \
	  if [ -n "$(LEAN)" ]; then \
	    echo "LEAN=1: found no torch in $(VENV), which is to be installed there before: docs/installation.md" >&2; exit 1; \
	  fi; \
	  free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 1000000) }'); \
	  if [ "$$free" -lt 10 ]; then \
	    echo "found $$free GB free on this disk; the installation takes 7 GB, and 10 GB on the way: make room, or" \
	      "install without libraries for GPUs (docs/installation.md)" >&2; exit 1; \
	  fi; \
	  echo "installing 7 GB into $(VENV); $$free GB are free"; \
	fi
	@if [ -n "$(LEAN)" ]; then $(BIN)/python envs/lean.py > $(LOCK); fi
	$(BIN)/python -m pip install --disable-pip-version-check $(if $(LEAN),--no-deps) --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@printf '%s\n' "$(CURDIR)" > $(STAMP)
