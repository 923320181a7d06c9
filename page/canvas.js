/** A picture that the network has seen: every answer from here on is arithmetic. The Canvas of colorcapsnet. */

import { LIGHTNESS } from "./color.js";
import { checked } from "./hints.js";
import * as paint from "./paint.js";
import { colored, fit, workingShape } from "./scale.js";

/** What a network is shown of a gray picture: codes, and their size. */
export function shownTo(gray, width, height, size) {
  const [tall, wide] = workingShape(height, width, size);
  return { codes: fit(gray, width, height, wide, tall), width: wide, height: tall };
}

export class Canvas {
  /**
   * @param known what the network knows (paint.js)
   * @param shown what it was shown: codes, width, height
   * @param picture {gray: Uint8Array, width, height}
   * @param measured the card's `paint`: anneal, bold, gain, curve, kernel
   */
  constructor(known, shown, picture, measured) {
    const [h, w] = known.shape;
    const lightness = Float32Array.from(shown.codes, (code) => LIGHTNESS[code]);
    this.known = known;
    this.lightness = fit(lightness, shown.width, shown.height, w, h);
    this.picture = picture;
    this.measured = measured;
    this.kernel = { ...paint.KERNEL, ...measured.kernel };
    this.asked = new Map(); // of candidates: the last answer, for many thumbnails
  }

  get capsules() {
    return paint.countOf(this.known).entities;
  }

  /** Colors of the cells by a hint file's JSON: candidate, recolors, strength, do-no-harm, points, in this order. */
  ab(decisions) {
    const hints = this.checked(decisions);
    const known = this.decided(hints);
    let ab = paint.color(known, hints.strength, this.measured);
    if (hints.harmless) ab = paint.fade(known, ab, this.confidence(known), hints.harmless);
    if (!hints.points.length) return ab;
    const wanted = hints.points.map((point) => point.ab);
    return paint.hint(known, ab, this.lightness, this.cells(hints.points), wanted, this.kernel);
  }

  /** A smaller or the whole gray picture in these colors, as RGBA. */
  render(ab, { gray, width, height } = this.picture) {
    return colored(ab, this.lightness, this.known.shape, gray, width, height);
  }

  /** The probability that a cell's likely color is within 15 of the true ab, by the card's curve. */
  confidence(known = this.known) {
    return paint.confidence(known, paint.color(known, 1, this.measured), this.measured.curve);
  }

  /** Where a point would help most: [x, y] of pixels, the best first. */
  suggest(n, decisions) {
    const hints = this.checked(decisions);
    const pointed = this.cells(hints.points);
    const cells = paint.suggest(this.decided(hints), this.lightness, n, pointed, this.kernel);
    const places = cells.map((cell) => this.middle(cell));
    return places.filter(([x, y], at) => places.findIndex(([left, top]) => left === x && top === y) === at);
  }

  /** The capsule that holds most of a pixel: {number, share}. */
  capsuleAt(x, y) {
    const { cells, entities } = paint.countOf(this.known);
    const cell = this.cell(x, y);
    let best = { number: 0, share: -1 };
    for (let number = 0; number < entities; number++) {
      const share = this.known.coupling[number * cells + cell];
      if (share > best.share) best = { number, share };
    }
    return best;
  }

  checked(decisions) {
    return checked(decisions, this.picture, this.capsules);
  }

  decided({ candidate, recolor }) {
    let known = candidate ? this.candidates(candidate.of, candidate.seed)[candidate.number] : this.known;
    for (const each of recolor) {
      if ("capsule" in each) known = paint.recolor(known, each.capsule, each.ab);
      else known = paint.recolorRegion(known, paint.region(known, this.cell(each.x, each.y)), each.ab);
    }
    return known;
  }

  candidates(of, seed) {
    const key = `${of} of ${seed}`;
    if (!this.asked.has(key)) {
      this.asked.clear();
      this.asked.set(key, paint.candidates(this.known, of, seed));
    }
    return this.asked.get(key);
  }

  cells(points) {
    return points.map(({ x, y }) => this.cell(x, y));
  }

  /** The cell that holds a pixel. */
  cell(x, y) {
    const { width, height } = this.picture;
    if (!(x >= 0 && x < width && y >= 0 && y < height)) {
      throw new Error(`the pixel ${x}, ${y} is outside the picture of ${width}×${height}`);
    }
    const [h, w] = this.known.shape;
    return Math.floor((Math.floor(y) * h) / height) * w + Math.floor((Math.floor(x) * w) / width);
  }

  middle(cell) {
    const [h, w] = this.known.shape;
    const { width, height } = this.picture;
    const inside = (at, pixels, cells) => {
      const first = Math.ceil((at * pixels) / cells);
      return Math.min(Math.max(first, Math.floor(((2 * at + 1) * pixels) / (2 * cells))), pixels - 1);
    };
    return [inside(cell % w, width, w), inside(Math.floor(cell / w), height, h)];
  }
}
