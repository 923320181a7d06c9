/**
 * The page: everything that a person sees and does. What it knows of pictures comes from the engine beside it, which
 * asks a server, or colors in this browser.
 */

import * as engine from "./engine.js";

const $ = (id) => document.getElementById(id);

const MOST_SIDE = 2048; // of what is shown, in pixels
const THUMB_SIDE = 256;
const CANDIDATES = 5;
const SUGGESTED = 5;
const TAP = 8; // CSS pixels that a finger may stray
const STEP = 0.01; // of the picture's side, by an arrow key

const SWATCHES = {
  "Fair skin": "#e0b094",
  "Tan skin": "#b97a53",
  "Dark skin": "#75472e",
  "Blond": "#c8a664",
  "Brown": "#6f4a2d",
  "Khaki": "#8a7f55",
  "Red": "#a03020",
  "Rose": "#d48a9c",
  "Navy": "#27396b",
  "Sky": "#86b4dc",
  "Leaf": "#5c8a3a",
  "Gray": "#808080",
};

const palette = $("palette").content.firstElementChild; // stands in the panel that paints

const NOTHING = Object.freeze({ points: [], recolor: [], strength: 1, do_no_harm: 0, candidate: null });

/** What stands left of the divider in each mode, and where the divider stands at first. */
const MODES = {
  look: { tag: "gray", label: "The gray photograph", at: 50, layer: (side) => picture.gray(side) },
  fix: { tag: "gray", label: "The gray photograph", at: 0, layer: (side) => picture.gray(side) },
  kinds: { tag: "kinds", label: "The map of kinds of things", at: 100, layer: (side) => picture.capsuleMap(side) },
  sure: { tag: "how sure", label: "The map of how sure colors are", at: 50, layer: (side) => picture.confidence(side) },
};

let about;
let picture; // of the engine; undefined before the first
let name = "";
let mode = "look";
let at = { look: 50, fix: 0, kinds: 100, sure: 50 };
let side = 0; // pixels of the longer side that is shown
let layers = {}; // mode -> bitmap

let decisions = NOTHING;
let past = [];
let future = [];
let merging = null; // what the last decision was about: the next about the same replaces it
let saved = NOTHING;

let color = SWATCHES["Fair skin"]; // to paint with, or "keep"
let chosen = null; // index of the point, in mode fix, or of the painting, in mode kinds, that the palette changes
let picked = null; // {number, share, x, y} of a click in mode kinds
let suggested = []; // [x, y]
let seed = 1;
let revealed = false;

// Questions to the engine: one at a time, the newest of its kind only

const ORDER = ["under", "color", "pick", "suggest", "thumbs"];
const waiting = new Map();
let busy = false;
let troubled = false; // the message that is shown is about a question, and ends when one is answered

function ask(kind, question) {
  waiting.set(kind, question);
  answer();
}

async function answer() {
  if (busy) return;
  busy = true;
  $("work").setAttribute("aria-busy", "true");
  for (let kind; (kind = ORDER.find((each) => waiting.has(each))); ) {
    const question = waiting.get(kind);
    const asked = picture;
    waiting.delete(kind);
    try {
      await question(() => picture === asked);
      if (troubled) forgive();
    } catch (error) {
      if (picture !== asked) continue;
      complain(error);
      troubled = true;
    }
  }
  busy = false;
  $("work").setAttribute("aria-busy", "false");
}

function askColor(shown = decisions) {
  ask("color", async (current) => {
    const bitmap = await picture.preview(file(shown), side);
    if (!current()) return;
    draw($("color"), bitmap);
    if (!revealed) reveal();
  });
}

/** The first colors come in from the right, so that the eye sees what they change. */
function reveal() {
  revealed = true;
  slide(50, true);
  say("Colored. Move the line to compare.");
}

function askUnder() {
  const wanted = mode === "fix" ? "look" : mode;
  if (layers[wanted]) return draw($("under"), layers[wanted]);
  ask("under", async (current) => {
    const bitmap = await MODES[wanted].layer(side);
    if (!current()) return;
    layers[wanted] = bitmap;
    if (wanted === (mode === "fix" ? "look" : mode)) draw($("under"), bitmap);
  });
}

/** The likeliest and the candidates, drawn one after the other until something more important is asked. */
function askThumbs(from = 0) {
  if (mode !== "look") return;
  const candidates = options();
  ask("thumbs", async (current) => {
    const bitmap = await picture.preview(file({ ...decisions, candidate: candidates[from] }), THUMB_SIDE);
    if (!current()) return;
    draw($("candidates").children[from].querySelector("canvas"), bitmap);
    if (from + 1 < candidates.length && !waiting.has("thumbs")) askThumbs(from + 1);
  });
}

function draw(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.dataset.drawn = Number(canvas.dataset.drawn ?? 0) + 1;
}

// Decisions

/** What a hint file holds; what was not decided is left out. */
function file({ points, recolor, strength, do_no_harm, candidate }) {
  return {
    version: 1,
    size: [picture.width, picture.height],
    ...(points.length && { points }),
    ...(recolor.length && { recolor }),
    ...(strength !== 1 && { strength }),
    ...(do_no_harm && { do_no_harm }),
    ...(candidate && { candidate }),
  };
}

/** Take a decision that can be undone; decisions about the same thing, one after the other, are undone together. */
function decide(change, thing = null) {
  if (thing === null || thing !== merging) past.push(decisions);
  future = [];
  merging = thing;
  become({ ...decisions, ...change });
}

function become(next) {
  decisions = next;
  suggested = suggested.filter(([x, y]) => !next.points.some(({ pixel }) => pixel[0] === x && pixel[1] === y));
  show();
  askColor();
  askThumbs();
}

function travel(from, to, said) {
  if (!from.length) return;
  to.push(decisions);
  merging = chosen = null;
  become(from.pop());
  seed = decisions.candidate?.seed ?? seed;
  say(said);
}

const undo = () => travel(past, future, "Undone.");
const redo = () => travel(future, past, "Done again.");
const unsaved = () => picture && decisions !== saved && decisions !== NOTHING;

function replaced(list, index, value) {
  return list.map((each, n) => (n === index ? value : each));
}

function addPoint(x, y) {
  const pixel = [x, y];
  chosen = decisions.points.length;
  decide({ points: [...decisions.points, { pixel, color: color === "keep" ? colorAt(x, y) : color }] });
  $("fix").scrollTop = $("fix").scrollHeight;
  say(`Place ${chosen + 1}: ${nameOf(decisions.points[chosen].color)}.`);
}

function removeFrom(key, index) {
  chosen = null;
  decide({ [key]: decisions[key].filter((_, n) => n !== index) });
  say("Removed.");
}

function paint(what) {
  chosen = decisions.recolor.length;
  decide({ recolor: [...decisions.recolor, { ...what, color }] });
  slide(0, true);
  say(`${titleOf(what)}: ${nameOf(color)}.`);
}

function pick(x, y) {
  chosen = null;
  picked = { x, y };
  ask("pick", async (current) => {
    const found = await picture.capsuleAt(x, y);
    if (!current()) return;
    picked = { x, y, ...found };
    show();
    say(`Kind ${found.number} is here.`);
  });
  show();
}

/** Of a click, or of Enter on the cross. */
function act(x, y) {
  if (mode === "fix") addPoint(x, y);
  if (mode === "kinds") pick(x, y);
}

// Colors

function nameOf(code) {
  const hex = hexOf(code);
  return Object.keys(SWATCHES).find((each) => SWATCHES[each] === hex) ?? hex;
}

/** A hint file's color as "#rrggbb"; a and b of CIE Lab are shown at a middle lightness. */
function hexOf(code) {
  if (!Array.isArray(code)) return code;
  const [fx, fy, fz] = [code[0] / 500, 0, -code[1] / 200].map((d) => d + (62 + 16) / 116);
  const [X, Y, Z] = [fx, fy, fz].map((f, n) => [0.9505, 1, 1.089][n] * (f > 6 / 29 ? f ** 3 : (f - 4 / 29) / 7.787));
  const linear = [
    3.2406 * X - 1.5372 * Y - 0.4986 * Z,
    -0.9689 * X + 1.8758 * Y + 0.0415 * Z,
    0.0557 * X - 0.204 * Y + 1.057 * Z,
  ];
  return rgbHex(linear.map((v) => 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055)));
}

function rgbHex(codes) {
  const clipped = codes.map((code) => Math.round(Math.min(255, Math.max(0, code))));
  return `#${clipped.map((code) => code.toString(16).padStart(2, "0")).join("")}`;
}

/** What the picture shows at a place now. */
function colorAt(x, y) {
  const canvas = $("color");
  const column = Math.floor((x * canvas.width) / picture.width);
  const row = Math.floor((y * canvas.height) / picture.height);
  return rgbHex([...canvas.getContext("2d").getImageData(column, row, 1, 1).data.slice(0, 3)]);
}

function titleOf({ capsule, pixel }) {
  return pixel ? `The part at ${percent(pixel)}` : `All of kind ${capsule}`;
}

/** "34%, 60%": from the left and from the top. */
function percent([x, y]) {
  return `${Math.round((100 * x) / picture.width)}%, ${Math.round((100 * y) / picture.height)}%`;
}

// What is shown

function say(text) {
  $("status").textContent = text;
}

function complain(error) {
  const text = error.message;
  $("error").firstElementChild.textContent = text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  $("error").hidden = false;
}

function forgive() {
  $("error").hidden = true;
  troubled = false;
}

function show() {
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  showNumber("strength", "bold", decisions.strength, boldness(decisions.strength));
  showNumber("harm", "faded", decisions.do_no_harm, faded(decisions.do_no_harm));
  for (const each of document.querySelectorAll("[data-strength]"))
    each.setAttribute("aria-pressed", Number(each.dataset.strength) === decisions.strength);
  showCandidates();
  showPalette();
  showList("points", decisions.points, (n, point) => `Place ${n + 1}`);
  showList("recolors", decisions.recolor, (n, each) => titleOf(each));
  $("no-places").hidden = decisions.points.length > 0;
  $("no-paintings").hidden = decisions.recolor.length > 0;
  $("kind").value = picked?.number ?? "";
  $("share-of").textContent = picked?.share ? `fits by ${Math.round(100 * picked.share)}%` : "";
  $("paint-part").disabled = picked?.x === undefined;
  $("paint-kind").disabled = picked?.number === undefined;
  $("paint-kind").textContent = `Paint all of kind ${picked?.number ?? ""}`.trim();
  showMarkers();
}

function showNumber(id, told, value, text) {
  $(id).value = value;
  $(id).setAttribute("aria-valuetext", text);
  $(told).textContent = text;
}

function boldness(strength) {
  const share = `${Math.round(100 * strength)}%`;
  return { 0: "gray", 1: "likely", 2: "vivid" }[strength] ?? share;
}

const faded = (share) => (share ? `below ${Math.round(100 * share)}% sure` : "nothing");

/** null is the likeliest, which needs no candidate. */
function options() {
  return [null, ...Array.from({ length: CANDIDATES }, (_, number) => ({ seed, of: CANDIDATES, number }))];
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function showCandidates() {
  const candidates = options();
  fit($("candidates"), candidates.length, () => {
    const button = element("button", { type: "button" });
    button.append(element("canvas", {}), element("span", {}));
    return button;
  });
  candidates.forEach((candidate, n) => {
    const button = $("candidates").children[n];
    button.lastElementChild.textContent = candidate ? `Other ${n + CANDIDATES * (seed - 1)}` : "First guess";
    button.setAttribute("aria-pressed", same(candidate, decisions.candidate));
    button.onclick = () => decide({ candidate });
  });
}

function showPalette() {
  const list = { fix: decisions.points, kinds: decisions.recolor }[mode];
  const shown = list && chosen !== null ? hexOf(list[chosen].color) : color;
  const radios = [...palette.querySelectorAll("input[name=color]")];
  const radio = radios.find(({ value }) => value === shown) ?? radios.find(({ value }) => value === "own");
  if (radio.value === "own") palette.querySelector("#own").value = shown;
  radio.checked = true;
}

function showList(id, items, title) {
  const key = id === "points" ? "points" : "recolor";
  fit($(id), items.length, () => {
    const row = element("li", {});
    const select = element("button", { type: "button", className: "select" });
    select.append(element("span", { className: "chip" }), element("span", {}));
    row.append(select, element("button", { type: "button", className: "quiet remove", textContent: "Remove" }));
    return row;
  });
  items.forEach((item, n) => {
    const [select, remove] = $(id).children[n].children;
    select.firstElementChild.style.background = hexOf(item.color);
    select.lastElementChild.textContent = `${title(n, item)}: ${nameOf(item.color)}`;
    select.setAttribute("aria-pressed", chosen === n);
    select.onclick = () => choose(n);
    remove.setAttribute("aria-label", `Remove ${title(n, item)}`);
    remove.onclick = () => {
      removeFrom(key, n);
      ($(id).children[Math.min(n, items.length - 2)]?.firstElementChild ?? $(`tab-${mode}`)).focus();
    };
  });
}

function choose(index) {
  chosen = chosen === index ? null : index;
  show();
}

/** Everything that has a place in the picture: points and suggestions, or painted parts and what was picked. */
function places() {
  if (mode === "fix")
    return [
      ...decisions.points.map(({ pixel, color }, n) => ({ pixel, color, n, text: n + 1, label: `Place ${n + 1}` })),
      ...suggested.map((pixel) => ({ pixel, text: "?", label: "A color here would help: press to give it" })),
    ];
  if (mode !== "kinds") return [];
  const parts = decisions.recolor.map(({ pixel, color }, n) => ({ pixel, color, n, text: "", label: "Painted part" }));
  const target = picked?.x === undefined ? [] : [{ pixel: [picked.x, picked.y], text: "+", label: "Picked here" }];
  return [...parts.filter(({ pixel }) => pixel), ...target];
}

function showMarkers() {
  const all = places();
  fit($("markers"), all.length, () => element("button", { type: "button", className: "marker" }));
  all.forEach((place, index) => {
    const marker = $("markers").children[index];
    const { pixel, color, n, text, label } = place;
    marker.textContent = text;
    marker.className = `marker ${mode} ${n === undefined ? "open" : ""}`;
    marker.style.background = color ? hexOf(color) : "";
    marker.classList.toggle("light", Boolean(color) && bright(hexOf(color)));
    marker.setAttribute("aria-label", `${label}${color ? `, ${nameOf(color)}` : ""}, at ${percent(pixel)}`);
    marker.toggleAttribute("data-chosen", n !== undefined && chosen === n);
    moveTo(marker, pixel);
    marker.place = place;
  });
}

function bright(hex) {
  const [r, g, b] = [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140;
}

function moveTo(node, [x, y]) {
  node.style.left = `${(100 * (x + 0.5)) / picture.width}%`;
  node.style.top = `${(100 * (y + 0.5)) / picture.height}%`;
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

/** Keeps as many children as are needed, the same ones, so that focus stays. */
function fit(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(make());
}

// The divider

/** Move the divider to a share of the width, in percent. */
function slide(to, gently = false) {
  at[mode] = Math.round(Math.min(100, Math.max(0, to)));
  $("stage").classList.toggle("gently", gently);
  $("stage").style.setProperty("--at", `${at[mode]}%`);
  $("divider").value = at[mode];
  $("left").hidden = at[mode] < 12;
  $("right").hidden = at[mode] > 88;
  $("divider").setAttribute("aria-valuetext", `${at[mode]}% ${MODES[mode].tag}, ${100 - at[mode]}% color`);
}

const slides = () => mode === "look" || mode === "sure";

function enter(next) {
  mode = next;
  chosen = null;
  for (const each of Object.keys(MODES)) {
    const here = each === mode;
    $(each).hidden = !here;
    $(`tab-${each}`).setAttribute("aria-selected", here);
    $(`tab-${each}`).tabIndex = here ? 0 : -1;
  }
  $(mode).querySelector(".slot")?.append(palette);
  palette.querySelector("#keep").hidden = mode === "kinds";
  if (mode === "kinds" && color === "keep") color = SWATCHES["Fair skin"];
  $("stage").dataset.mode = mode;
  $("left").textContent = MODES[mode].tag;
  $("under").setAttribute("aria-label", MODES[mode].label);
  $("divider").setAttribute("aria-label", `How much of the picture shows the ${MODES[mode].tag} instead of the color`);
  $("aim").hidden = slides();
  $("aim").setAttribute("aria-label", `Cross: arrow keys move it, Enter ${mode === "fix" ? "places a color" : "picks"}`);
  slide(at[mode]);
  say("");
  show();
  askUnder();
  askThumbs();
}

/** The pixel of the picture under the pointer. */
function pixelAt(event) {
  const box = $("stage").getBoundingClientRect();
  return inside([
    Math.floor(((event.clientX - box.left) / box.width) * picture.width),
    Math.floor(((event.clientY - box.top) / box.height) * picture.height),
  ]);
}

function inside([x, y]) {
  return [Math.min(picture.width - 1, Math.max(0, x)), Math.min(picture.height - 1, Math.max(0, y))];
}

function slideTo(event) {
  const box = $("stage").getBoundingClientRect();
  slide((100 * (event.clientX - box.left)) / box.width);
}

function listenToStage() {
  const stage = $("stage");
  let held = null; // {slides, marker, x, y, moved}
  stage.addEventListener("pointerdown", (event) => {
    if (event.button || !picture) return;
    const marker = event.target.closest(".marker");
    held = { marker, slides: !marker && (slides() || Boolean(event.target.closest("#knob"))), x: event.clientX, y: event.clientY };
    stage.setPointerCapture(event.pointerId);
    if (held.slides && event.pointerType === "mouse") slideTo(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held) return;
    held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > TAP;
    if (held.slides) slideTo(event);
    else if (held.marker && held.moved) drag(held.marker, pixelAt(event));
  });
  stage.addEventListener("pointerup", (event) => {
    if (!held) return;
    const { marker, moved } = held;
    if (held.slides) slideTo(event);
    else if (marker && moved) drop(marker, pixelAt(event));
    else if (marker) press(marker);
    else if (!moved) act(...pixelAt(event));
    held = null;
  });
  stage.addEventListener("pointercancel", () => {
    held = null;
    show();
    askColor();
  });
  stage.addEventListener("click", (event) => {
    if (event.detail === 0 && event.target.closest(".marker")) press(event.target.closest(".marker")); // by a key
  });
  $("divider").addEventListener("input", () => slide(Number($("divider").value)));
}

function moved({ n }, pixel) {
  const key = mode === "fix" ? "points" : "recolor";
  return { [key]: replaced(decisions[key], n, { ...decisions[key][n], pixel }) };
}

/** Show where a marker goes, and the colors as they would be there. */
function drag(marker, pixel) {
  moveTo(marker, pixel);
  if (marker.place.n !== undefined) askColor({ ...decisions, ...moved(marker.place, pixel) });
}

function drop(marker, pixel, thing) {
  if (marker.place.n !== undefined) decide(moved(marker.place, pixel), thing);
  else if (mode === "kinds") pick(...pixel);
  else addPoint(...pixel);
}

function press({ place }) {
  if (place.n !== undefined) choose(place.n);
  else if (mode === "fix") addPoint(...place.pixel);
}

function arrow(event) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
  if (dx === undefined) return null;
  event.preventDefault();
  const length = Math.max(1, Math.round(Math.max(picture.width, picture.height) * STEP * (event.shiftKey ? 5 : 1)));
  return ([x, y]) => inside([x + dx * length, y + dy * length]);
}

function listenToKeys() {
  $("markers").addEventListener("keydown", (event) => {
    const { place } = event.target;
    const next = arrow(event);
    if (next) drop(event.target, next(place.pixel), `${mode} ${place.n}`);
    if (["Delete", "Backspace"].includes(event.key) && place.n !== undefined) {
      removeFrom(mode === "fix" ? "points" : "recolor", place.n);
      ($("markers").lastElementChild ?? $("aim")).focus();
    }
  });
  let aim;
  const aimed = () => {
    aim ??= [Math.floor(picture.width / 2), Math.floor(picture.height / 2)];
    aim = inside(aim);
    moveTo($("aim"), aim);
  };
  $("aim").addEventListener("focus", aimed);
  $("aim").addEventListener("keydown", (event) => {
    const next = arrow(event);
    if (!next) return;
    aim = next(aim);
    aimed();
    say(`Cross at ${percent(aim)}`);
  });
  $("aim").addEventListener("click", (event) => event.detail === 0 && act(...aim));
  addEventListener("keydown", (event) => {
    if (!picture || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) redo();
    else undo();
  });
  const tabs = Object.keys(MODES);
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const to = { Home: 0, End: tabs.length - 1 }[event.key] ?? (step && tabs.indexOf(mode) + step + tabs.length);
    if (to === undefined) return;
    event.preventDefault();
    enter(tabs[to% tabs.length]);
    $(`tab-${mode}`).focus();
  });
}

// The panel

function listenToPanel() {
  for (const each of Object.keys(MODES)) $(`tab-${each}`).onclick = () => enter(each);
  for (const [id, key, told, text] of [
    ["strength", "strength", "bold", boldness],
    ["harm", "do_no_harm", "faded", faded],
  ]) {
    const value = () => Number($(id).value);
    $(id).addEventListener("input", () => {
      showNumber(id, told, value(), text(value()));
      askColor({ ...decisions, [key]: value() });
    });
    $(id).addEventListener("change", () => decide({ [key]: value() }, key));
  }
  for (const each of document.querySelectorAll("[data-strength]"))
    each.onclick = () => decide({ strength: Number(each.dataset.strength) });
  $("others").onclick = () => {
    seed += 1;
    show();
    askThumbs();
  };
  $("suggest").onclick = () =>
    ask("suggest", async (current) => {
      const found = await picture.suggest(SUGGESTED, file(decisions));
      if (!current()) return;
      suggested = found;
      show();
      say(`${found.length} places are marked with ?. Press one where you know the color.`);
    });
  $("kind").onchange = () => {
    chosen = null;
    picked = $("kind").value === "" ? null : { number: Number($("kind").value) };
    show();
  };
  $("paint-part").onclick = () => paint({ pixel: [picked.x, picked.y] });
  $("paint-kind").onclick = () => paint({ capsule: picked.number });
  $("undo").onclick = undo;
  $("redo").onclick = redo;
}

function fillPalette() {
  for (const [title, value] of Object.entries(SWATCHES)) {
    const label = element("label", { className: "swatch" });
    const chip = element("span", { className: "chip" });
    chip.style.background = value;
    label.append(element("input", { type: "radio", name: "color", value }), chip, element("span", { textContent: title }));
    palette.querySelector("#swatches").append(label);
  }
  const own = palette.querySelector("#own");
  palette.addEventListener("change", ({ target }) => useColor(target.value === "own" ? own.value : target.value));
  own.addEventListener("input", () => useColor(own.value));
}

/** The color to paint with from now on, and that of the place or painting that is chosen. */
function useColor(next) {
  color = next;
  const key = { fix: "points", kinds: "recolor" }[mode];
  if (chosen === null) return showPalette();
  const old = decisions[key][chosen];
  const value = next === "keep" ? colorAt(...old.pixel) : next;
  decide({ [key]: replaced(decisions[key], chosen, { ...old, color: value }) }, `color ${key} ${chosen}`);
}

// Files

function take(files) {
  if (files.length === 0) return;
  const hints = [...files].find((each) => each.name.toLowerCase().endsWith(".json"));
  if (hints && picture) return loadHints(hints);
  if (hints) return complain(new Error("Decisions belong to a photograph: open it first"));
  return openPicture(files[0]);
}

async function openPicture(given) {
  if (unsaved() && !confirm("Leave this photograph? What you decided about it is not saved.")) return;
  forgive();
  opening("Opening", 0);
  try {
    if (!about) await meet();
    if (given.size > about.maxBytes)
      throw new Error(`${given.name} has ${megabytes(given.size)}: at most ${megabytes(about.maxBytes)} can be opened`);
    const opened = await engine.open(given, { progress: opening });
    picture?.close();
    picture = opened;
    name = given.name?.replace(/\.[^.]*$/, "") || "photograph";
    begin(given);
  } catch (error) {
    complain(error);
  }
  $("opening").hidden = true;
}

function begin(given) {
  decisions = saved = NOTHING;
  [past, future, suggested, layers, at] = [[], [], [], {}, { look: 100, fix: 0, kinds: 100, sure: 50 }];
  merging = chosen = picked = null;
  seed = 1;
  revealed = false;
  waiting.clear();
  $("first").hidden = true;
  $("work").hidden = $("another").hidden = false;
  document.body.classList.add("working");
  $("stage").before($("talk"));
  $("title").textContent = name;
  document.title = `${name} in color`;
  $("stage").style.setProperty("--wide", picture.width);
  $("stage").style.setProperty("--tall", picture.height);
  const page = picture.pages > 1 ? ` Page 1 of ${picture.pages}.` : "";
  const size = `Full size: ${picture.width} × ${picture.height} pixels, ${picture.depth} bits.`;
  $("size").textContent = `${size}${page} ${picture.note ?? ""}`.trim();
  $("kind").replaceChildren(
    element("option", { value: "", textContent: "click, or choose" }),
    ...Array.from({ length: picture.capsules }, (_, n) => element("option", { value: n, textContent: n })),
  );
  const format = given.name?.match(/\.([^.]*)$/)?.[1].toLowerCase().replace(/^jpeg$/, "jpg").replace(/^tif$/, "tiff");
  if (about.formats.includes(format)) $("format").value = format;
  side = shownSide();
  for (const each of ["under", "color"]) $(each).getContext("2d").clearRect(0, 0, $(each).width, $(each).height);
  enter("look");
  askColor();
  $("title").focus();
}

function opening(text, share) {
  $("opening").hidden = false;
  $("step").textContent = text;
  if (share < 1) $("share").value = share;
  else $("share").removeAttribute("value");
}

const megabytes = (bytes) => `${Number((bytes / 2 ** 20).toFixed(1))} MB`;

function shownSide() {
  const box = $("stage").getBoundingClientRect();
  const pixels = Math.ceil((Math.max(box.width, box.height) * devicePixelRatio) / 64) * 64;
  return Math.min(pixels, MOST_SIDE, Math.max(picture.width, picture.height));
}

/** A larger window needs more pixels; a smaller one has them. */
function resized() {
  if (!picture || shownSide() <= side) return;
  side = shownSide();
  layers = {};
  askUnder();
  askColor();
}

async function loadHints(given) {
  forgive();
  try {
    const loaded = fromFile(await given.text(), given.name);
    await picture.preview(file(loaded.decisions), 64); // the engine judges
    chosen = null;
    suggested = loaded.open;
    seed = loaded.decisions.candidate?.seed ?? seed;
    decide(loaded.decisions);
    saved = decisions;
    say(`${given.name} is loaded.`);
  } catch (error) {
    complain(error);
  }
}

/** Decisions of a hint file's text, and its places that wait for a color. */
function fromFile(text, name) {
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Error(`${name} is no file of decisions: choose one that was saved here`);
  }
  if (told?.version !== 1) throw new Error(`${name} is no file of decisions of version 1: choose one that was saved here`);
  if (told.reference)
    throw new Error(`${name} takes colors from another picture, which this page cannot: use colorcapsnet colorize --hints`);
  const { width, height } = picture;
  if (told.size && !same(told.size, [width, height]))
    throw new Error(`${name} is for a picture of ${told.size.join("×")} pixels, and this one is ${width}×${height}`);
  const placed = ({ relative, ...each }) =>
    relative ? { ...each, pixel: inside([Math.floor(relative[0] * width), Math.floor(relative[1] * height)]) } : each;
  const points = (told.points ?? []).map(placed);
  return {
    decisions: {
      ...NOTHING,
      ...Object.fromEntries(Object.entries(told).filter(([key]) => key in NOTHING)),
      points: points.filter(({ color }) => color !== null),
      recolor: (told.recolor ?? []).map(placed),
    },
    open: points.filter(({ color }) => color === null).map(({ pixel }) => pixel),
  };
}

function saveHints() {
  save(new Blob([`${JSON.stringify(file(decisions), null, 1)}\n`], { type: "application/json" }), `${name}-hints.json`);
  saved = decisions;
}

async function download() {
  const [format, wanted] = [$("format").value, decisions];
  forgive();
  $("download").disabled = true;
  opening("Coloring at full size", 1);
  try {
    save(await picture.download(file(wanted), format), `${name}-color.${format === "tiff" ? "tif" : format}`);
    saved = wanted;
    say("Downloaded.");
  } catch (error) {
    complain(error);
  }
  $("opening").hidden = true;
  $("download").disabled = false;
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function listenToFiles() {
  for (const id of ["file", "load-hints"])
    $(id).addEventListener("change", () => {
      take($(id).files);
      $(id).value = "";
    });
  let over = 0;
  addEventListener("dragenter", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over += 1;
    $("dropping").hidden = false;
  });
  addEventListener("dragleave", () => {
    over = Math.max(0, over - 1);
    $("dropping").hidden = over > 0;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over = 0;
    $("dropping").hidden = true;
    take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => take(event.clipboardData.files));
  $("another").onclick = () => $("file").click();
  $("sample").onclick = async () => {
    const blob = await (await fetch(new URL("sample.jpg", import.meta.url))).blob();
    openPicture(new File([blob], "sample.jpg", { type: "image/jpeg" }));
  };
  $("save-hints").onclick = saveHints;
  $("download").onclick = download;
  $("error").querySelector("button").onclick = forgive;
  addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
  addEventListener("pagehide", (event) => event.persisted || picture?.close());
}

// Beginning

const FORMATS = { jpg: "JPEG, small", png: "PNG, exact", tiff: "TIFF, exact", webp: "WebP", avif: "AVIF" };

async function start() {
  listenToStage();
  listenToKeys();
  listenToPanel();
  listenToFiles();
  fillPalette();
  new ResizeObserver(resized).observe($("stage"));
  try {
    await meet();
  } catch (error) {
    complain(error);
  }
}

/** Say what the engine takes and gives. */
async function meet() {
  about = await engine.about();
  $("file").accept = about.accepts.join();
  const kinds = about.accepts.map((each) => each.replace("image/", "").toUpperCase().replace("WEBP", "WebP"));
  $("takes").textContent = `${kinds.join(", ")}, up to ${megabytes(about.maxBytes)}`;
  $("format").replaceChildren(
    ...about.formats.map((each) => element("option", { value: each, textContent: FORMATS[each] ?? each.toUpperCase() })),
  );
  $("where").textContent = about.offline
    ? "No photograph leaves this device."
    : `Photographs go to ${location.host}, are kept in its memory while you work, and are never stored.`;
}

start();
