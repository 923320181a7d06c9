/**
 * The page's engine over HTTP: pictures are colored by the server that this page came from.
 *
 * Bitmaps are ImageBitmaps of at most `side` pixels on the longer side; x, y are pixels of the upright picture;
 * `decisions` is the JSON of a hint file. Every function answers later, or throws an Error of one clear sentence.
 */

const API = new URL("api/", document.baseURI);
const SILENT = "The server does not answer: see that it still runs, then try again.";

/** {name, model, accepts, maxBytes, maxPixels, formats, offline}: what can be opened and saved. */
export async function about() {
  return (await ask("about")).json();
}

/**
 * Send a picture to the server.
 *
 * @param {Blob} file
 * @param {{progress: (text: string, share: number) => void}} options told how far it is, share 0..1
 */
export async function open(file, { progress = () => {} } = {}) {
  let { id, ...told } = await upload(file, progress);

  /** The server forgets pictures that nobody asked for in a while: it is given this one again. */
  async function of(path, init) {
    const answer = await sent(`pictures/${id}/${path}`, init);
    if (answer.status !== 404) return checked(answer);
    ({ id } = await upload(file, () => {}));
    return ask(`pictures/${id}/${path}`, init);
  }
  const bitmap = async (path, init) => createImageBitmap(await (await of(path, init)).blob());
  return {
    ...told,
    gray: (side) => bitmap(`gray?side=${side}`),
    preview: (decisions, side) => bitmap(`preview?side=${side}`, json(decisions)),
    capsuleMap: (side) => bitmap(`capsules?side=${side}`),
    capsuleAt: async (x, y) => (await of(`capsule?x=${x}&y=${y}`)).json(),
    confidence: (side) => bitmap(`confidence?side=${side}`),
    suggest: async (n, decisions) => (await (await of(`suggest?n=${n}`, json(decisions))).json()).points,
    download: async (decisions, format) => (await of(`color?format=${format}`, json(decisions))).blob(),
    close: () => sent(`pictures/${id}`, { method: "DELETE", keepalive: true }).catch(() => {}),
  };
}

function json(decisions) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(decisions) };
}

async function ask(path, init) {
  return checked(await sent(path, init));
}

async function sent(path, init) {
  try {
    return await fetch(new URL(path, API), init);
  } catch {
    throw new Error(SILENT);
  }
}

async function checked(answer) {
  if (answer.ok) return answer;
  throw new Error(sentence(await answer.text(), answer.status));
}

function sentence(text, status) {
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string") return detail;
  } catch {
    // a proxy between here and the server answers in its own words
  }
  return `The server cannot do this now (${status}): try again in a minute.`;
}

/** Not by fetch, which does not tell how much was sent. */
function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const at = new URL("pictures", API);
    at.searchParams.set("name", file.name ?? "");
    request.open("POST", at);
    request.setRequestHeader("Content-Type", file.type.startsWith("image/") ? file.type : "application/octet-stream");
    request.upload.onprogress = (event) => progress("Sending the photograph", event.loaded / event.total || 0);
    request.upload.onload = () => progress("Looking at the photograph", 1);
    request.onerror = () => reject(new Error(SILENT));
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(new Error(sentence(request.responseText, request.status)));
    };
    request.send(file);
  });
}
