/** Pictures of the browser: files -> gray codes, codes -> bitmaps and files. */

import { gray as grayOf } from "./color.js";
import { fit, within } from "./scale.js";

export const ACCEPTS = ["image/jpeg", "image/png", "image/webp", "image/avif", "image/gif", "image/bmp"];
export const FORMATS = ["png", "jpg"];
export const MOST_PIXELS = 48e6; // a pixel costs about 14 bytes here
export const MOST_BYTES = 200e6;

const STRIP = 2 ** 20; // pixels read at once
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const JPEG_QUALITY = 0.95;
const CRC = crcTable();

/**
 * Decode a file, upright and in sRGB.
 *
 * @param {File} file
 * @returns {Promise<{gray: Uint8Array, alpha: ?Uint8Array, width, height, deep: boolean}>} deep where the file has 16 bits;
 *   codes have 8
 * @throws {Error} it is too large, or no picture that this browser reads
 */
export async function read(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name ?? "the picture"} has ${megas(file.size)} MB: give ${megas(MOST_BYTES)} at most`);
  const options = { imageOrientation: "from-image", colorSpaceConversion: "default", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error(`${file.name ?? "the picture"} is no picture that this browser reads: give a JPEG, PNG, WebP or AVIF`);
  });
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    bitmap.close();
    throw new Error(`${file.name ?? "the picture"} has ${megas(width * height)} megapixels: give ${megas(MOST_PIXELS)} at most`);
  }
  const codes = await codesOf(bitmap);
  bitmap.close();
  return { ...codes, width, height, deep: await isDeep(file) };
}

/** The same picture with its longer side at most `side`; itself if it is no larger. */
export function smaller(picture, side) {
  const { gray, alpha, width, height } = picture;
  const [wide, tall] = within(width, height, side);
  if (wide === width && tall === height) return picture;
  const shrunk = (codes) => codes && fit(codes, width, height, wide, tall);
  return { gray: shrunk(gray), alpha: shrunk(alpha), width: wide, height: tall };
}

/** Gray codes as RGBA. */
export function inGray(gray) {
  const out = new Uint8ClampedArray(4 * gray.length).fill(255);
  gray.forEach((code, n) => out.fill(code, 4 * n, 4 * n + 3));
  return out;
}

/** RGBA with the picture's transparency, in place. */
export function withAlpha(rgba, { alpha }) {
  alpha?.forEach((code, n) => (rgba[4 * n + 3] = code));
  return rgba;
}

/** RGBA as an ImageBitmap. */
export function bitmapOf(rgba, { width, height }) {
  return createImageBitmap(new ImageData(rgba, width, height), { premultiplyAlpha: "none" });
}

/** A bitmap with short texts on it, white on black edges, each in the middle of its place. */
export function labeled(rgba, { width, height }, labels) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.putImageData(new ImageData(rgba, width, height), 0, 0);
  const size = Math.max(8, Math.round(Math.sqrt(width * height) / 24));
  Object.assign(context, { font: `${size}px sans-serif`, textAlign: "center", textBaseline: "middle", lineJoin: "round" });
  Object.assign(context, { lineWidth: Math.max(2, size / 4), strokeStyle: "black", fillStyle: "white" });
  for (const { text, x, y } of labels) {
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
  return canvas.transferToImageBitmap();
}

/**
 * RGBA as a file: a PNG of exactly these codes, or a JPEG.
 *
 * @param {string} xmp what its metadata say
 * @returns {Promise<Blob>}
 */
export function encoded(rgba, picture, format, xmp) {
  if (!FORMATS.includes(format)) throw new Error(`there is no format ${format} here: choose ${FORMATS.join(" or ")}`);
  if (format === "png") return png(rgba, picture, xmp);
  if (picture.alpha) throw new Error("the picture is transparent, and a JPEG cannot be: choose PNG");
  return jpeg(rgba, picture, xmp);
}

const megas = (count) => (count / 1e6).toFixed(1).replace(/\.0$/, "");

/** Gray and alpha of a bitmap, strip by strip; alpha is null where all of it is opaque. */
async function codesOf(bitmap) {
  const { width, height } = bitmap;
  const gray = new Uint8Array(width * height);
  const alpha = new Uint8Array(width * height);
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += rows) {
    const tall = Math.min(rows, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    let { data } = context.getImageData(0, 0, width, tall);
    if (!isOpaque(data)) data = await unmultiplied(bitmap, top, tall, data);
    gray.set(grayOf(data), top * width);
    for (let n = 0; n < width * tall; n++) alpha[top * width + n] = data[4 * n + 3];
  }
  return { gray, alpha: alpha.every((code) => code === 255) ? null : alpha };
}

function isOpaque(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] < 255) return false;
  return true;
}

/** Codes of a transparent strip as the file has them: a 2-D canvas keeps them times alpha, WebGL does not. */
async function unmultiplied(bitmap, top, tall, otherwise) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl");
  if (!gl || Math.max(bitmap.width, tall) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return otherwise;
  const strip = await createImageBitmap(bitmap, 0, top, bitmap.width, tall, { premultiplyAlpha: "none" });
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, strip);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const out = new Uint8Array(4 * bitmap.width * tall);
  gl.readPixels(0, 0, bitmap.width, tall, gl.RGBA, gl.UNSIGNED_BYTE, out);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  strip.close();
  return out;
}

/** Whether it is a PNG of 16 bits a channel. */
async function isDeep(file) {
  const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  return PNG.every((byte, at) => head[at] === byte) && head[24] === 16;
}

async function jpeg(rgba, { width, height }, xmp) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY });
  const text = new TextEncoder().encode(`http://ns.adobe.com/xap/1.0/\0${xmp}`);
  const length = text.length + 2;
  const segment = new Uint8Array([0xff, 0xe1, length >> 8, length & 255, ...text]);
  const head = new DataView(await blob.slice(0, 6).arrayBuffer());
  const first = head.getUint16(2) === 0xffe0 ? 4 + head.getUint16(4) : 2; // JFIF's own segment comes first
  return new Blob([blob.slice(0, first), segment, blob.slice(first)], { type: "image/jpeg" });
}

async function png(rgba, { width, height, alpha }, xmp) {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, alpha ? 6 : 2);
  const packing = new Blob([filtered(rgba, width, height, alpha ? 4 : 3)]).stream();
  const packed = await new Response(packing.pipeThrough(new CompressionStream("deflate"))).arrayBuffer();
  const text = new TextEncoder().encode(`XML:com.adobe.xmp\0\0\0\0\0${xmp}`);
  const chunks = [
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("sRGB", new Uint8Array([0])),
    chunk("iTXt", text),
    chunk("IDAT", new Uint8Array(packed)),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Blob([new Uint8Array(PNG), ...chunks.flat()], { type: "image/png" });
}

/** Rows of a PNG before they are packed: each byte less the mean of those to its left and above (filter 3). */
function filtered(rgba, width, height, channels) {
  const long = width * channels;
  const out = new Uint8Array((long + 1) * height);
  const row = new Uint8Array(long);
  const above = new Uint8Array(long);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++) {
        row[x * channels + channel] = rgba[4 * (y * width + x) + channel];
      }
    }
    const from = y * (long + 1);
    out[from] = 3;
    for (let n = 0; n < long; n++) out[from + 1 + n] = row[n] - (((n < channels ? 0 : row[n - channels]) + above[n]) >> 1);
    above.set(row);
  }
  return out;
}

function chunk(name, data) {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, data.length);
  [...name].forEach((letter, n) => head.setUint8(4 + n, letter.charCodeAt(0)));
  const end = new DataView(new ArrayBuffer(4));
  end.setUint32(0, checksum(new Uint8Array(head.buffer, 4), data));
  return [head, data, end];
}

function checksum(...parts) {
  let sum = 0xffffffff;
  for (const part of parts) for (const byte of part) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

function crcTable() {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
    return byte;
  });
}
