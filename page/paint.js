/**
 * What a network of entities knows about one picture -> ab: colorcapsnet/paint.py, where everything is explained.
 *
 * A known is {shape: [h, w], coupling (K·cells), weight (K·M), mean (K·M·2), scale (K·M), basis (R·cells),
 * mix (K·2·R), given: Set of entities whose color a person gave}, flat and row by row. ab is a cell's a and b side by
 * side, in Lab's units; a cell is row · w + column.
 */

import { even } from "./color.js";
import { generator } from "./random.js";

export const DRAWS = 128; // whole pictures from which candidates are made
export const THINNED = 1024; // cells that stand for the picture where all are compared with all
export const KERNEL = {
  everywhere: 0.2,
  wide: 0.5,
  wide_reach: 0.4,
  near: 0.3,
  near_reach: 0.12,
  lightness: 0.03,
  noise: 0.05,
  softness: 1,
  near_agreement: 0,
};

const UNIT = 50; // ab that the network calls 1
const ANNEAL = 1 / 0.38;
const CERTAIN = 0.02; // deviation of a color that was given: 1 in ab
const STEPS = 64; // of the table behind confidence
const AGREEMENT = 0.7; // of cells of one region
const RADIUS = 15; // in ab: what confidence calls right

export const countOf = ({ shape, coupling, weight, basis }) => {
  const cells = shape[0] * shape[1];
  const entities = coupling.length / cells;
  return { cells, entities, modes: weight.length / entities, features: basis.length / cells };
};

/** The picture's colors: strength 0 is gray, 1 the mean of what is likely, 2 vivid; straight between. */
export function color(known, strength, { anneal = ANNEAL, bold = 0, gain = 1 } = {}) {
  const every = [...Array(countOf(known).entities).keys()];
  const free = every.filter((entity) => !known.given.has(entity));
  const mean = painted(known, known.weight, free);
  let ab;
  if (strength <= 1) {
    ab = mean.map((part) => part * strength);
  } else {
    const vivid = painted(known, annealed(known, anneal, bold), free).map((part) => part * gain);
    const more = levelShare(vivid, mean);
    ab = mean.map((part, n) => part + (strength - 1) * (vivid[n] + part * more - part));
  }
  if (!known.given.size) return ab;
  const given = painted(known, known.weight, [...known.given]);
  return ab.map((part, n) => part + given[n]);
}

/** 50 Σ_k coupling_k (Σ_m weight_km mean_km + mix_k · basis) over some entities. */
function painted(known, weight, entities) {
  const { cells, features } = countOf(known);
  const tint = tints(known, weight);
  const out = new Float32Array(2 * cells);
  for (const entity of entities) {
    const own = known.coupling.subarray(entity * cells, (entity + 1) * cells);
    for (let axis = 0; axis < 2; axis++) {
      const color = local(known, entity, axis, cells, features, tint[2 * entity + axis]);
      for (let cell = 0; cell < cells; cell++) out[2 * cell + axis] += UNIT * own[cell] * color[cell];
    }
  }
  return out;
}

/** What an entity adds to one axis at each cell, on top of `start`. */
function local(known, entity, axis, cells, features, start = 0) {
  const out = new Float32Array(cells).fill(start);
  for (let feature = 0; feature < features; feature++) {
    const share = known.mix[(2 * entity + axis) * features + feature];
    const basis = known.basis.subarray(feature * cells, (feature + 1) * cells);
    for (let cell = 0; cell < cells; cell++) out[cell] += share * basis[cell];
  }
  return out;
}

function tints(known, weight) {
  const { entities, modes } = countOf(known);
  const out = new Float32Array(2 * entities);
  for (let at = 0; at < entities * modes; at++) {
    const entity = Math.floor(at / modes);
    for (let axis = 0; axis < 2; axis++) out[2 * entity + axis] += weight[at] * known.mean[2 * at + axis];
  }
  return out;
}

function annealed(known, exponent, bold) {
  const { entities, modes } = countOf(known);
  const out = new Float32Array(entities * modes);
  for (let entity = 0; entity < entities; entity++) {
    const weights = known.weight.subarray(entity * modes, (entity + 1) * modes);
    const most = Math.max(...weights);
    const powers = weights.map((weight, mode) => {
      const at = 2 * (entity * modes + mode);
      return (weight / most) ** exponent * (Math.hypot(known.mean[at], known.mean[at + 1]) + CERTAIN) ** bold;
    });
    const total = powers.reduce((sum, power) => sum + power);
    out.set(powers.map((power) => power / total), entity * modes);
  }
  return out;
}

/** How much of the mean to add to vivid colors so that the mean chroma does not fall on the way to them. */
function levelShare(vivid, mean) {
  let [outward, chroma] = [0, 0];
  for (let at = 0; at < mean.length; at += 2) {
    const own = Math.hypot(mean[at], mean[at + 1]);
    const along = mean[at] * (vivid[at] - mean[at]) + mean[at + 1] * (vivid[at + 1] - mean[at + 1]);
    outward += along / Math.max(own, 1e-6);
    chroma += own;
  }
  return Math.max(0, -outward / Math.max(chroma, 1e-6));
}

/** Kinds of whole pictures that may be true, unlike in hue, the likeliest first: one known a candidate. */
export function candidates(known, n, seed = 0) {
  const { entities, modes } = countOf(known);
  const drawn = draws(known, seed);
  const distance = hueDistance(known, drawn);
  const taken = representatives(distance, n);
  const nearest = distance.map((row) => argmin(taken.map((one) => row[one])));
  taken.forEach((one, kind) => (nearest[one] = kind));
  const sizes = taken.map((_, kind) => nearest.filter((each) => each === kind).length);
  const order = taken.map((_, kind) => kind).sort((one, other) => sizes[other] - sizes[one] || one - other);
  return order.map((kind) => {
    const weight = new Float32Array(entities * modes);
    drawn.forEach((picks, picture) => {
      if (nearest[picture] === kind) picks.forEach((mode, entity) => (weight[entity * modes + mode] += 1));
    });
    return { ...known, weight: weight.map((count) => count / sizes[kind]) };
  });
}

/** One mode of each entity, by its weight, 128 times. */
function draws(known, seed) {
  const { entities, modes } = countOf(known);
  const random = generator(seed);
  const below = known.weight.map((_, at) => {
    let sum = 0;
    for (let each = at - (at % modes); each <= at; each++) sum = Math.fround(sum + known.weight[each]);
    return sum;
  });
  return Array.from({ length: DRAWS }, () =>
    Array.from({ length: entities }, (_, entity) => {
      const number = random();
      let mode = 0;
      for (let each = 0; each < modes - 1; each++) if (number > below[entity * modes + each]) mode++;
      return mode;
    }),
  );
}

/** Between drawn pictures: 1 - Σ |a||b| cos(difference of hue) / Σ |a||b| over cells. */
function hueDistance(known, drawn) {
  const { entities, modes, cells, features } = countOf(known);
  const places = thinned(known);
  const own = (entity, place) => known.coupling[entity * cells + places[place]];
  const added = new Float32Array(2 * places.length);
  for (let entity = 0; entity < entities; entity++) {
    for (let axis = 0; axis < 2; axis++) {
      const extra = local(known, entity, axis, cells, features);
      places.forEach((cell, place) => (added[2 * place + axis] += own(entity, place) * extra[cell]));
    }
  }
  const pictures = drawn.map((picks) => {
    const ab = added.slice();
    picks.forEach((mode, entity) => {
      const at = 2 * (entity * modes + mode);
      for (let place = 0; place < places.length; place++) {
        ab[2 * place] += own(entity, place) * known.mean[at];
        ab[2 * place + 1] += own(entity, place) * known.mean[at + 1];
      }
    });
    return ab;
  });
  const chromas = pictures.map((ab) => Float32Array.from(places, (_, n) => Math.hypot(ab[2 * n], ab[2 * n + 1])));
  const out = pictures.map(() => new Float64Array(pictures.length));
  for (let one = 0; one < out.length; one++) {
    for (let other = 0; other <= one; other++) {
      const most = dot(chromas[one], chromas[other]);
      out[one][other] = out[other][one] = 1 - (most > 1e-12 ? dot(pictures[one], pictures[other]) / most : 1);
    }
  }
  return out;
}

function dot(one, other) {
  let sum = 0;
  for (let n = 0; n < one.length; n++) sum += one[n] * other[n];
  return sum;
}

function argmin(values) {
  return values.reduce((best, value, n) => (value < values[best] ? n : best), 0);
}

function representatives(distance, n) {
  const taken = [];
  let nearest = distance.map(() => Infinity);
  while (taken.length < n) {
    const costs = distance.map((_, column) =>
      taken.includes(column) ? Infinity : distance.reduce((sum, row, at) => sum + Math.min(nearest[at], row[column]), 0),
    );
    taken.push(argmin(costs));
    nearest = nearest.map((each, row) => Math.min(each, distance[row][taken.at(-1)]));
  }
  return taken;
}

/** Evenly spread cells, at most 1024, all of them where there are no more. */
export function thinned({ shape: [h, w] }) {
  const tall = Math.min(Math.max(even(Math.sqrt((THINNED * h) / w)), 1), Math.min(h, THINNED));
  const wide = Math.min(Math.floor(THINNED / tall), w);
  const spread = (n, side) => Array.from({ length: n }, (_, at) => Math.floor(((2 * at + 1) * side) / (2 * n)));
  const columns = spread(wide, w);
  return spread(tall, h).flatMap((row) => columns.map((column) => row * w + column));
}

/** Standard deviation of the ab that may be true at a cell, along either axis. */
export function deviation(known) {
  const { cells, entities, modes, features } = countOf(known);
  const tint = tints(known, known.weight);
  const square = new Float32Array(cells);
  for (let entity = 0; entity < entities; entity++) {
    let open = 0;
    for (let at = entity * modes; at < (entity + 1) * modes; at++) {
      open += known.weight[at] * (2 * known.scale[at] ** 2 + known.mean[2 * at] ** 2 + known.mean[2 * at + 1] ** 2);
    }
    const added = [0, 1].map((axis) => local(known, entity, axis, cells, features));
    const [a, b] = [tint[2 * entity], tint[2 * entity + 1]];
    for (let cell = 0; cell < cells; cell++) {
      const [x, y] = [added[0][cell], added[1][cell]];
      square[cell] += known.coupling[entity * cells + cell] * (open + x * (x + 2 * a) + y * (y + 2 * b));
    }
  }
  const mean = painted(known, known.weight, [...Array(entities).keys()]);
  return square.map((each, cell) => {
    const variance = each - (mean[2 * cell] ** 2 + mean[2 * cell + 1] ** 2) / UNIT ** 2;
    return UNIT * Math.sqrt(Math.max(variance, 0) / 2);
  });
}

/** The probability that the true ab lies within 15 of `ab`; curve [x, y] leads from the mixture's to the measured one. */
export function confidence(known, ab, curve = null) {
  const { cells, entities, modes, features } = countOf(known);
  const sure = new Float64Array(cells);
  for (let entity = 0; entity < entities; entity++) {
    const added = [0, 1].map((axis) => local(known, entity, axis, cells, features));
    for (let at = entity * modes; at < (entity + 1) * modes; at++) {
      const { reach, shares } = sharesWithin(known.scale[at], RADIUS / UNIT);
      const [a, b] = [known.mean[2 * at], known.mean[2 * at + 1]];
      for (let cell = 0; cell < cells; cell++) {
        const x = added[0][cell] + a - ab[2 * cell] / UNIT;
        const y = added[1][cell] + b - ab[2 * cell + 1] / UNIT;
        const place = (Math.sqrt(x * x + y * y) / reach) * (STEPS - 1);
        if (place >= STEPS - 1) continue; // the last share is 0 but for a millionth
        const before = Math.floor(place);
        const share = shares[before] + (place - before) * (shares[before + 1] - shares[before]);
        sure[cell] += known.coupling[entity * cells + cell] * known.weight[at] * share;
      }
    }
  }
  return Float32Array.from(sure, (each) => Math.min(Math.max(curve ? along(curve, each) : each, 0), 1));
}

/** Shares of a 2-D Gaussian inside a circle, for even distances of its center up to a reach. */
function sharesWithin(scale, radius) {
  const sigma = Math.max(scale, CERTAIN);
  const reach = radius + 5 * sigma;
  const shares = Array.from({ length: STEPS }, (_, step) => {
    const distance = (step / (STEPS - 1)) * reach;
    let sum = 0;
    for (let n = 0; n < STEPS; n++) {
      const cosine = Math.cos(((n + 0.5) * Math.PI) / STEPS);
      const square = Math.max(radius ** 2 + distance ** 2 + 2 * radius * distance * cosine, 1e-12);
      sum += (-Math.expm1(-square / (2 * sigma ** 2)) / square) * radius * (radius + distance * cosine);
    }
    return sum / STEPS;
  });
  return { reach, shares };
}

/** A curve's y at x, straight between its points, level beyond them. */
function along([x, y], at) {
  const after = x.findIndex((each) => each > at);
  if (after === 0) return y[0];
  if (after < 0) return y.at(-1);
  return y[after - 1] + ((at - x[after - 1]) / (x[after] - x[after - 1])) * (y[after] - y[after - 1]);
}

/** Let colors less sure than `threshold` give way to gray, gone at half of it; those that a person gave stay. */
export function fade(known, ab, sure, threshold) {
  if (threshold === 0) return ab;
  const given = painted(known, known.weight, [...known.given]);
  return ab.map((part, n) => {
    const left = Math.min(Math.max(sure[n >> 1] / Math.max(threshold / 2, 1e-9) - 1, 0), 1);
    return given[n] + left * (part - given[n]);
  });
}

/** Give a whole type one color: a new known. */
export function recolor(known, entity, ab) {
  const { cells, modes, features } = countOf(known);
  const own = known.coupling.subarray(entity * cells, (entity + 1) * cells);
  const offset = meanLocal(known, mixOf(known, entity), own);
  const tint = tints(known, known.weight);
  const old = [tint[2 * entity] + offset[0], tint[2 * entity + 1] + offset[1]];
  const painted = repainted(mixOf(known, entity), offset, old, ab);
  const [mean, scale, mix] = [known.mean.slice(), known.scale.slice(), known.mix.slice()];
  for (let at = entity * modes; at < (entity + 1) * modes; at++) {
    mean.set(painted.tint, 2 * at);
    scale[at] = CERTAIN;
  }
  mix.set(painted.mix, 2 * entity * features);
  return { ...known, mean, scale, mix, given: new Set([...known.given, entity]) };
}

/** The connected part of the picture around a cell that belongs to what the cell belongs to: 0..1 a cell. */
export function region(known, cell) {
  const [h, w] = known.shape;
  const root = roots(known, 1);
  const { cells, entities } = countOf(known);
  const s = new Float32Array(cells);
  for (let entity = 0; entity < entities; entity++) {
    const here = root[entity * cells + cell];
    for (let other = 0; other < cells; other++) s[other] += here * root[entity * cells + other];
  }
  const mask = new Float32Array(cells);
  const reached = new Uint8Array(cells);
  const left = [cell];
  reached[cell] = 1;
  while (left.length) {
    const at = left.pop();
    mask[at] = Math.min(Math.max((s[at] - AGREEMENT) * (2 / (1 - AGREEMENT)), 0), 1);
    const column = at % w;
    const beside = [at - w, at + w, column > 0 ? at - 1 : -1, column < w - 1 ? at + 1 : -1];
    for (const next of beside) {
      if (next >= 0 && next < h * w && !reached[next] && s[next] > AGREEMENT) {
        reached[next] = 1;
        left.push(next);
      }
    }
  }
  return mask;
}

/** Give a part of the picture one color: a new entity, after the others, takes the mask's share of each cell. */
export function recolorRegion(known, mask, ab) {
  const { cells, entities, modes, features } = countOf(known);
  const total = mask.reduce((sum, each) => sum + each, 0);
  const mix = new Float32Array(2 * features);
  for (let entity = 0; entity < entities; entity++) {
    const held = dot(known.coupling.subarray(entity * cells, (entity + 1) * cells), mask) / total;
    mixOf(known, entity).forEach((each, n) => (mix[n] += held * each));
  }
  const colors = painted(known, known.weight, [...Array(entities).keys()]);
  const old = [0, 0];
  mask.forEach((share, cell) => {
    old[0] += (share / total) * (colors[2 * cell] / UNIT);
    old[1] += (share / total) * (colors[2 * cell + 1] / UNIT);
  });
  const { tint, mix: turned } = repainted(mix, meanLocal(known, mix, mask), old, ab);
  const left = known.coupling.map((each, at) => each * (1 - mask[at % cells]));
  return {
    ...known,
    coupling: joined(left, mask),
    weight: joined(known.weight, Array(modes).fill(1 / modes)),
    mean: joined(known.mean, Array(modes).fill(tint).flat()),
    scale: joined(known.scale, Array(modes).fill(CERTAIN)),
    mix: joined(known.mix, turned),
    given: new Set([...known.given, entities]),
  };
}

function joined(one, other) {
  const out = new Float32Array(one.length + other.length);
  out.set(one);
  out.set(other, one.length);
  return out;
}

function mixOf(known, entity) {
  const { features } = countOf(known);
  return known.mix.subarray(2 * entity * features, 2 * (entity + 1) * features);
}

/** Mean of what a mix (2·R) adds, over cells by their shares. */
function meanLocal(known, mix, shares) {
  const { cells, features } = countOf(known);
  const held = Math.max(shares.reduce((sum, each) => sum + each, 0), 1e-6);
  const out = [0, 0];
  for (let feature = 0; feature < features; feature++) {
    const over = dot(known.basis.subarray(feature * cells, (feature + 1) * cells), shares) / held;
    out[0] += mix[feature] * over;
    out[1] += mix[features + feature] * over;
  }
  return out;
}

/** A local term of mean `offset` and a mean color `old` -> mode and local term for `ab`. */
function repainted(mix, offset, old, ab) {
  const wanted = ab.map((part) => part / UNIT);
  const shrink = Math.min(1, Math.hypot(...wanted) / Math.max(Math.hypot(...old), 1e-6));
  const angle = Math.atan2(wanted[1], wanted[0]) - Math.atan2(old[1], old[0]);
  const [x, y] = [shrink * Math.cos(angle), shrink * Math.sin(angle)];
  const features = mix.length / 2;
  const turned = new Float32Array(mix.length);
  for (let n = 0; n < features; n++) {
    turned[n] = x * mix[n] - y * mix[features + n];
    turned[features + n] = y * mix[n] + x * mix[features + n];
  }
  const tint = [wanted[0] - (x * offset[0] - y * offset[1]), wanted[1] - (y * offset[0] + x * offset[1])];
  return { tint, mix: turned };
}

/** √ of softened couplings; their products summed over entities are the agreement of two cells. */
function roots(known, softness) {
  const { cells, entities } = countOf(known);
  const out = known.coupling.map((each) => each ** (softness / 2));
  for (let cell = 0; cell < cells; cell++) {
    let square = 0;
    for (let at = cell; at < entities * cells; at += cells) square += out[at] * out[at];
    const length = Math.sqrt(square);
    for (let at = cell; at < entities * cells; at += cells) out[at] /= length;
  }
  return out;
}

/** How much the error at one cell says about the error at another: a row a cell, a column each of the others. */
function covariance(known, lightness, here, there, kernel) {
  const { cells, entities } = countOf(known);
  const [h, w] = known.shape;
  const root = roots(known, kernel.softness);
  const of = (list) => list.map((cell) => Float32Array.from({ length: entities }, (_, k) => root[k * cells + cell]));
  const [ours, theirs] = [of(here), of(there)];
  return here.map((cell, n) =>
    Float64Array.from(there, (other, m) => {
      const s = dot(ours[n], theirs[m]);
      const down = Math.floor(cell / w) - Math.floor(other / w);
      const across = (cell % w) - (other % w);
      const square = (down * down + across * across) / (h * h);
      const unlike = (lightness[cell] - lightness[other]) / 100;
      const far = kernel.everywhere + kernel.wide * Math.exp(square / (-2 * kernel.wide_reach ** 2));
      const close = square / (-2 * kernel.near_reach ** 2) - (unlike * unlike) / kernel.lightness;
      return s * s * far + kernel.near * Math.exp(close) * (1 - kernel.near_agreement * (1 - s));
    }),
  );
}

/**
 * Correct colors by points whose color a person gives: Gaussian-process regression over couplings.
 *
 * @param {number[]} points cells
 * @param {number[][]} wanted their ab
 */
export function hint(known, ab, lightness, points, wanted, kernel = KERNEL) {
  const every = [...Array(ab.length / 2).keys()];
  const inner = covariance(known, lightness, points, points, kernel);
  inner.forEach((row, n) => (row[n] += kernel.noise));
  const off = points.map((cell, n) => [wanted[n][0] - ab[2 * cell], wanted[n][1] - ab[2 * cell + 1]]);
  const alpha = solved(inner, off);
  const out = ab.slice();
  covariance(known, lightness, points, every, kernel).forEach((row, n) => {
    row.forEach((reach, cell) => {
      out[2 * cell] += reach * alpha[n][0];
      out[2 * cell + 1] += reach * alpha[n][1];
    });
  });
  return out;
}

/** x of A x = y, for a positive definite A, by Cholesky's factors; both are spent. */
function solved(matrix, right) {
  for (let column = 0; column < matrix.length; column++) {
    for (let row = column; row < matrix.length; row++) {
      let left = matrix[row][column];
      for (let n = 0; n < column; n++) left -= matrix[row][n] * matrix[column][n];
      matrix[row][column] = row === column ? Math.sqrt(left) : left / matrix[column][column];
    }
  }
  for (const axis of [0, 1]) {
    for (let row = 0; row < matrix.length; row++) {
      for (let n = 0; n < row; n++) right[row][axis] -= matrix[row][n] * right[n][axis];
      right[row][axis] /= matrix[row][row];
    }
    for (let row = matrix.length - 1; row >= 0; row--) {
      for (let n = row + 1; n < matrix.length; n++) right[row][axis] -= matrix[n][row] * right[n][axis];
      right[row][axis] /= matrix[row][row];
    }
  }
  return right;
}

/** Where to point next: cells whose color, if known, would lower the variance of the picture most, the best first. */
export function suggest(known, lightness, n, pointed = [], kernel = KERNEL) {
  const grid = thinned(known);
  const cells = [...grid, ...pointed];
  const all = deviation(known);
  const root = Math.sqrt(grid.reduce((sum, cell) => sum + all[cell] ** 2, 0) / grid.length);
  const sigma = cells.map((cell) => all[cell] / root);
  const left = covariance(known, lightness, cells, cells, kernel);
  left.forEach((row, one) => row.forEach((each, other) => (row[other] = each * sigma[one] * sigma[other])));
  for (let point = grid.length; point < cells.length; point++) learn(left, point, kernel.noise);
  const best = [];
  while (best.length < Math.min(n, grid.length)) {
    const lowered = grid.map((_, column) => {
      if (best.includes(column)) return -Infinity;
      let sum = 0;
      for (let row = 0; row < grid.length; row++) sum += left[column][row] ** 2;
      return sum / (left[column][column] + kernel.noise);
    });
    best.push(lowered.reduce((most, each, at) => (each > lowered[most] ? at : most), 0));
    learn(left, best.at(-1), kernel.noise);
  }
  return best.map((at) => cells[at]);
}

/** Take from a covariance, in place, what the color of one point explains. */
function learn(left, point, noise) {
  const length = Math.sqrt(left[point][point] + noise);
  const column = left[point].map((each) => each / length);
  left.forEach((row, n) => {
    for (let m = 0; m < row.length; m++) row[m] -= column[n] * column[m];
  });
}
