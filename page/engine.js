/**
 * The page's engine without a server: the network runs in a worker of this browser, and no picture leaves it.
 *
 * Bitmaps are ImageBitmaps of at most `side` pixels on the longer side, places are pixels of the upright picture,
 * decisions are a hint file's JSON. Every function answers later, or throws an Error of one sentence.
 */

let worker;
let asked = 0;
const waiting = new Map();

if ("serviceWorker" in navigator) navigator.serviceWorker.register(new URL("./service-worker.js", import.meta.url));

/** {name, model, accepts, maxBytes, maxPixels, formats, offline, license, limits} */
export function about() {
  return ask("about", []);
}

/**
 * Let the network see a picture.
 *
 * @param {File} file
 * @param {{progress: (text: string, share: number) => void}} options told how far it is, share 0..1
 */
export async function open(file, { progress = () => {} } = {}) {
  const { id, ...told } = await ask("open", [file], progress);
  const of =
    (method) =>
    (...args) =>
      ask(method, [id, ...args]);
  const methods = ["gray", "preview", "capsuleMap", "capsuleAt", "confidence", "suggest", "download", "close"];
  return { ...told, ...Object.fromEntries(methods.map((method) => [method, of(method)])) };
}

function ask(method, args, progress) {
  worker ??= started();
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject, progress });
    worker.postMessage({ number: asked, method, args });
  });
}

function started() {
  const found = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  found.onmessage = ({ data: { number, answer, error, progress } }) => {
    const call = waiting.get(number);
    if (progress) return call.progress?.(...progress);
    waiting.delete(number);
    if (error) call.reject(new Error(error));
    else call.resolve(answer);
  };
  found.onerror = () => {
    for (const { reject } of waiting.values()) reject(new Error("this browser is too old for the page: update it"));
    waiting.clear();
    worker = undefined;
  };
  return found;
}
