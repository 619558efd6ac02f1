// On narrow screens a row becomes a list (see custom.css): every cell then needs its column's name.
for (const table of document.querySelectorAll("main table.table")) {
  const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
  if (names.length === 0) continue;
  table.classList.add("has-labels");
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, i) => (cell.dataset.label = names[i] ?? ""));
  }
}
