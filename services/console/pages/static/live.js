// Keeps a page new: an event that it is about → the same page is fetched again and morphed into place.
// Nothing here knows what a page shows, so that there is one way to render anything: on the server.

const main = document.getElementById("main");
const offline = document.getElementById("offline");
//: Changes that come together are shown together.
const SETTLE_MS = 60;
//: At most one look per so many milliseconds, however much happens.
const LOOK_EVERY_MS = 250;

let timer = null;
let looking = false;
let again = false;
let lookedAt = 0;

async function look() {
  timer = null;
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  lookedAt = performance.now();
  const page = await fetched();
  looking = false;
  if (page) {
    morph(page.getElementById("main"));
    document.title = page.title;
  }
  if (again) {
    again = false;
    soon();
  }
}

// The page as it is now; null where nobody answers, or where it is another page by now.
async function fetched() {
  let answer;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  } catch {
    offline.hidden = false; // the stream says when it is back
    return null;
  }
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
    location.reload(); // the session has ended
    return null;
  }
  return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
}

function morph(fresh) {
  Idiomorph.morph(main, fresh, {
    ignoreActiveValue: true,
    callbacks: {
      // What somebody is writing, or has opened, stays as it is.
      beforeNodeMorphed: (old) => !(old instanceof Element && old.hasAttribute("data-keep")),
      beforeAttributeUpdated: (name, node) => !(name === "open" && node instanceof HTMLDetailsElement),
    },
  });
  tick();
}

function soon() {
  if (timer === null) {
    timer = setTimeout(look, Math.max(SETTLE_MS, LOOK_EVERY_MS - (performance.now() - lookedAt)));
  }
}

function tick() {
  for (const node of document.querySelectorAll("time[data-until]")) {
    const left = Math.max(0, Math.round((Number(node.dataset.until) - Date.now()) / 1000));
    const text = spoken(left);
    if (node.textContent !== text) node.textContent = text;
  }
  for (const node of document.querySelectorAll("progress[data-until]")) {
    node.value = node.max - Math.max(0, Number(node.dataset.until) - Date.now());
  }
}

function spoken(seconds) {
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0s";
  const parts = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count) parts.push(`${count}${unit}`);
  }
  return parts.join(" ");
}

// Whether an event touches the feature that the page is about; a page about none is about all.
function isAbout(event) {
  const mine = main.dataset.about;
  const { feature, features } = JSON.parse(event.data);
  if (!mine || (!feature && !features)) return true;
  return feature === mine || (features ?? []).includes(mine);
}

function follow(names) {
  const events = new EventSource("/api/v1/events");
  let wasOpen = false;
  events.onopen = () => {
    offline.hidden = true;
    if (wasOpen) soon();
    wasOpen = true;
  };
  events.onerror = () => {
    offline.hidden = false;
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
  };
  events.addEventListener("reset", soon);
  for (const name of names) events.addEventListener(name, (event) => isAbout(event) && soon());
  addEventListener("pagehide", () => events.close());
}

if (main.dataset.live) follow(main.dataset.live.split(" "));
setInterval(tick, 1000);
tick();
