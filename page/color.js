/**
 * Colors: sRGB <-> CIE Lab, Rec.601 gray, and colors that keep a given gray: colorcapsnet/color.py for 8 bits.
 *
 * Lab is D65; the white is the row sum of the matrix and conversions work on differences to green, so that equal
 * channels give a = b = 0 exactly.
 */

const XYZ = [
  [0.412453, 0.35758, 0.180423],
  [0.212671, 0.71516, 0.072169],
  [0.019334, 0.119193, 0.950227],
];
const TO_XYZ = XYZ.map((row) => row.map((part) => part / row.reduce((sum, each) => sum + each)));
const FROM_XYZ = inverse(TO_XYZ);
const DELTA = 6 / 29;
const MARGIN = 0.49; // a code whose lightness lies this close to the gray's comes back as that gray
const SLACK = 1e-6; // linear light outside 0..1 by no more counts as inside
const STEPS = 10; // of the search for the last color inside sRGB

const LINEAR = table((code) => toLinear(code / 255));
const LOWEST = table((code) => toLinear((code - MARGIN) / 255));
const HIGHEST = table((code) => toLinear((code + MARGIN) / 255));
const CODE_OF_LIGHT = Uint8Array.from({ length: 65536 }, (_, light) => even(fromLinear(light / 65535) * 255));

/** CIE L in 0..100 of every gray code. */
export const LIGHTNESS = table((code) => 116 * f(toLinear(code / 255)) - 16);
const FY = LIGHTNESS.map((lightness) => (lightness + 16) / 116);

const NEIGHBORS = neighbors();
const light = new Float64Array(3); // linear RGB of the color in hand
const codes = new Uint8Array(3);

/** sRGB in 0..1 -> linear light. */
export function toLinear(srgb) {
  return srgb <= 0.04045 ? srgb / 12.92 : ((srgb + 0.055) / 1.055) ** 2.4;
}

/** Linear light in 0..1 -> sRGB. */
export function fromLinear(linear) {
  return linear <= 0.0031308 ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055;
}

/** The nearest whole number, halves to the even one, as NumPy rounds. */
export function even(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Rec.601 gray of RGBA codes, halves upward: a code a pixel. */
export function gray(rgba) {
  const out = new Uint8Array(rgba.length / 4);
  for (let pixel = 0, at = 0; pixel < out.length; pixel++, at += 4) {
    out[pixel] = (299 * rgba[at] + 587 * rgba[at + 1] + 114 * rgba[at + 2] + 500) / 1000;
  }
  return out;
}

/** a and b of three sRGB codes. */
export function abOfCodes(red, green, blue) {
  const [x, y, z] = TO_XYZ.map(
    ([fromRed, , fromBlue]) =>
      LINEAR[green] + fromRed * (LINEAR[red] - LINEAR[green]) + fromBlue * (LINEAR[blue] - LINEAR[green]),
  ).map(f);
  return [500 * (x - y), 200 * (y - z)];
}

/** Lab -> three sRGB codes; a color outside sRGB loses chroma at constant hue and L. */
export function codesOfLab(lightness, a, b) {
  const fy = (lightness + 16) / 116;
  const share = shareInside(fy, inverseF(fy), a, b);
  setLight(fy, inverseF(fy), a * share, b * share);
  return [0, 1, 2].map((channel) => even(fromLinear(clipped(light[channel])) * 255));
}

/**
 * Write the color of one pixel: of gray `code`'s lightness and as much of `a`, `b` as sRGB can show, nudged to codes
 * whose lightness is the gray's.
 *
 * @param {Uint8Array|Uint8ClampedArray} out RGBA; alpha is left as it is
 * @param {number} at where red goes
 */
export function mergeInto(out, at, code, a, b) {
  const fy = FY[code];
  const y = LINEAR[code];
  setLight(fy, y, a, b);
  if (isOutside()) {
    const share = shareInside(fy, y, a, b);
    a *= share;
    b *= share;
    setLight(fy, y, a, b);
  }
  round();
  const luminance = luminanceOf(codes[0], codes[1], codes[2]);
  if (luminance < LOWEST[code] || luminance > HIGHEST[code]) nudge(code, fy, y, a, b);
  out[at] = codes[0];
  out[at + 1] = codes[1];
  out[at + 2] = codes[2];
}

/** A gray picture in colors of its own size: RGBA, opaque. */
export function merged(gray, ab) {
  const out = new Uint8ClampedArray(4 * gray.length).fill(255);
  gray.forEach((code, n) => mergeInto(out, 4 * n, code, ab[2 * n], ab[2 * n + 1]));
  return out;
}

/** The gray code whose CIE L is a color's: what it was merged from. */
export function grayOf(red, green, blue) {
  return even(fromLinear(clipped(luminanceOf(red, green, blue))) * 255);
}

function table(value) {
  return Float64Array.from({ length: 256 }, (_, code) => value(code));
}

function f(t) {
  return t > DELTA ** 3 ? Math.cbrt(t) : t / (3 * DELTA ** 2) + 4 / 29;
}

function inverseF(value) {
  return value > DELTA ? value * value * value : (value - 4 / 29) * (3 * DELTA ** 2);
}

function clipped(value) {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

function setLight(fy, y, a, b) {
  const x = inverseF(fy + a / 500) - y;
  const z = inverseF(fy - b / 200) - y;
  light[0] = y + FROM_XYZ[0][0] * x + FROM_XYZ[0][2] * z;
  light[1] = y + FROM_XYZ[1][0] * x + FROM_XYZ[1][2] * z;
  light[2] = y + FROM_XYZ[2][0] * x + FROM_XYZ[2][2] * z;
}

function isOutside() {
  const top = 1 + SLACK;
  return (
    light[0] < -SLACK || light[1] < -SLACK || light[2] < -SLACK || light[0] > top || light[1] > top || light[2] > top
  );
}

function shareInside(fy, y, a, b) {
  setLight(fy, y, a, b);
  if (!isOutside()) return 1;
  let low = 0;
  for (let n = 0, step = 0.5; n < STEPS; n++, step /= 2) {
    setLight(fy, y, a * (low + step), b * (low + step));
    if (!isOutside()) low += step;
  }
  return low;
}

function round() {
  for (let channel = 0; channel < 3; channel++) {
    codes[channel] = CODE_OF_LIGHT[(clipped(light[channel]) * 65535 + 0.5) | 0];
  }
}

function luminanceOf(red, green, blue) {
  return (
    LINEAR[green] +
    TO_XYZ[1][0] * (LINEAR[red] - LINEAR[green]) +
    TO_XYZ[1][2] * (LINEAR[blue] - LINEAR[green])
  );
}

/** The nearest of 125 neighbors that keeps the gray; where none does, chroma is halved and the search repeated. */
function nudge(code, fy, y, a, b) {
  for (let trial = 0; trial < 8; trial++, a /= 2, b /= 2) {
    setLight(fy, y, a, b);
    round();
    const [red, green, blue] = codes;
    for (const [toRed, toGreen, toBlue] of NEIGHBORS) {
      codes[0] = Math.min(Math.max(red + toRed, 0), 255);
      codes[1] = Math.min(Math.max(green + toGreen, 0), 255);
      codes[2] = Math.min(Math.max(blue + toBlue, 0), 255);
      const luminance = luminanceOf(codes[0], codes[1], codes[2]);
      if (luminance >= LOWEST[code] && luminance <= HIGHEST[code]) return;
    }
  }
  codes.fill(code);
}

/** Steps of -2..2 in three channels, the shortest first. */
function neighbors() {
  const sides = [-2, -1, 0, 1, 2];
  const all = sides.flatMap((red) => sides.flatMap((green) => sides.map((blue) => [red, green, blue])));
  const square = (step) => step.reduce((sum, part) => sum + part * part, 0);
  return all.sort((one, other) => square(one) - square(other));
}

function inverse([[a, b, c], [d, e, g], [h, i, j]]) {
  const determinant = a * (e * j - g * i) - b * (d * j - g * h) + c * (d * i - e * h);
  const adjugate = [
    [e * j - g * i, c * i - b * j, b * g - c * e],
    [g * h - d * j, a * j - c * h, c * d - a * g],
    [d * i - e * h, b * h - a * i, a * e - b * d],
  ];
  return adjugate.map((row) => row.map((part) => part / determinant));
}
