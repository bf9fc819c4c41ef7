"use strict";
(() => {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];

  // Cells without a value come last, whichever way the others go.
  const compare = (kind, direction) => (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = kind === "number" ? number(a) - number(b) : a < b ? -1 : a > b ? 1 : 0;
    return direction * order;
  };
  const number = (text) => (text === "nan" || text === "inf" ? Infinity : Number(text));

  heads.forEach((head, column) => {
    const kind = head.dataset.kind;
    if (!kind) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value;
      const by = compare(kind, ascending ? 1 : -1);
      rows.sort((a, b) => by(value(a), value(b)));
      body.append(...rows);
    });
  });

  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} shown` : "";
    document.getElementById("none").hidden = shown > 0 || !words.length;
  };
  filter.addEventListener("input", show);
  filter.closest("[hidden]").hidden = false;
  show();

  const open = () => {
    let id;
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const target = id && document.getElementById(id);
    const details = target && target.closest("details");
    if (details) {
      details.open = true;
      details.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();
})();
