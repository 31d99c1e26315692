"use strict";

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const down = heading.ariaSort === "ascending";
    const key = (row) => row.cells[column].dataset.value;
    const order = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stays last
      const sign = down ? -1 : 1;
      return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
    };
    body.append(...[...body.rows].sort((a, b) => order(key(a), key(b))));
    for (const other of heading.parentElement.cells) other.ariaSort = "none";
    heading.ariaSort = down ? "descending" : "ascending";
  });
}

const dialog = document.querySelector("dialog");
for (const card of document.querySelectorAll(".card")) {
  card.addEventListener("click", () => {
    const image = card.querySelector("img");
    Object.assign(dialog.querySelector("img"), { src: image.src, alt: image.alt });
    dialog.classList.toggle("tall", card.classList.contains("tall")); // then it is scrolled, not shrunk
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target.closest("form") === null) dialog.close();
});

// On a narrow page the contents would come before all else; the reader unfolds them.
if (matchMedia("(max-width: 48rem)").matches) document.querySelector("nav details").open = false;

function unfold(element) {
  for (let each = element; each !== null; each = each.parentElement) {
    if (each.tagName === "DETAILS") each.open = true;
  }
}

function unfoldTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target === null) return;
  unfold(target);
  target.scrollIntoView();
}
addEventListener("hashchange", unfoldTarget);
unfoldTarget();

addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("main details:not([open])")) {
    each.open = true;
    each.dataset.printed = "";
  }
});
addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("[data-printed]")) {
    each.open = false;
    delete each.dataset.printed;
  }
});
