# make demo    color the sample photographs with the light half only, and draw a sheet
# make check   lint, types, fast tests (under 90 s)
# make test    everything but the slow tests (under 12 min)
# make slow    the slow tests, and the wheel in an empty environment (under 40 min)
# make docs    write the pages that the program knows best, and build the site: out/site/index.html
# make release-check   wheel and sdist in empty environments of the oldest and newest Python; licenses
# make page    the page that needs no server, in out/page; needs npm, no PyTorch
# make bench   measure; the README's figures come from here
PYTHON ?= python3
# the oldest and the newest Python that are to be had
THERE = $(shell for minor in 11 12 13 14; do if python3.$$minor -V >/dev/null 2>&1; then echo python3.$$minor; fi; done)
RELEASED_FOR ?= $(sort $(firstword $(THERE)) $(lastword $(THERE)))
LIGHT := .venv/light
DEV := .venv/dev
FAST := OMP_NUM_THREADS=1 $(DEV)/bin/pytest -n 2
PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo check test slow wheel installed docs page release-check bench clean

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
	rm -rf build dist
	$(DEV)/bin/python -m build --wheel --outdir dist .
	$(MAKE) installed PACKAGE=dist/*.whl

installed:
	rm -rf out/installed
	$(PYTHON) -m venv out/installed
	out/installed/bin/python $(PIP) $(PACKAGE)
	cp examples/one_picture.py samples/chelsea.png out/installed/
	cd out/installed && bin/colorcapsnet doctor
	cd out/installed && bin/colorcapsnet colorize chelsea.png -o colored.png --no-provenance
	cd out/installed && bin/python one_picture.py chelsea.png again.png && cmp colored.png again.png

release-check: $(DEV)/ready
	rm -rf build dist
	$(DEV)/bin/python -m build --outdir dist .
	$(DEV)/bin/python docs/licenses.py --check
	test -n "$(RELEASED_FOR)"
	for python in $(RELEASED_FOR); do for package in dist/*.whl dist/*.tar.gz; do \
	  $(MAKE) installed PYTHON=$$python PACKAGE=$$package || exit 1; done; done

docs: $(DEV)/ready
	$(DEV)/bin/python docs/generate.py
	$(DEV)/bin/python -m sphinx -q -W --keep-going -b html docs out/site

page:
	$(PYTHON) page/build.py

bench: $(DEV)/ready
	$(DEV)/bin/python -m benchmarks.training_step
	$(DEV)/bin/python -m benchmarks.colorizing
	$(DEV)/bin/python -m benchmarks.folder
	$(DEV)/bin/python -m benchmarks.serve

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
