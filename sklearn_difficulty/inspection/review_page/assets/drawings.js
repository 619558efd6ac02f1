// Values of a row beside those of its class, and the course of its label's probability.

const LINE_WIDTH = 340;
const LINE_HEIGHT = 84;

/** Return the probability of the given label, epoch by epoch, as a line. */
function course(report, position) {
  const { epochs: shares } = report.columns;
  if (!shares) {
    return [];
  }
  const n = report.epochs.length;
  const values = Array.from(shares.subarray(position * n, (position + 1) * n), share);
  const known = values.filter((value) => !Number.isNaN(value));
  const said = known.length
    ? `from ${percent(known[0])} in the first to ${percent(known.at(-1))} in the last epoch`
    : "unknown";
  const left = 30;
  const bottom = LINE_HEIGHT - 16;
  const x = (i) => left + (i / (n - 1)) * (LINE_WIDTH - left - 4);
  const y = (value) => 4 + (1 - value) * (bottom - 8);
  const points = values
    .map((value, i) => (Number.isNaN(value) ? null : `${x(i).toFixed(1)},${y(value).toFixed(1)}`))
    .filter((point) => point !== null);
  const drawing = shape("svg", {
    class: "line",
    viewBox: `0 0 ${LINE_WIDTH} ${LINE_HEIGHT}`,
    role: "img",
    "aria-label": `Probability of the given label: ${said}`,
  });
  drawing.append(
    shape("path", { class: "frame", d: `M${left} 4V${y(0)}H${LINE_WIDTH - 4}` }),
    shape("polyline", { class: "course", points: points.join(" ") }),
    shape("text", { x: 0, y: 12 }, "100%"),
    shape("text", { x: 12, y: y(0) + 4 }, "0"),
    shape("text", { x: left, y: LINE_HEIGHT - 3 }, `epoch ${report.epochs[0]}`),
    shape(
      "text",
      { x: LINE_WIDTH - 4, y: LINE_HEIGHT - 3, "text-anchor": "end" },
      String(report.epochs.at(-1)),
    ),
  );
  return [
    element("h3", {}, `Probability of ${givenName(report, position)} while training`),
    drawing,
  ];
}

/** Return the values of a row of a table, those first that are unusual in its class. */
function tableOf(report, position, isHidden) {
  const i = report.contentAt[position];
  if (!report.content.table || i < 0) {
    return [];
  }
  const given = report.columns.given[position];
  const better = isHidden ? null : betterClass(report, position);
  const lines = tableLines(report.content.table, i, given, better);
  const head = [
    ["column", ""],
    ["this row", "number"],
    [`typical ${report.classes[given]}`, "number"],
  ];
  if (better !== null) {
    head.push([`typical ${report.classes[better]}`, "number"]);
  }
  const top = element("tr");
  for (const [name, kind] of head) {
    top.append(element("th", { scope: "col", class: kind }, name));
  }
  const body = element("tbody");
  const add = (some) => {
    for (const { name, value, ofGiven, ofBetter, distance } of some) {
      const line = element("tr", { class: distance > 3 ? "odd" : "" });
      line.append(element("th", { scope: "row" }, name));
      for (const cell of better === null ? [value, ofGiven] : [value, ofGiven, ofBetter]) {
        line.append(element("td", { class: "number" }, cell));
      }
      body.append(line);
    }
  };
  add(lines.slice(0, FIRST_COLUMNS));
  const parts = [
    element("h3", {}, "Values, the unusual ones first"),
    element("table", {}, element("thead", {}, top), body),
  ];
  if (lines.length > FIRST_COLUMNS) {
    const more = element("button", { type: "button" }, `Show all ${lines.length} columns`);
    more.addEventListener("click", () => {
      add(lines.slice(FIRST_COLUMNS));
      more.remove();
    });
    parts.push(more);
  }
  return parts;
}

/** Return name, value and what is usual of every column, by distance from the usual. */
function tableLines({ numbers, categories }, i, given, better) {
  const n = numbers.names.length;
  const lines = numbers.names.map((name, j) => {
    const value = numbers.values[i * n + j];
    const median = numbers.medians[given * n + j];
    const difference = Math.abs(value - median);
    const distance = difference === 0 ? 0 : difference / numbers.spreads[given * n + j];
    return {
      name,
      value: number(value),
      ofGiven: number(median),
      ofBetter: better === null ? "" : number(numbers.medians[better * n + j]),
      distance: Number.isNaN(distance) ? 0 : distance,
    };
  });
  for (const { name, levels, codes, shares, common } of categories) {
    lines.push({
      name,
      value: levels[codes[i]],
      ofGiven: levels[common[given]],
      ofBetter: better === null ? "" : levels[common[better]],
      // As far as a yes is from its mean, in standard deviations.
      distance: Math.sqrt((1 - shares[i]) / shares[i]),
    });
  }
  return lines.sort((a, b) => b.distance - a.distance);
}
