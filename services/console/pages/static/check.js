// Checks a text while somebody writes it: the server says what is wrong, or what saving would do.

const PAUSE_MS = 300;

for (const form of document.querySelectorAll("form[data-check]")) {
  const told = form.querySelector("#checked");
  const text = form.querySelector("textarea");
  let timer = 0;
  let asked = 0;

  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MS);
  });

  async function check() {
    const mine = ++asked;
    const answer = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (mine !== asked || !answer.ok) return; // somebody has written on, or must sign in: a preview says so
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    told.replaceChildren(...page.body.childNodes);
    text.setAttribute("aria-invalid", String(told.querySelector(".fault") !== null));
  }

  if (text.value !== text.defaultValue) check(); // written before this script was here, or restored by the browser
}
