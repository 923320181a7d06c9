# make demo    color the sample photographs with the light half only, and draw a sheet
# make check   lint, types, fast tests (under 90 s)
# make test    everything but the slow tests (under 12 min)
# make slow    the slow tests, and the wheel in an empty environment (under 40 min)
# make docs    write the pages that the program knows best, and build the site: out/site/index.html
# make bench   measure; the README's figures come from here
PYTHON ?= python3
LIGHT := .venv/light
DEV := .venv/dev
FAST := OMP_NUM_THREADS=1 $(DEV)/bin/pytest -n 2
PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo check test slow wheel docs bench clean

demo: $(LIGHT)/ready
	@$(LIGHT)/bin/colorcapsnet colorize samples -o out/demo --force
	@$(LIGHT)/bin/colorcapsnet report sheet samples out/demo -o out/demo.jpg

check: $(DEV)/ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(FAST) -m "not medium and not slow"

test: $(DEV)/ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(FAST) -m "not slow" --durations=10

slow: $(DEV)/ready
	$(DEV)/bin/pytest -m slow --durations=10
	$(MAKE) wheel

wheel: $(DEV)/ready
	rm -rf build dist out/wheel
	$(DEV)/bin/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv out/wheel
	out/wheel/bin/python $(PIP) dist/*.whl
	cp examples/one_picture.py samples/chelsea.png out/wheel/
	cd out/wheel && bin/colorcapsnet colorize chelsea.png -o colored.png --no-provenance
	cd out/wheel && bin/python one_picture.py chelsea.png again.png && cmp colored.png again.png

docs: $(DEV)/ready
	$(DEV)/bin/python docs/generate.py
	$(DEV)/bin/python -m sphinx -q -W --keep-going -b html docs out/site

bench: $(DEV)/ready
	$(DEV)/bin/python -m benchmarks.training_step
	$(DEV)/bin/python -m benchmarks.colorizing
	$(DEV)/bin/python -m benchmarks.folder

clean:
	rm -rf .venv build dist out *.egg-info

$(LIGHT)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python $(PIP) -e .
	@touch $@

$(DEV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) torch
	$(DEV)/bin/python $(PIP) -e '.[dev]'
	@touch $@
