# Two commands on a fresh machine: `make demo` and `make test`. Everything else is optional.
PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LIGHT ?= .venv-light
LIGHT_TESTS := light $(addprefix diagnosis/test_,printed.py log_rules.py cases.py kinds.py doctor.py databases.py)
# uv does not read pip's settings
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
.PHONY: demo test test-light lint docs docs-serve docs-reference bench bench-gaussian bench-doctor bench-loops bench-lab bench-sequence bench-diffusion bench-video clean

$(VENV)/%.done: pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "setting up $(VENV) (once, about a minute)"; $(PY) -m venv $(VENV); }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check uv 2>/dev/null || $(BIN)/python -m pip install uv
	@echo "installing trainwright and its dependencies into $(VENV)"
	@$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -c constraints.txt $(if $(filter dev,$*),-e '.[dev]',-e '.[features,diffusion]')
	@touch $@

demo: $(VENV)/demo.done  ## set up, train a WGAN-GP on the sprites that come with the package, mend what goes wrong, show it
	$(BIN)/trainwright demo

test: $(VENV)/dev.done test-light  ## set up and run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-light: $(VENV)/dev.done  ## install the package without PyTorch in a venv of its own, and run the tests of what works there
	@$(BIN)/uv venv -q --clear $(LIGHT)
	@$(BIN)/uv build -q --wheel --python $(BIN)/python -o $(LIGHT)/wheel .
	@$(BIN)/uv pip install -q --python $(LIGHT)/bin/python $(LIGHT)/wheel/*.whl pytest
	cd $(LIGHT) && bin/python -m pytest -q --noconftest -c /dev/null -p no:cacheprovider $(LIGHT_TESTS:%=$(CURDIR)/tests/%)

lint: $(VENV)/dev.done
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: $(VENV)/dev.done  ## build the site of the docs into build/site; a broken link or anchor is an error
	$(BIN)/python -m tools.docs_reference --check
	$(BIN)/zensical build --clean --strict

docs-serve: $(VENV)/dev.done  ## show the site on http://localhost:8000 and follow changes
	$(BIN)/zensical serve

docs-reference: $(VENV)/dev.done  ## write the pages that follow from the code, the navigation and the lists of pages
	$(BIN)/python -m tools.docs_reference
	$(BIN)/python -m tools.docs_site

bench: $(VENV)/dev.done  ## speed and memory beside the leanest hand-written loops, fits, watching, listing (about 40 minutes)
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.fitting
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.listing
	$(BIN)/python -m benchmarks.tables

bench-sequence: $(VENV)/dev.done  ## the sequence guide's claims over three seeds, samples beside real levels (about an hour)
	$(BIN)/python -m benchmarks.sequence_guide
	$(BIN)/python -m benchmarks.sequence
	$(BIN)/python -m benchmarks.tables

bench-diffusion: $(VENV)/dev.done  ## latent diffusion beside a WGAN-GP, the guide's ladder, overfitting (about three hours)
	$(BIN)/python -m benchmarks.diffusion
	$(BIN)/python -m benchmarks.ldm_stability
	$(BIN)/python -m benchmarks.sampling
	$(BIN)/python -m benchmarks.tables

bench-video: $(VENV)/dev.done  ## which parts help and what they add, the guide's phases, what lies in a step (about two hours)
	$(BIN)/python -m benchmarks.video_parts
	$(BIN)/python -m benchmarks.video_recipe
	$(BIN)/python -m benchmarks.video_phases
	$(BIN)/python -m benchmarks.video
	$(BIN)/python -m benchmarks.tables

bench-gaussian: $(VENV)/dev.done  ## the guide's configurations, the sound model, collapse thresholds (about three hours)
	$(BIN)/python -m benchmarks.gaussian_guide --data sprites
	$(BIN)/python -m benchmarks.gaussian_guide --data photos
	$(BIN)/python -m benchmarks.gaussian_sound
	$(BIN)/python -m benchmarks.threshold
	$(BIN)/python -m benchmarks.tables

bench-doctor: $(VENV)/dev.done  ## injected faults, healthy twins, baselines (about an hour)
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.doctor.runs
	$(BIN)/python -m benchmarks.doctor.packages
	$(BIN)/python -m benchmarks.doctor.table
	$(BIN)/python -m benchmarks.tables

bench-loops: $(VENV)/dev.done  ## single mistakes in sound loops, each named or missed by the doctor (about half an hour)
	$(BIN)/python -m benchmarks.mutations.run --workers 2 --out mutations.jsonl

bench-lab: $(VENV)/dev.done  ## treatment beside searches, workers, kills, scheduling (about two hours)
	$(BIN)/python -m benchmarks.treatment.runs
	$(BIN)/python -m benchmarks.treatment.table
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.killing
	$(BIN)/python -m benchmarks.scheduling
	$(BIN)/python -m benchmarks.tables

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
