/** Where the network runs: answers engine.js, picture by picture. */

import * as ort from "./ort.wasm.bundle.min.mjs";
import { Canvas, shownTo } from "./canvas.js";
import { capsuleMap, grayMap, labels } from "./maps.js";
import * as pictures from "./picture.js";
import { provenance } from "./provenance.js";

const OUTPUTS = ["coupling", "weight", "mean", "scale", "basis", "mix"];
const MOST_TOLD = 30_000; // letters
const SIZES_KEPT = 4; // smaller copies of a picture's gray

const opened = new Map();
let last = 0;

const card = once(async () => (await fetched("card.json")).json());
const network = once(loaded);
let came = 0; // share of the network
let tell = () => {}; // who wants to know of it

const answers = {
  async about() {
    network().catch(() => {}); // begun while a person looks for a picture; its error is told when one is opened
    const { name, license, limits } = await card();
    const { ACCEPTS: accepts, FORMATS: formats, MOST_BYTES: maxBytes, MOST_PIXELS: maxPixels } = pictures;
    return { name: "colorcapsnet", model: name, accepts, formats, maxBytes, maxPixels, offline: true, license, limits };
  },

  async open(progress, file) {
    progress("Reading the photograph", 0);
    const picture = await pictures.read(file);
    tell = () => progress("Loading the network", 0.1 + 0.7 * came);
    tell();
    const { session, measured, size } = await network();
    progress("Looking at the photograph", 0.8);
    const shown = shownTo(picture.gray, picture.width, picture.height, size);
    const canvas = new Canvas(await known(session, shown), shown, picture, measured);
    opened.set(++last, { canvas, sizes: new Map() });
    progress("Looking at the photograph", 1);
    const { width, height, deep } = picture;
    const told = { id: last, name: file.name ?? "photograph", width, height, depth: 8, capsules: canvas.capsules };
    return deep ? { ...told, note: "8 of its 16 bits are shown and saved here; colorcapsnet colorize keeps all." } : told;
  },

  gray: (_, id, side) => shown(id, side, ({ gray }) => pictures.inGray(gray)),

  preview: (_, id, decisions, side) => shown(id, side, (picture, canvas) => canvas.render(canvas.ab(decisions), picture)),

  capsuleMap(_, id, side) {
    const { known } = of(id).canvas;
    const picture = sized(id, side);
    return pictures.labeled(capsuleMap(known, picture), picture, labels(known, picture.width, picture.height));
  },

  confidence: (_, id, side) =>
    shown(id, side, ({ width, height }, canvas) => grayMap(canvas.confidence(), canvas.known.shape, width, height)),

  capsuleAt: (_, id, x, y) => of(id).canvas.capsuleAt(x, y),

  suggest: (_, id, n, decisions) => of(id).canvas.suggest(n, decisions),

  async download(_, id, decisions, format) {
    const { canvas } = of(id);
    const { name, sha256 } = await card();
    const rgba = pictures.withAlpha(canvas.render(canvas.ab(decisions)), canvas.picture);
    const xmp = provenance({ tool: "colorcapsnet page", model: name, modelHash: sha256, ...toldOf(decisions) });
    return pictures.encoded(rgba, canvas.picture, format, xmp);
  },

  close: (_, id) => void opened.delete(id),
};

self.onmessage = async ({ data: { number, method, args } }) => {
  const progress = (...told) => self.postMessage({ number, progress: told });
  try {
    const answer = await answers[method](progress, ...args);
    self.postMessage({ number, answer }, answer instanceof ImageBitmap ? [answer] : []);
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};

/** For metadata: strength, and all that was decided, unless it is longer than a JPEG's metadata may be. */
function toldOf(decisions) {
  const hints = JSON.stringify(decisions);
  return { strength: String(decisions.strength ?? 1), ...(hints.length < MOST_TOLD ? { hints } : {}) };
}

function of(id) {
  const found = opened.get(id);
  if (!found) throw new Error("this picture was closed: open it again");
  return found;
}

/** The picture with its longer side at most `side`. */
function sized(id, side) {
  const { canvas, sizes } = of(id);
  if (!sizes.has(side)) {
    if (sizes.size === SIZES_KEPT) sizes.delete(sizes.keys().next().value);
    sizes.set(side, pictures.smaller(canvas.picture, side));
  }
  return sizes.get(side);
}

/** A bitmap of what `draw` gives for the picture at a size. */
function shown(id, side, draw) {
  const picture = sized(id, side);
  return pictures.bitmapOf(pictures.withAlpha(draw(picture, of(id).canvas), picture), picture);
}

/** What `load` gives, asked once, and again only if that failed. */
function once(load) {
  let loading;
  return (...args) => {
    loading ??= load(...args).catch((error) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
}

async function loaded() {
  ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const { paint: measured, size, bytes } = await card();
  const model = await whole(await fetched("network.onnx"), bytes);
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return { session, measured, size };
}

async function fetched(name) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Error(`${name} of this page did not come: look after the connection and try again`);
  return response;
}

async function whole(response, bytes) {
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return out;
    out.set(value, at);
    at += value.length;
    came = at / bytes;
    tell();
  }
}

/** What the network knows of what it is shown. */
async function known(session, { codes, width, height }) {
  const gray = Float32Array.from(codes, (code) => code / 255);
  const given = await session.run({ gray: new ort.Tensor("float32", gray, [1, height, width]) });
  const arrays = Object.fromEntries(OUTPUTS.map((name) => [name, given[name].data]));
  return { ...arrays, shape: given.coupling.dims.slice(2), given: new Set() };
}
