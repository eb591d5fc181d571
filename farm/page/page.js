// Keeps the sections fresh, and asks what an action costs before it is done.
"use strict";

const find = (id) => document.getElementById(id);
let wish = { action: "", fields: () => ({}) };
let events;

function watch() {
  const marks = [...document.querySelectorAll("main > section")].map((section) => section.dataset.mark);
  events = new EventSource("live?have=" + marks.join(","));
  events.addEventListener("sections", (event) => JSON.parse(event.data).forEach(place));
  events.addEventListener("order", (event) => keep(new Set(JSON.parse(event.data))));
  events.addEventListener("gone", () => { events.close(); location.assign("../../"); });
}

// Nothing more is asked of a job that goes.
function leave() {
  events.close();
  stop();
}

function place({ name, mark, html, after }) {
  let section = find(name);
  if (!section) {
    section = document.createElement("section");
    section.id = name;
    section.setAttribute("aria-label", name);
    const before = after && find(after);
    before ? before.after(section) : document.querySelector("main").append(section);
  }
  const kept = state(section);
  section.dataset.mark = mark;
  section.innerHTML = html;
  restore(section, kept);
}

function keep(names) {
  for (const section of document.querySelectorAll("main > section")) if (!names.has(section.id)) section.remove();
}

// What a reader has done to a section outlives its renewal: a film that plays, ticks, scrolled places, the focus.
function state(section) {
  const video = section.querySelector("video");
  const focused = section.contains(document.activeElement) ? document.activeElement : null;
  return {
    video, at: video && video.currentTime, plays: video && !video.paused,
    ticked: [...section.querySelectorAll("input:checked")].map((box) => box.dataset.chunk),
    scrolls: [...section.querySelectorAll(".scroll, pre")].map((box) => [box.scrollLeft, box.scrollTop]),
    focus: focused && focused.dataset.action,
  };
}

function restore(section, kept) {
  const video = section.querySelector("video");
  if (video && kept.video) {
    if (video.getAttribute("src") === kept.video.getAttribute("src")) video.replaceWith(kept.video);
    else if (kept.at > 0) {
      video.addEventListener("loadedmetadata", () => {
        video.currentTime = kept.at;
        if (kept.plays) video.play().catch(() => {});
      }, { once: true });
    }
  }
  if (kept.plays && video && section.querySelector("video") === kept.video) kept.video.play().catch(() => {});
  for (const box of section.querySelectorAll("input[data-chunk]")) box.checked = kept.ticked.includes(box.dataset.chunk);
  section.querySelectorAll(".scroll, pre").forEach((box, at) => {
    if (kept.scrolls[at]) [box.scrollLeft, box.scrollTop] = kept.scrolls[at];
  });
  if (kept.focus) section.querySelector(`[data-action="${kept.focus}"]`)?.focus();
}

function field(label, input) {
  const row = document.createElement("label");
  input.type === "checkbox" ? row.append(input, " " + label) : row.append(label, input);
  find("wish").append(row);
  input.addEventListener("input", costs);
  return input;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function ticked() {
  return [...document.querySelectorAll("input[data-chunk]:checked")];
}

// The film and chunks that an action is for; what is ticked in the contact sheets is filled in.
function choice(button) {
  const names = JSON.parse(button.parentElement.dataset.videos);
  const chosen = ticked();
  const video = field("Film", make("select", {}));
  video.append(new Option("all films", ""), ...names.map((name) => new Option(name, name)));
  if (chosen.length) video.value = chosen[0].dataset.video;
  const mine = chosen.filter((box) => box.dataset.video === video.value).map((box) => box.dataset.chunk);
  const chunks = field("Chunks, such as 3-5,8; empty for all", make("input", { type: "text", value: mine.join(",") }));
  return () => ({ videos: video.value ? [video.value] : names, chunks: chunks.value });
}

const FIELDS = {
  approve: choice,
  retry(button) {
    const chosen = choice(button);
    const reseed = field("new seeds", make("input", { type: "checkbox", checked: true }));
    const prompt = field("Another prompt; empty keeps each", make("input", { type: "text" }));
    return () => ({ ...chosen(), reseed: reseed.checked, prompt: prompt.value });
  },
  pick: (button) => () => ({ videos: [button.dataset.video] }),
  delete() {
    const films = field("the films, too", make("input", { type: "checkbox" }));
    return () => ({ films: films.checked });
  },
};

function open(button) {
  const action = button.dataset.action;
  find("wish").replaceChildren();
  find("ask-title").textContent = `${button.textContent} ${document.querySelector("h1").textContent}?`;
  find("yes").textContent = button.textContent;
  const fields = FIELDS[action];
  wish = { action, fields: fields ? fields(button) : () => ({}) };
  find("ask").showModal();
  costs();
}

async function send(path) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Farm-Page": "1" },
    body: JSON.stringify(wish.fields()),
  });
  return answer.json();
}

async function costs() {
  const asked = wish;
  const said = await send(`ask/${wish.action}`).catch((error) => ({ refused: String(error) }));
  if (asked !== wish) return;
  const lines = said.refused ? [said.refused] : said.lines;
  find("costs").replaceChildren(...lines.map((line) => make("li", { textContent: line })));
  find("yes").disabled = Boolean(said.refused);
}

async function agree() {
  find("yes").disabled = true;
  if (wish.action === "delete") leave();
  const said = await send(`do/${wish.action}`).catch((error) => ({ refused: String(error) }));
  find("news").textContent = said.refused || said.message;
  find("ask").close();
  if (wish.action === "delete") said.refused ? watch() : location.assign("../../");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.action) open(button);
  else if (button.id === "no") find("ask").close();
  else if (button.id === "yes") agree();
});
addEventListener("pagehide", () => events.close());
watch();
