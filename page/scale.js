/** Change the size of pictures: colorcapsnet/scale.py. Pixels lie row by row, channels of a pixel side by side. */

import { LIGHTNESS, even, mergeInto } from "./color.js";

const GRID = 32; // the sides of what a network looks at are multiples of this
const LARGEST_ENLARGEMENT = 1.25;
const LONGEST = 8; // working sizes: the longest side of a panorama
const FLAT = 32; // variance of L below which L tells little
const BELIEF = 0.7; // of the chroma that goes with L inside a cell

/** What a network of this working size is shown of a picture: [height, width]. */
export function workingShape(height, width, size) {
  const factor = Math.min(size / Math.sqrt(height * width), LARGEST_ENLARGEMENT);
  return [height, width].map((side) => Math.min(Math.max(even((side * factor) / GRID), 1) * GRID, LONGEST * size));
}

/** [width, height] of a picture whose longer side is at most `side`. */
export function within(width, height, side) {
  const factor = Math.min(1, side / Math.max(width, height));
  return [width, height].map((each) => Math.max(1, even(each * factor)));
}

/**
 * Gray codes or numbers at another size: sides that shrink by area averaging, those that grow by bicubic
 * interpolation. Codes come back as codes.
 *
 * @returns {Uint8Array|Float32Array} of the same kind as `pixels`
 */
export function fit(pixels, width, height, toWidth, toHeight) {
  const codes = pixels instanceof Uint8Array;
  const wide = Math.min(width, toWidth);
  const tall = Math.min(height, toHeight);
  let out = averaged(pixels, width, height, wide, tall);
  if (codes) out = out.map(width === 2 * wide && height === 2 * tall ? Math.round : even); // as OpenCV rounds
  if (wide !== toWidth || tall !== toHeight) out = resampled(out, wide, tall, toWidth, toHeight, bicubic);
  return codes ? Uint8Array.from(out, (value) => Math.min(Math.max(even(value), 0), 255)) : out;
}

/** Numbers at a larger size, straight between the middles of cells. */
export function blended(cells, width, height, toWidth, toHeight) {
  return resampled(cells, width, height, toWidth, toHeight, linear);
}

/**
 * A gray picture in the colors of its cells: bicubic, plus what goes with L inside a cell (the guided filter of He,
 * Sun and Tang 2010: edges of chroma come to lie on edges of L), at its own lightness.
 *
 * @param {Float32Array} ab of h×w cells, a and b side by side
 * @param {Float32Array} lightness of the cells
 * @param {Uint8Array} gray codes of the picture
 * @returns {Uint8ClampedArray} RGBA, opaque
 */
export function colored(ab, lightness, [h, w], gray, width, height) {
  const lines = acrossLines(ab, lightness, h, w, width);
  const out = new Uint8ClampedArray(4 * width * height).fill(255);
  const line = new Float32Array(4 * width);
  for (let y = 0, at = 0; y < height; y++) {
    const { taps, weights } = cubic(y, height, h);
    line.fill(0);
    for (let tap = 0; tap < 4; tap++) {
      const from = taps[tap] * 4 * width;
      for (let n = 0; n < line.length; n++) line[n] += weights[tap] * lines[from + n];
    }
    for (let x = 0; x < width; x++, at++) {
      const code = gray[at];
      const bright = LIGHTNESS[code];
      mergeInto(out, 4 * at, code, line[4 * x] + line[4 * x + 2] * bright, line[4 * x + 1] + line[4 * x + 3] * bright);
    }
  }
  return out;
}

/** The straight lines from L to a and b (two offsets, two slopes) of each row of cells, at every column of pixels. */
function acrossLines(ab, lightness, h, w, width) {
  const slope = slopes(ab, lightness, h, w);
  const out = new Float32Array(4 * width * h);
  for (let x = 0; x < width; x++) {
    const { taps, weights } = cubic(x, width, w);
    for (let row = 0; row < h; row++) {
      const at = 4 * (row * width + x);
      for (let tap = 0; tap < 4; tap++) {
        const cell = row * w + taps[tap];
        for (let axis = 0; axis < 2; axis++) {
          const steep = BELIEF * slope[2 * cell + axis];
          out[at + axis] += weights[tap] * (ab[2 * cell + axis] - steep * lightness[cell]);
          out[at + 2 + axis] += weights[tap] * steep;
        }
      }
    }
  }
  return out;
}

/** Of the straight line from L to ab around each cell, smoothed. */
function slopes(ab, lightness, h, w) {
  const around = (values) => boxed(values, h, w);
  const bright = Float32Array.from(lightness);
  const mean = around(bright);
  const square = around(bright.map((each) => each * each));
  const out = new Float32Array(2 * h * w);
  for (let axis = 0; axis < 2; axis++) {
    const values = bright.map((_, cell) => ab[2 * cell + axis]);
    const meanValue = around(values);
    const product = around(values.map((value, cell) => value * bright[cell]));
    const steep = mean.map((each, cell) => {
      const variance = Math.max(square[cell] - each * each, 0);
      return (product[cell] - each * meanValue[cell]) / (variance + FLAT);
    });
    around(steep).forEach((value, cell) => (out[2 * cell + axis] = value));
  }
  return out;
}

/** Mean over a cell and its eight neighbors; beyond the border the last cell goes on. */
function boxed(cells, h, w) {
  const out = new Float32Array(h * w);
  for (let row = 0; row < h; row++) {
    for (let column = 0; column < w; column++) {
      let sum = 0;
      for (let y = row - 1; y <= row + 1; y++) {
        const from = Math.min(Math.max(y, 0), h - 1) * w;
        for (let x = column - 1; x <= column + 1; x++) sum += cells[from + Math.min(Math.max(x, 0), w - 1)];
      }
      out[row * w + column] = sum / 9;
    }
  }
  return out;
}

/** Which cells a pixel is made of and how much of each: Keys 1981, exact for parabolas. */
function cubic(pixel, length, cells) {
  const place = (pixel + 0.5) * (cells / length) - 0.5;
  const before = Math.floor(place);
  const t = place - before;
  const [t2, t3] = [t * t, t * t * t];
  const weights = [-t3 + 2 * t2 - t, 3 * t3 - 5 * t2 + 2, -3 * t3 + 4 * t2 + t, t3 - t2].map((each) => each / 2);
  return { taps: clippedTaps(before - 1, 4, cells), weights };
}

/** As OpenCV enlarges pictures: Keys' cubic with a = -0.75. */
function bicubic(pixel, length, cells) {
  const place = (pixel + 0.5) * (cells / length) - 0.5;
  const before = Math.floor(place);
  const t = place - before;
  const outer = (d) => -0.75 * (d * d * d - 5 * d * d + 8 * d - 4);
  const inner = (d) => 1.25 * d * d * d - 2.25 * d * d + 1;
  return { taps: clippedTaps(before - 1, 4, cells), weights: [outer(t + 1), inner(t), inner(1 - t), outer(2 - t)] };
}

function linear(pixel, length, cells) {
  const place = (pixel + 0.5) * (cells / length) - 0.5;
  const before = Math.floor(place);
  return { taps: clippedTaps(before, 2, cells), weights: [1 - (place - before), place - before] };
}

function clippedTaps(first, count, cells) {
  return Array.from({ length: count }, (_, n) => Math.min(Math.max(first + n, 0), cells - 1));
}

function resampled(pixels, width, height, toWidth, toHeight, kernel) {
  const across = new Float32Array(toWidth * height);
  for (let x = 0; x < toWidth; x++) {
    const { taps, weights } = kernel(x, toWidth, width);
    for (let y = 0; y < height; y++) {
      across[y * toWidth + x] = taps.reduce((sum, tap, n) => sum + weights[n] * pixels[y * width + tap], 0);
    }
  }
  const out = new Float32Array(toWidth * toHeight);
  for (let y = 0; y < toHeight; y++) {
    const { taps, weights } = kernel(y, toHeight, height);
    for (let x = 0; x < toWidth; x++) {
      out[y * toWidth + x] = taps.reduce((sum, tap, n) => sum + weights[n] * across[tap * toWidth + x], 0);
    }
  }
  return out;
}

/** Each pixel of the smaller picture is the mean of what it covers. */
function averaged(pixels, width, height, toWidth, toHeight) {
  if (width === toWidth && height === toHeight) return Float32Array.from(pixels);
  const columns = spans(width, toWidth);
  const out = new Float32Array(toWidth * toHeight);
  const row = new Float64Array(width);
  spans(height, toHeight).forEach(({ first, shares }, y) => {
    row.fill(0);
    shares.forEach((share, n) => {
      const from = (first + n) * width;
      for (let x = 0; x < width; x++) row[x] += share * pixels[from + x];
    });
    columns.forEach((column, x) => {
      let sum = 0;
      for (let n = 0; n < column.shares.length; n++) sum += column.shares[n] * row[column.first + n];
      out[y * toWidth + x] = sum;
    });
  });
  return out;
}

/** For each of `to` equal parts of a line of `length` pixels: the first pixel in it, and the shares of all in it. */
function spans(length, to) {
  return Array.from({ length: to }, (_, part) => {
    const [start, stop] = [(part * length) / to, ((part + 1) * length) / to];
    const first = Math.floor(start);
    const last = Math.min(Math.ceil(stop), length);
    const shares = [];
    for (let pixel = first; pixel < last; pixel++) {
      shares.push((Math.min(stop, pixel + 1) - Math.max(start, pixel)) * (to / length));
    }
    return { first, shares };
  });
}
