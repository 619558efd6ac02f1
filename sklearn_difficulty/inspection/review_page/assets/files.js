// Decisions as files.

/** Offer a text as a file. */
function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  link.click();
  // Some browsers read the address only after this turn.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Return a cell of a CSV file that no spreadsheet takes for a formula. */
function csvCell(value) {
  let text = String(value);
  if (/^[=+\-@\t\r]/.test(text)) {
    text = `'${text}`;
  }
  return /[",;\r\n']/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return the decisions as a table for people. */
function decisionTable(report, decisions) {
  const lines = [["row", "id", "given", "decision", "label"]];
  for (const { row, decision, label } of decisions.toJSON().decisions) {
    const position = report.positionOf[row];
    lines.push([
      row,
      report.ids ? report.ids[position] : "",
      givenName(report, position),
      decision,
      label === null ? "" : report.classes[label],
    ]);
  }
  return lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
}
