// Tables whose headings sort them, texts that a button copies, and folded texts that unfold for printing.

/**
 * What a cell sorts by: its first number, or its text; an empty cell comes last.
 * @param {HTMLTableRowElement} row
 * @param {number} column
 * @returns {{number: number, text: string}}
 */
function sortedBy(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = text.replaceAll(",", "").match(/[-+−]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  const below = text.startsWith("<") ? 1e-12 : 0;
  return { number: number ? Number(number[0].replace("−", "-")) - below : NaN, text };
}

/**
 * Sort the rows of a table, or bring back their first order.
 * @param {HTMLTableElement} table
 * @param {number} column
 * @param {"ascending" | "descending" | "none"} order
 * @param {HTMLTableRowElement[]} first rows in their first order
 */
function sortRows(table, column, order, first) {
  const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
  const sign = order === "descending" ? -1 : 1;
  const keyed = first.map((row) => ({ row, key: sortedBy(row, column) }));
  if (order !== "none") {
    keyed.sort((a, b) => {
      if (!a.key.text || !b.key.text) return (a.key.text ? 0 : 1) - (b.key.text ? 0 : 1);
      if (numeric && !isNaN(a.key.number) && !isNaN(b.key.number)) return sign * (a.key.number - b.key.number);
      return sign * a.key.text.localeCompare(b.key.text, undefined, { numeric: true });
    });
  }
  table.tBodies[0].append(...keyed.map(({ row }) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const first = [...table.tBodies[0].rows];
  if (first.length < 2) continue;
  headings.forEach((heading, column) => {
    if (heading.classList.contains("drawing")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const order = before === "ascending" ? "descending" : before === "descending" ? "none" : "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (order !== "none") heading.setAttribute("aria-sort", order);
      sortRows(table, column, order, first);
    });
  });
}

for (const button of document.querySelectorAll("button.copy")) {
  const text = button.previousElementSibling;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // where a page may not write to the clipboard, the reader may
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

/** @type {HTMLDetailsElement[]} */
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  unfolded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => {
  unfolded.forEach((details) => (details.open = false));
  unfolded = [];
});
