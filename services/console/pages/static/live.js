// Keeps a page up to date: after an event that concerns it, it fetches the page again and morphs the
// content in place. Only the server knows how to render anything.

const main = document.getElementById("main");
const offline = document.getElementById("offline");
//: Wait this long for more events before fetching.
const SETTLE_MS = 60;
//: Fetch at most once in this time.
const REFRESH_EVERY_MS = 250;

let timer = null;
let refreshing = false;
let again = false;
let refreshedAt = 0;

async function refresh() {
  timer = null;
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  refreshedAt = performance.now();
  const page = await fetchPage();
  refreshing = false;
  if (page) {
    morph(page.getElementById("main"));
    document.title = page.title;
  }
  if (again) {
    again = false;
    scheduleRefresh();
  }
}

// Returns the current page; null if the server does not answer, or has redirected.
async function fetchPage() {
  let response;
  try {
    response = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  } catch {
    offline.hidden = false; // hidden again when the event stream reconnects
    return null;
  }
  if (response.redirected && new URL(response.url).pathname === "/sign-in") {
    location.reload(); // the session has ended
    return null;
  }
  return response.ok ? new DOMParser().parseFromString(await response.text(), "text/html") : null;
}

function morph(fresh) {
  Idiomorph.morph(main, fresh, {
    ignoreActiveValue: true,
    callbacks: {
      // Forms that are being filled in, and details that are open, stay as they are.
      beforeNodeMorphed: (old) => !(old instanceof Element && old.hasAttribute("data-keep")),
      beforeAttributeUpdated: (name, node) => !(name === "open" && node instanceof HTMLDetailsElement),
    },
  });
  tick();
}

function scheduleRefresh() {
  if (timer === null) {
    timer = setTimeout(refresh, Math.max(SETTLE_MS, REFRESH_EVERY_MS - (performance.now() - refreshedAt)));
  }
}

// Updates the countdowns.
function tick() {
  for (const node of document.querySelectorAll("time[data-until]")) {
    const left = Math.max(0, Math.round((Number(node.dataset.until) - Date.now()) / 1000));
    const text = durationText(left);
    if (node.textContent !== text) node.textContent = text;
  }
  for (const node of document.querySelectorAll("progress[data-until]")) {
    node.value = node.max - Math.max(0, Number(node.dataset.until) - Date.now());
  }
}

function durationText(seconds) {
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

// Returns whether an event concerns the feature that the page shows. A page without one shows all.
function concernsPage(event) {
  const shown = main.dataset.about;
  const { feature, features } = JSON.parse(event.data);
  if (!shown || (!feature && !features)) return true;
  return feature === shown || (features ?? []).includes(shown);
}

function follow(names) {
  const events = new EventSource("/api/v1/events");
  let wasOpen = false;
  events.onopen = () => {
    offline.hidden = true;
    if (wasOpen) scheduleRefresh();
    wasOpen = true;
  };
  events.onerror = () => {
    offline.hidden = false;
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
  };
  events.addEventListener("reset", scheduleRefresh);
  for (const name of names) events.addEventListener(name, (event) => concernsPage(event) && scheduleRefresh());
  addEventListener("pagehide", () => events.close());
}

if (main.dataset.live) follow(main.dataset.live.split(" "));
setInterval(tick, 1000);
tick();
