/** What is known about a picture, drawn: colorcapsnet/maps.py. */

import { LIGHTNESS, codesOfLab } from "./color.js";
import { countOf } from "./paint.js";
import { blended } from "./scale.js";

const LEAST = 0.004; // share of a picture that a part needs to have its number drawn

/** One hue a capsule, blended by coupling, on the picture's lightness: RGBA. */
export function capsuleMap(known, { gray, width, height }) {
  const { cells, entities } = countOf(known);
  const [h, w] = known.shape;
  const planes = [Math.cos, Math.sin].map((along) => {
    const plane = new Float32Array(cells);
    for (let entity = 0; entity < entities; entity++) {
      const part = (entity % 2 ? 40 : 70) * along((2 * Math.PI * entity) / entities);
      for (let cell = 0; cell < cells; cell++) plane[cell] += part * known.coupling[entity * cells + cell];
    }
    return blended(plane, w, h, width, height);
  });
  const out = new Uint8ClampedArray(4 * gray.length).fill(255);
  gray.forEach((code, n) => {
    out.set(codesOfLab(30 + 0.55 * LIGHTNESS[code], planes[0][n], planes[1][n]), 4 * n);
  });
  return out;
}

/** Where to write the number of each capsule, in the innermost cell of every large part in which it holds most. */
export function labels(known, width, height) {
  const [h, w] = known.shape;
  return parts(known).map(({ entity, cell }) => {
    const middle = (at, cells, pixels) => Math.floor(((2 * at + 1) * pixels) / (2 * cells));
    return { text: String(entity), x: middle(cell % w, w, width), y: middle(Math.floor(cell / w), h, height) };
  });
}

/** Values in 0..1 of the cells as gray, 1 is white: RGBA. */
export function grayMap(values, [h, w], width, height) {
  const large = blended(values, w, h, width, height);
  const out = new Uint8ClampedArray(4 * large.length).fill(255);
  large.forEach((value, n) => out.fill(Math.round(255 * value), 4 * n, 4 * n + 3));
  return out;
}

function parts(known) {
  const { cells, entities } = countOf(known);
  const largest = Uint16Array.from({ length: cells }, (_, cell) => {
    let best = 0;
    for (let k = 1; k < entities; k++) if (known.coupling[k * cells + cell] > known.coupling[best * cells + cell]) best = k;
    return best;
  });
  const seen = new Uint8Array(cells);
  const found = [];
  for (let cell = 0; cell < cells; cell++) {
    if (seen[cell]) continue;
    const part = connected(largest, known.shape, cell, seen);
    if (part.length >= Math.max(1, LEAST * cells)) found.push({ entity: largest[cell], cell: innermost(part, known.shape) });
  }
  return found;
}

/** The cells of one entity around a cell, side by side; all of them are marked as seen. */
function connected(largest, [h, w], start, seen) {
  const part = [start];
  seen[start] = 1;
  for (const cell of part) {
    const column = cell % w;
    for (const next of [cell - w, cell + w, column > 0 ? cell - 1 : -1, column < w - 1 ? cell + 1 : -1]) {
      if (next >= 0 && next < h * w && !seen[next] && largest[next] === largest[start]) {
        seen[next] = 1;
        part.push(next);
      }
    }
  }
  return part;
}

/** The cell farthest from all outside the part; of several, the one nearest to their middle. */
function innermost(part, [h, w]) {
  const inside = new Set(part);
  const holds = (row, column) => row >= 0 && row < h && column >= 0 && column < w && inside.has(row * w + column);
  const places = part.map((cell) => [Math.floor(cell / w), cell % w]);
  const sides = ([row, column]) => [[row - 1, column], [row + 1, column], [row, column - 1], [row, column + 1]];
  const rim = places.flatMap(sides).filter(([row, column]) => !holds(row, column));
  const square = (one, other) => (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2;
  const depths = places.map((place) => rim.reduce((least, outside) => Math.min(least, square(place, outside)), Infinity));
  const most = depths.reduce((one, other) => Math.max(one, other));
  const deepest = places.filter((_, n) => depths[n] === most);
  const middle = [0, 1].map((axis) => deepest.reduce((sum, place) => sum + place[axis], 0) / deepest.length);
  const [row, column] = deepest.reduce((best, place) => (square(place, middle) < square(best, middle) ? place : best));
  return row * w + column;
}
