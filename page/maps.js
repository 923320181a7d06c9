/** What is known about a picture, drawn: colorcapsnet/maps.py. */

import { LIGHTNESS, codesOfLab } from "./color.js";
import { countOf } from "./paint.js";
import { blended } from "./scale.js";

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

/** Values in 0..1 of the cells as gray, 1 is white: RGBA. */
export function grayMap(values, [h, w], width, height) {
  const large = blended(values, w, h, width, height);
  const out = new Uint8ClampedArray(4 * large.length).fill(255);
  large.forEach((value, n) => out.fill(Math.round(255 * value), 4 * n, 4 * n + 3));
  return out;
}
