// Keeps the page fresh: asks for it again, and puts in what has changed. Nothing here makes a number or a sentence of its own.
"use strict";

const EVERY = 5000;
const PATIENCE = 10000;
const contact = document.getElementById("contact");

async function refresh() {
  // without the password that may stand in the address: fetch refuses one, and the browser knows it by now
  const answer = await fetch(location.origin + location.pathname, { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!fresh.getElementById("state")) throw new Error("another page");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML) replace(part, next);
  }
  document.title = fresh.title;
}

// Who scrolled or focused a table keeps his place.
function replace(part, next) {
  const boxes = [...part.querySelectorAll(".scroll")];
  const places = boxes.map((box) => box.scrollLeft);
  const focused = boxes.indexOf(document.activeElement);
  part.replaceChildren(...next.childNodes);
  part.querySelectorAll(".scroll").forEach((box, number) => {
    box.scrollLeft = places[number] || 0;
    if (number === focused) box.focus({ preventScroll: true });
  });
}

async function turn() {
  try {
    if (!document.hidden) {
      await refresh();
      contact.hidden = true;
      document.body.classList.remove("stale");
    }
  } catch {
    if (contact.hidden) {
      contact.textContent = "No answer from the daemon: what you see is old.";
      contact.hidden = false;
      document.title = "No answer · genesys-sync";
      document.body.classList.add("stale");
    }
  }
  setTimeout(turn, EVERY);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh().catch(() => {});
});
setTimeout(turn, EVERY);
