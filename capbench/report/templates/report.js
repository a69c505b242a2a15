// Sorts tables, filters claims, and unfolds what a link leads to. Without it the page shows everything, in the order of the run.
"use strict";
function sorted(header, table) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => {
    const cell = row.cells[header.cellIndex];
    if ("value" in cell.dataset) return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    return cell.textContent.trim().toLowerCase();
  };
  const order = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // what has no value comes last
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  };
  for (const body of table.tBodies) body.append(...[...body.rows].sort(order));
}
for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    if (header.classList.contains("plain")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sorted(header, table));
    header.append(button);
  }
}
const form = document.querySelector("form.filter");
if (form) {
  const [text, status, count] = ["filter-text", "filter-status", "filter-count"].map((id) => document.getElementById(id));
  const rows = [...document.querySelectorAll("#claims tr[data-status]")];
  const usual = form.dataset.usual ?? "supported";
  const apply = () => {
    const word = text.value.trim().toLowerCase();
    const asks = word !== "" || status.value !== "";
    let shown = 0;
    for (const row of rows) {
      const is = row.dataset.status;
      const right = status.value === "" || (status.value === "not" ? is !== usual : is === status.value);
      row.hidden = !(right && row.textContent.toLowerCase().includes(word));
      shown += !row.hidden;
      if (asks && !row.hidden && row.closest("details")) row.closest("details").open = true;
    }
    count.textContent = asks ? `${shown} of ${rows.length}` : "";
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
}
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const whole = target && target.querySelector(":scope > details.whole");
  if (whole) whole.open = true;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
