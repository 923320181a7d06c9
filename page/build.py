"""Build the page that needs no server: ``out/page/``, files that any web host can give out.

The interface is that of ``colorcapsnet serve``; in place of its HTTP engine come the modules of this folder, ONNX
Runtime for browsers (from npm, by the version in ``package-lock.json``) and the network. Command: ``make page``, or
``python page/build.py [FOLDER]``; needs npm, and nothing of Python beyond itself.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "colorcapsnet"
INTERFACE = PACKAGE / "serve" / "page"
RUNTIME = HERE / "node_modules" / "onnxruntime-web" / "dist"
FROM_RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
MODEL = "deep"
BUDGET = 25_000_000  # bytes over the wire
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; worker-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = f"""/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
  Content-Security-Policy: {POLICY}
  X-Content-Type-Options: nosniff
"""


def build(folder: Path) -> None:
    """Write the page's files into an empty or an earlier build's folder, and say what they weigh."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "service-worker.js").exists():
        sys.exit(f"{folder} holds other files: name an empty folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _fetch_runtime()
    for path in [*INTERFACE.iterdir(), *HERE.glob("*.js"), *(RUNTIME / name for name in FROM_RUNTIME)]:
        if path.is_file() and path != INTERFACE / "engine.js":
            shutil.copy(path, folder / path.name)
    _write_model(folder)
    _enforce_policy(folder / "index.html")
    (folder / "_headers").write_text(HEADERS, encoding="utf-8")
    (folder / "licenses.txt").write_text(_licenses(), encoding="utf-8")
    _write_service_worker(folder)
    _weigh(folder)


def _fetch_runtime() -> None:
    if all((RUNTIME / name).exists() for name in FROM_RUNTIME):
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not installed, and the page needs onnxruntime-web from it: install Node.js")
    if subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=False).returncode:
        sys.exit("npm could not fetch onnxruntime-web: what it said stands above")


def _write_model(folder: Path) -> None:
    network = (PACKAGE / "models" / f"{MODEL}.onnx").read_bytes()
    card = json.loads((PACKAGE / "models" / f"{MODEL}.json").read_text(encoding="utf-8"))
    told = {name: card[name] for name in ("name", "size", "sha256", "license", "limits", "paint")}
    (folder / "network.onnx").write_bytes(network)
    (folder / "card.json").write_text(json.dumps(told | {"bytes": len(network)}), encoding="utf-8")


def _enforce_policy(page: Path) -> None:
    """Let the browser itself hold the page to its word, on hosts that take no headers too."""
    html = page.read_text(encoding="utf-8")
    head, found, rest = html.partition("<head>")
    if not found:
        sys.exit(f"{page} has no <head> to put the policy into")
    meta = f'\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    page.write_text(head + found + meta + rest, encoding="utf-8")


def _write_service_worker(folder: Path) -> None:
    files = sorted(path.name for path in folder.iterdir() if path.name not in ("_headers", "service-worker.js"))
    version = hashlib.sha256(b"".join((folder / name).read_bytes() for name in files)).hexdigest()[:16]
    path = folder / "service-worker.js"
    text = path.read_text(encoding="utf-8")
    text = text.replace('VERSION = ""', f'VERSION = "colorcapsnet-{version}"')
    path.write_text(text.replace("FILES = []", f"FILES = {json.dumps(['./', *files])}"), encoding="utf-8")


def _licenses() -> str:
    runtime = json.loads((RUNTIME.parent / "package.json").read_text(encoding="utf-8"))
    ours = (HERE.parent / "LICENSE").read_text(encoding="utf-8")
    theirs = (HERE / "onnxruntime-license.txt").read_text(encoding="utf-8")
    weights = json.loads((PACKAGE / "models" / f"{MODEL}.json").read_text(encoding="utf-8"))["license"]
    return (
        f"network.onnx: {weights}\n\n"
        f"{' and '.join(FROM_RUNTIME)}: onnxruntime-web {runtime['version']}, {runtime['license']} license\n"
        f"(https://github.com/microsoft/onnxruntime, with its ThirdPartyNotices.txt there)\n\n{theirs}\n"
        f"All other files: colorcapsnet, Apache-2.0 license\n\n{ours}"
    )


def _weigh(folder: Path) -> None:
    total = 0
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 6)) for path in folder.iterdir()}
    for name, size in sorted(sizes.items(), key=lambda each: -each[1]):
        total += size
        print(f"{size / 1000:10,.1f} kB  {name}")
    print(f"{total / 1000:10,.1f} kB over the wire, compressed by gzip: {folder}")
    if total > BUDGET:
        sys.exit(f"the page weighs {total:,} bytes: {BUDGET:,} at most")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "out" / "page")
