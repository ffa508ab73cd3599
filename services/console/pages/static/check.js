// Checks a text while the user types: the server returns what is wrong, or what saving would do.

const PAUSE_MS = 300;

for (const form of document.querySelectorAll("form[data-check]")) {
  const result = form.querySelector("#checked");
  const text = form.querySelector("textarea");
  let timer = 0;
  let requests = 0;

  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MS);
  });

  async function check() {
    const request = ++requests;
    const response = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (request !== requests || !response.ok) return; // outdated, or signed out: the preview shows that
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    result.replaceChildren(...page.body.childNodes);
    text.setAttribute("aria-invalid", String(result.querySelector(".error") !== null));
  }

  if (text.value !== text.defaultValue) check(); // typed before this script was loaded, or restored by the browser
}
