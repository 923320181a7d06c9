// Calls functions of page/*.js as Python asks: a JSON list of calls comes by standard input, one of answers goes out.
// A call is {module, name, args} of a function, or {canvas, name, args} of a canvas's method. Arrays of numbers travel
// as {kind: "Float32Array", base64}. An error is answered as {error: message}.
import { readFileSync } from "node:fs";

import { Canvas } from "../page/canvas.js";

function packed(value) {
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { kind: value.constructor.name, base64: bytes.toString("base64") };
  }
  if (value?.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, packed(each)]));
}

function unpacked(_, value) {
  if (value?.base64 === undefined) return value;
  const bytes = Buffer.from(value.base64, "base64");
  return new globalThis[value.kind](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const calls = JSON.parse(readFileSync(0, "utf8"), unpacked);
const answers = [];
let canvas;
for (const { module, name, args, canvas: opened } of calls) {
  if (opened) canvas = new Canvas({ ...opened.known, given: new Set() }, opened.shown, opened.picture, opened.measured);
  try {
    if (module) {
      const found = (await import(`../page/${module}.js`))[name];
      answers.push(name === "generator" ? Array.from({ length: args[1] }, found(args[0])) : found(...args));
    } else if (name === "capsuleMap" || name === "labels") {
      const draw = (await import("../page/maps.js"))[name];
      answers.push(draw(canvas.known, ...(args.length ? args : [canvas.picture])));
    } else if (name === "colored") {
      answers.push(canvas.render(canvas.ab(...args)));
    } else {
      answers.push(canvas[name](...args));
    }
  } catch (error) {
    answers.push({ error: error.message });
  }
}
process.stdout.write(JSON.stringify(answers.map(packed)));
