/** What a person decided, checked: the JSON of colorcapsnet/hints.py, version 1, without a reference. */

import { DRAWS } from "./paint.js";
import { abOfCodes } from "./color.js";

const VERSION = 1;
const MOST = 1000;
const KEYS = ["version", "size", "points", "recolor", "candidate", "strength", "do_no_harm"];

/**
 * @param {object} told a hint file's JSON
 * @param {{width: number, height: number}} picture that it is for
 * @param {number} capsules of the picture
 * @returns {{points, recolor, candidate, strength, harmless}} places in pixels, colors as [a, b]
 * @throws {Error} one sentence: what is wrong, and what to do
 */
export function checked(told, { width, height }, capsules) {
  if (told?.reference !== undefined) throw new Error("a reference picture needs the command line: remove “reference”");
  refuseUnknown(told, KEYS, "the hints");
  if (told.version !== VERSION) throw new Error(`the hints need "version": ${VERSION}`);
  checkSize(told.size, width, height);
  const place = (one) => pointOf(one, width, height);
  const recolor = items(told, "recolor").map((one) => (isObject(one) && "capsule" in one ? ofKind(one, capsules) : place(one)));
  if (recolor.some((one) => one.ab === null)) throw new Error('a part to recolor has no color: write one like "#a03020"');
  return {
    points: items(told, "points").map(place).filter((one) => one.ab !== null),
    recolor,
    candidate: told.candidate == null ? null : candidateOf(told.candidate),
    strength: number(told.strength ?? 1, "strength", 0, 2),
    harmless: number(told.do_no_harm ?? 0, "do_no_harm", 0, 1),
  };
}

/** a and b of "#rrggbb", or the pair that was given. */
export function abOf(color) {
  if (typeof color === "string" && /^#[0-9a-f]{6}$/i.test(color)) {
    return abOfCodes(...[1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  }
  if (Array.isArray(color) && color.length === 2) return color.map((part, n) => number(part, "ab"[n], -128, 127));
  throw new Error(`${shown(color)} is no color: write "#rrggbb", or a and b of CIE Lab as [40, 30]`);
}

function checkSize(size, width, height) {
  if (size == null) return;
  const [wide, tall] = pair(size, "size").map((side) => whole(side, "a side", 1));
  if (wide !== width || tall !== height) {
    throw new Error(`the hints are for a picture of ${wide}×${tall} pixels, and this one is ${width}×${height}`);
  }
}

function pointOf(told, width, height) {
  refuseUnknown(told, ["pixel", "relative", "color"], "a point");
  const relative = "relative" in told;
  if (relative === "pixel" in told || !("color" in told)) {
    throw new Error('a point has a color, and either "pixel" or "relative" for its place');
  }
  const [x, y] = pair(told.pixel ?? told.relative, "a place").map((part, n) => number(part, "xy"[n], 0, relative ? 1 : 1e9));
  const at = relative ? [Math.min(Math.floor(x * width), width - 1), Math.min(Math.floor(y * height), height - 1)] : [x, y];
  if (at[0] >= width || at[1] >= height) {
    throw new Error(`the point ${x}, ${y} is outside the picture of ${width}×${height}`);
  }
  return { x: Math.floor(at[0]), y: Math.floor(at[1]), ab: told.color === null ? null : abOf(told.color) };
}

function ofKind(told, capsules) {
  refuseUnknown(told, ["capsule", "color"], "a capsule");
  const capsule = whole(told.capsule, "the number of a capsule", 0);
  const ab = abOf(told.color);
  if (capsule >= capsules) throw new Error(`there is no capsule ${capsule}: they are 0 to ${capsules - 1}`);
  return { capsule, ab };
}

function candidateOf(told) {
  refuseUnknown(told, ["seed", "of", "number"], "a candidate");
  const seed = whole(told.seed, "the seed of a candidate", 0, 2 ** 53);
  const of = whole(told.of, "the number of candidates", 1, DRAWS);
  return { seed, of, number: whole(told.number, "the number of a candidate", 0, of - 1) };
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseUnknown(told, keys, what) {
  if (!isObject(told)) throw new Error(`${what}: {…} is needed, not ${shown(told)}`);
  const stray = Object.keys(told).find((key) => !keys.includes(key));
  if (stray !== undefined) throw new Error(`there is no ${shown(stray)}: choose from ${[...keys].sort().join(", ")}`);
}

function items(told, key) {
  const list = key in told ? told[key] : [];
  if (!Array.isArray(list)) throw new Error(`${key} is a list, not ${shown(list)}`);
  if (list.length > MOST) throw new Error(`${key} are ${list.length}: give ${MOST} at most`);
  return list;
}

function pair(value, what) {
  if (Array.isArray(value) && value.length === 2) return value;
  throw new Error(`${what} is two numbers, not ${shown(value)}`);
}

function number(value, what, low, high) {
  if (typeof value === "number" && value >= low && value <= high) return value;
  throw new Error(`${what} is a number from ${low} to ${high}, not ${shown(value)}`);
}

function whole(value, what, low, high = Infinity) {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  const range = high === Infinity ? `from ${low} on` : `from ${low} to ${high}`;
  throw new Error(`${what} is a whole number ${range}, not ${shown(value)}`);
}

function shown(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
