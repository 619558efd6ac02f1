// The selected row: what it is, what was found, what is like it.

const SMALL_PICTURE = 100; // pixels, below which enlarged ones keep their edges
const FIRST_COLUMNS = 20; // of a table, with more on demand

/** Return the children of a row of the list. */
function rowChildren(report, decisions, position) {
  const isHidden = decisions.isHidden(position);
  const children = [];
  if (report.content.kind === "pictures") {
    children.push(thumbnail(report, position));
  }
  const text = textOf(report, position);
  const snippet = text === null ? "" : ` · ${text.slice(0, 200).replace(/\s+/g, " ")}`;
  children.push(
    element(
      "span",
      { class: "labels" },
      element("span", {}, givenName(report, position), suggestionWords(report, position, isHidden)),
      element("span", { class: "quiet" }, `${idOf(report, position)}${snippet}`),
    ),
  );
  children.push(scoreBar(report, position, isHidden));
  const decided = decisions.get(position);
  children.push(
    decided
      ? element(
          "span",
          { class: `decision ${decided.decision === "right" ? "right" : "wrong"}` },
          `${SIGNS[decided.decision]} `,
          element("span", { class: "word" }, decisionWords(report, decided)),
        )
      : element("span", { class: "decision" }),
  );
  return children;
}

/** Say what is suggested, unless that is hidden or nothing better is known. */
function suggestionWords(report, position, isHidden) {
  if (!report.columns.suggested) {
    return null;
  }
  if (isHidden) {
    return element("span", { class: "quiet" }, " → hidden");
  }
  const better = betterClass(report, position);
  return better === null
    ? element("span", { class: "quiet" }, " · no better label")
    : ` → ${report.classes[better]}`;
}

function decisionWords(report, { decision, label }) {
  return label === null ? WORDS[decision] : report.classes[label];
}

/** Return the score of a row as a number, and as a bar where it is a probability. */
function scoreBar(report, position, isHidden) {
  const { error, difficulty } = report.columns;
  if (isHidden) {
    return element("span", { class: "score" });
  }
  if (!error) {
    return element("span", { class: "score number" }, number(difficulty[position]));
  }
  const value = error[position];
  const words = Number.isNaN(value) ? "–" : value.toFixed(2);
  return element("span", { class: "score" }, element("span", {}, words), bar(value));
}

function bar(value) {
  const filled = element("span");
  filled.style.width = `${Math.round((value || 0) * 100)}%`;
  return element("span", { class: "bar" }, filled);
}

function thumbnail(report, position) {
  const source = pictureOf(report, position);
  if (source === null) {
    return element("span", { class: "thumbnail blank", "aria-hidden": "true" }, "·");
  }
  return element("img", { class: "thumbnail small", src: source, alt: "" });
}

/** Show a row in the card; undefined clears it. */
function showCard(report, decisions, position) {
  const isShown = position !== undefined;
  byId("actions").hidden = !isShown;
  if (!isShown) {
    byId("seen").replaceChildren(element("p", { class: "quiet" }, "No row is listed."));
    byId("details").replaceChildren();
    return;
  }
  const isHidden = decisions.isHidden(position);
  byId("seen").replaceChildren(
    element("h2", {}, `Row ${idOf(report, position)}`),
    ...content(report, position),
    findings(report, decisions, position, isHidden),
  );
  byId("details").replaceChildren(
    ...tableOf(report, position, isHidden),
    // The labels of the nearest rows say what the scorer thinks.
    ...(isHidden ? [] : [...whatWasFound(report, position), ...nearest(report, position)]),
  );
  const decided = decisions.get(position);
  for (const button of document.querySelectorAll("#actions [data-decision]")) {
    const isChosen = decided?.decision === button.dataset.decision;
    button.setAttribute("aria-pressed", String(isChosen));
  }
  const suggest = document.querySelector("[data-decision=suggestion]");
  suggest.setAttribute("aria-disabled", String(isHidden || betterClass(report, position) === null));
  byId("other-label").value = decided?.decision === "other" ? String(decided.label) : "";
}

/** Return the picture or the text of a row. */
function content(report, position) {
  const text = textOf(report, position);
  if (text !== null) {
    return [
      element("div", { class: "text", tabindex: "0", role: "group", "aria-label": "text" }, text),
    ];
  }
  const source = pictureOf(report, position, { isLarge: true });
  if (source !== null) {
    const label = `row ${idOf(report, position)}, given label ${givenName(report, position)}`;
    const picture = element("img", { class: "picture", src: source, alt: label });
    picture.addEventListener("load", () => {
      picture.classList.toggle("small", picture.naturalWidth < SMALL_PICTURE);
    });
    return [picture];
  }
  if (report.contentAt[position] < 0) {
    const words = `This file holds only numbers of this row. A larger max_rows adds ${report.content.kind}.`;
    return [element("p", { class: "quiet" }, words)];
  }
  return [];
}

/** Return the given and the suggested label, and the decision. */
function findings(report, decisions, position, isHidden) {
  const { suggested, confidence, error, difficulty } = report.columns;
  const lines = [["given label", givenName(report, position)]];
  if (isHidden) {
    lines.push(["suggested", "hidden until you have decided, so that the judgement is yours"]);
  } else {
    if (suggested) {
      const better = betterClass(report, position);
      const sure = confidence ? ` (${percent(share(confidence[position]))})` : "";
      lines.push([
        "suggested",
        better === null ? "no better label" : report.classes[better] + sure,
      ]);
    }
    lines.push(
      error
        ? ["label wrong", percent(error[position])]
        : ["difficulty", number(difficulty[position])],
    );
  }
  const decided = decisions.get(position);
  lines.push([
    "decision",
    decided ? `${SIGNS[decided.decision]} ${decisionWords(report, decided)}` : "none yet",
  ]);
  return lineTable(lines);
}

/** Return a table of names and values. */
function lineTable(lines) {
  const body = element("tbody");
  for (const [name, value] of lines) {
    body.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)));
  }
  return element("table", {}, body);
}

/** Return what the scorer says beyond its suggestion. */
function whatWasFound(report, position) {
  return [
    ...topClasses(report, position),
    ...course(report, position),
    ...scores(report, position),
  ];
}

function topClasses(report, position) {
  const { top_class: classes, top_probability: shares } = report.columns;
  if (!classes) {
    return [];
  }
  const body = element("tbody");
  for (let i = position * report.n_top; i < (position + 1) * report.n_top; i++) {
    const value = share(shares[i]);
    body.append(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, report.classes[classes[i]]),
        element("td", { class: "number" }, percent(value)),
        element("td", { class: "share" }, bar(value)),
      ),
    );
  }
  return [element("h3", {}, "Class probabilities"), element("table", {}, body)];
}

function scores(report, position) {
  const { scores: values, quadrant, difficulty, error } = report.columns;
  const lines = [];
  if (error) {
    lines.push(["difficulty", number(difficulty[position])]);
  }
  report.score_names.forEach((name, i) => {
    lines.push([name, number(values[position * report.score_names.length + i])]);
  });
  if (quadrant) {
    lines.push(["quadrant", report.quadrant_names[quadrant[position]] ?? "undefined"]);
  }
  return lines.length ? [element("h3", {}, "Scores"), lineTable(lines)] : [];
}

/** Return the rows that are most like this one, with their labels. */
function nearest(report, position) {
  const { neighbors, n_neighbors: n, kind } = report.content;
  const i = report.contentAt[position];
  if (!neighbors || i < 0 || (i + 1) * n > neighbors.length) {
    return [];
  }
  const list = element("ul", { class: kind === "pictures" ? "near" : "near wide" });
  for (const near of neighbors.subarray(i * n, (i + 1) * n)) {
    if (near < 0) {
      continue;
    }
    const text = textOf(report, near);
    const snippet = text === null ? "" : `: ${text.slice(0, 120)}`;
    list.append(
      element(
        "li",
        {},
        kind === "pictures" ? thumbnail(report, near) : null,
        `${givenName(report, near)} `,
        element("span", { class: "quiet" }, `${idOf(report, near)}${snippet}`),
      ),
    );
  }
  return list.children.length ? [element("h3", {}, "Nearest rows, with their labels"), list] : [];
}
